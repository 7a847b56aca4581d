//! What a server says first: `HandshakeV10`.

use super::cursor::Cursor;
use super::login::without_end;
use super::{Fault, Plugin, capability};
use crate::codec::gtid::Dialect;

/// A server's first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version as it says it, without the `5.5.5-` that MariaDB puts before it.
    pub version: String,
    /// The family, which its version tells.
    pub dialect: Dialect,
    /// What it can.
    pub(super) capabilities: u32,
    /// What a login has to answer, without the NUL at its end.
    pub(super) challenge: Vec<u8>,
    /// The login that it proposes; `None`: one that is not spoken here.
    pub(super) plugin: Option<Plugin>,
}

impl Greeting {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`Fault::Protocol`] where another protocol is spoken, [`Fault::Malformed`] for what is cut off.
    pub fn parse(payload: &[u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor::new(payload, "greeting");
        let protocol = cursor.u8()?;
        if protocol != 10 {
            return Err(Fault::Protocol(protocol));
        }
        let version = String::from_utf8_lossy(cursor.until_nul()?).into_owned();
        let _connection = cursor.u32()?;
        let mut challenge = cursor.bytes(8)?.to_vec();
        cursor.bytes(1)?;
        let mut capabilities = u32::from(cursor.u16()?);
        let mut plugin = Some(Plugin::Native);
        if !cursor.is_empty() {
            let _charset_and_status = cursor.bytes(3)?;
            capabilities |= u32::from(cursor.u16()?) << 16;
            let length = usize::from(cursor.u8()?);
            cursor.bytes(10)?;
            if capabilities & capability::SECURE_CONNECTION != 0 {
                // The documentation: max(13, length of all - 8).
                challenge.extend_from_slice(cursor.bytes(length.saturating_sub(8).max(13))?);
                challenge.truncate(without_end(&challenge).len());
            }
            if capabilities & capability::PLUGIN_AUTH != 0 {
                // Some servers forget the NUL at the end.
                let name = cursor.rest().split(|byte| *byte == 0).next().unwrap_or_default();
                plugin = Plugin::from_name(name);
            }
        }
        if capabilities & capability::PROTOCOL_41 == 0 {
            return Err(Fault::OldPassword);
        }
        let dialect = if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
        let version = match version.strip_prefix("5.5.5-") {
            Some(own) if dialect == Dialect::MariaDb => own.to_owned(),
            _ => version,
        };
        Ok(Self { version, dialect, capabilities, challenge, plugin })
    }

    /// The numbers of its version, as far as there are any: `(8, 0, 22)`.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32, u32) {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// Whether TLS can begin.
    #[must_use]
    pub fn offers_tls(&self) -> bool {
        self.capabilities & capability::SSL != 0
    }
}
