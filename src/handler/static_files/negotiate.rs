//! Which content coding a client prefers (RFC 9110 §12.5.3). Pure.

/// A content coding in which a file may lie ready beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli (RFC 7932): `NAME.br`.
    Brotli,
    /// gzip (RFC 1952): `NAME.gz`.
    Gzip,
    /// Zstandard (RFC 8878): `NAME.zst`.
    Zstd,
}

impl Coding {
    /// The token in Accept-Encoding, Content-Encoding and the config.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The coding that a token of the config names.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Brotli, Self::Gzip, Self::Zstd].into_iter().find(|coding| coding.token() == token)
    }

    /// What the coded file's name ends in.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    fn is_named(self, token: &[u8]) -> bool {
        // RFC 9110 §8.4.1.3: x-gzip is gzip.
        token.eq_ignore_ascii_case(self.token().as_bytes())
            || (self == Self::Gzip && token.eq_ignore_ascii_case(b"x-gzip"))
    }
}

/// The best of `available` for these Accept-Encoding values; `None`: the plain file.
///
/// At equal weight the earlier in `available` wins, and any coding wins over the plain file. Where
/// the client accepts nothing that exists it gets the plain file too (RFC 9110 §12.5.3).
pub fn choose<'v, Values: Iterator<Item = &'v [u8]>>(
    accept_encoding: impl Fn() -> Values,
    available: impl IntoIterator<Item = Coding>,
) -> Option<Coding> {
    let plain = weight(accept_encoding(), |token| token.eq_ignore_ascii_case(b"identity"));
    let mut best = None;
    for coding in available {
        let Some(weight) = weight(accept_encoding(), |token| coding.is_named(token)) else { continue };
        let beats_plain = plain.is_none_or(|plain| weight >= plain);
        if weight > 0 && beats_plain && best.is_none_or(|(found, _)| weight > found) {
            best = Some((weight, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// The weight, in thousandths, of the first element that `is_named` accepts, else that of `*`.
fn weight<'v>(values: impl Iterator<Item = &'v [u8]>, is_named: impl Fn(&[u8]) -> bool) -> Option<u16> {
    let mut any = None;
    for element in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let mut pieces = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let token = pieces.next().unwrap_or_default();
        let star = token == b"*";
        if !star && !is_named(token) {
            continue;
        }
        // A weight that cannot be read is no consent.
        let weight = pieces.next().map_or(1000, |piece| quality(piece).unwrap_or(0));
        if !star {
            return Some(weight);
        }
        any = any.or(Some(weight));
    }
    any
}

/// `q=0.5` in thousandths (RFC 9110 §12.4.2).
fn quality(piece: &[u8]) -> Option<u16> {
    let value = piece.strip_prefix(b"q=").or_else(|| piece.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut place = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * place;
        place /= 10;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    #[test]
    fn table() {
        let all = &[Brotli, Gzip, Zstd][..];
        let table: &[(&[&str], &[Coding], Option<Coding>)] = &[
            (&[], all, None),
            (&[""], all, None),
            (&["gzip"], all, Some(Gzip)),
            (&["gzip, deflate, br, zstd"], all, Some(Brotli)),
            (&["gzip, br"], &[Gzip, Brotli], Some(Gzip)),
            (&["gzip", "br"], all, Some(Brotli)),
            (&["br"], &[Gzip], None),
            (&["GZIP"], all, Some(Gzip)),
            (&["x-gzip"], all, Some(Gzip)),
            (&["br;q=0.5, gzip;q=0.8"], all, Some(Gzip)),
            (&["br;q=0.5,gzip;Q=0.501"], all, Some(Gzip)),
            (&["br;q=0, gzip"], all, Some(Gzip)),
            (&["br;q=0"], all, None),
            (&["*"], all, Some(Brotli)),
            (&["*;q=0.1, zstd"], all, Some(Zstd)),
            (&["*, br;q=0"], all, Some(Gzip)),
            (&["*;q=0"], all, None),
            (&["identity"], all, None),
            (&["identity, gzip"], all, Some(Gzip)),
            (&["identity;q=1, gzip;q=0.5"], all, None),
            (&["identity;q=0.1, gzip;q=0.5"], all, Some(Gzip)),
            (&["identity;q=0"], all, None),
            (&["gzip;q=2"], all, None),
            (&["gzip;q=1.001"], all, None),
            (&["gzip;q=0.0001"], all, None),
            (&["gzip;level=1"], all, None),
            (&["gzip ; q=1.000"], all, Some(Gzip)),
        ];
        for (values, available, expected) in table {
            let values = values.iter().map(|value| value.as_bytes());
            assert_eq!(
                choose(|| values.clone(), available.iter().copied()),
                *expected,
                "{:?}",
                values.collect::<Vec<_>>()
            );
        }
    }

    proptest! {
        #[test]
        fn never_what_is_not_there(value in "[a-z*;=q0-9., ]{0,40}") {
            let chosen = choose(|| [value.as_bytes()].into_iter(), [Gzip]);
            prop_assert!(chosen.is_none() || chosen == Some(Gzip));
            prop_assert!(chosen.is_none() || value.contains("gzip") || value.contains('*'));
        }
    }
}
