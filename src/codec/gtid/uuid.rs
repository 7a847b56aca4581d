//! The name that a MySQL server gives itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::GtidFault;

/// `@@server_uuid`
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uuid(pub [u8; 16]);

/// Where a hyphen stands in the text.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl FromStr for Uuid {
    type Err = GtidFault;

    /// Reads `3e11fa47-71ca-11e1-9e33-c80aa9429562`, in either case.
    fn from_str(text: &str) -> Result<Self, GtidFault> {
        let text = text.as_bytes();
        if text.len() != 36 || HYPHENS.iter().any(|at| text[*at] != b'-') {
            return Err(GtidFault::Uuid);
        }
        let mut digits = text.iter().enumerate().filter(|(at, _)| !HYPHENS.contains(at)).map(|(_, digit)| *digit);
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            for _ in 0..2 {
                let digit = digits.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(GtidFault::Uuid)?;
                *byte = (*byte << 4) | u8::try_from(digit).map_err(|_| GtidFault::Uuid)?;
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Uuid {
    type Error = GtidFault;

    fn try_from(text: String) -> Result<Self, GtidFault> {
        text.parse()
    }
}

impl From<Uuid> for String {
    fn from(uuid: Uuid) -> Self {
        uuid.to_string()
    }
}
