//! Why a bucket cannot be used, and which answer is to be given again.

use crate::asset::SourceUrl;
use crate::origin::{Denial, OriginError, TlsFault};
use crate::supply::StoreError;

/// Why a bucket cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) subject: Subject,
    /// A sentence.
    pub(super) text: String,
}

/// The answer that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// The endpoint.
    Endpoint,
    /// The region; the one that the store names, if it does.
    Region(Option<String>),
    /// The certificates to trust.
    CaFile,
    /// The credentials.
    Credentials,
    /// The credentials, or the bucket, which may be another account's.
    Access,
    /// None: this machine, or the store at this time.
    Machine,
}

impl Fault {
    /// Credentials that may neither list a bucket, for this reason, nor read the object `probe`.
    pub(super) fn neither_list_nor_read(reason: &OriginError, probe: &SourceUrl) -> Self {
        let text = format!(
            "{reason}; {probe} is denied too. Without s3:ListBucket, S3 denies an object that does not exist as it denies one that may \
             not be read: allow s3:ListBucket, or name a catalog in the bucket that can be read (--catalog-url)"
        );
        Self { subject: Subject::Access, text }
    }
}

impl Subject {
    /// The flags that correct it.
    pub(super) fn flags(&self) -> &'static str {
        match self {
            Self::Endpoint => "--endpoint",
            Self::Region(_) => "--region",
            Self::CaFile => "--ca-file",
            Self::Credentials => "--credentials",
            Self::Access => "--credentials, --bucket",
            Self::Machine => "",
        }
    }
}

impl From<&StoreError> for Fault {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Origin { error, .. } => Self::from(&**error),
            // An S3 server names the bucket if it does not exist.
            StoreError::NotFound { .. } => {
                let text = format!("{error}; this is no S3 server, or not its root");
                Self { subject: Subject::Endpoint, text }
            }
            error => Self { subject: Subject::Endpoint, text: error.to_string() },
        }
    }
}

impl From<&OriginError> for Fault {
    fn from(error: &OriginError) -> Self {
        let subject = match error {
            OriginError::Tls {
                fault: TlsFault::UnknownIssuer | TlsFault::SelfSigned | TlsFault::MissingIntermediate,
                ..
            }
            // Only the file of certificates is read when the origin is made.
            | OriginError::Settings { .. } => Subject::CaFile,
            OriginError::WrongRegion { region, .. } => Subject::Region(Some(region.clone())),
            OriginError::Credentials { .. } => Subject::Credentials,
            OriginError::AccessDenied { denial, .. } => match denial {
                Denial::UnknownKey | Denial::Signature | Denial::Session | Denial::Account => Subject::Credentials,
                Denial::Clock => Subject::Machine,
                Denial::Policy | Denial::SignedUrl | Denial::File => Subject::Access,
            },
            OriginError::Throttled { .. } => Subject::Machine,
            _ => Subject::Endpoint,
        };
        let hint = match error {
            OriginError::AccessDenied { denial: Denial::Policy, .. } => "; it needs s3:ListBucket and s3:GetObject",
            _ => "",
        };
        Self { subject, text: format!("{error}{hint}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Answer;

    fn denied(denial: Denial) -> OriginError {
        OriginError::AccessDenied {
            source_url: "s3://boot".to_owned(),
            origin: "s3://boot/".to_owned(),
            identity: "access key AKIA".to_owned(),
            denial,
            answer: Answer::from_code("AccessDenied"),
            recent_success: false,
        }
    }

    #[test]
    fn fault_names_the_wrong_answer() {
        let tls = |fault| OriginError::Tls { host: "h".to_owned(), fault, reason: "r".to_owned(), source: None };
        let region = OriginError::WrongRegion {
            source_url: "s3://boot".to_owned(),
            origin: "s3://boot/".to_owned(),
            region: "lab".to_owned(),
            configured: "us-east-1".to_owned(),
            answer: Answer::from_code("AuthorizationHeaderMalformed"),
        };
        let dns = OriginError::Dns { host: "s3.lba".to_owned(), reason: "r".to_owned(), source: None };
        for (error, subject) in [
            (dns, Subject::Endpoint),
            (tls(TlsFault::UnknownIssuer), Subject::CaFile),
            (tls(TlsFault::SelfSigned), Subject::CaFile),
            (tls(TlsFault::NoTls), Subject::Endpoint),
            (region, Subject::Region(Some("lab".to_owned()))),
            (denied(Denial::UnknownKey), Subject::Credentials),
            (denied(Denial::Signature), Subject::Credentials),
            (denied(Denial::Policy), Subject::Access),
            (denied(Denial::Clock), Subject::Machine),
        ] {
            let fault = Fault::from(&error);
            assert_eq!(fault.subject, subject, "{}", fault.text);
        }
        assert!(Fault::from(&denied(Denial::Policy)).text.ends_with("it needs s3:ListBucket and s3:GetObject"));
    }

    #[test]
    fn web_server_is_a_wrong_endpoint() {
        let error = StoreError::NotFound { url: "s3://boot".to_owned(), answer: Answer::from_code("404") };
        let fault = Fault::from(&error);
        assert_eq!(fault.subject, Subject::Endpoint);
        assert!(fault.text.contains("this is no S3 server"), "{}", fault.text);
    }
}
