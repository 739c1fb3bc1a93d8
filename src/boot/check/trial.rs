//! Renders every script and every file once, to find templates that fail.

use std::collections::HashMap;

use crate::boot::language::Language;
use crate::boot::machine::Machine;
use crate::boot::request_context::RequestContext;
use crate::boot::roster::{Roster, RosterError, RosterProblem, Subject};
use crate::boot::script::ScriptError;

/// A template that fails in the same way for one or more hosts.
struct Failure {
    template: String,
    /// The script or file that was rendered.
    what: String,
    /// The first host for which it fails.
    host: String,
    reason: String,
    /// How many more hosts it fails for.
    others: usize,
    /// The last of these hosts.
    last: String,
}

/// Failures, each once.
#[derive(Default)]
struct Failures(Vec<Failure>);

impl Failures {
    fn add(&mut self, template: &str, what: &str, host: &str, reason: String) {
        let same = |known: &&mut Failure| known.template == template && known.reason == reason && known.what == what;
        match self.0.iter_mut().find(same) {
            // The same host, in another language.
            Some(known) if known.last == host => {}
            Some(known) => (known.others, known.last) = (known.others + 1, host.to_owned()),
            None => self.0.push(Failure {
                template: template.to_owned(),
                what: what.to_owned(),
                host: host.to_owned(),
                reason,
                others: 0,
                last: host.to_owned(),
            }),
        }
    }
}

/// Renders everything once and returns the errors. `origins`: where the configuration names each template.
pub(super) fn render_all(roster: &Roster, origins: &HashMap<String, (Subject, Vec<String>)>) -> Vec<RosterError> {
    let failures = scripts_and_files(roster).0.into_iter();
    failures.map(|failure| failure.into_error(roster, origins)).collect()
}

fn scripts_and_files(roster: &Roster) -> Failures {
    let request = RequestContext {
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
        base: "http://boot.example:8080".to_owned(),
        is_probe: false,
    };
    let mut failures = Failures::default();
    let hosts = roster.hosts().iter().map(|host| (host.name.as_str(), host.sample_machine()));
    let unknown = roster.default_profile().map(|_| ("a machine that matches no host", Machine::default()));
    for (host, machine) in hosts.chain(unknown) {
        for language in Language::ALL {
            // References were checked before, and GRUB need not support every profile.
            let script = roster.try_script(&machine, &request, language);
            if let Some(ScriptError::Template { template, reason }) = script.error {
                failures.add(&template, "the script", host, reason);
            }
        }
    }
    for host in roster.hosts() {
        for (name, file) in &host.files {
            if let Err(reason) = roster.try_file(host, name, &request) {
                failures.add(&file.template, &format!("the file {name}"), &host.name, reason);
            }
        }
    }
    failures
}

impl Failure {
    fn into_error(self, roster: &Roster, origins: &HashMap<String, (Subject, Vec<String>)>) -> RosterError {
        let host_profile = || {
            let subject = roster.by_name.get(&self.host).map_or(Subject::Defaults, |index| Subject::Host(*index));
            (subject, vec!["profile".to_owned()])
        };
        let (subject, key) = origins.get(&self.template).cloned().unwrap_or_else(host_profile);
        let whom = match self.others {
            0 => self.host,
            others => format!("{} and {others} more", self.host),
        };
        RosterError { subject, key, problem: RosterProblem::Render { what: self.what, whom, reason: self.reason } }
    }
}
