//! `?policy`: the statements of a bucket's policy that bootdepot manages.

use serde_json::{Value, json};

use super::decision::Decision;
use super::plan::{BucketPlan, OURS};

/// The policy that the plan needs. `None` if it needs none. `partition` is that of the bucket's ARN, such as `aws`.
pub fn public_policy(plan: &BucketPlan, partition: &str) -> Option<Value> {
    let statements: Vec<Value> = statement(plan, partition).into_iter().collect();
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn statement(plan: &BucketPlan, partition: &str) -> Option<Value> {
    plan.public_read.then(|| {
        json!({
            "Sid": format!("{OURS}public-read"),
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": format!("arn:{partition}:s3:::{}/*", plan.name),
        })
    })
}

/// Compares the policy that the server has with the plan. Statements of others are kept.
pub(super) fn decide(plan: &BucketPlan, partition: &str, found: Option<&str>) -> Result<Decision, String> {
    let wanted: Vec<Value> = statement(plan, partition).into_iter().collect();
    let mut policy: Value = match found.filter(|text| !text.trim().is_empty()) {
        Some(text) => {
            serde_json::from_str(text).map_err(|error| format!("the server's policy cannot be read: {error}"))?
        }
        None => json!({ "Version": "2012-10-17" }),
    };
    let Some(fields) = policy.as_object_mut() else { return Err("the server's policy is no JSON object".to_owned()) };
    let statements = match fields.remove("Statement") {
        Some(Value::Array(statements)) => statements,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let (ours, others): (Vec<Value>, Vec<Value>) = statements.into_iter().partition(is_ours);
    if ours.iter().map(normal).eq(wanted.iter().map(normal)) {
        return Ok(Decision::Same);
    }
    let statements: Vec<Value> = others.into_iter().chain(wanted).collect();
    if statements.is_empty() {
        return Ok(Decision::Delete);
    }
    fields.insert("Statement".to_owned(), statements.into());
    Ok(Decision::Write(policy.to_string()))
}

fn is_ours(statement: &Value) -> bool {
    statement["Sid"].as_str().is_some_and(|id| id.starts_with(OURS))
}

/// A statement in one spelling: servers answer with a list of one, and with `{"AWS": "*"}`, for what was written plainly.
fn normal(statement: &Value) -> Value {
    let only = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([one]) => one.clone(),
        _ => value.clone(),
    };
    let fields = statement.as_object().into_iter().flatten().map(|(name, value)| {
        let value = only(value.get("AWS").filter(|_| name == "Principal").unwrap_or(value));
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::super::plan::BucketPurpose;
    use super::*;

    const FOREIGN: &str = r#"{"Version":"2012-10-17","Id":"x","Statement":{"Sid":"ops","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}}"#;

    fn public() -> BucketPlan {
        BucketPlan::of(BucketPurpose::Public, "public")
    }

    #[test]
    fn foreign_statements_are_kept() {
        let Decision::Write(written) = decide(&public(), "aws", Some(FOREIGN)).unwrap() else { panic!("it is new") };
        let policy: Value = serde_json::from_str(&written).unwrap();
        assert_eq!((&policy["Id"], &policy["Statement"][0]["Sid"]), (&"x".into(), &"ops".into()));
        assert_eq!(policy["Statement"][1]["Sid"], "bootdepot-public-read");
        assert_eq!(decide(&public(), "aws", Some(&written)), Ok(Decision::Same));
        let private = BucketPlan::of(BucketPurpose::Other, "public");
        let Decision::Write(without) = decide(&private, "aws", Some(&written)).unwrap() else { panic!("it is ours") };
        assert!(without.contains("\"ops\"") && !without.contains(OURS), "{without}");
        assert_eq!(decide(&private, "aws", Some(FOREIGN)), Ok(Decision::Same));
    }

    #[test]
    fn other_spellings_are_the_same() {
        let answered = r#"{"Statement":[{"Sid":"bootdepot-public-read","Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::public/*"]}]}"#;
        assert_eq!(decide(&public(), "aws", Some(answered)), Ok(Decision::Same));
        let other = answered.replace("GetObject", "PutObject");
        assert!(matches!(decide(&public(), "aws", Some(&other)), Ok(Decision::Write(_))));
    }

    #[test]
    fn last_statement_of_ours_deletes_policy() {
        let Decision::Write(written) = decide(&public(), "aws", None).unwrap() else { panic!("there was none") };
        let private = BucketPlan::of(BucketPurpose::Other, "public");
        assert_eq!(decide(&private, "aws", Some(&written)), Ok(Decision::Delete));
        assert_eq!(decide(&private, "aws", None), Ok(Decision::Same));
        assert!(decide(&private, "aws", Some("no JSON")).is_err());
    }
}
