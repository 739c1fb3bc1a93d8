//! The kinds of refused requests.

/// Why a request was not allowed, as far as the remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The identity may not read the object.
    Policy,
    /// The account may not read anything: it is suspended or over a quota.
    Account,
    /// The store does not know the access key.
    UnknownKey,
    /// The signature is wrong: another secret access key.
    Signature,
    /// The session of temporary credentials has ended.
    Session,
    /// The clocks differ too much for a signed request.
    Clock,
    /// The signature of the URL has expired.
    SignedUrl,
    /// The file is not readable for the user of this process.
    File,
}

impl Denial {
    /// The kind that the message of an `AccessDenied` names: servers send that code for more than policies.
    pub(super) fn of_message(message: &str) -> Self {
        // Garage: "Forbidden: Invalid signature", "Forbidden: No such key: GK…"
        let cause = message.strip_prefix("Forbidden: ").unwrap_or(message);
        if cause.starts_with("Request has expired") {
            Self::SignedUrl
        } else if cause == "Invalid signature" {
            Self::Signature
        } else if cause.starts_with("No such key: ") {
            Self::UnknownKey
        } else {
            Self::Policy
        }
    }

    /// The next step.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Policy => "check the origin's credentials and the bucket's policy",
            Self::Account => "check the account at the store",
            Self::UnknownKey => "check the access key ID in the origin's credentials",
            Self::Signature => "check the secret access key in the origin's credentials",
            Self::Session => "renew the session token in the origin's credentials",
            Self::Clock => "correct this machine's clock",
            Self::SignedUrl => "sign the URL again: it has expired",
            Self::File => "allow the user that runs bootdepot to read the file",
        }
    }

    /// Whether it can be caused by a policy or a key that has not reached all servers of a store.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Policy | Self::UnknownKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_cause_of_denial() {
        for (message, expected) in [
            ("Request has expired", Denial::SignedUrl),
            ("Forbidden: Invalid signature", Denial::Signature),
            ("Forbidden: No such key: GK0123", Denial::UnknownKey),
            ("Forbidden: Operation is not allowed for this key.", Denial::Policy),
            ("Access Denied", Denial::Policy),
        ] {
            assert_eq!(Denial::of_message(message), expected, "{message}");
        }
    }
}
