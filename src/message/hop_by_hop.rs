//! Which fields end at this hop (RFC 9110 §7.6.1).

use crate::head::{Field, Fields, Known};

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
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// Takes from an answer's fields what ends at this hop, and its length, which each driver writes
/// from the body.
///
/// # Errors
/// [`TooManyTokens`]
pub fn strip_response(fields: &mut Fields) -> Result<(), TooManyTokens> {
    let names: Vec<Vec<u8>> = ConnectionTokens::of(fields)?.names.iter().map(|name| name.to_vec()).collect();
    fields.retain(|field| match field.known {
        Known::Other => !names.iter().any(|name| name.eq_ignore_ascii_case(field.name)),
        Known::ContentLength => false,
        known => !is_hop_by_hop(known),
    });
    Ok(())
}

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
    fn a_flood_of_names_is_refused() {
        let mut fields = Fields::default();
        fields.push("Connection", ["x"; TOKEN_LIMIT].join(","));
        assert!(ConnectionTokens::of(&fields).is_ok());
        fields.push("Connection", "y");
        assert_eq!(ConnectionTokens::of(&fields).unwrap_err(), TooManyTokens);
    }
}
