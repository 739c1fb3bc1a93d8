//! Facts of a certificate, for messages.

use std::net::IpAddr;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::name::Name;

/// Characters that are kept of a name at most.
const MAX_NAME: usize = 100;

/// The end of the validity of a certificate (DER). `None` if it cannot be parsed.
pub(crate) fn expiry(certificate: &[u8]) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_system_time())
}

/// Facts of a certificate.
#[derive(Debug)]
pub(super) struct Facts {
    subject: Name,
    issuer: Name,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// The names and addresses of the server.
    pub(super) names: Vec<String>,
    pub(super) is_ca: bool,
    /// Whether it may sign others: it is a CA, or has neither basicConstraints nor names, like old private authorities.
    pub(super) may_sign: bool,
    /// Version 1 has no extensions, so no names of a server.
    pub(super) is_version_1: bool,
}

impl Facts {
    /// Parses a certificate. `None` if it is malformed.
    pub(super) fn parse(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
        let names: Vec<_> = names.unwrap_or_default().iter().filter_map(server_name).collect();
        let basic = certificate.get_extension::<BasicConstraints>();
        let is_ca = matches!(&basic, Ok(Some((_, basic))) if basic.ca);
        Some(Self {
            subject: certificate.subject().clone(),
            issuer: certificate.issuer().clone(),
            not_before: certificate.validity().not_before.to_system_time(),
            not_after: certificate.validity().not_after.to_system_time(),
            may_sign: is_ca || (matches!(basic, Ok(None)) && names.is_empty()),
            names,
            is_ca,
            is_version_1: certificate.version() == Version::V1,
        })
    }

    /// Whether the certificate names itself as its issuer.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `issuer` has the name of this certificate's issuer.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
    }

    /// The name of the certificate's owner, as shown.
    pub(super) fn subject(&self) -> String {
        shown(&self.subject)
    }

    /// The name of the authority that signed it, as shown.
    pub(super) fn issuer(&self) -> String {
        shown(&self.issuer)
    }
}

fn server_name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(printable(name.as_str())),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?;
            Some(address.to_string())
        }
        _ => None,
    }
}

/// The common name, else the whole name (RFC 4514).
fn shown(name: &Name) -> String {
    let common = name.common_name().ok().flatten().map(|name| name.value().into_owned());
    printable(&common.unwrap_or_else(|| name.to_string()))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()
}
