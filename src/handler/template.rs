//! Text with `${name}` in it, as redirects and rewrites write it.

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Stands for itself.
    Text(Box<str>),
    /// `${path}`
    Path,
    /// `${path_rest}`
    PathRest,
    /// `${query}`
    Query,
    /// `${host}`
    Host,
    /// `${1}` and so on.
    Capture(usize),
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// There is no such variable, or not here.
    #[error("`${{{name}}}` is not known here; there are {known}")]
    Unknown {
        /// As written.
        name: String,
        /// Those that may stand here.
        known: &'static str,
    },
    /// `${` without its `}`.
    #[error("`${{` has no closing `}}`")]
    Open,
    /// A rewrite gives a path.
    #[error("a rewritten path starts with `/`, `${{path}}` or `${{path_rest}}`")]
    NoPath,
    /// The client's query is sent on as it is.
    #[error("a rewritten path has no `?` or `#`; the query stays as it is")]
    Query,
    /// Not one of 301, 302, 303, 307 and 308.
    #[error("{0} is not the status of a redirect (301, 302, 303, 307, 308)")]
    Status(u16),
}

impl Template {
    /// Reads a template; `allows` says which pieces may stand here and `known` names them.
    pub(super) fn parse(
        text: &str,
        known: &'static str,
        allows: impl Fn(&Piece) -> bool,
    ) -> Result<Self, TemplateFault> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, opened) = rest.split_at(start);
            let (name, after) = opened[2..].split_once('}').ok_or(TemplateFault::Open)?;
            let piece = Piece::named(name).filter(&allows);
            let piece = piece.ok_or_else(|| TemplateFault::Unknown { name: name.to_owned(), known })?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self { pieces })
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Piece {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "path" => Self::Path,
            "path_rest" => Self::PathRest,
            "query" => Self::Query,
            "host" => Self::Host,
            number => Self::Capture(number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_text_and_variables() {
        let parse = |text: &str| Template::parse(text, "`${path}`", |piece| *piece != Piece::Host);
        assert_eq!(
            parse("a${path}${12}b$c").unwrap().pieces(),
            [Piece::Text("a".into()), Piece::Path, Piece::Capture(12), Piece::Text("b$c".into())]
        );
        assert_eq!(parse("").unwrap().pieces(), []);
        assert_eq!(parse("a${path"), Err(TemplateFault::Open));
        for name in ["host", "pahts", "", "+1", "99999999999999999999999"] {
            let fault = parse(&format!("x${{{name}}}")).unwrap_err();
            assert_eq!(fault.to_string(), format!("`${{{name}}}` is not known here; there are `${{path}}`"));
        }
    }
}
