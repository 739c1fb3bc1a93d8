//! The `OpenAPI` document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

/// Every operation: its method, its path, and its description in the document.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (method.clone(), path.clone(), operation))
    });
    each.collect()
}

#[test]
fn openapi_document_matches_snapshot() {
    let document = serde_json::to_string_pretty(&api::document()).unwrap();
    insta::assert_snapshot!("openapi", document);
}

#[test]
fn every_operation_documents_security_and_errors() {
    let document = serde_json::to_value(api::document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
        let security: Vec<_> = operation["security"].as_array().unwrap().iter().collect();
        let who: Vec<_> = security.iter().flat_map(|one| one.as_object().unwrap().keys()).collect();
        assert_eq!(who, if method == "get" { vec!["viewer", "operator"] } else { vec!["operator"] }, "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let reference = response["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
            let response = reference.map_or(response, |reference| document.pointer(reference).unwrap());
            let refusal = status.parse::<u16>().unwrap() >= 400;
            // 204 has no content.
            let content = response["content"].as_object();
            assert_eq!(content.is_none(), status == "204", "{method} {path} {status}");
            let kinds: Vec<_> = content.iter().flat_map(|content| content.keys()).collect();
            assert_eq!(kinds == ["application/problem+json"], refusal, "{method} {path} {status}: {kinds:?}");
        }
        for status in ["400", "401", "403", "405", "408", "413", "429", "503"] {
            assert!(responses.contains_key(status), "{method} {path} {status}");
        }
    }
}
