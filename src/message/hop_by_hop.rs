//! Which fields end at this hop (RFC 9110 §7.6.1).

use crate::head::{Field, Fields, Kinds, Known};

/// More names than any honest message has; what goes beyond is refused so that the check of each
/// field stays cheap.
const TOKEN_LIMIT: usize = 32;

/// What the `Connection` fields of one message name, read once.
#[derive(Clone, Debug, Default)]
pub struct ConnectionTokens<'m> {
    names: Vec<&'m [u8]>,
}

/// `Connection` names more fields than a message may (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("connection field names more than {TOKEN_LIMIT} fields")]
pub struct TooManyTokens;

impl<'m> ConnectionTokens<'m> {
    /// Reads them. It allocates only for names that haechi does not know.
    ///
    /// # Errors
    /// [`TooManyTokens`]: 400 for a request, 502 for a response.
    pub fn of(fields: &'m Fields) -> Result<Self, TooManyTokens> {
        let mut names = Vec::new();
        for value in fields.all(Known::Connection) {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                // `close` names no field, and a known field is judged by what it is.
                if token.is_empty() || token.eq_ignore_ascii_case(b"close") || Known::of(token) != Known::Other {
                    continue;
                }
                if names.len() == TOKEN_LIMIT {
                    return Err(TooManyTokens);
                }
                names.push(token);
            }
        }
        Ok(Self { names })
    }

    /// Whether this field of the message goes on to the next hop.
    ///
    /// Naming a field in `Connection` drops it only where haechi does not know it. The known ones
    /// are end to end (or never forwarded anyway), and naming `Content-Length`, `Authorization` or
    /// `X-Forwarded-For` is an attack on whoever stands behind.
    #[must_use]
    pub fn is_forwarded(&self, field: Field<'_>) -> bool {
        match field.known {
            Known::Other => !self.names.iter().any(|name| name.eq_ignore_ascii_case(field.name)),
            known => !is_hop_by_hop(known),
        }
    }
}

/// Whether fields of this kind never outlive a hop, named in `Connection` or not.
#[must_use]
pub fn is_hop_by_hop(known: Known) -> bool {
    HOP_BY_HOP.holds(known)
}

const HOP_BY_HOP: Kinds = Kinds::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// The names in a message's `Connection`, kept for its trailer section: what ends at this hop ends
/// there too.
#[derive(Clone, Debug, Default)]
pub struct HopNames(Vec<Box<[u8]>>);

impl HopNames {
    /// The trailer fields that go on.
    #[must_use]
    pub fn strip(&self, mut trailers: Fields) -> Fields {
        trailers.retain(|field| !self.holds(field.name));
        trailers
    }

    fn holds(&self, name: &[u8]) -> bool {
        self.0.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}

impl From<&ConnectionTokens<'_>> for HopNames {
    fn from(tokens: &ConnectionTokens<'_>) -> Self {
        Self(tokens.names.iter().map(|name| (*name).into()).collect())
    }
}

/// Takes from an answer's fields what ends at this hop, its length, which each driver writes from
/// the body, and all but the first of those that may stand once only.
///
/// # Errors
/// [`TooManyTokens`]
pub fn strip_response(fields: &mut Fields) -> Result<HopNames, TooManyTokens> {
    if !fields.kinds().meets(HOP_BY_HOP) && !fields.repeated().meets(SINGLE) {
        fields.remove(Known::ContentLength);
        return Ok(HopNames::default());
    }
    let names = HopNames::from(&ConnectionTokens::of(fields)?);
    let mut seen = 0_u64;
    fields.retain(|field| match field.known {
        Known::Other => !names.holds(field.name),
        Known::ContentLength => false,
        known if SINGLE.holds(known) => {
            let place = 1 << known as u8;
            let first = seen & place == 0;
            seen |= place;
            first
        }
        known => !is_hop_by_hop(known),
    });
    Ok(names)
}

/// What a response has one of at most (RFC 9110 §5.3). Clients differ in which of two they believe;
/// here every one of them gets the first.
const SINGLE: Kinds = Kinds::of(&[
    Known::ContentType,
    Known::Date,
    Known::Etag,
    Known::LastModified,
    Known::Location,
    Known::RetryAfter,
    Known::Server,
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(fields: &[(&str, &str)]) -> Vec<String> {
        let mut list = Fields::default();
        for (name, value) in fields {
            list.push(name, value);
        }
        let tokens = ConnectionTokens::of(&list).unwrap();
        list.iter()
            .filter(|field| tokens.is_forwarded(*field))
            .map(|field| String::from_utf8(field.name.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn fields_of_the_hop_stay_behind() {
        let fields = [
            ("Connection", "close, X-Hop ,, keep-alive"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "X-Sum"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("x-hop", "1"),
            ("X-End", "2"),
            ("connection", "x-second"),
            ("X-Second", "3"),
        ];
        assert_eq!(forwarded(&fields), ["X-End"]);
    }

    #[test]
    fn naming_an_end_to_end_field_does_not_drop_it() {
        let named = ["Content-Length", "Host", "Authorization", "Cookie", "X-Forwarded-For", "X-Request-Id"];
        let mut fields = vec![("Connection".to_owned(), named.join(", "))];
        fields.extend(named.map(|name| (name.to_owned(), "1".to_owned())));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(forwarded(&fields), named);
    }

    #[test]
    fn of_a_field_that_stands_once_the_first_is_kept_rfc9110_5_3() {
        let mut fields = Fields::default();
        for name in ["Location", "Set-Cookie", "Content-Type", "X", "Vary"] {
            fields.push(name, "1");
            fields.push(name, "2");
        }
        strip_response(&mut fields).unwrap();
        let left: Vec<_> = fields
            .iter()
            .map(|field| [field.name, field.value].concat())
            .map(|text| String::from_utf8(text).unwrap())
            .collect();
        assert_eq!(left, ["Location1", "Set-Cookie1", "Set-Cookie2", "Content-Type1", "X1", "X2", "Vary1", "Vary2"]);
    }

    #[test]
    fn what_connection_names_is_no_trailer_either_rfc9110_7_6_1() {
        let mut fields = Fields::default();
        fields.push("Connection", "X-Sum");
        let names = strip_response(&mut fields).unwrap();
        let mut trailers = Fields::default();
        trailers.push("x-sum", "1");
        trailers.push("X-Other", "2");
        let left: Vec<_> = names.strip(trailers).iter().map(|field| field.name.to_vec()).collect();
        assert_eq!(left, [b"X-Other"]);
    }

    #[test]
    fn a_flood_of_names_is_refused() {
        let mut fields = Fields::default();
        fields.push("Connection", ["x"; TOKEN_LIMIT].join(","));
        assert!(ConnectionTokens::of(&fields).is_ok());
        fields.push("Connection", "y");
        assert_eq!(ConnectionTokens::of(&fields).unwrap_err(), TooManyTokens);
    }
}
