//! A call that runs a program: what it is given before, and what came of it after.

use crate::component::Invocation;
use wares_capabilities::Program;
use wares_typed::{ProgramInput, ProgramOutcome};
use wasmtime::component::Val;
use wasmtime_wasi::I32Exit;

/// Makes what the call's arguments say ready for the program. Its first argument is the component's name, as a program's is its own.
pub(crate) fn begin<'a>(invocation: &'a Invocation<'_>) -> &'a Program {
    let ProgramInput { arguments, environment, input } = ProgramInput::of(&invocation.arguments);
    let own = invocation.context.component.name().to_owned();
    let arguments = [own].into_iter().chain(arguments).collect();
    let program = Program::new(arguments, environment, input, invocation.limits.result_bytes_max);
    invocation.context.begin_program(program)
}

/// What came of it. To exit is one way to end.
pub(crate) fn end(program: &Program, returned: wasmtime::Result<Option<Val>>) -> wasmtime::Result<Val> {
    let exit_code = match returned {
        Ok(Some(Val::Result(Ok(_)))) => 0,
        Ok(_) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => u8::try_from(*code).unwrap_or(u8::MAX),
            None => return Err(error),
        },
    };
    let [output, errors] = program.written();
    Ok(ProgramOutcome { exit_code, output, errors }.into_result())
}
