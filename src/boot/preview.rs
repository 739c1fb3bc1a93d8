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
        ScriptBuilder::new(self, machine, request, language, self.preview_references(), TokenIssuer::Sample).build()
    }

    /// Renders the file `file` of `host` with a placeholder for each secret. Fails with the reason.
    pub fn preview_file(&self, host: &Arc<Host>, file: &str, request: &RequestContext) -> Result<String, String> {
        let (references, secrets) = (self.preview_references(), host.placeholder_secrets());
        host_file::render(&self.templates, host, file, request, references, TokenIssuer::Sample, &secrets)
            .map_err(|error| error.to_string())
    }

    fn preview_references(&self) -> Resolve {
        let references = Arc::clone(&self.references);
        Arc::new(move |reference: &str| references.preview(reference))
    }
}
