//! Previews: scripts and files rendered as if every active release were live, for `bootdepot render` and the check at
//! load. Nothing is recorded, and no valid token is issued.

use std::sync::Arc;

use super::host::Host;
use super::host_file;
use super::language::Language;
use super::links::{Resolve, TokenIssuer};
use super::machine::Machine;
use super::request_context::RequestContext;
use super::roster::Roster;
use super::script::{Script, ScriptBuilder};

impl Roster {
    /// Renders the script of `machine`.
    pub fn preview(&self, machine: &Machine, request: &RequestContext, language: Language) -> Script {
        self.sample_script(machine, request, language, self.preview_references())
    }

    /// Renders the file `file` of `host` with a placeholder for each secret. Fails with the reason.
    pub fn preview_file(&self, host: &Arc<Host>, file: &str, request: &RequestContext) -> Result<String, String> {
        self.sample_file(host, file, request, self.preview_references())
    }

    /// Renders the script of `machine` for a check of its templates, which need no release.
    pub(super) fn try_script(&self, machine: &Machine, request: &RequestContext, language: Language) -> Script {
        self.sample_script(machine, request, language, self.sample_references())
    }

    /// Renders the file `file` of `host` for a check of its template, which needs no release. Fails with the reason.
    pub(super) fn try_file(&self, host: &Arc<Host>, file: &str, request: &RequestContext) -> Result<String, String> {
        self.sample_file(host, file, request, self.sample_references())
    }

    fn sample_script(
        &self,
        machine: &Machine,
        request: &RequestContext,
        language: Language,
        resolve: Resolve,
    ) -> Script {
        ScriptBuilder::new(self, machine, request, language, resolve, TokenIssuer::Sample).build()
    }

    fn sample_file(
        &self,
        host: &Arc<Host>,
        file: &str,
        request: &RequestContext,
        resolve: Resolve,
    ) -> Result<String, String> {
        let secrets = host.placeholder_secrets();
        host_file::render(&self.templates, host, file, request, resolve, TokenIssuer::Sample, &secrets)
            .map_err(|error| error.to_string())
    }

    fn sample_references(&self) -> Resolve {
        let references = Arc::clone(&self.references);
        Arc::new(move |reference: &str| references.sample(reference))
    }

    fn preview_references(&self) -> Resolve {
        let references = Arc::clone(&self.references);
        Arc::new(move |reference: &str| references.preview(reference))
    }
}
