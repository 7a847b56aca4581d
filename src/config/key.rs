//! What a key of the config is: its name, its kind, its default and its meaning.
//!
//! The tables of keys are written once, in `keys`. The parser takes known names, ranges and defaults
//! from them, the JSON Schema its whole content, `--defaults` the text of what was left out.

use std::fmt;

/// One key of a table.
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    /// One line for editors.
    pub doc: &'static str,
}

/// What holds where a key is not written.
pub(super) enum Presence {
    /// That is a fault.
    Required,
    /// Nothing.
    Optional,
    /// This TOML value.
    Default(&'static str),
}

/// What the value of a key may be.
pub(super) enum Kind {
    Bool,
    /// A whole number between these two.
    Integer(u64, u64),
    /// One of these whole numbers.
    OneOf(&'static [u64]),
    /// A duration above zero.
    Duration,
    /// A duration that may be zero.
    Grace,
    /// A size between these two numbers of bytes.
    Size(u64, u64),
    Text,
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    List(&'static Self),
    Table(&'static [Key]),
    /// `[key.NAME]`
    Named(&'static [Key]),
    /// Any names, each with a value of this kind.
    Members(&'static Self),
    /// Any names, text each.
    Texts,
    /// A path for each status from 400 to 599.
    StatusPaths,
    /// One of two kinds.
    Either(&'static [Self; 2]),
    /// `false` alone.
    False,
}

impl Key {
    pub(super) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required, doc }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional, doc }
    }

    pub(super) const fn default(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Default(default), doc }
    }
}

/// What is expected, as it stands after "must be".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Integer(min, max) => write!(f, "a whole number from {min} to {max}"),
            Self::OneOf(numbers) => f.write_str(&alternatives(numbers.iter().map(u64::to_string))),
            Self::Duration => f.write_str("a duration above zero such as \"2s\" or \"5m\""),
            Self::Grace => f.write_str("a duration such as \"2s\" or \"5m\""),
            Self::Size(0, u64::MAX) => f.write_str("a size such as \"64KiB\" or \"10MiB\""),
            Self::Size(min, max) => write!(f, "a size such as \"64KiB\", from {min} to {max} bytes"),
            Self::Text => f.write_str("text in quotes"),
            Self::Path => f.write_str("a path in quotes"),
            Self::Choice(now) => f.write_str(&alternatives(now.iter().map(|word| format!("\"{word}\"")))),
            Self::List(Self::Table(_)) => f.write_str("a list of tables"),
            Self::List(Self::Text) => f.write_str("a list of texts"),
            Self::List(element) => write!(f, "a list, each entry {element}"),
            Self::Table(_) => f.write_str("a table"),
            Self::Named(_) => f.write_str("a table of named tables"),
            Self::Members(element) => write!(f, "a table of names, each {element}"),
            Self::Texts => f.write_str("a table of names and texts"),
            Self::StatusPaths => f.write_str("a table of statuses and paths"),
            Self::Either([one, other]) => write!(f, "{one}, or {other}"),
            Self::False => f.write_str("false"),
        }
    }
}

fn alternatives(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        last => last.unwrap_or_default(),
    }
}
