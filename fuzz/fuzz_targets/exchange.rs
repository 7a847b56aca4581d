//! The law of `tests/it/exchange.rs`, where its kept inputs are tried too.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/engine/mod.rs"]
mod engine;
#[path = "../../tests/it/exchange.rs"]
mod exchange;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exchange::exchange(input));
