//! A law of `tests/it/conversations.rs`, where its kept inputs are tried too.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/conversations.rs"]
mod conversations;

libfuzzer_sys::fuzz_target!(|input: &[u8]| conversations::gtid(input));
