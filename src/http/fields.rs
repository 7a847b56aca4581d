//! The fields of an answer as clients get them, whatever their protocol.

use crate::head::{Field, Known, ResponseHead};
use crate::message::{Exchange, date};
use crate::snapshot::{Listener, ServerField};

/// Writes every field of the answer but those of framing and persistence. The field of the
/// exchange's id goes by its name alone.
pub(super) fn each_field(
    head: &ResponseHead,
    listener: &Listener,
    exchange: &Exchange<'_>,
    mut write: impl FnMut(Field<'_>),
) {
    let id = exchange.request_id.as_ref();
    let id_field = listener.request_id_field.as_deref().filter(|_| id.is_some());
    let mut dated = false;
    for field in head.fields.iter() {
        match field.known {
            Known::Server if listener.server_field != ServerField::Pass => continue,
            Known::Date => dated = true,
            Known::Other | Known::XRequestId if id_field.is_some_and(|name| field.name.eq_ignore_ascii_case(name)) => {
                continue;
            }
            _ => {}
        }
        write(field);
    }
    if let ServerField::Text(text) = &listener.server_field {
        write(text.field());
    }
    if let (Some(name), Some(id)) = (id_field, id) {
        write(Field::new(Known::Other, name, id.as_bytes()));
    }
    if !dated {
        // RFC 9110 §6.6.1: who has a clock dates what has no date.
        write(Field::new(Known::Date, b"Date", &date()));
    }
}
