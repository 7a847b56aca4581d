//! The walk over a spanned document: tables are held against their keys, leaves are read, and each
//! fault is noted while the walk goes on.
//!
//! A faulty value is noted once and then taken for its default, so that one mistake is one message.

#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of `Leaf` is for one lifetime, `read` asks for any"
)]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind, Presence};
use super::value::{quote, shown};
use crate::diagnostic::{Diagnostic, FileId, Span, Spanned, names, nearest};
use crate::units::{self, UnitError};

/// One file on its walk.
pub(super) struct Walk<'a> {
    pub file: FileId,
    /// Where relative paths start.
    pub folder: &'a Path,
    pub faults: &'a RefCell<Vec<Diagnostic>>,
}

/// A table and the keys that it may have.
pub(super) struct Node<'a> {
    pub walk: &'a Walk<'a>,
    /// As it stands in messages, such as `listener.http`; empty for a file.
    pub name: String,
    pub span: Span,
    keys: &'static [Key],
    table: Option<&'a DeTable<'a>>,
}

/// A value and what it may be.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub walk: &'a Walk<'a>,
    pub key: &'static str,
    pub span: Span,
    pub value: &'a DeValue<'a>,
    kind: &'static Kind,
    /// What messages ask for: `kind`, or the alternatives that it is one of.
    expected: &'static Kind,
    /// Whether it is an entry of the key's list or table.
    is_entry: bool,
    presence: &'static Presence,
}

impl Walk<'_> {
    pub(super) fn fault(&self, diagnostic: Diagnostic) {
        self.faults.borrow_mut().push(diagnostic);
    }

    pub(super) fn span(&self, range: std::ops::Range<usize>) -> Span {
        let offset = |byte| u32::try_from(byte).unwrap_or(u32::MAX);
        Span { file: self.file, start: offset(range.start), end: offset(range.end) }
    }
}

impl<'a> Node<'a> {
    /// Holds a table against its keys: what is unknown, missing or not there yet is a fault.
    pub(super) fn new(
        walk: &'a Walk<'a>,
        name: String,
        keys: &'static [Key],
        table: Option<&'a DeTable<'a>>,
        span: Span,
    ) -> Self {
        let node = Self { walk, name, span, keys, table };
        node.check_keys();
        node
    }

    fn check_keys(&self) {
        for (name, _) in self.table.into_iter().flatten() {
            let span = self.walk.span(name.span());
            if !self.keys.iter().any(|key| key.name == name.get_ref()) {
                self.unknown(name.get_ref(), span);
            }
        }
        for key in self.keys.iter().filter(|key| matches!(key.presence, Presence::Required)) {
            if !self.has(key.name) {
                let message = format!("`{}` is missing in {}", key.name, self.place());
                self.walk.fault(Diagnostic::error(self.span, message).hint(key.doc));
            }
        }
    }

    fn unknown(&self, name: &str, span: Span) {
        let known = || self.keys.iter().map(|key| key.name);
        let fault = Diagnostic::error(span, format!("unknown key {} in {}", quote(name), self.place()));
        self.walk.fault(match nearest(name, known()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("known keys are {}", names(known()))),
        });
    }

    fn place(&self) -> String {
        match (&*self.name, self.walk.file) {
            ("", FileId(0)) => "the main file".to_owned(),
            ("", _) => "an included file".to_owned(),
            (name, _) => format!("`{}`", shown(name)),
        }
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Notes a fault at this key, or at the table where the key is not written.
    pub(super) fn fault_at(&self, key: &'static str, message: impl Into<String>) {
        let span = self.written(key).map_or(self.span, |leaf| leaf.span);
        self.walk.fault(Diagnostic::error(span, message));
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Notes a list that is written and empty.
    pub(super) fn not_empty(&self, key: &'static str) {
        if let Some(leaf) = self.written(key)
            && matches!(leaf.value, DeValue::Array(entries) if entries.is_empty())
        {
            self.fault_at(key, format!("`{key}` of `{}` is empty", self.name));
        }
    }

    /// The keys of these that are written, in file order.
    pub(super) fn which(&self, keys: &[&'static str]) -> Vec<Leaf<'a>> {
        let mut written: Vec<Leaf<'a>> = keys.iter().filter_map(|key| self.written(key)).collect();
        written.sort_by_key(|leaf| leaf.span);
        written
    }

    /// The value of a key, as written.
    pub(super) fn written(&self, name: &str) -> Option<Leaf<'a>> {
        let key = self.keys.iter().find(|key| key.name == name)?;
        let value = self.table?.get(name)?;
        let (span, value) = (self.walk.span(value.span()), value.get_ref());
        Some(Leaf {
            walk: self.walk,
            key: key.name,
            span,
            value,
            kind: &key.kind,
            expected: &key.kind,
            is_entry: false,
            presence: &key.presence,
        })
    }

    /// Reads the value of a key, or its default where it is not written or faulty.
    pub(super) fn read<T>(&self, name: &str, read: impl Fn(Leaf<'_>) -> Option<T>) -> Option<Spanned<T>> {
        if let Some(leaf) = self.written(name)
            && let Some(value) = read(leaf)
        {
            return Some(Spanned::new(value, leaf.span));
        }
        let key = self.keys.iter().find(|key| key.name == name)?;
        let Presence::Default(default) = key.presence else { return None };
        let value = DeValue::parse(default).ok()?;
        let (span, value) = (self.span, value.get_ref());
        let leaf = Leaf {
            walk: self.walk,
            key: key.name,
            span,
            value,
            kind: &key.kind,
            expected: &key.kind,
            is_entry: false,
            presence: &key.presence,
        };
        Some(Spanned::new(read(leaf)?, span))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.read(name, |leaf| leaf.flag()).is_some_and(|flag| flag.value)
    }

    pub(super) fn number<N: TryFrom<u64> + Default>(&self, name: &str) -> N {
        self.optional_number(name).unwrap_or_default()
    }

    pub(super) fn optional_number<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.read(name, |leaf| N::try_from(leaf.number()?).ok()).map(|number| number.value)
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        self.optional_duration(name).map_or(Duration::ZERO, |duration| duration.value)
    }

    pub(super) fn optional_duration(&self, name: &str) -> Option<Spanned<Duration>> {
        self.read(name, |leaf| leaf.duration())
    }

    pub(super) fn text(&self, name: &str) -> Option<Spanned<String>> {
        self.read(name, |leaf| leaf.text().map(str::to_owned))
    }

    /// A text that this function reads; its error is the message.
    pub(super) fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Spanned<T>> {
        self.read(name, |leaf| leaf.parsed(&parse))
    }

    pub(super) fn file(&self, name: &str) -> Option<Spanned<PathBuf>> {
        self.read(name, |leaf| leaf.path())
    }

    /// One of the words of a choice.
    pub(super) fn choice<T: Copy>(&self, name: &str, words: &[(&str, T)], otherwise: T) -> T {
        self.read(name, |leaf| leaf.choice(words)).map_or(otherwise, |word| word.value)
    }

    /// The entries of a list that this function could read.
    pub(super) fn list<T>(&self, name: &str, read: impl Fn(Leaf<'_>) -> Option<T>) -> Vec<Spanned<T>> {
        let entries = |leaf: Leaf<'_>| {
            let entry = |leaf: Leaf<'_>| Some(Spanned::new(read(leaf)?, leaf.span));
            Some(leaf.entries()?.into_iter().filter_map(entry).collect())
        };
        self.read(name, entries).map_or_else(Vec::new, |list: Spanned<Vec<_>>| list.value)
    }

    /// The tables of a list of tables, in file order.
    pub(super) fn tables(&self, name: &str) -> Vec<Self> {
        let entries = self.written(name).and_then(Leaf::entries).unwrap_or_default();
        entries.into_iter().filter_map(|leaf| leaf.table(self.path(name))).collect()
    }

    /// A table that is written.
    pub(super) fn table(&self, name: &str) -> Option<Self> {
        self.written(name)?.table(self.path(name))
    }

    /// A table that holds its defaults where it is not written.
    pub(super) fn table_or_default(&self, name: &str) -> Self {
        self.table(name).unwrap_or_else(|| {
            let kind = self.keys.iter().find(|key| key.name == name).map(|key| &key.kind);
            let keys = if let Some(Kind::Table(keys)) = kind { *keys } else { &[] };
            Node { walk: self.walk, name: self.path(name), span: self.span, keys, table: None }
        })
    }

    /// The tables of a table of named tables with their names, in file order.
    pub(super) fn named(&self, name: &str) -> Vec<(Spanned<String>, Self)> {
        let Some(leaf) = self.written(name) else { return Vec::new() };
        let Kind::Named(keys) = leaf.kind else { return Vec::new() };
        let node = |(name, leaf): (Spanned<String>, Leaf<'a>)| {
            let DeValue::Table(table) = leaf.value else {
                return leaf.wrong();
            };
            let path = self.path(&format!("{}.{}", leaf.key, name.value));
            Some((name, Node::new(self.walk, path, keys, Some(table), leaf.span)))
        };
        leaf.members().into_iter().filter_map(node).collect()
    }
}

impl<'a> Leaf<'a> {
    /// Whether what is written would hold anyway.
    pub(super) fn is_default(self) -> bool {
        let Presence::Default(default) = self.presence else { return false };
        DeValue::parse(default).is_ok_and(|default| match (default.get_ref(), self.value) {
            (DeValue::String(one), DeValue::String(other)) => one == other,
            (DeValue::Boolean(one), DeValue::Boolean(other)) => one == other,
            (DeValue::Integer(one), DeValue::Integer(other)) => one.as_str() == other.as_str(),
            (DeValue::Array(one), DeValue::Array(other)) => one.is_empty() && other.is_empty(),
            _ => false,
        })
    }

    pub(super) fn flag(self) -> Option<bool> {
        if let DeValue::Boolean(flag) = self.value { Some(*flag) } else { self.wrong() }
    }

    /// A whole number or a size in bytes.
    pub(super) fn number(self) -> Option<u64> {
        let number = match (self.value, self.kind) {
            (DeValue::Integer(digits), _) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            (DeValue::String(text), Kind::Size(..)) => match units::parse_size(text) {
                Ok(bytes) => Some(bytes),
                Err(UnitError::Unit) => return self.wrong_with_hint("units are `B`, `KiB`, `MiB` and `GiB`"),
                Err(_) => None,
            },
            _ => None,
        };
        let within = |number: &u64| match self.kind {
            Kind::Integer(min, max) | Kind::Size(min, max) => (min..=max).contains(&number),
            Kind::OneOf(numbers) => numbers.contains(number),
            _ => false,
        };
        number.filter(within).or_else(|| self.wrong())
    }

    pub(super) fn duration(self) -> Option<Duration> {
        let DeValue::String(text) = self.value else { return self.wrong() };
        match units::parse_duration(text) {
            Ok(Duration::ZERO) if matches!(self.kind, Kind::Duration) => self.wrong(),
            Ok(duration) => Some(duration),
            Err(UnitError::Number) => self.wrong(),
            Err(UnitError::Unit) => self.wrong_with_hint("units are `ms`, `s`, `m` and `h`"),
            Err(UnitError::TooLarge) => self.wrong_with_hint("the longest is a year"),
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        if let DeValue::String(text) = self.value { Some(text) } else { self.wrong() }
    }

    pub(super) fn parsed<T>(self, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        parse(self.text()?).map_err(|message| self.walk.fault(Diagnostic::error(self.span, message))).ok()
    }

    pub(super) fn path(self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() || text.contains('\0') {
            return self.wrong();
        }
        Some(self.walk.folder.join(text))
    }

    pub(super) fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let DeValue::String(text) = self.value else { return self.wrong() };
        match words.iter().find(|(word, _)| word == text) {
            Some((_, meaning)) => Some(*meaning),
            None => match nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(near) => self.wrong_with_hint(&format!("did you mean \"{near}\"?")),
                None => self.wrong(),
            },
        }
    }

    /// The entries of a list.
    pub(super) fn entries(self) -> Option<Vec<Self>> {
        let Kind::List(kind) = self.kind else { return self.wrong() };
        let DeValue::Array(array) = self.value else {
            return match (self.value, kind) {
                (DeValue::Table(_), Kind::Table(_)) => {
                    self.wrong_with_hint("an entry of a list begins with two brackets, `[[..]]`")
                }
                (DeValue::String(text), Kind::Text) => {
                    self.wrong_with_hint(&format!("brackets make a list: [\"{}\"]", shown(text)))
                }
                _ => self.wrong(),
            };
        };
        let entry = |value: &'a toml::Spanned<DeValue<'a>>| {
            let span = self.walk.span(value.span());
            Leaf { value: value.get_ref(), span, kind, expected: kind, is_entry: true, ..self }
        };
        Some(array.iter().map(entry).collect())
    }

    /// The names and values of a table of free names, in file order.
    pub(super) fn members(self) -> Vec<(Spanned<String>, Self)> {
        let DeValue::Table(table) = self.value else {
            self.wrong::<()>();
            return Vec::new();
        };
        let kind = match self.kind {
            Kind::Named(_) => &Kind::Table(&[]),
            Kind::StatusPaths => &Kind::Path,
            Kind::Members(kind) => kind,
            _ => &Kind::Text,
        };
        let mut members = Vec::new();
        for (name, value) in table {
            let span = self.walk.span(value.span());
            let leaf = Leaf { value: value.get_ref(), span, kind, expected: kind, is_entry: true, ..self };
            members.push((Spanned::new(name.get_ref().to_string(), self.walk.span(name.span())), leaf));
        }
        members.sort_by_key(|(name, _)| name.span);
        members
    }

    /// The same value, held against one of two kinds.
    pub(super) fn as_either(self, index: usize) -> Self {
        let kind = if let Kind::Either(kinds) = self.kind { kinds.get(index) } else { None };
        Leaf { kind: kind.unwrap_or(self.kind), ..self }
    }

    pub(super) fn table(self, name: String) -> Option<Node<'a>> {
        let (DeValue::Table(table), Kind::Table(keys)) = (self.value, self.kind) else { return self.wrong() };
        Some(Node::new(self.walk, name, keys, Some(table), self.span))
    }

    /// Notes that the value is not what it must be.
    pub(super) fn wrong<T>(self) -> Option<T> {
        self.walk.fault(self.mismatch());
        None
    }

    pub(super) fn wrong_with_hint<T>(self, hint: &str) -> Option<T> {
        self.walk.fault(self.mismatch().hint(hint));
        None
    }

    fn mismatch(self) -> Diagnostic {
        let entry = if self.is_entry { "an entry of " } else { "" };
        let message = format!("{entry}`{}` must be {}, not {}", self.key, self.expected, found(self.value));
        Diagnostic::error(self.span, message)
    }
}

/// A value as messages show it.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", shown(text)),
        DeValue::Integer(digits) => shown(&digits.to_string()),
        DeValue::Float(digits) => format!("the number {}", shown(&digits.to_string())),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
