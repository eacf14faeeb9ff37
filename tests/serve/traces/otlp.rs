//! Spans in the JSON of OTLP.

use serde_json::Value;

pub fn assert_is_otlp(document: &Value) {
    assert_members(document, &["resourceSpans"]);
    for resource in array(&document["resourceSpans"]) {
        assert_members(resource, &["resource", "scopeSpans", "schemaUrl"]);
        assert_members(
            &resource["resource"],
            &["attributes", "droppedAttributesCount"],
        );
        assert_attributes(&resource["resource"]["attributes"]);
        for scope in array(&resource["scopeSpans"]) {
            assert_members(scope, &["scope", "spans", "schemaUrl"]);
            assert_members(&scope["scope"], &["name", "version", "attributes"]);
            array(&scope["spans"]).iter().for_each(assert_is_span);
        }
    }
}

fn assert_is_span(span: &Value) {
    let members = [
        "traceId",
        "spanId",
        "traceState",
        "parentSpanId",
        "flags",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "events",
        "links",
        "status",
    ];
    assert_members(span, &members);
    let is_hex = |name: &str, digits: usize| {
        let text = span[name].as_str().unwrap_or_default();
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(is_hex("traceId", 32) && is_hex("spanId", 16), "{span}");
    assert!(
        span["parentSpanId"].is_null() || is_hex("parentSpanId", 16),
        "{span}"
    );
    assert_eq!(span["kind"], 2);
    assert!(nanos(&span["startTimeUnixNano"]) <= nanos(&span["endTimeUnixNano"]));
    assert_attributes(&span["attributes"]);
    for event in span["events"].as_array().into_iter().flatten() {
        assert_members(event, &["timeUnixNano", "name", "attributes"]);
        assert!(nanos(&event["timeUnixNano"]) <= nanos(&span["endTimeUnixNano"]));
    }
    if !span["status"].is_null() {
        assert_members(&span["status"], &["message", "code"]);
    }
}

fn assert_attributes(value: &Value) {
    for attribute in array(value) {
        assert_members(attribute, &["key", "value"]);
        assert!(attribute["key"].is_string(), "{attribute}");
        let value = attribute["value"].as_object().expect("an object");
        assert_eq!(value.len(), 1, "{attribute}");
        let (kind, value) = value.iter().next().expect("one member");
        match &**kind {
            // 64-bit integers are strings.
            "intValue" => assert!(value.as_str().is_some_and(|it| it.parse::<i64>().is_ok())),
            "stringValue" => assert!(value.is_string()),
            "boolValue" => assert!(value.is_boolean()),
            _ => panic!("{attribute}"),
        }
    }
}

/// The object has no members but these, which its message has in OTLP's protocol definition.
fn assert_members(value: &Value, members: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("{value}"));
    for name in object.keys() {
        assert!(members.contains(&&**name), "{name} in {value}");
    }
}

pub fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("an array")
}

fn nanos(value: &Value) -> u64 {
    value.as_str().expect("a text").parse().expect("a number")
}

/// The value of an attribute, as a string.
pub fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a str> {
    let attributes = array(&span["attributes"]).iter();
    let mut named = attributes.filter(|attribute| attribute["key"] == name);
    let value = named.next()?["value"].as_object()?.values().next()?;
    value.as_str()
}

pub fn assert_has(span: &Value, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(attribute(span, name), Some(*value), "{name} in {span}");
    }
}
