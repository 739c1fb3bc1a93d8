//! The problem of a certificate that is not accepted, in plain words.

use std::time::SystemTime;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error, OtherError};

use super::certificate::Facts;
use super::fault::TlsFault;

/// Names of a certificate that are shown at most.
const MAX_NAMES: usize = 8;

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Problem {
    pub(super) fault: TlsFault,
    pub(super) reason: String,
}

impl Problem {
    pub(super) fn new(fault: TlsFault, reason: impl Into<String>) -> Self {
        Self { fault, reason: reason.into() }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(problem))))
    }
}

/// The certificates of a handshake that was refused.
pub(super) struct Presented<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) server_name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
    /// Whether a `ca_file` is set.
    pub(super) has_ca_file: bool,
}

impl Presented<'_> {
    /// Describes why the certificates are refused with `error`.
    pub(super) fn problem(&self, error: &CertificateError) -> Problem {
        let Some(own) = Facts::parse(self.end_entity) else {
            return Problem::new(TlsFault::Other, "its certificate is malformed");
        };
        let others: Vec<Facts> = self.intermediates.iter().filter_map(Facts::parse).collect();
        if own.is_version_1 {
            let reason = "its certificate has X.509 version 1, which names no server; renew it with a subjectAltName";
            return Problem::new(TlsFault::Other, reason);
        }
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                self.wrong_name(&own)
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => self.wrong_dates(&own, &others),
            _ if own.is_self_signed() => Problem::new(
                TlsFault::SelfSigned,
                format!("its certificate \"{}\" is self-signed, and this machine does not trust it", own.subject()),
            ),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => self.unknown_issuer(&own, &others),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Problem::new(
                TlsFault::Other,
                "its certificate is not for servers (extended key usage); renew it for a server",
            ),
            CertificateError::Revoked => Problem::new(TlsFault::Other, "its certificate is revoked; renew it"),
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Problem::new(
                TlsFault::Other,
                "its certificate is signed with an algorithm that is not accepted, such as SHA-1; renew it with SHA-256",
            ),
            _ if own.is_ca => Problem::new(
                TlsFault::Other,
                format!(
                    "its certificate \"{}\" is that of a certificate authority; give the server a certificate of its own, or write \
                     this one into the CA file",
                    own.subject()
                ),
            ),
            _ => Problem::new(TlsFault::Other, "its certificate does not pass the checks of RFC 5280"),
        }
    }

    /// Checks the dates of a certificate that is trusted as itself.
    pub(super) fn check_dates(&self) -> Result<(), Problem> {
        let own = Facts::parse(self.end_entity)
            .ok_or_else(|| Problem::new(TlsFault::Other, "its certificate is malformed"))?;
        match date_problem(&own, self.now, "its certificate") {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    fn wrong_name(&self, own: &Facts) -> Problem {
        let asked = self.server_name.to_str();
        let names = match own.names.len() {
            0 => "no name of a server (subjectAltName)".to_owned(),
            count if count > MAX_NAMES => {
                format!("{} and {} more", own.names[..MAX_NAMES].join(", "), count - MAX_NAMES)
            }
            _ => own.names.join(", "),
        };
        Problem::new(TlsFault::Name, format!("its certificate is not for the name {asked}; it has {names}"))
    }

    fn wrong_dates(&self, own: &Facts, others: &[Facts]) -> Problem {
        date_problem(own, self.now, "its certificate")
            .or_else(|| {
                let other = |other: &Facts| {
                    let subject = format!("the certificate \"{}\", which the server sends too,", other.subject());
                    date_problem(other, self.now, &subject)
                };
                others.iter().find_map(other)
            })
            .unwrap_or_else(|| Problem::new(TlsFault::Dates, "a certificate of its chain is not valid now"))
    }

    fn unknown_issuer(&self, own: &Facts, others: &[Facts]) -> Problem {
        // Follows the chain as far as the server sends it.
        let mut top = own;
        for _ in others {
            match others.iter().find(|other| top.is_issued_by(other)) {
                Some(issuer) if !top.is_self_signed() => top = issuer,
                _ => break,
            }
        }
        if top.is_self_signed() {
            let reason =
                format!("its chain ends with the authority \"{}\", which this machine does not trust", top.subject());
            return Problem::new(TlsFault::UnknownIssuer, reason);
        }
        let issuer = top.issuer();
        let sent = if others.is_empty() {
            "the server sends only its own certificate".to_owned()
        } else {
            format!("the server sends its certificate and {} more", others.len())
        };
        if self.has_ca_file {
            let reason = format!(
                "{sent}; the intermediate \"{issuer}\" (its issuer) is missing: the server does not send it, and the \
                 CA file does not hold it"
            );
            return Problem::new(TlsFault::MissingIntermediate, reason.replace("(its issuer)", whose(top, own)));
        }
        let reason = format!(
            "its certificate is signed by an authority that this machine does not trust: {sent}, and \"{issuer}\" {} is not \
             trusted. If that is an intermediate of a trusted authority, let the server send it too",
            whose(top, own)
        );
        Problem::new(TlsFault::UnknownIssuer, reason)
    }
}

fn whose(top: &Facts, own: &Facts) -> &'static str {
    if std::ptr::eq(top, own) { "(its issuer)" } else { "(the issuer of the last one)" }
}

fn date_problem(facts: &Facts, now: UnixTime, subject: &str) -> Option<Problem> {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
    let reason = if now > facts.not_after {
        format!("{subject} expired {}", minute(facts.not_after))
    } else if now < facts.not_before {
        format!("{subject} is not valid before {}", minute(facts.not_before))
    } else {
        return None;
    };
    Some(Problem::new(TlsFault::Dates, reason))
}

fn minute(at: SystemTime) -> String {
    match Timestamp::try_from(at) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "at an unknown date".to_owned(),
    }
}
