//! Reads the pieces of a payload.

use super::Fault;

/// What of a payload is still to be read, and what it is, for the fault.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(payload: &'a [u8], what: &'static str) -> Self {
        Self { rest: payload, what }
    }

    pub(super) fn malformed(&self) -> Fault {
        Fault::Malformed(self.what)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    /// Up to a NUL, which is taken too.
    pub(super) fn until_nul(&mut self) -> Result<&'a [u8], Fault> {
        let end = memchr::memchr(0, self.rest).ok_or_else(|| self.malformed())?;
        let taken = self.bytes(end)?;
        self.bytes(1)?;
        Ok(taken)
    }

    /// A "length-encoded integer".
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(u64::from(small)),
            0xfc => Ok(u64::from(self.u16()?)),
            0xfd => self.array().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xfe => self.array().map(u64::from_le_bytes),
            0xfb | 0xff => Err(self.malformed()),
        }
    }

    /// A "length-encoded string".
    pub(super) fn text(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.number()?;
        self.bytes(usize::try_from(length).map_err(|_| self.malformed())?)
    }
}
