//! libFuzzer for the target of this name.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wares_fuzz::oci_manifest(bytes));
