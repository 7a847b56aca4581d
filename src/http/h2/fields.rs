//! Fields as the crate wants them.

use std::cell::RefCell;

use crate::head::{Field, Known};

/// Longer values are not kept.
const LONGEST_KEPT: usize = 64;

thread_local! {
    /// The value that the last answer had in the fields of which the next one often has the same.
    static LAST: RefCell<[Option<http::HeaderValue>; Known::Other as usize]> =
        const { RefCell::new([const { None }; Known::Other as usize]) };
}

/// Adds a field; one that HTTP/2 cannot carry is left out.
pub(super) fn push(headers: &mut http::HeaderMap, field: Field<'_>) {
    if let (Some(name), Some(value)) = (name(field), value(field)) {
        headers.append(name, value);
    }
}

/// Adds the exchange's id. It is never seen again: in the table of RFC 7541 §2.3.2 it would drive
/// out what is.
pub(super) fn push_id(headers: &mut http::HeaderMap, field: Field<'_>) {
    let known = Known::of(field.name);
    if let (Some(name), Ok(mut value)) = (name(Field { known, ..field }), http::HeaderValue::from_bytes(field.value)) {
        value.set_sensitive(true);
        headers.append(name, value);
    }
}

/// Adds a length.
pub(super) fn push_length(headers: &mut http::HeaderMap, length: u64) {
    let mut digits = itoa::Buffer::new();
    if let Ok(value) = http::HeaderValue::from_str(digits.format(length)) {
        headers.insert(http::header::CONTENT_LENGTH, value);
    }
}

fn value(field: Field<'_>) -> Option<http::HeaderValue> {
    LAST.with_borrow_mut(|last| match last.get_mut(field.known as usize) {
        Some(Some(known)) if known.as_bytes() == field.value => Some(known.clone()),
        Some(place) if is_kept(field) => {
            *place = http::HeaderValue::from_bytes(field.value).ok();
            place.clone()
        }
        _ => http::HeaderValue::from_bytes(field.value).ok(),
    })
}

fn is_kept(field: Field<'_>) -> bool {
    matches!(field.known, Known::CacheControl | Known::ContentType | Known::Date | Known::Server)
        && field.value.len() <= LONGEST_KEPT
}

/// The name, without parsing and allocating where most answers have it.
fn name(field: Field<'_>) -> Option<http::HeaderName> {
    use http::header;
    Some(match field.known {
        Known::CacheControl => header::CACHE_CONTROL,
        Known::ContentType => header::CONTENT_TYPE,
        Known::Date => header::DATE,
        Known::Etag => header::ETAG,
        Known::LastModified => header::LAST_MODIFIED,
        Known::Location => header::LOCATION,
        Known::Server => header::SERVER,
        Known::SetCookie => header::SET_COOKIE,
        Known::XRequestId => const { http::HeaderName::from_static("x-request-id") },
        _ => http::HeaderName::from_bytes(field.name).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_was_written_in_small_letters() {
        for name in [
            "Cache-Control",
            "Content-Type",
            "Date",
            "ETag",
            "Last-Modified",
            "Location",
            "Server",
            "Set-Cookie",
            "X-Request-Id",
            "X-Other",
        ] {
            let field = Field::new(Known::of(name.as_bytes()), name.as_bytes(), b"1");
            let mut headers = http::HeaderMap::new();
            push(&mut headers, field);
            assert_eq!(headers.get(name.to_lowercase()).map(http::HeaderValue::as_bytes), Some(&b"1"[..]), "{name}");
        }
    }

    #[test]
    fn values_are_those_of_their_own_field_whatever_came_before() {
        let mut headers = http::HeaderMap::new();
        let values: [&[u8]; 5] = [b"a", b"a", b"b", &[b'x'; LONGEST_KEPT + 1], b"a"];
        for value in values {
            push(&mut headers, Field::new(Known::Server, b"Server", value));
            push(&mut headers, Field::new(Known::Other, b"X-Other", value));
        }
        for name in ["server", "x-other"] {
            assert!(headers.get_all(name).iter().map(http::HeaderValue::as_bytes).eq(values), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_left_out() {
        let mut headers = http::HeaderMap::new();
        push(&mut headers, Field::new(Known::Other, b"a b", b"1"));
        push(&mut headers, Field::new(Known::Date, b"Date", b"a\nb"));
        assert!(headers.is_empty());
        push_length(&mut headers, u64::MAX);
        assert_eq!(headers[http::header::CONTENT_LENGTH], "18446744073709551615");
    }
}
