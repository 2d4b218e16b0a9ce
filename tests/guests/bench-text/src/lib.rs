//! The function that the benchmark calls.

wares_sdk::component!(Component);

struct Component;

impl exports::bench::text::text::Guest for Component {
    fn upper(text: String) -> String {
        text.to_uppercase()
    }
}
