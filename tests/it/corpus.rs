//! The kept inputs of the fuzz targets hold on every run of the tests, and so do inputs that are
//! near them.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;

use crate::{conversations, exchange, laws, oracle};

type Law = fn(&[u8]);

/// Where the kept inputs of each law lie.
const TARGETS: [(&str, Law); 15] = [
    ("request", laws::request),
    ("request", oracle::request),
    ("response", laws::response),
    ("response", oracle::response),
    ("chunked", laws::chunked),
    ("range", laws::range),
    ("config", laws::config),
    ("exchange", exchange::exchange),
    ("advert", laws::advert),
    ("mysql", conversations::mysql),
    ("postgres", conversations::postgres),
    ("redis", conversations::redis),
    ("gtid", conversations::gtid),
    ("proxy", laws::proxy),
    ("client_hello", laws::client_hello),
];

#[test]
fn kept_inputs_hold() {
    for (target, law) in TARGETS {
        for input in kept(target) {
            law(&input);
        }
    }
}

proptest! {
    #[test]
    fn bytes_of_no_kind_hold(input in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, law) in TARGETS {
            law(&input);
        }
    }

    #[test]
    fn changed_inputs_hold(which in any::<Index>(), changes in prop::collection::vec(change(), 1..4)) {
        for (target, law) in TARGETS {
            let mut inputs = kept(target);
            let mut input = inputs.swap_remove(which.index(inputs.len()));
            for change in &changes {
                change.apply(&mut input);
            }
            law(&input);
        }
    }
}

/// Changes kept inputs and tries them, `HAECHI_FUZZ_SECONDS` for each target: what a fuzzer would do
/// where there is none.
#[test]
#[ignore = "takes as long as it is told to"]
fn changed_inputs_hold_for_long() {
    let seconds = std::env::var("HAECHI_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let only = std::env::var("HAECHI_FUZZ_TARGET").ok();
    for (at, (target, law)) in TARGETS.into_iter().enumerate() {
        if only.as_ref().is_some_and(|only| *only != format!("{at}")) {
            continue;
        }
        let mut runner = proptest::test_runner::TestRunner::default();
        let strategy = (any::<Index>(), any::<Index>(), prop::collection::vec(change(), 1..8));
        let inputs = kept(target);
        let (start, mut runs) = (Instant::now(), 0_u64);
        while start.elapsed() < Duration::from_secs(seconds) {
            let (which, other, changes) = strategy.new_tree(&mut runner).unwrap().current();
            let mut input = inputs[which.index(inputs.len())].clone();
            let other = &inputs[other.index(inputs.len())];
            if runs % 4 == 0 {
                // Half of one and half of another.
                input.truncate(input.len() / 2);
                input.extend_from_slice(&other[other.len() / 2..]);
            }
            changes.iter().for_each(|change| change.apply(&mut input));
            if let Err(fault) = std::panic::catch_unwind(|| law(&input)) {
                eprintln!("target {at} ({target}): {:?}", String::from_utf8_lossy(&input));
                std::panic::resume_unwind(fault);
            }
            runs += 1;
        }
        println!("target {at} ({target}): {runs} runs in {seconds} s");
    }
}

/// A change to an input that leaves most of it as it was.
#[derive(Clone, Debug)]
enum Change {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Repeat(Index, Index),
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        match self {
            Self::Put(at, byte) => {
                let at = at.index(input.len());
                input[at] = *byte;
            }
            Self::Insert(at, bytes) => {
                let at = at.index(input.len());
                input.splice(at..at, bytes.iter().copied());
            }
            Self::Cut(at) => {
                input.remove(at.index(input.len()));
            }
            Self::Repeat(from, to) => {
                let (from, to) = (from.index(input.len()), to.index(input.len()));
                let piece = input[from.min(to)..from.max(to)].to_vec();
                input.splice(to..to, piece);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let telling = prop::sample::select(b"\0\t\n\r \"#*+,-./0159:;@ACHTacfx[\\]_\x7f\x80\xff".to_vec());
    let words: Vec<&[u8]> = vec![
        b"\r\n",
        b" ",
        b"\r\n ",
        b"HTTP/1.0",
        b"http://a",
        b"\r\nHost: a",
        b"\r\nContent-Length: 3",
        b"\r\nTransfer-Encoding: chunked",
        b"\r\nConnection: close",
        b"\r\nExpect: 100-continue",
        b"0\r\n",
        b"1\r\nx\r\n",
        b";e",
    ];
    let words = prop::sample::select(words).prop_map(<[u8]>::to_vec);
    prop_oneof![
        (any::<Index>(), prop_oneof![telling, any::<u8>()]).prop_map(|(at, byte)| Change::Put(at, byte)),
        (any::<Index>(), words).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{} has too few inputs", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}
