//! The region that a store asks for, in the words of the stores.

/// Returns the region that the message of an error document names:
///
/// - AWS, `MinIO`, `RustFS`, B2: "…; expecting 'eu-west-1'"
/// - Garage before 1.0: "…, expected scope: `20250101/garage/s3/aws4_request`". Later versions quote the scope of the request
///   instead, and name their region in the document's `Region`.
/// - AWS and Ceph, for a region that must be enabled: "The me-south-1 location constraint is incompatible …"
/// - R2, whose only region is "auto": "… Must be one of: wnam, enam, weur, eeur, apac, oc, auto"
pub(super) fn in_message(message: &str) -> Option<&str> {
    let after = |marker: &str| message.split_once(marker).map(|(_, rest)| rest);
    let quoted = after("expecting ").map(|rest| rest.trim_start_matches(['\'', '"']));
    let scope = || after(", expected scope: ")?.split('/').nth(1);
    let constraint =
        || message.strip_prefix("The ")?.split_once(" location constraint is incompatible").map(|(name, _)| name);
    let listed = || after("Must be one of: ")?.split(", ").find(|name| name.trim_end_matches('.') == "auto");
    quoted.or_else(scope).or_else(constraint).or_else(listed).and_then(name).filter(|name| *name != "unspecified")
}

/// The longest name that is taken for a region, in bytes. AWS's have up to 16; other stores' are chosen by their operators.
const MAX_NAME: usize = 64;

/// Returns the region name at the start of `text`.
pub(super) fn name(text: &str) -> Option<&str> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).unwrap_or(text.len());
    Some(&text[..end]).filter(|name| (1..=MAX_NAME).contains(&name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_found_in_each_wording() {
        for (message, region) in [
            // AWS
            (
                "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
                Some("eu-west-1"),
            ),
            (format!("expecting '{}'", "r".repeat(MAX_NAME + 1)).as_str(), None),
            // MinIO, RustFS
            ("The authorization header is malformed; the region is wrong; expecting 'lab'.", Some("lab")),
            ("Region does not match; expecting 'eu_1'.", Some("eu_1")),
            // Without quotes
            ("the region is wrong; expecting us-west-004", Some("us-west-004")),
            // Garage
            ("Authorization header malformed, expected scope: 20250101/garage/s3/aws4_request", Some("garage")),
            ("Authorization header malformed, unexpected scope: 20250101/us-east-1/s3/aws4_request", None),
            // AWS, Ceph
            (
                "The me-south-1 location constraint is incompatible for the region specific endpoint this request was sent to.",
                Some("me-south-1"),
            ),
            (
                "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
                None,
            ),
            // R2
            ("The region name 'x' is not valid. Must be one of: wnam, enam, weur, eeur, apac, oc, auto", Some("auto")),
            ("expecting ''", None),
            ("The authorization header is malformed; a non-empty Access Key is required", None),
        ] {
            assert_eq!(in_message(message), region, "{message}");
        }
    }
}
