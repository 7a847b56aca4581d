//! Whatever a Range field says, the spans lie within the file, are few, and share no byte.
#![no_main]

use haechi::handler::static_files::range::{MAX_RANGES, Selection, select};

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| {
    let (length, text) = input;
    for value in [text.to_vec(), [b"bytes=", text].concat()] {
        if let Selection::Parts(parts) = select(&value, length) {
            assert!(!parts.is_empty() && parts.len() <= MAX_RANGES);
            assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
            let mut sorted = parts;
            sorted.sort_by_key(|part| part.start);
            assert!(sorted.is_sorted_by(|one, two| one.end <= two.start));
        }
    }
});
