//! Tells what it was given, and ends as it is told.

use std::io::{Read as _, Write as _};
use std::process::{ExitCode, exit};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    println!("arguments {arguments:?}");
    for (name, value) in std::env::vars() {
        println!("environment {name}={value}");
    }
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input);
    println!("input {read:?} {input:?}");
    eprintln!("to standard error");
    match arguments.get(1).map(String::as_str) {
        Some("fail") => ExitCode::FAILURE,
        Some("exit") => exit(arguments.get(2).and_then(|code| code.parse().ok()).unwrap_or_default()),
        Some("panic") => panic!("as it was told"),
        Some("flood") => {
            let line = "x".repeat(1 << 16);
            for _ in 0..144 {
                let _ = std::io::stdout().write_all(line.as_bytes());
            }
            ExitCode::SUCCESS
        }
        _ => ExitCode::SUCCESS,
    }
}
