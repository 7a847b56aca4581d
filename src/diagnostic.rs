//! What is said to the operator about a fault: message, place, hint, as compilers say it.

use std::cmp::Reverse;
use std::error::Error;
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file of a [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u16);

/// An error and its causes, on one line.
pub struct Causes<'e>(pub &'e dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// A range of bytes of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A value and where it was written; a default's span is that of the table that could have held it.
///
/// Two are equal where their values are: moving a line changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that was written here.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as messages show it.
    pub path: PathBuf,
    /// The folder where the relative paths in it start.
    pub folder: PathBuf,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// A file whose relative paths start where it lies.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let path = path.into();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self { path, folder, text: text.into() }
    }

    /// The file with its folder in front, whatever messages show.
    #[must_use]
    pub fn location(&self) -> PathBuf {
        self.path.file_name().map_or_else(|| self.path.clone(), |name| self.folder.join(name))
    }
}

/// The files that spans point into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The config is refused.
    Error,
    /// The config is taken.
    Warning,
}

/// One thing that is said to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where, if it is anywhere.
    pub span: Option<Span>,
    /// What may help, in one line.
    pub hint: Option<String>,
}

/// Why a config was refused: one fault or more, and the files that they lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    sources: Sources,
    faults: Vec<Diagnostic>,
}

impl Diagnostic {
    /// An error that lies here.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: Some(span), hint: None }
    }

    /// An error that lies in no file.
    pub fn anywhere(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span: None, hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Faults {
    /// The faults of these sources in file order; without any, there is nothing to refuse.
    #[must_use]
    pub fn new(sources: Sources, mut faults: Vec<Diagnostic>) -> Option<Self> {
        faults.sort_by_key(|fault| fault.span);
        faults.dedup();
        if faults.is_empty() { None } else { Some(Self { sources, faults }) }
    }

    /// The faults in file order; never empty.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.faults
    }
}

/// How many faults are printed: a mistake that was copied to a thousand sites need not be read a thousand times.
const SHOWN: usize = 100;

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in self.faults.iter().take(SHOWN) {
            writeln!(f, "{}", self.sources.render(fault))?;
        }
        match self.faults.len() {
            1 => f.write_str("1 fault"),
            count if count > SHOWN => write!(f, "{count} faults, the first {SHOWN} shown"),
            count => write!(f, "{count} faults"),
        }
    }
}

impl Error for Faults {}

impl From<Diagnostic> for Faults {
    fn from(fault: Diagnostic) -> Self {
        Self { sources: Sources::default(), faults: vec![fault] }
    }
}

impl Sources {
    /// These files; the first is the main one.
    #[must_use]
    pub fn new(files: Vec<SourceFile>) -> Self {
        Self { files }
    }

    /// The files in the order of their ids.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The path, line and column of a span's start; both count from 1, columns in characters.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<(&Path, usize, usize)> {
        let file = self.files.get(usize::from(span.file.0))?;
        let end = file.text.floor_char_boundary(span.start as usize);
        let before = &file.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Some((&file.path, line, column))
    }

    /// A diagnostic as the operator reads it, each of its lines ended.
    #[must_use]
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{severity}: {}\n", diagnostic.message);
        if let Some((path, line, column)) = diagnostic.span.and_then(|span| self.position(span)) {
            let _ = writeln!(text, "  --> {}:{line}:{column}", path.display());
        }
        if let Some(hint) = &diagnostic.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

/// Names as a hint lists them: in backticks, the first dozen.
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const LISTED: usize = 12;
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.len().checked_sub(LISTED) {
        Some(more) if more > 0 => format!("{} and {more} more", quoted[..LISTED].join(", ")),
        _ => quoted.join(", "),
    }
}

/// The name that was probably meant: the nearest by edit distance, if it is near; of several the one
/// that begins alike for longest.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let far = name.chars().count().div_ceil(3);
    let same_start = |known: &str| name.chars().zip(known.chars()).take_while(|(one, other)| one == other).count();
    known
        .into_iter()
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (distance(name, known), Reverse(same_start(known)), known))
        .filter(|(distance, ..)| *distance <= far)
        .min_by_key(|(distance, same_start, _)| (*distance, *same_start))
        .map(|(.., known)| known)
}

/// How many letters are to be put in, taken out, changed or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in one.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, &goal) in other.iter().enumerate() {
            let changed = last[column] + usize::from(letter != goal);
            let mut least = changed.min(last[column + 1] + 1).min(current[column] + 1);
            if column > 0 && previous_letter == Some(goal) && letter == other[column - 1] {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        previous_letter = Some(letter);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32) -> Span {
        Span { file: FileId(0), start, end: start + 1 }
    }

    #[test]
    fn a_fault_shows_file_line_and_column_in_characters() {
        let sources = Sources::new(vec![SourceFile::new("haechi.toml", "a = 1\nsmörgås = x\n")]);
        let fault = Diagnostic::error(span(18), "no such value").hint("there is `y`");
        assert_eq!(sources.render(&fault), "error: no such value\n  --> haechi.toml:2:11\nhint: there is `y`\n");
    }

    #[test]
    fn a_span_past_the_end_or_inside_a_character_is_no_panic() {
        let sources = Sources::new(vec![SourceFile::new("a", "é")]);
        for start in [0, 1, 2, 3, u32::MAX - 1] {
            assert!(sources.position(span(start)).is_some());
        }
        assert_eq!(sources.position(Span { file: FileId(1), start: 0, end: 0 }), None);
    }

    #[test]
    fn faults_stand_in_file_order_and_are_counted() {
        let sources = Sources::new(vec![SourceFile::new("a", "x\ny\n")]);
        let faults = vec![Diagnostic::error(span(2), "second"), Diagnostic::error(span(0), "first")];
        let faults = Faults::new(sources, faults).unwrap();
        assert_eq!(faults.to_string(), "error: first\n  --> a:1:1\n\nerror: second\n  --> a:2:1\n\n2 faults");
    }

    #[test]
    fn only_the_first_hundred_faults_are_printed() {
        let faults = (0..150).map(|number| Diagnostic::anywhere(format!("fault {number}"))).collect();
        let text = Faults::new(Sources::default(), faults).unwrap().to_string();
        assert_eq!(text.matches("error:").count(), 100);
        assert!(text.ends_with("150 faults, the first 100 shown"));
    }

    #[test]
    fn without_a_fault_nothing_is_refused() {
        assert_eq!(Faults::new(Sources::default(), Vec::new()), None);
    }

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let known = ["bind", "tls", "timeouts", "limits"];
        assert_eq!(nearest("bnid", known), Some("bind"));
        assert_eq!(nearest("timeout", known), Some("timeouts"));
        assert_eq!(nearest("limit", known), Some("limits"));
        assert_eq!(nearest("api", ["app", "apis"]), Some("apis"));
        assert_eq!(nearest("upstream", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"b".repeat(100_000), known), None);
    }

    #[test]
    fn distances() {
        for (one, other, edits) in [("", "abc", 3), ("abc", "abc", 0), ("abcd", "acbd", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let many: Vec<String> = (0..14).map(|number| number.to_string()).collect();
        assert!(names(many.iter().map(String::as_str)).ends_with("`11` and 2 more"));
        assert_eq!(names(["a", "b"]), "`a`, `b`");
    }
}
