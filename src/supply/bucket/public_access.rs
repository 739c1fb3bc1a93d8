//! `?publicAccessBlock`: AWS refuses policies that let anyone read a bucket unless this allows them.

use serde::Deserialize;

use super::decision::{Decision, document, element, parse};

/// `PublicAccessBlockConfiguration`.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the document has four independent flags")]
struct Block {
    #[serde(rename = "BlockPublicAcls")]
    acls_blocked: bool,
    #[serde(rename = "IgnorePublicAcls")]
    acls_ignored: bool,
    #[serde(rename = "BlockPublicPolicy")]
    policy_blocked: bool,
    #[serde(rename = "RestrictPublicBuckets")]
    restricted: bool,
}

/// Allows a public policy if one is `wanted` and the server refuses it. Never blocks anything: a bucket that others have opened
/// is not closed.
pub(super) fn decide(wanted: bool, found: Option<&str>) -> Result<Decision, String> {
    let found: Block = found.map_or(Ok(Block::default()), parse)?;
    if !wanted || !(found.policy_blocked || found.restricted) {
        return Ok(Decision::Same);
    }
    let content = [
        ("BlockPublicAcls", found.acls_blocked),
        ("IgnorePublicAcls", found.acls_ignored),
        ("BlockPublicPolicy", false),
        ("RestrictPublicBuckets", false),
    ];
    let content: String = content.iter().map(|(name, value)| element(name, &value.to_string())).collect();
    Ok(Decision::Write(document("PublicAccessBlockConfiguration", &content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
        <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";

    #[test]
    fn public_policy_is_allowed_if_wanted() {
        let Decision::Write(written) = decide(true, Some(CLOSED)).unwrap() else { panic!("it is closed") };
        assert!(
            written.contains("<BlockPublicAcls>true<") && written.contains("<BlockPublicPolicy>false<"),
            "{written}"
        );
        assert_eq!(decide(true, Some(&written)), Ok(Decision::Same));
        assert_eq!(decide(true, None), Ok(Decision::Same));
        assert_eq!(decide(false, Some(CLOSED)), Ok(Decision::Same));
    }
}
