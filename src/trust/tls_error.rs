//! Plain words for the errors of TLS handshakes. The texts of the library are for its developers.

use std::error::Error as StdError;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use super::fault::TlsFault;
use super::problem::Problem;
use crate::error_chain::causes;

/// Returns the TLS error among `error` and its sources.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether the peer ended the handshake with an alert.
pub(crate) fn is_alert(error: &Error) -> bool {
    matches!(error, Error::AlertReceived(_))
}

/// Returns the kind of a failure and what happened. The text completes "TLS with … failed:".
pub(crate) fn describe(error: &Error) -> (TlsFault, String) {
    let (fault, text) = match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<Problem>() {
            Some(problem) => return (problem.fault, problem.reason.clone()),
            None => (TlsFault::Other, "its certificate cannot be verified"),
        },
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            (TlsFault::UnknownIssuer, "its certificate is signed by an authority that this machine does not trust")
        }
        Error::InvalidCertificate(CertificateError::BadEncoding) => (TlsFault::Other, "the certificate is malformed"),
        Error::InvalidCertificate(_) => (TlsFault::Other, "the certificate cannot be verified"),
        Error::NoCertificatesPresented => (TlsFault::Other, "it sends no certificate"),
        Error::InvalidMessage(_) => {
            (TlsFault::NoTls, "it does not speak TLS on this port; its answer is no TLS message")
        }
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::PeerIncompatible(_) => (
            TlsFault::Other,
            "it has no TLS version, cipher or key type in common with this program, which has TLS 1.2 and 1.3",
        ),
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => {
            (TlsFault::Other, "its messages break the TLS protocol; a proxy may change them")
        }
        Error::NoApplicationProtocol => (TlsFault::Other, "it refuses HTTP/1.1 (ALPN)"),
        Error::UnsupportedNameType => (TlsFault::Name, "the host is no valid name of a server"),
        _ => (TlsFault::Other, "the handshake cannot be completed"),
    };
    (fault, text.to_owned())
}

/// Describes an alert of the server (RFC 8446 6.2).
fn of_alert(alert: AlertDescription) -> (TlsFault, String) {
    let (fault, text) = match alert {
        AlertDescription::CertificateRequired => (TlsFault::ClientCertificate, "it demands a client certificate"),
        // Before TLS 1.3 there was no alert of its own for a missing client certificate.
        AlertDescription::BadCertificate | AlertDescription::NoCertificate | AlertDescription::CertificateUnknown => {
            (TlsFault::ClientCertificate, "it refuses the client's certificate: it demands one")
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => (
            TlsFault::Other,
            "it refuses the handshake: it has no cipher in common with this program, or demands a client certificate",
        ),
        AlertDescription::ProtocolVersion => {
            (TlsFault::Other, "it has no TLS version in common with this program, which has TLS 1.2 and 1.3")
        }
        AlertDescription::UnrecognisedName => (TlsFault::Name, "it has no certificate for this name"),
        AlertDescription::AccessDenied => (TlsFault::Other, "it denies access during the handshake"),
        AlertDescription::InternalError => {
            (TlsFault::Other, "it failed during the handshake (alert \"internal error\")")
        }
        AlertDescription::UnknownCA => (TlsFault::Other, "it does not know the authority of the client's certificate"),
        other => return (TlsFault::Other, format!("it ended the handshake (alert {} of RFC 8446)", u8::from(other))),
    };
    (fault, text.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn tls_errors_have_plain_words() {
        for (error, fault) in [
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), TlsFault::NoTls),
            (Error::AlertReceived(AlertDescription::CertificateRequired), TlsFault::ClientCertificate),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), TlsFault::Other),
            (Error::AlertReceived(AlertDescription::UnrecognisedName), TlsFault::Name),
            (Error::AlertReceived(AlertDescription::DecodeError), TlsFault::Other),
            (Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13), TlsFault::Other),
            (Error::InvalidCertificate(CertificateError::BadEncoding), TlsFault::Other),
            (Error::General("x".into()), TlsFault::Other),
        ] {
            let (found, text) = describe(&error);
            assert_eq!(found, fault, "{text}");
            // No identifier of the library: names of variants are two words without a space.
            let debug =
                |word: &str| word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase);
            assert!(!text.split(|c: char| !c.is_alphanumeric()).any(debug), "{text}");
        }
    }
}
