//! `?versioning`: whether a bucket keeps old versions, and whether deleting one requires a second factor.

use serde::Deserialize;

use super::decision::{Decision, document, element, parse};

/// `VersioningConfiguration`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Versioning {
    status: Option<String>,
    #[serde(alias = "MFADelete")]
    mfa_delete: Option<String>,
}

impl Versioning {
    fn of(found: Option<&str>) -> Result<Self, String> {
        // Some servers send an empty body for a bucket that never had versions.
        found.filter(|text| !text.trim().is_empty()).map_or(Ok(Self::default()), parse)
    }

    fn is_enabled(&self) -> bool {
        self.status.as_deref() == Some("Enabled")
    }

    fn has_mfa_delete(&self) -> bool {
        self.mfa_delete.as_deref() == Some("Enabled")
    }
}

/// Compares what the server has with `wanted`.
pub(super) fn decide(wanted: Option<bool>, found: Option<&str>) -> Result<Decision, String> {
    let found = Versioning::of(found)?;
    Ok(match wanted {
        Some(true) if !found.is_enabled() => Decision::Write(text("Enabled", false)),
        Some(false) if found.is_enabled() => Decision::Write(text("Suspended", false)),
        _ => Decision::Same,
    })
}

/// The same for the second factor. It is never switched off.
pub(super) fn decide_mfa_delete(wanted: bool, found: Option<&str>) -> Result<Decision, String> {
    let is_missing = wanted && !Versioning::of(found)?.has_mfa_delete();
    Ok(if is_missing { Decision::Write(text("Enabled", true)) } else { Decision::Same })
}

fn text(status: &str, mfa_delete: bool) -> String {
    let mfa = if mfa_delete { element("MfaDelete", "Enabled") } else { String::new() };
    document("VersioningConfiguration", &(element("Status", status) + &mfa))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: &str = "<VersioningConfiguration xmlns=\"x\"><Status>Enabled</Status></VersioningConfiguration>";

    #[test]
    fn versioning_is_written_once() {
        for found in [None, Some(""), Some("<VersioningConfiguration/>")] {
            let Decision::Write(written) = decide(Some(true), found).unwrap() else { panic!("{found:?}") };
            assert_eq!(decide(Some(true), Some(&written)), Ok(Decision::Same));
            assert_eq!(decide(Some(false), found), Ok(Decision::Same), "it was never on");
        }
        assert_eq!(decide(None, Some(ON)), Ok(Decision::Same));
        let Decision::Write(suspended) = decide(Some(false), Some(ON)).unwrap() else { panic!("it is on") };
        assert!(suspended.contains("Suspended"));
    }

    #[test]
    fn mfa_delete_is_never_switched_off() {
        let Decision::Write(written) = decide_mfa_delete(true, Some(ON)).unwrap() else { panic!("it is off") };
        assert!(written.contains("<MfaDelete>Enabled</MfaDelete>"), "{written}");
        assert_eq!(decide_mfa_delete(true, Some(&written)), Ok(Decision::Same));
        assert_eq!(decide_mfa_delete(false, Some(&written)), Ok(Decision::Same));
    }

    #[test]
    fn unreadable_versioning_is_an_error() {
        assert!(decide(Some(true), Some("<a><b></a>")).is_err());
    }
}
