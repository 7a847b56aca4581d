//! `ERR`, `OK` and `EOF`.

use std::fmt;

use super::Fault;
use super::cursor::Cursor;

/// A server's own words for a no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// As in 1045.
    pub code: u16,
    /// What it says, at most 512 bytes, without control characters.
    pub message: String,
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}: {}", self.code, self.message)
    }
}

const MOST_WORDS: usize = 512;

impl ServerError {
    /// Reads what follows the 0xff of an `ERR` packet. Before a login it has no SQL state.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor::new(body, "error");
        let code = cursor.u16()?;
        if cursor.rest().starts_with(b"#") {
            let _state = cursor.bytes(6)?;
        }
        let words = cursor.rest();
        let words = String::from_utf8_lossy(&words[..words.len().min(MOST_WORDS)]);
        let message = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(Self { code, message })
    }
}

const MORE_RESULTS: u16 = 8;

/// Whether another result follows this `OK`, whose 0x00 was taken off.
pub(super) fn more_after_ok(body: &[u8]) -> Result<bool, Fault> {
    let mut cursor = Cursor::new(body, "ok");
    let _affected_and_id = (cursor.number()?, cursor.number()?);
    Ok(cursor.u16()? & MORE_RESULTS != 0)
}

/// Whether another result follows this `EOF`, whose 0xfe was taken off.
pub(super) fn more_after_eof(body: &[u8]) -> Result<bool, Fault> {
    let mut cursor = Cursor::new(body, "end of rows");
    let _warnings = cursor.u16()?;
    Ok(cursor.u16()? & MORE_RESULTS != 0)
}
