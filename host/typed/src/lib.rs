//! A component's types, described once per version and used by all: arguments, results, schemas, documents, signatures.
//!
//! [`describe()`] reads a component's bytes into a [`Description`], which serialises to compact JSON. Everything else works from
//! that: [`read_arguments`] turns JSON into wasmtime values, [`write_result`] turns a value into JSON,
//! [`argument_schema`], [`result_schema`], [`error_schema`], [`function_schemas`] and [`openapi`] say the same as schemas, [`signature`] as WIT.
//! [`compare`] says what callers of one version lose with another.
//!
//! Components are anybody's bytes: hosts call [`describe()`] and [`compare()`] in a process of their own, which bounds itself.
//!
//! Bounds: `describe` refuses components over the counts in [`wares_model::limits`], and marks a function as not callable if its
//! values could nest deeper than `JSON_DEPTH_MAX`; types are not recursive, so reading and writing need no depth check of their
//! own. Schemas refer to named types instead of repeating them, and what is left to repeat is bounded by `describe` too.

mod arguments;
mod bounds;
mod compatibility;
mod decode;
mod describe;
mod description;
mod documentation;
mod fingerprint;
mod integer;
mod json;
mod openapi;
mod program;
mod schema;
mod signature;
mod types;
mod write;

pub use arguments::{ArgumentError, ReadError, read_arguments, read_arguments_within};
pub use compatibility::{Changes, CompareError, Lost, compare};
pub use describe::{DescribeError, asynchronous_wasm_features, describe, wasm_features};
pub use description::{Description, Function, Interface, NoInterface, Producer};
pub use documentation::{Documentation, DocumentationError, InterfaceDocumentation, SECTION as DOCUMENTATION_SECTION};
pub use fingerprint::fingerprint;
pub use openapi::openapi;
pub use program::{ProgramInput, ProgramOutcome, is_program};
pub use schema::{
    FunctionSchema, FunctionSchemas, SchemasTooLarge, argument_schema, error_schema, function_schemas, result_schema,
};
pub use signature::signature;
pub use types::{Case, Field, Label, Param, Type, TypeDef, TypeKind, Types};
pub use wasmtime::component::Val;
pub use write::{Answer, WriteError, write_result};

#[cfg(test)]
mod mapping_tests;
