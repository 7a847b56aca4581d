#![no_main]

use haechi::config;
use haechi::diagnostic::SourceFile;
use libfuzzer_sys::fuzz_target;

// Any text is a config or has faults; to print them must not panic either.
fuzz_target!(|text: &str| {
    if let Err(faults) = config::parse(vec![SourceFile::new("haechi.toml", text)]) {
        let _ = faults.to_string();
    }
});
