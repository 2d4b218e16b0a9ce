//! The vendor's side of Wares: what a component's source needs beside its own WIT.
//!
//! A component is a library crate (`crate-type = ["cdylib", "rlib"]`) with a `wit/` folder that holds exactly one world:
//!
//! ```ignore
//! wares_sdk::component!(Component);
//!
//! struct Component;
//!
//! impl exports::benefit::matching::matching::Guest for Component {
//!     fn evaluate(company: Company) -> Result<Vec<Policy>, MatchError> {
//!         wares_sdk::ensure!(!company.name.is_empty(), MatchError::NoName);
//!         wares_sdk::log::info!("evaluating {}", company.name);
//!         …
//!     }
//! }
//! ```
//!
//! The same crate compiles natively, so that `cargo test` tests its logic; see [`testing`] for tests in the sandbox.
//! What a component does not use, it does not import: [`log`], [`config`], [`secrets`] and [`keyvalue`] cost nothing until they
//! are called.

#[cfg(target_family = "wasm")]
mod bindings;
pub mod config;
pub mod keyvalue;
pub mod log;
pub mod secrets;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use wit_bindgen;

/// Makes the type the implementation of the world in the crate's `wit/` folder.
///
/// It generates the world's types in the module where it stands: `exports::…::Guest` traits to implement, and functions
/// of what the world imports. Generated types are `Clone`, `Debug` and `PartialEq`; error types are `std::error::Error`.
///
/// Options of [`wit_bindgen::generate!`] may follow: `component!(Component, world: "other", additional_derives: [])`.
#[macro_export]
macro_rules! component {
    ($component:ident) => {
        $crate::component!($component, additional_derives: [PartialEq]);
    };
    ($component:ident, $($options:tt)+) => {
        $crate::wit_bindgen::generate!({
            path: "wit",
            runtime_path: "::wares_sdk::wit_bindgen::rt",
            generate_all,
            $($options)+
        });
        // Natively there is no caller, and not every linker takes the names of component exports.
        #[cfg(target_family = "wasm")]
        export!($component);
    };
}

/// Returns the error unless the condition holds: `ensure!(age >= 18, RefusedError::TooYoung)`.
///
/// The error is converted as `?` does.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $error:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err(::core::convert::From::from($error));
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn ensure_returns_the_converted_error() {
        fn checked(age: u8) -> Result<u8, String> {
            ensure!(age >= 18, "too young");
            Ok(age)
        }
        assert_eq!(checked(18), Ok(18));
        assert_eq!(checked(17), Err("too young".to_owned()));
    }
}
