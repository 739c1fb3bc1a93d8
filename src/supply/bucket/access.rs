//! The IAM policies that bootdepot's own users need on its buckets.

use serde_json::{Value, json};

use super::plan::{BucketPlan, Encryption};

/// The partition of ARNs in a region. Other servers than AWS use that of AWS.
pub fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// IAM policies for the users of some buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPolicies {
    /// For nodes, which read.
    pub nodes: Value,
    /// For publishers, which write too.
    pub publishers: Value,
    /// For operators, who set buckets up and delete objects.
    pub operators: Value,
}

impl AccessPolicies {
    /// The policies for these buckets, each with the partition of its ARN.
    pub fn of(buckets: &[(&BucketPlan, &str)]) -> Self {
        let publishers = [
            &["s3:ListBucketMultipartUploads"][..],
            &["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        ];
        let operators = [
            &[
                "s3:CreateBucket",
                "s3:GetBucketVersioning",
                "s3:PutBucketVersioning",
                "s3:GetEncryptionConfiguration",
                "s3:PutEncryptionConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:GetBucketPolicy",
                "s3:PutBucketPolicy",
                "s3:DeleteBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:PutBucketPublicAccessBlock",
            ][..],
            &["s3:PutObject", "s3:DeleteObject"],
        ];
        Self {
            nodes: policy(buckets, [&[], &[]], &["kms:Decrypt"]),
            publishers: policy(buckets, publishers, &["kms:Decrypt", "kms:GenerateDataKey"]),
            operators: policy(buckets, operators, &["kms:Decrypt", "kms:GenerateDataKey"]),
        }
    }
}

/// A policy with the actions of readers, more actions on buckets and objects, and actions on the keys of their encryption.
fn policy(buckets: &[(&BucketPlan, &str)], [on_buckets, on_objects]: [&[&str]; 2], on_keys: &[&str]) -> Value {
    let arns: Vec<String> = buckets.iter().map(|(plan, part)| format!("arn:{part}:s3:::{}", plan.name)).collect();
    let objects: Vec<String> = arns.iter().map(|arn| format!("{arn}/*")).collect();
    // Without ListBucket a missing object is answered with 403 instead of 404.
    let on_buckets = [&["s3:ListBucket", "s3:GetBucketLocation"], on_buckets].concat();
    let on_objects = [&["s3:GetObject", "s3:GetObjectVersion"], on_objects].concat();
    let mut statements = vec![
        json!({ "Sid": "BootdepotBuckets", "Effect": "Allow", "Action": on_buckets, "Resource": arns }),
        json!({ "Sid": "BootdepotObjects", "Effect": "Allow", "Action": on_objects, "Resource": objects }),
    ];
    let keys: Vec<&str> = buckets
        .iter()
        .filter_map(|(plan, _)| match &plan.encryption {
            Some(Encryption::Kms(Some(key))) => Some(key.as_str()),
            _ => None,
        })
        .collect();
    if !keys.is_empty() {
        statements.push(json!({ "Sid": "BootdepotKeys", "Effect": "Allow", "Action": on_keys, "Resource": keys }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

#[cfg(test)]
mod tests {
    use super::super::plan::BucketPurpose;
    use super::*;

    #[test]
    fn nodes_read_and_publishers_write() {
        let isos = BucketPlan::of(BucketPurpose::Isos, "lab-isos");
        let keyed = BucketPlan { encryption: Some(Encryption::Kms(Some("arn:k".to_owned()))), ..isos.clone() };
        let policies = AccessPolicies::of(&[(&isos, "aws-cn")]);
        let (nodes, publishers) = (policies.nodes.to_string(), policies.publishers.to_string());
        assert!(nodes.contains("s3:GetObject") && nodes.contains("arn:aws-cn:s3:::lab-isos/*"), "{nodes}");
        for written in ["Put", "Delete", "Create", "kms:"] {
            assert!(!nodes.contains(written), "{nodes}");
        }
        assert!(publishers.contains("s3:PutObject") && !publishers.contains("Delete"), "{publishers}");
        assert!(policies.operators.to_string().contains("s3:DeleteObject"));
        let policies = AccessPolicies::of(&[(&keyed, "aws")]);
        assert_eq!(policies.nodes["Statement"][2]["Action"], json!(["kms:Decrypt"]));
    }

    #[test]
    fn statement_ids_are_alphanumeric() {
        // IAM refuses others.
        let plan = BucketPlan::of(BucketPurpose::Other, "b");
        let policies = AccessPolicies::of(&[(&plan, partition("us-east-1"))]);
        for policy in [policies.nodes, policies.publishers, policies.operators] {
            for statement in policy["Statement"].as_array().unwrap() {
                assert!(statement["Sid"].as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric()));
            }
        }
    }

    #[test]
    fn region_has_its_partition() {
        for (region, expected) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("garage", "aws")] {
            assert_eq!(partition(region), expected);
        }
    }
}
