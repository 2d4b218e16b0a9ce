//! The interfaces that the SDK may import.

wit_bindgen::generate!({ path: "wit", world: "imports", generate_all });
