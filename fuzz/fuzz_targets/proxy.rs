//! A law of `tests/it/laws.rs`, where its kept inputs are tried too.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|input: &[u8]| laws::proxy(input));
