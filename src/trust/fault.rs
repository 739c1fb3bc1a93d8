//! The kinds of failed TLS handshakes.

/// Why a TLS handshake failed, as far as the remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The server's certificate is signed by itself, and not trusted.
    SelfSigned,
    /// The server does not send the certificate that signed its own, and it is not trusted.
    MissingIntermediate,
    /// The certificate has expired or is not valid yet.
    Dates,
    /// The certificate is for other names.
    Name,
    /// The port does not speak TLS.
    NoTls,
    /// The server demands a client certificate.
    ClientCertificate,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// The next step, after a semicolon. Empty if there is no general one.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "; for a private CA set the origin's ca_file",
            Self::SelfSigned => "; to trust this certificate write it into a file and set the origin's ca_file",
            Self::MissingIntermediate => {
                "; let the server send its whole chain, or add the missing certificate to the origin's ca_file"
            }
            Self::Dates => "; renew the server's certificate, or correct this machine's clock",
            Self::Name => "; use a name that is in the certificate, or renew the certificate with this name",
            Self::NoTls => "; write http://, or the port that speaks TLS",
            Self::ClientCertificate => "; bootdepot has none to present: let the server accept requests without one",
            Self::Other => "",
        }
    }
}
