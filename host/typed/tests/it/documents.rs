//! Schemas and OpenAPI documents of a whole component.

use crate::component::{ALL_KINDS, described, of_wit, with_section};
use serde_json::{Value, json};
use wares_model::{ComponentName, Version};
use wares_typed::{
    Answer, Val, WriteError, argument_schema, describe, error_schema, function_schemas, openapi, result_schema,
    write_result,
};

const MANIFEST: &str = r#"
    [component]
    name = "test:kinds"
    version = "1.2.3"
    title = { en = "Kinds" }
    license = "Apache-2.0"
    [[examples]]
    name = "greeting"
    function = "ping"
    arguments = '{"word": "hello"}'
    result = '"hello"'
"#;

fn document() -> Value {
    let wasm = with_section(of_wit(ALL_KINDS), "wares:manifest", MANIFEST.as_bytes());
    let name: ComponentName = "test:kinds".parse().unwrap();
    openapi(&name, &Version::new(1, 2, 3), &describe(&wasm).unwrap()).unwrap()
}

/// Every `$ref` of a document, with the document it must resolve in.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn schemas_are_schemas_and_their_references_resolve() {
    let description = described(ALL_KINDS);
    for function in description.interfaces.iter().flat_map(|interface| &interface.functions) {
        let schemas = [argument_schema(&description, function), result_schema(&description, function)];
        for schema in schemas.into_iter().chain(error_schema(&description, function)) {
            jsonschema::meta::validate(&schema).unwrap();
            let mut found = Vec::new();
            references(&schema, &mut found);
            for reference in found {
                assert!(schema.pointer(&reference[1..]).is_some(), "{reference} in {schema:#}");
            }
        }
    }
}

/// With a definition per document and not per function, what two thousand functions share is there once.
#[test]
fn functions_share_the_definitions_of_their_document() {
    let description = described(ALL_KINDS);
    let schemas = function_schemas(&description).unwrap();
    let document = json!({"functions": schemas.functions, "$defs": schemas.definitions});
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} in {document:#}");
    }
    let cases: String = (0..500).map(|n| format!("case{n}, ")).collect();
    let functions: String = (0..1_000).map(|n| format!("call{n}: func(it: one) -> one;\n")).collect();
    let wit = format!("package a:b; interface i {{ enum one {{ {cases} }} {functions} }} world w {{ export i; }}");
    let schemas = function_schemas(&described(&wit)).unwrap();
    assert_eq!(schemas.definitions.keys().collect::<Vec<_>>(), ["one", "one-input"]);
    let bytes = json!({"functions": schemas.functions, "$defs": schemas.definitions}).to_string().len();
    assert!(bytes < 400_000, "{bytes} bytes");
}

/// What has no name is written out wherever it stands.
#[test]
fn documents_that_would_be_too_large_are_refused_at_once() {
    let tuple = vec!["u64"; 100].join(", ");
    let functions: String = (0..600).map(|n| format!("call{n}: func(it: tuple<{tuple}>);\n")).collect();
    let wit = format!("package a:b; interface i {{ {functions} }} world w {{ export i; }}");
    let error = describe(&of_wit(&wit)).unwrap_err();
    assert!(error.to_string().contains("places of types in its schemas"), "{error}");
}

#[test]
fn the_openapi_document_has_an_operation_per_function() {
    let document = document();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let prefix = "/v1/call/test/kinds";
    let expected = ["/calc/evaluate", "/calc/wide", "/calc/nothing", "/ping"].map(|path| format!("{prefix}{path}"));
    assert_eq!(paths, expected.iter().collect::<Vec<_>>());
    assert_eq!(
        document["info"],
        json!({"title": "Kinds", "version": "1.2.3", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}})
    );

    let ping = &document["paths"][&expected[3]]["post"];
    assert_eq!(ping["requestBody"]["required"], true);
    assert_eq!(
        ping["requestBody"]["content"]["application/json"]["examples"]["greeting"]["value"],
        json!({"word": "hello"})
    );
    assert_eq!(ping["responses"]["200"]["content"]["application/json"]["examples"]["greeting"]["value"], "hello");
    assert!(ping["responses"].get("422").is_none());
    let evaluate = &document["paths"][&expected[0]]["post"];
    assert!(evaluate["responses"]["422"]["content"]["application/problem+json"].is_object());
    let nothing = &document["paths"][&expected[2]]["post"];
    assert_eq!(nothing["requestBody"]["required"], false);

    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.contains(&"#/components/schemas/request-input") && found.contains(&"#/components/schemas/request"));
    for reference in found {
        let target = document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} does not resolve"));
        jsonschema::meta::validate(&json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "x": target}))
            .unwrap();
    }
}

#[test]
fn an_ambiguous_interface_is_addressed_in_full() {
    let description = described(
        "package a:b@1.0.0; interface calc { f: func(); }
         world w { export calc; export c:d/calc@2.0.0; }
         package c:d@2.0.0 { interface calc { f: func(); } }",
    );
    let document = openapi(&"a:b".parse().unwrap(), &Version::new(1, 0, 0), &description).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/v1/call/a/b/a:b%2Fcalc@1.0.0/f", "/v1/call/a/b/c:d%2Fcalc@2.0.0/f"]);
}

#[test]
fn a_top_level_result_is_taken_apart() {
    let description = described(
        "package a:b; interface i {
            both: func() -> result<u64, string>;
            neither: func() -> result;
            plain: func() -> option<result<u8>>;
            nothing: func();
        } world w { export i; }",
    );
    let write = |name: &str, value: Option<&Val>| {
        write_result(&description, description.function(Some("i"), name).unwrap(), value, 100)
    };
    let ok = |json: &str| Ok(Answer::Ok(json.into()));
    let result = |result| Val::Result(result);
    let boxed = |value| Some(Box::new(value));
    assert_eq!(write("both", Some(&result(Ok(boxed(Val::U64(u64::MAX)))))), ok("18446744073709551615"));
    let error = write("both", Some(&result(Err(boxed(Val::String("no\n\u{1}".into()))))));
    assert_eq!(error, Ok(Answer::ComponentError(r#""no\n\u0001""#.into())));
    assert_eq!(write("neither", Some(&result(Ok(None)))), ok("null"));
    assert_eq!(write("neither", Some(&result(Err(None)))), Ok(Answer::ComponentError("null".into())));
    assert_eq!(write("plain", Some(&Val::Option(boxed(result(Err(None)))))), ok(r#"{"err":null}"#));
    assert_eq!(write("plain", Some(&Val::Option(None))), ok("null"));
    assert_eq!(write("nothing", None), ok("null"));
    assert!(matches!(write("both", Some(&Val::U8(1))), Err(WriteError::Mismatch { .. })));
    assert!(matches!(write("both", None), Err(WriteError::Mismatch { .. })));
}
