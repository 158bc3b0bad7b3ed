//! Moments and lengths of time as people write them, at the terminal and in forms.

use std::str::FromStr;
use std::time::Duration;

use super::Timestamp;

/// A moment as people write it: so long from now (`8h`, `3d`), a moment of UTC (`2026-12-01T09:00Z`), or seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So many seconds from now.
    In(u64),
    /// In seconds since 1970.
    At(u64),
}

impl Moment {
    /// In seconds since 1970.
    #[must_use]
    pub fn seconds(self, now: Timestamp) -> u64 {
        match self {
            Self::In(seconds) => now.seconds().saturating_add(seconds),
            Self::At(seconds) => seconds,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self::At(seconds));
        }
        let whole = text.strip_suffix('Z').into_iter();
        let mut whole = whole.flat_map(|start| ["", ".000", ":00.000"].map(|rest| format!("{start}{rest}Z")));
        if let Some(at) = whole.find_map(|text| Timestamp::parse(&text)) {
            return Ok(Self::At(at.seconds()));
        }
        duration(text).map(|long| Self::In(long.as_secs())).map_err(|_| {
            "give a time from now with m, h or d (8h), or a moment of UTC (2026-12-01T09:00Z)".to_owned()
        })
    }
}

/// `90d`, `24h`, `30m`.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a whole number with m, h or d, such as 24h".to_owned();
    let seconds = match text.chars().next_back() {
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number = text.get(..text.len() - 1).unwrap_or_default();
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: Option<u64> = number.parse().ok().filter(|_| plain);
    let whole = number.and_then(|number| number.checked_mul(seconds));
    whole.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_people_say_it() {
        for (text, means) in [
            ("8h", Moment::In(28_800)),
            ("3d", Moment::In(259_200)),
            ("2026-12-01T09:00Z", Moment::At(1_796_115_600)),
            ("2026-12-01T09:00:00Z", Moment::At(1_796_115_600)),
            ("2026-12-01T09:00:00.000Z", Moment::At(1_796_115_600)),
            ("1796115600", Moment::At(1_796_115_600)),
        ] {
            assert_eq!(text.parse(), Ok(means), "{text}");
        }
        for wrong in [
            "",
            "tomorrow",
            "8x",
            "2026-12-01",
            "2026-13-01T09:00Z",
            "-8h",
            "Z",
        ] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0m"), Ok(Duration::ZERO));
        for wrong in [
            "",
            "d",
            "7",
            "-1d",
            "+1d",
            "1.5h",
            "1 d",
            "1w",
            "99999999999999999999d",
            "12é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
