//! Advice on the problems of a source: the cause, and which setting to change.

use super::item::Role;
use crate::config::Config;
use crate::origin::{Answer, Denial, OriginError, Route, TlsFault, Unanswered};

/// A trouble with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In a word or two.
    pub(super) kind: &'static str,
    /// The finding.
    pub(super) found: String,
    /// How to fix it.
    pub(super) remedy: String,
    /// Checks that it prevents.
    pub(super) scope: Scope,
}

/// The scope of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// No source of this origin at this server can be asked.
    Origin(Step),
    /// No object of this bucket.
    Bucket,
    /// This object.
    Object,
}

/// Where on the way to an origin it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Dns,
    Tcp,
    Tls,
    Credentials,
    Clock,
    Http,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Http => "http",
        }
    }
}

/// The subject of an error: a source, and how it is reached.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) config: &'a Config,
    pub(super) route: &'a Route,
    pub(super) role: &'a Role,
}

impl Subject<'_> {
    /// Advice about a setting of the origin, with its place.
    fn mend_origin(&self, key: &str) -> String {
        match &self.route.origin {
            Some(prefix) => {
                let place = self.config.place_in("origin", prefix, key);
                format!("correct `{key}` of [[origin]] match = {prefix:?} ({place})")
            }
            None => format!("add an [[origin]] with match = \"{}/\" and the right `{key}`", self.route.label),
        }
    }

    fn name_ca_file(&self) -> String {
        match &self.route.origin {
            Some(prefix) => {
                let place = self.config.place_in("origin", prefix, "ca_file");
                format!("name it with `ca_file` in [[origin]] match = {prefix:?} ({place})")
            }
            None => self.mend_origin("ca_file"),
        }
    }

    /// Advice about a setting of the asset, with its place.
    pub(super) fn mend_asset(&self, key: &str) -> String {
        match self.role {
            Role::Asset(asset) | Role::Blocks(asset) => {
                let name = asset.name.as_str();
                format!("correct `{key}` of [[asset]] {name:?} ({})", self.config.place_in("asset", name, key))
            }
            Role::Catalog => format!("correct `catalog_url` ({})", self.config.place(&["catalog_url"])),
        }
    }

    /// Advice about the setting that names the source.
    fn mend_source(&self) -> String {
        self.mend_asset(if matches!(self.role, Role::Blocks(_)) { "blocks" } else { "sources" })
    }

    /// Advice about the setting that names the server.
    fn mend_server(&self) -> String {
        match (&self.route.server, &self.route.bucket) {
            (Some(server), _) if server.proxy.is_some() => self.mend_origin("proxy"),
            (_, Some(_)) => self.mend_origin("endpoint"),
            (_, None) => self.mend_source(),
        }
    }

    /// The trouble that an error is.
    #[expect(clippy::too_many_lines, reason = "one arm for each error")]
    pub(super) fn trouble(&self, error: &OriginError) -> Trouble {
        let trouble = |kind, scope, found: String, remedy: String| Trouble { kind, found, remedy, scope };
        let step = Scope::Origin;
        match error {
            OriginError::Dns { host, reason, .. } => trouble(
                "cannot connect",
                step(Step::Dns),
                format!("the name {host} cannot be resolved ({reason})"),
                format!("{}, or mend this machine's DNS until `getent hosts {host}` answers", self.mend_server()),
            ),
            OriginError::Connect { host, reason, .. } => trouble(
                "cannot connect",
                step(Step::Tcp),
                format!("{host}: {reason}"),
                format!("see that the store runs there and no firewall is in the way; else {}", self.mend_server()),
            ),
            OriginError::Tls { host, fault, reason, .. } => trouble(
                "cannot connect",
                step(Step::Tls),
                format!("TLS with {host}: {reason}"),
                self.remedy_of_tls(*fault),
            ),
            OriginError::NoAnswer { host, step: step @ (Unanswered::Handshake | Unanswered::Tunnel), after } => {
                trouble(
                    "cannot connect",
                    Scope::Origin(if *step == Unanswered::Handshake { Step::Tls } else { Step::Tcp }),
                    format!(
                        "{host} accepted the connection but did not answer {} within {} s",
                        step.request(),
                        after.as_secs_f32()
                    ),
                    format!(
                        "see that the server there runs, and whether it speaks plain HTTP (http://); else {}",
                        self.mend_server()
                    ),
                )
            }
            OriginError::NoAnswer { after, .. } | OriginError::Stalled { after, .. } => trouble(
                "cannot connect",
                step(Step::Http),
                format!("it takes connections and says nothing for {} s", after.as_secs()),
                format!("see what the store is busy with; if it is another server, {}", self.mend_server()),
            ),
            OriginError::TooSlow { reason, .. } => trouble(
                "too slow",
                Scope::Object,
                reason.clone(),
                format!("see what the store is busy with; if it is another server, {}", self.mend_server()),
            ),
            OriginError::Credentials { reason, .. } => {
                let key = if self.route.bucket.is_some() { "credentials" } else { "headers" };
                trouble(
                    "no credentials",
                    step(Step::Credentials),
                    reason.clone(),
                    format!("set what is missing, or {}", self.mend_origin(key)),
                )
            }
            OriginError::AccessDenied { source_url, identity, denial, answer, .. } => {
                self.denied(source_url, identity, *denial, answer)
            }
            OriginError::NoSuchBucket { bucket, endpoint, .. } => trouble(
                "no such bucket",
                Scope::Bucket,
                format!("{bucket} does not exist at {endpoint}"),
                format!("make the bucket, or {}, or {}", self.mend_source(), self.mend_origin("endpoint")),
            ),
            OriginError::NotFound { source_url, .. } => trouble(
                if self.route.server.is_some() { "no such object" } else { "no such file" },
                Scope::Object,
                format!("{source_url} does not exist"),
                format!("put it there, or {}", self.mend_source()),
            ),
            OriginError::Settings { reason, .. } => {
                trouble("settings", Scope::Object, reason.clone(), self.mend_source())
            }
            OriginError::DeleteMarker { .. } => trouble(
                "deleted",
                Scope::Object,
                error.to_string(),
                format!("upload the object again, or {}", self.mend_source()),
            ),
            OriginError::Archived { .. } => trouble(
                "archived",
                Scope::Object,
                error.to_string(),
                format!("restore it, or copy it to a class that is read at once, or {}", self.mend_source()),
            ),
            OriginError::WrongRegion { region, configured, answer, .. } => trouble(
                "wrong region",
                Scope::Bucket,
                format!("the bucket is in {region:?}, and the origin's region is {configured:?} ({answer})"),
                format!("set region = {region:?}: {}", self.mend_origin("region")),
            ),
            OriginError::Throttled { answer, .. } => trouble(
                "throttled",
                Scope::Object,
                format!("the store asks to slow down ({answer})"),
                "run this again when the store is less busy".to_owned(),
            ),
            OriginError::Io { reason, .. } if self.route.server.is_some() => trouble(
                "cannot connect",
                step(Step::Http),
                format!("the connection broke: {reason}"),
                format!(
                    "see that a store is there, and whether it speaks TLS (https) or not (http); else {}",
                    self.mend_server()
                ),
            ),
            // Such as another region's.
            OriginError::Status { status: status @ 300..=399, message, .. } => trouble(
                "elsewhere",
                Scope::Bucket,
                message.clone().unwrap_or_else(|| format!("it answers {status}")),
                format!("{}, or {}", self.mend_origin("region"), self.mend_origin("endpoint")),
            ),
            other => trouble(
                "bad answer",
                Scope::Object,
                other.to_string(),
                format!("look at the store's log; else {}", self.mend_source()),
            ),
        }
    }

    fn remedy_of_tls(&self, fault: TlsFault) -> String {
        let own_ca = self.route.origin.as_ref().and_then(|prefix| {
            let origin = self.config.origins.iter().find(|origin| origin.prefix.as_str() == prefix)?;
            origin.ca_file.as_ref()
        });
        match (fault, own_ca) {
            (TlsFault::SelfSigned, _) => {
                format!("write this certificate (PEM) into a file, and {}", self.name_ca_file())
            }
            (TlsFault::MissingIntermediate, _) => format!(
                "let the server send its whole chain, or add the missing certificate to the file of `ca_file`: {}",
                self.mend_origin("ca_file")
            ),
            (TlsFault::ClientCertificate, _) => {
                format!("let the server accept requests without a client certificate, or {}", self.mend_server())
            }
            (TlsFault::UnknownIssuer, None) => {
                format!("write the certificate (PEM) of the store's CA into a file, and {}", self.name_ca_file())
            }
            (TlsFault::UnknownIssuer, Some(file)) => format!(
                "{} does not hold the CA that signed the store's certificate; put the right one into it, or {}",
                file.display(),
                self.mend_origin("ca_file")
            ),
            (TlsFault::Dates, _) => {
                "renew the store's certificate; if it is good, this machine's clock is wrong (`timedatectl`)".to_owned()
            }
            (TlsFault::Name, _) => format!("use a name that is in the store's certificate: {}", self.mend_server()),
            (TlsFault::NoTls, _) => format!("write http:// or another port: {}", self.mend_server()),
            (TlsFault::Other, _) => format!("see the store's TLS settings, or {}", self.mend_server()),
        }
    }

    fn denied(&self, source_url: &str, identity: &str, denial: Denial, said: &Answer) -> Trouble {
        let kind = "permission denied";
        let trouble = |scope, found: String, remedy: String| Trouble { kind, found, remedy, scope };
        let credentials = Scope::Origin(Step::Credentials);
        let correct = || self.mend_origin("credentials");
        match denial {
            Denial::File => trouble(
                Scope::Object,
                format!("{identity} may not read {source_url}"),
                "let the user that runs bootdepot read the file, and enter its directories".to_owned(),
            ),
            Denial::UnknownKey => {
                trouble(credentials, format!("the store does not know the {identity} ({said})"), correct())
            }
            Denial::Signature => trouble(
                credentials,
                format!("the secret of the {identity} is not the one that the store has ({said})"),
                format!("{}; if the secret is right, {}", correct(), self.mend_origin("region")),
            ),
            Denial::Session => trouble(
                credentials,
                format!("the session of the {identity} has ended ({said})"),
                format!("renew it, or {}", correct()),
            ),
            Denial::Clock => Trouble {
                kind: "clock",
                ..trouble(
                    Scope::Origin(Step::Clock),
                    format!("this machine's clock and the store's differ too much for signed requests ({said})"),
                    "set this machine's clock: `timedatectl set-ntp true`".to_owned(),
                )
            },
            _ if self.route.bucket.is_none() => trouble(
                Scope::Object,
                format!("{identity} may not read it ({said})"),
                format!(
                    "{}, or {} where the URL was signed and has expired",
                    self.mend_origin("headers"),
                    self.mend_source()
                ),
            ),
            _ if self.route.anonymous => trouble(
                Scope::Object,
                format!("without credentials it may not be read, or is not there ({said})"),
                format!("{}, or let everyone read the bucket", correct()),
            ),
            Denial::Policy => trouble(
                Scope::Object,
                format!("the {identity} may not read it, or it is not there ({said})"),
                format!(
                    "allow the key s3:GetObject on the bucket {} (and s3:ListBucket, to tell what is missing from what \
                     is forbidden), or {}",
                    self.route.bucket.as_deref().unwrap_or_default(),
                    correct()
                ),
            ),
            // These concern the credentials, not the object.
            Denial::Account | Denial::SignedUrl => {
                trouble(credentials, format!("the store does not take the {identity} ({said})"), correct())
            }
        }
    }
}
