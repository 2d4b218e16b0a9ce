//! OpenAPI 3.1 of one component: each callable function as an operation of the call API.

use crate::description::{Description, Function, Interface};
use crate::schema::{ARGUMENT_SUFFIX, Form, Schemas, SchemasTooLarge, object};
use crate::signature::signature;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use wares_model::manifest::Example;
use wares_model::{ComponentName, Version};

const SCHEMAS: &str = "#/components/schemas/";
const PARAMETERS: &str = "#/components/parameters/";
/// Headers that have a call made later, and what they are for.
const LATER: [(&str, &str); 2] = [
    ("Prefer", "`respond-async` has the call made later: the answer is a job"),
    (
        "Idempotency-Key",
        "With `Prefer: respond-async`, a name of your own: the same call under it again is the same job",
    ),
];
/// Not a WIT name, so that no type takes it.
const PROBLEM: &str = "Problem";

/// The OpenAPI document of a component's callable functions.
pub fn openapi(name: &ComponentName, version: &Version, description: &Description) -> Result<Value, SchemasTooLarge> {
    let mut schemas = Schemas::new(&description.types, SCHEMAS, ARGUMENT_SUFFIX);
    let mut paths = Map::new();
    let namesakes = namesakes(description);
    for interface in &description.interfaces {
        let segment = interface_segment(&namesakes, interface);
        for function in interface.functions.iter().filter(|function| function.not_callable.is_none()) {
            let path: Vec<&str> = segment.as_deref().into_iter().chain([function.name.as_str()]).collect();
            let operation = operation(description, interface, function, &path.join("."), &mut schemas);
            paths.insert(format!("/v1/call/{}/{}", name.path(), path.join("/")), json!({"post": operation}));
        }
    }
    let mut definitions = schemas.definitions()?;
    definitions.insert(PROBLEM.into(), problem());
    Ok(json!({
        "openapi": "3.1.1",
        "info": info(name, version, description),
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "security": [{"bearer": []}],
        "tags": tags(description),
        "paths": paths,
        "components": {
            "schemas": definitions,
            "parameters": later(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A key of a tenant"}},
        },
    }))
}

fn info(name: &ComponentName, version: &Version, description: &Description) -> Value {
    let about = description.manifest.as_ref().map(|manifest| &manifest.component);
    let mut info = Map::new();
    let title = about.map(|about| first(&about.title.en, &about.title.zh)).filter(|title| !title.is_empty());
    info.insert("title".into(), title.unwrap_or(name.as_str()).into());
    info.insert("version".into(), version.to_string().into());
    let text = about.map(|about| first(&about.description.en, &about.description.zh)).filter(|text| !text.is_empty());
    if let Some(text) = text {
        info.insert("description".into(), text.into());
    }
    if let Some(license) = about.and_then(|about| about.license.as_ref()) {
        info.insert("license".into(), json!({"name": license, "identifier": license}));
    }
    info.into()
}

fn first<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

fn tags(description: &Description) -> Vec<Value> {
    let tag = |interface: &Interface| {
        let mut tag = object(json!({"name": tag_name(interface)}));
        if let Some(docs) = &interface.docs {
            tag.insert("description".into(), docs.as_str().into());
        }
        Value::Object(tag)
    };
    description.interfaces.iter().map(tag).collect()
}

fn tag_name(interface: &Interface) -> &str {
    interface.name.as_deref().unwrap_or("functions of the world")
}

/// How many interfaces go by each short name.
fn namesakes(description: &Description) -> HashMap<&str, usize> {
    let mut namesakes = HashMap::new();
    for short in description.interfaces.iter().filter_map(Interface::short_name) {
        *namesakes.entry(short).or_default() += 1;
    }
    namesakes
}

/// How a path names the interface: short where that is unambiguous, else in full and percent-encoded.
fn interface_segment(namesakes: &HashMap<&str, usize>, interface: &Interface) -> Option<String> {
    let full = interface.name.as_deref()?;
    let short = interface.short_name()?;
    let meant = namesakes.get(short).copied();
    Some(if meant == Some(1) { short.to_owned() } else { full.replace('/', "%2F") })
}

fn operation(
    description: &Description,
    interface: &Interface,
    function: &Function,
    id: &str,
    schemas: &mut Schemas<'_>,
) -> Value {
    let (summary, text) = summary(description, function);
    let arguments = schemas.arguments(&function.params);
    let required = arguments.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    let examples = examples(description, interface, function);
    let arguments = content("application/json", arguments.into(), &examples, |example| Some(&example.arguments));
    json!({
        "operationId": id,
        "tags": [tag_name(interface)],
        "summary": summary,
        "description": text,
        "parameters": LATER.map(|(name, _)| json!({"$ref": format!("{PARAMETERS}{name}")})),
        "requestBody": {"required": required, "content": arguments},
        "responses": responses(description, function, &examples, schemas),
    })
}

/// The first line of the documentation, and all of it with the signature.
fn summary(description: &Description, function: &Function) -> (String, String) {
    let signature = format!("`{}`", signature(description, function));
    match &function.docs {
        None => (function.name.clone(), signature),
        Some(docs) => (docs.lines().next().unwrap_or_default().to_owned(), format!("{docs}\n\n{signature}")),
    }
}

fn responses(
    description: &Description,
    function: &Function,
    examples: &[&Example],
    schemas: &mut Schemas<'_>,
) -> Value {
    let outcome = description.outcome(function);
    let ok = schemas.payload(outcome.ok, Form::Result);
    let headers = json!({
        "wares-call-id": {"description": "The call, as the ledger names it", "schema": {"type": "string"}},
        "wares-version": {"description": "The version that answered", "schema": {"type": "string"}},
    });
    let mut responses = object(json!({
        "200": {
            "description": "The result",
            "headers": headers,
            "content": content("application/json", ok.into(), examples, |example| example.result.as_ref()),
        },
    }));
    let location = json!({"Location": {"description": "The job", "schema": {"type": "string"}}});
    let queued = "With `Prefer: respond-async`: the call is made later, as a job";
    responses.insert("202".into(), json!({"description": queued, "headers": location}));
    if outcome.split {
        let error = schemas.payload(outcome.err, Form::Result);
        let schema = json!({
            "allOf": [{"$ref": format!("{SCHEMAS}{PROBLEM}")}],
            "properties": {"error": error},
        });
        let content = json!({"application/problem+json": {"schema": schema}});
        let text = "The component answered with its error case, which is under `error`";
        responses.insert("422".into(), json!({"description": text, "headers": headers, "content": content}));
    }
    let problem = json!({"application/problem+json": {"schema": {"$ref": format!("{SCHEMAS}{PROBLEM}")}}});
    responses
        .insert("default".into(), json!({"description": "Any other problem; `type` says which", "content": problem}));
    responses.into()
}

/// The manifest's examples of this function.
fn examples<'a>(description: &'a Description, interface: &Interface, function: &Function) -> Vec<&'a Example> {
    let of_interface = |example: &Example| match (&example.interface, &interface.name) {
        (None, None) => true,
        (Some(name), _) => interface.is_named(name),
        (None, Some(_)) => false,
    };
    let examples = description.manifest.iter().flat_map(|manifest| &manifest.examples);
    examples.filter(|example| example.function == function.name && of_interface(example)).collect()
}

fn content(
    media_type: &str,
    schema: Value,
    examples: &[&Example],
    json_of: impl Fn(&Example) -> Option<&String>,
) -> Value {
    let values: Map<String, Value> = examples
        .iter()
        .filter_map(|example| {
            Some((example.name.clone(), json!({"value": serde_json::from_str::<Value>(json_of(example)?).ok()?})))
        })
        .collect();
    let mut media = object(json!({"schema": schema}));
    if !values.is_empty() {
        media.insert("examples".into(), values.into());
    }
    json!({media_type: media})
}

/// The headers that have a call made later.
fn later() -> Map<String, Value> {
    let parameter = |(name, about): (&str, &str)| {
        (name.to_owned(), json!({"name": name, "in": "header", "description": about, "schema": {"type": "string"}}))
    };
    LATER.map(parameter).into_iter().collect()
}

/// A problem document (RFC 9457) as this API writes it.
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "/problems/CODE, which explains it"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "call_id": {"type": "string"},
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) to the argument that does not fit"},
        },
    })
}
