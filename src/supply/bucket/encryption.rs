//! `?encryption`: how new objects of a bucket are encrypted.

use serde::Deserialize;

use super::decision::{Decision, document, element, parse};
use super::plan::Encryption;

/// `ServerSideEncryptionConfiguration`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Configuration {
    rule: Vec<Rule>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Rule {
    apply_server_side_encryption_by_default: Option<ByDefault>,
}

#[derive(Debug, Deserialize)]
struct ByDefault {
    #[serde(rename = "SSEAlgorithm")]
    algorithm: String,
    #[serde(rename = "KMSMasterKeyID", default)]
    key: Option<String>,
}

/// Compares what the server has with `wanted`. Encryption with another key is not replaced by a weaker one.
pub(super) fn decide(wanted: Option<&Encryption>, found: Option<&str>) -> Result<Decision, String> {
    let Some(wanted) = wanted else { return Ok(Decision::Same) };
    let found: Configuration = found.map_or(Ok(Configuration::default()), parse)?;
    let found = found.rule.into_iter().find_map(|rule| rule.apply_server_side_encryption_by_default);
    let is_enough = found.is_some_and(|found| match wanted {
        Encryption::Aes256 => true,
        Encryption::Kms(key) => {
            found.algorithm.starts_with("aws:kms") && (key.is_none() || found.key.as_deref() == key.as_deref())
        }
    });
    Ok(if is_enough { Decision::Same } else { Decision::Write(text(wanted)) })
}

fn text(wanted: &Encryption) -> String {
    let by_default = match wanted {
        Encryption::Aes256 => element("SSEAlgorithm", "AES256"),
        Encryption::Kms(key) => {
            let key = key.as_ref().map(|key| element("KMSMasterKeyID", key)).unwrap_or_default();
            element("SSEAlgorithm", "aws:kms") + &key
        }
    };
    let rule =
        format!("<Rule><ApplyServerSideEncryptionByDefault>{by_default}</ApplyServerSideEncryptionByDefault></Rule>");
    document("ServerSideEncryptionConfiguration", &rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_written_once() {
        for wanted in [Encryption::Aes256, Encryption::Kms(None), Encryption::Kms(Some("arn:k&1".to_owned()))] {
            let Decision::Write(written) = decide(Some(&wanted), None).unwrap() else { panic!("{wanted:?}") };
            assert_eq!(decide(Some(&wanted), Some(&written)), Ok(Decision::Same), "{written}");
        }
        assert_eq!(decide(None, None), Ok(Decision::Same));
    }

    #[test]
    fn key_of_operator_is_kept() {
        let kms = text(&Encryption::Kms(Some("a".to_owned())));
        assert_eq!(decide(Some(&Encryption::Aes256), Some(&kms)), Ok(Decision::Same));
        assert_eq!(decide(Some(&Encryption::Kms(None)), Some(&kms)), Ok(Decision::Same));
        let other = Encryption::Kms(Some("b".to_owned()));
        assert_eq!(decide(Some(&other), Some(&kms)), Ok(Decision::Write(text(&other))));
    }
}
