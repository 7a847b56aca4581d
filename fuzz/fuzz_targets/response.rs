//! Laws of `haechi::codec::h1`, kept in one place with the tests.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|input: &[u8]| laws::response(input));
