//! Checks single values, for commands that ask for them before there is a configuration.

use super::format::{Address, AddressOrOff, BucketName, CatalogUrl, Endpoint, FilePath, VaultSecret};
use super::mirror_format::Upstream;
use super::written::Format;

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// The URL of an S3 endpoint.
    Endpoint,
    /// A bucket's name.
    BucketName,
    /// An IP address and a port.
    Address,
    /// An IP address and a port, or `off`.
    AddressOrOff,
    /// A path on this machine.
    Path,
    /// The path of a secret in Vault.
    VaultPath,
    /// The URL of a shared catalog.
    CatalogUrl,
    /// The URL of an upstream's document or directory.
    UpstreamUrl,
}

impl ValueKind {
    /// Checks a value as in a settings file. The error says what is wrong and what was expected.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Endpoint => check::<Endpoint>(text),
            Self::BucketName => check::<BucketName>(text),
            Self::Address => check::<Address>(text),
            Self::AddressOrOff => check::<AddressOrOff>(text),
            Self::Path => check::<FilePath>(text),
            Self::VaultPath => check::<VaultSecret>(text),
            Self::CatalogUrl => check::<CatalogUrl>(text),
            Self::UpstreamUrl => check::<Upstream>(text),
        }
    }
}

fn check<F: Format>(text: &str) -> Result<(), String> {
    match F::read(text) {
        Ok(_) => Ok(()),
        Err(reason) if reason.is_empty() => Err(format!("expected {}", F::EXPECTED)),
        Err(reason) => Err(format!("{reason}; expected {}", F::EXPECTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_value_names_expected_form() {
        assert_eq!(ValueKind::Endpoint.check("https://s3.lab:9000"), Ok(()));
        let error = ValueKind::Endpoint.check("s3.lab:9000").unwrap_err();
        assert!(error.ends_with("expected a URL such as \"https://s3.lab:9000\""), "{error}");
        let error = ValueKind::BucketName.check("Boot").unwrap_err();
        assert!(error.starts_with("'B' is not allowed; expected a bucket's name"), "{error}");
    }
}
