//! Durations and sizes as people write them: `"500ms"`, `"2s"`, `"5m"`, `"1h"`; `"64KiB"`, `"10MiB"`.

use std::time::Duration;

/// The longest duration that may be written: a year.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a text is no duration or no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is no whole number in front.
    #[error("no whole number in front of the unit")]
    Number,
    /// The unit is missing or unknown.
    #[error("unit missing or unknown")]
    Unit,
    /// The value is more than can be held.
    #[error("too large")]
    TooLarge,
}

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`; at most [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(UnitError::Unit),
    };
    let duration = Duration::from_millis(number.checked_mul(millis_per_unit).ok_or(UnitError::TooLarge)?);
    if duration > LONGEST { Err(UnitError::TooLarge) } else { Ok(duration) }
}

/// Reads a size in bytes: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, or no unit for bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let bytes_per_unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(UnitError::Unit),
    };
    number.checked_mul(bytes_per_unit).ok_or(UnitError::TooLarge)
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(UnitError::Number);
    }
    let (number, unit) = text.split_at(digits);
    Ok((number.parse().map_err(|_| UnitError::TooLarge)?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("8760h"), Ok(LONGEST));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5s", " 1s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["2", "2 s", "2d", "2S", "1h30m", "2s "] {
            assert_eq!(parse_duration(text), Err(UnitError::Unit), "{text}");
        }
        for text in ["8761h", "18446744073709551615h", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), Err(UnitError::TooLarge), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("512B"), Ok(512));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        assert_eq!(parse_size("KiB"), Err(UnitError::Number));
        for text in ["1KB", "1k", "1 MiB", "1.5MiB"] {
            assert_eq!(parse_size(text), Err(UnitError::Unit), "{text}");
        }
        assert_eq!(parse_size("99999999999GiB"), Err(UnitError::TooLarge));
    }
}
