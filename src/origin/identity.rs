//! The identity of one S3 request and its retry: the credentials that sign it.

use std::fmt;

use reqsign_aws_v4::Credential;

use super::credentials::CredentialCache;
use super::denial::Denial;
use super::error::OriginError;

/// The credentials of a request. Displayed without its secret.
pub(super) struct Identity<'a> {
    signed: Option<Signed<'a>>,
}

struct Signed<'a> {
    credentials: &'a CredentialCache,
    credential: Credential,
    renewed: bool,
}

impl<'a> Identity<'a> {
    /// Loads the credentials. `None`: the request is not signed. `label` is the origin's name in errors.
    pub(super) async fn load(credentials: Option<&'a CredentialCache>, label: &str) -> Result<Self, OriginError> {
        let Some(credentials) = credentials else { return Ok(Self { signed: None }) };
        let credential = credentials.current(label).await?;
        Ok(Self { signed: Some(Signed { credentials, credential, renewed: false }) })
    }

    /// The credentials to sign with. `None`: the request is not signed.
    pub(super) fn credential(&self) -> Option<&Credential> {
        self.signed.as_ref().map(|signed| &signed.credential)
    }

    /// Takes renewed credentials if `error` says that access is denied. Returns whether to retry: only once, and only with
    /// others than those that were refused.
    pub(super) async fn renew_after(&mut self, error: &OriginError) -> bool {
        let Some(signed) = &mut self.signed else { return false };
        let OriginError::AccessDenied { denial, .. } = error else { return false };
        if signed.renewed {
            return false;
        }
        let has_ended = *denial == Denial::Session;
        let Some(other) = signed.credentials.replacement(&signed.credential, has_ended).await else { return false };
        (signed.credential, signed.renewed) = (other, true);
        true
    }
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.credential() {
            Some(credential) => write!(f, "access key {}", credential.access_key_id),
            None => f.write_str("anonymous"),
        }
    }
}
