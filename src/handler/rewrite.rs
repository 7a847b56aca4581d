//! Which path the upstream sees.

use std::borrow::Cow;

use regex::bytes::Captures;

use super::template::{Piece, Template, TemplateFault};
use crate::message::{RequestTarget, target::write_normal_path};

/// How a route changes the path of what it forwards; the query goes on unchanged.
#[derive(Clone, Debug, Default)]
pub enum Rewrite {
    /// The client's path, byte for byte.
    #[default]
    Keep,
    /// Without the part that the route matched.
    StripPrefix,
    /// A path made from a template.
    Template(PathTemplate),
}

/// A template of a path.
#[derive(Clone, Debug)]
pub struct PathTemplate(Template);

impl PathTemplate {
    /// Reads a template with `${path}`, `${path_rest}` (what follows the matched part) and, for
    /// the groups of the route's regex, `${1}` and so on (`${0}`: all that it matched).
    ///
    /// # Errors
    /// [`TemplateFault`].
    pub fn new(text: &str) -> Result<Self, TemplateFault> {
        let allows = |piece: &Piece| matches!(piece, Piece::Path | Piece::PathRest | Piece::Capture(_));
        let template = Template::parse(text, "`${path}`, `${path_rest}` and `${1}`", allows)?;
        match template.pieces().first() {
            Some(Piece::Path | Piece::PathRest) => {}
            Some(Piece::Text(text)) if text.starts_with('/') => {}
            _ => return Err(TemplateFault::NoPath),
        }
        if template.pieces().iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains(['?', '#']))) {
            return Err(TemplateFault::Query);
        }
        Ok(Self(template))
    }
}

impl Rewrite {
    /// The path to send, in the client's spelling where it comes from the client.
    ///
    /// `matched`: how much of the normal path the route's exact path or prefix covered;
    /// `captures`: what its regex matched, of the normal path. Of a changed path the dot segments
    /// are resolved first, so that what is put before it cannot be climbed out of.
    #[must_use]
    pub fn path<'h>(
        &self,
        target: &RequestTarget<'h>,
        matched: usize,
        captures: Option<&Captures<'_>>,
    ) -> Cow<'h, [u8]> {
        let rest = || match captures {
            Some(captures) => target.path_after(captures.get(0).map_or(0, |all| all.end())),
            None => target.path_after(matched),
        };
        match self {
            _ if target.is_asterisk() => Cow::Borrowed(target.path()),
            Self::Keep => Cow::Borrowed(target.path()),
            Self::StripPrefix => rooted(rest()),
            Self::Template(PathTemplate(template)) => {
                let mut path = Vec::with_capacity(target.path().len() + 32);
                for piece in template.pieces() {
                    match piece {
                        Piece::Text(text) => write_text(&mut path, text),
                        Piece::Path => path.extend_from_slice(&target.resolved_path()),
                        Piece::PathRest => path.extend_from_slice(&rest()),
                        Piece::Capture(number) => {
                            let group = captures.and_then(|captures| captures.get(*number));
                            write_normal_path(&mut path, group.map_or(&[][..], |group| group.as_bytes()));
                        }
                        // `PathTemplate::new` allows no others.
                        Piece::Query | Piece::Host => {}
                    }
                }
                rooted(Cow::Owned(path))
            }
        }
    }
}

fn rooted(path: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if path.first() == Some(&b'/') { path } else { Cow::Owned([b"/", &*path].concat()) }
}

/// The operator's own text: escapes and `;` are meant as written.
fn write_text(path: &mut Vec<u8>, text: &str) {
    for piece in text.split_inclusive(';') {
        let (piece, params) = piece.strip_suffix(';').map_or((piece, false), |piece| (piece, true));
        write_normal_path(path, piece.as_bytes());
        if params {
            path.push(b';');
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::head::RequestHead;

    fn rewritten(rewrite: &Rewrite, path: &str, prefix: &str, regex: Option<&str>) -> String {
        let head = RequestHead { target: path.as_bytes().to_vec(), ..RequestHead::default() };
        let target = RequestTarget::of(&head, false).unwrap();
        let regex = regex.map(|regex| Regex::new(regex).unwrap());
        let captures = regex.as_ref().and_then(|regex| regex.captures(target.normal_path()));
        String::from_utf8(rewrite.path(&target, prefix.len(), captures.as_ref()).into_owned()).unwrap()
    }

    fn template(text: &str) -> Rewrite {
        Rewrite::Template(PathTemplate::new(text).unwrap())
    }

    #[test]
    fn a_kept_path_is_kept_to_the_byte() {
        assert_eq!(rewritten(&Rewrite::Keep, "/a/../%61;x//y?q", "/", None), "/a/../%61;x//y");
    }

    #[test]
    fn a_prefix_is_stripped_in_the_clients_spelling() {
        let strip = |path| rewritten(&Rewrite::StripPrefix, path, "/app/", None);
        assert_eq!(strip("/app/x/y?q"), "/x/y");
        assert_eq!(strip("/app/"), "/");
        assert_eq!(strip("/%61pp/%ED%95%9C;jsessionid=1.node1"), "/%ED%95%9C;jsessionid=1.node1");
        assert_eq!(strip("/app/../app/x"), "/x");
        assert_eq!(strip("/app//evil.example"), "/evil.example");
        assert_eq!(rewritten(&Rewrite::StripPrefix, "/app", "/app", None), "/");
    }

    #[test]
    fn templates_make_a_new_path() {
        assert_eq!(rewritten(&template("/new${path}"), "/a/./b;c", "/a/", None), "/new/a/b;c");
        assert_eq!(rewritten(&template("/v2/${path_rest};v=1"), "/a/%20b", "/a/", None), "/v2/%20b;v=1");
        assert_eq!(rewritten(&template("${path_rest}"), "/a/b", "/a/", None), "/b");
        assert_eq!(rewritten(&template("/한 글"), "/", "/", None), "/%ED%95%9C%20%EA%B8%80");
        let user = Some(r"^/u/([^/]+)/(\d+)");
        assert_eq!(rewritten(&template("/x/${2}/${1}${9}"), "/u/%ED%95%9C%3F;p/7", "", user), "/x/7/%ED%95%9C%3F");
        assert_eq!(rewritten(&template("/x${path_rest}"), "/u/a/7/%2Fz", "", user), "/x/%2Fz");
        assert_eq!(rewritten(&template("/${1}"), "/u/a%252Fb%2Fc/7", "", user), "/a%252Fb%2Fc");
    }

    #[test]
    fn templates_that_make_no_path_are_refused() {
        let fault = |text| PathTemplate::new(text).unwrap_err();
        assert_eq!(fault(""), TemplateFault::NoPath);
        assert_eq!(fault("x${path}"), TemplateFault::NoPath);
        assert_eq!(fault("${1}"), TemplateFault::NoPath);
        assert_eq!(fault("/x?${path}"), TemplateFault::Query);
        assert!(matches!(fault("/${query}"), TemplateFault::Unknown { .. }));
    }
}
