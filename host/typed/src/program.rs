//! `wasi:cli/run` as JSON calls it: a function of what a program is given, whose result is what comes of it.
//!
//! In WIT the function has neither; a program takes its arguments, its environment and its input from the host, and writes its
//! output there. Whoever runs components does that for a call of it.

use crate::description::Function;
use crate::types::{Field, NotOrdered, Type, TypeDef, TypeKind, Types};
use wares_model::interface::unversioned;
use wasmtime::component::Val;

/// The interface, without its version, and its function.
const RUN: (&str, &str) = ("wasi:cli/run", "run");
/// The field of an outcome that is the exit code, then those with what was written to standard output and standard error.
const FIELDS: [&str; 3] = ["exit-code", "output", "errors"];

/// Whether a function is a program.
pub fn is_program(interface: Option<&str>, function: &str) -> bool {
    interface.map(unversioned) == Some(RUN.0) && function == RUN.1
}

/// What a program is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramInput {
    /// Its arguments, without its own name.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub input: String,
}

/// What came of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramOutcome {
    /// The code that it ended with: 0 if it returned or exited well.
    pub exit_code: u8,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
}

impl ProgramInput {
    /// That of the arguments of a call.
    pub fn of(arguments: &[Val]) -> Self {
        let given = |at: usize| match arguments.get(at) {
            Some(Val::Option(Some(value))) => Some(value.as_ref()),
            _ => None,
        };
        let text = |value: &Val| if let Val::String(text) = value { text.clone() } else { String::new() };
        let (mut arguments, mut environment) = (Vec::new(), Vec::new());
        if let Some(Val::List(values)) = given(0) {
            arguments.extend(values.iter().map(text));
        }
        if let Some(Val::Map(pairs)) = given(1) {
            environment.extend(pairs.iter().map(|(name, value)| (text(name), text(value))));
        }
        Self { arguments, environment, input: given(2).map(text).unwrap_or_default() }
    }
}

impl ProgramOutcome {
    /// The result of the call.
    pub fn into_result(self) -> Val {
        let Self { exit_code, output, errors } = self;
        let values = [Val::U8(exit_code), Val::String(output), Val::String(errors)];
        let record = Val::Record(FIELDS.map(str::to_owned).into_iter().zip(values).collect());
        Val::Result(match exit_code {
            0 => Ok(Some(Box::new(record))),
            _ => Err(Some(Box::new(record))),
        })
    }
}

/// The function that stands for a program, its types added to those of its component.
pub(crate) fn function(types: &mut Types) -> Result<Function, NotOrdered> {
    let mut add = |name: Option<&str>, docs: Option<&str>, kind| {
        types.push(TypeDef { name: name.map(str::to_owned), docs: docs.map(str::to_owned), kind })
    };
    let field = |name: &str, ty, docs: &str| Field { name: name.to_owned(), ty, docs: Some(docs.to_owned()) };
    let list = add(None, None, TypeKind::List(Type::String))?;
    let arguments = add(None, None, TypeKind::Option(list))?;
    let map = add(None, None, TypeKind::Map(Type::String, Type::String))?;
    let environment = add(None, None, TypeKind::Option(map))?;
    let input = add(None, None, TypeKind::Option(Type::String))?;
    let [exit_code, output, errors] = FIELDS;
    let fields = vec![
        field(exit_code, Type::U8, "0 if the program ended well"),
        field(output, Type::String, "What it wrote to standard output"),
        field(errors, Type::String, "What it wrote to standard error"),
    ];
    let outcome = add(Some("program-outcome"), Some("What came of a program"), TypeKind::Record(fields))?;
    let result = add(None, None, TypeKind::Result { ok: Some(outcome), err: Some(outcome) })?;
    Ok(Function {
        name: RUN.1.to_owned(),
        docs: Some("Runs the program.".to_owned()),
        params: vec![
            field("arguments", arguments, "Its arguments, without its own name"),
            field("environment", environment, "Its environment"),
            field("input", input, "What it reads from standard input"),
        ],
        result: Some(result),
        not_callable: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_what_exports_its_interface() {
        assert!(is_program(Some("wasi:cli/run@0.2.6"), "run") && is_program(Some("wasi:cli/run"), "run"));
        for (interface, function) in
            [(None, "run"), (Some("acme:cli/run"), "run"), (Some("wasi:cli/run@0.2.6"), "walk")]
        {
            assert!(!is_program(interface, function), "{interface:?} {function}");
        }
    }

    #[test]
    fn what_is_left_out_is_empty() {
        let list = Val::List(vec![Val::String("-n".to_owned())]);
        let given = [Val::Option(Some(Box::new(list))), Val::Option(None), Val::Option(None)];
        let expected = ProgramInput { arguments: vec!["-n".to_owned()], ..ProgramInput::default() };
        assert_eq!(ProgramInput::of(&given), expected);
        let failed = ProgramOutcome { exit_code: 3, ..ProgramOutcome::default() }.into_result();
        assert!(matches!(failed, Val::Result(Err(Some(_)))));
    }
}
