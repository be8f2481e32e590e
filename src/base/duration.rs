//! Durations as people write them: a number of seconds, or `"2h30m"`.

use std::time::Duration;

/// Reads `"180d"`, `"2h30m"`, `"1.5s"`, `"250ms"` or a bare number of seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(rest.len());
        let factor = match &rest[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return None,
        };
        total += number * factor;
        rest = rest[unit_end..].trim_start();
    }
    from_seconds(total)
}

/// A thousand years: added to the time of any clock it is still a time.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 86_400);

/// Seconds to a duration; none if negative, not finite or beyond the longest.
pub fn from_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|d| *d <= LONGEST)
}

/// A duration for people: `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 1 min`.
pub fn human(d: Duration) -> String {
    let seconds = d.as_secs();
    match seconds {
        0 => format!("{} ms", d.as_millis()),
        1..60 => format!("{:.1} s", d.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [("180d", 15_552_000.0), ("2h30m", 9000.0), ("90", 90.0), ("1.5s", 1.5), ("250ms", 0.25), ("1h 5s", 3605.0)]
        {
            assert_eq!(parse(text), from_seconds(seconds), "{text}");
        }
        for text in ["", "h", "3 parsecs", "-5", "1h-", "nan", "1e400", "9223372036854775807"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
