use super::*;

fn each<'s>(schema: &'s serde_json::Value, visit: &mut impl FnMut(&'s serde_json::Value)) {
    visit(schema);
    match schema {
        serde_json::Value::Object(object) => object.values().for_each(|inner| each(inner, visit)),
        serde_json::Value::Array(items) => items.iter().for_each(|inner| each(inner, visit)),
        _ => {}
    }
}

#[test]
fn schema_is_valid_draft_without_null() {
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema()["properties"]["cache"]["properties"]["dir"]["default"], "/var/cache/bootdepot");
    assert_eq!(schema()["additionalProperties"], false);
    each(schema(), &mut |schema| assert!(!schema.is_null() && schema != "null", "{schema}"));
}

#[test]
fn every_integer_is_bounded_and_every_format_known() {
    each(schema(), &mut |schema| {
        if schema["type"] == "integer" {
            assert!(schema["minimum"].is_u64() && schema["maximum"].is_u64(), "{schema}");
        }
        if schema["type"] == "string" && schema["format"].is_string() {
            let name = schema["format"].as_str().unwrap();
            assert!(super::super::format::FormatInfo::named(name).is_some(), "{name}");
        }
    });
}
