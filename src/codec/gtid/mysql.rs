//! MySQL's sets: numbers in intervals, by the server that made them and a tag.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{GtidFault, Uuid};

/// A set as in `@@gtid_executed`: `uuid:1-5:7,uuid:tag:1-3` (tags since 8.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MySqlGtids {
    sources: BTreeMap<(Uuid, Option<Tag>), Intervals>,
}

/// A word that sets apart the transactions of one purpose, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Sorted, none touching the next, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Intervals(Vec<RangeInclusive<u64>>);

/// Transaction numbers end before this one, in the server too.
const LAST_NUMBER: u64 = i64::MAX as u64 - 1;

impl MySqlGtids {
    /// Whether there is no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let left = self.sources.iter().map(|(source, here)| match other.sources.get(source) {
            Some(there) => (source.clone(), here.difference(there)),
            None => (source.clone(), here.clone()),
        });
        Self { sources: left.filter(|(_, intervals)| !intervals.0.is_empty()).collect() }
    }

    /// Takes in what `other` has.
    pub fn unite(&mut self, other: &Self) {
        for (source, there) in &other.sources {
            let here = self.sources.entry(source.clone()).or_default();
            here.0.extend_from_slice(&there.0);
            here.normalise();
        }
    }
}

impl FromStr for MySqlGtids {
    type Err = GtidFault;

    fn from_str(text: &str) -> Result<Self, GtidFault> {
        let mut sources: BTreeMap<(Uuid, Option<Tag>), Intervals> = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut words = part.split(':').map(str::trim);
            let uuid: Uuid = words.next().unwrap_or_default().parse()?;
            let mut tag = None;
            let mut read = 0;
            for word in words {
                if word.starts_with(|first: char| first.is_ascii_digit()) {
                    sources.entry((uuid, tag.clone())).or_default().0.push(interval(word)?);
                    read += 1;
                } else {
                    tag = Some(word.parse()?);
                }
            }
            if read == 0 {
                return Err(GtidFault::Empty);
            }
        }
        for intervals in sources.values_mut() {
            intervals.normalise();
        }
        Ok(Self { sources })
    }
}

fn interval(word: &str) -> Result<RangeInclusive<u64>, GtidFault> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let number = |text: &str| match text.trim().parse() {
        Ok(number @ 1..=LAST_NUMBER) => Ok(number),
        _ => Err(GtidFault::Interval),
    };
    let interval = number(first)?..=number(last)?;
    if interval.is_empty() { Err(GtidFault::Interval) } else { Ok(interval) }
}

impl FromStr for Tag {
    type Err = GtidFault;

    fn from_str(text: &str) -> Result<Self, GtidFault> {
        let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let bytes = text.as_bytes();
        let fits = bytes.len() <= 32
            && bytes.first().is_some_and(letter)
            && bytes.iter().all(|byte| letter(byte) || byte.is_ascii_digit());
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(GtidFault::Tag) }
    }
}

impl Intervals {
    fn normalise(&mut self) {
        self.0.sort_unstable_by_key(|interval| *interval.start());
        let mut joined: Vec<RangeInclusive<u64>> = Vec::with_capacity(self.0.len());
        for next in self.0.drain(..) {
            match joined.last_mut() {
                Some(last) if *next.start() <= last.end() + 1 => {
                    *last = *last.start()..=*last.end().max(next.end());
                }
                _ => joined.push(next),
            }
        }
        self.0 = joined;
    }

    fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut there = other.0.iter().peekable();
        for here in &self.0 {
            let mut start = *here.start();
            // What ends before this interval begins concerns no later one either.
            while there.next_if(|interval| interval.end() < here.start()).is_some() {}
            while let Some(taken) = there.peek().filter(|interval| interval.start() <= here.end()) {
                if start < *taken.start() {
                    left.push(start..=taken.start() - 1);
                }
                start = taken.end() + 1;
                if taken.end() > here.end() {
                    break;
                }
                there.next();
            }
            if start <= *here.end() {
                left.push(start..=*here.end());
            }
        }
        Self(left)
    }
}

/// As the server prints it: the tags of one UUID follow one another.
impl fmt::Display for MySqlGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = None;
        for ((uuid, tag), intervals) in &self.sources {
            match before {
                Some(earlier) if earlier == uuid => {}
                Some(_) => write!(f, ",{uuid}")?,
                None => write!(f, "{uuid}")?,
            }
            before = Some(uuid);
            if let Some(Tag(tag)) = tag {
                write!(f, ":{tag}")?;
            }
            for interval in &intervals.0 {
                write!(f, ":{}", interval.start())?;
                if interval.start() != interval.end() {
                    write!(f, "-{}", interval.end())?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
