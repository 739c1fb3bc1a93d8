//! Conditions of a write.

use http::header::{HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use super::capabilities::{Capabilities, EtagForm};

/// A condition of a write. A server that does not support conditions ignores or refuses them, so they are sent only where
/// [`Capabilities`] say so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// Replaces what is there.
    #[default]
    Always,
    /// Only if there is no object with the key.
    Absent,
    /// Only if the object has this `ETag`, quotes included.
    Matches(String),
}

impl Condition {
    /// The header field with which a server of these capabilities checks it. `None` if nothing is to be checked, or the server
    /// cannot do it.
    pub(super) fn field(&self, capabilities: Capabilities) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Always => None,
            Self::Absent => capabilities.if_absent.then_some((IF_NONE_MATCH, HeaderValue::from_static("*"))),
            Self::Matches(etag) => {
                let etag = match capabilities.if_matches? {
                    EtagForm::Quoted => etag.as_str(),
                    EtagForm::Bare => etag.trim_matches('"'),
                };
                // An `ETag` that a reply had is a valid value.
                Some((IF_MATCH, HeaderValue::try_from(etag).ok()?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etag_has_form_of_server() {
        let condition = Condition::Matches("\"ab\"".to_owned());
        let value = |if_matches| {
            let field = condition.field(Capabilities { if_matches, ..Capabilities::ALL });
            field.map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(value(Some(EtagForm::Quoted)).as_deref(), Some("\"ab\""));
        assert_eq!(value(Some(EtagForm::Bare)).as_deref(), Some("ab"));
        assert_eq!(value(None), None);
        assert_eq!(Condition::Absent.field(Capabilities::UNKNOWN), None);
        assert!(Condition::Absent.field(Capabilities::ALL).is_some());
    }
}
