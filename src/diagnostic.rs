//! What is said to the operator about a fault: message, place, hint, as compilers say it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file of a [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u16);

/// A range of bytes of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug)]
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
    /// Its name, as messages show it.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
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

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            self.sources.write(fault, f)?;
        }
        match self.faults.len() {
            1 => f.write_str("1 fault"),
            count => write!(f, "{count} faults"),
        }
    }
}

impl std::error::Error for Faults {}

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

    fn write(&self, diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", diagnostic.message)?;
        if let Some((path, line, column)) = diagnostic.span.and_then(|span| self.position(span)) {
            writeln!(f, "  --> {}:{line}:{column}", path.display())?;
        }
        if let Some(hint) = &diagnostic.hint {
            writeln!(f, "hint: {hint}")?;
        }
        Ok(())
    }
}
