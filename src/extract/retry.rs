//! What is tried again, when, and how often.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ureq::http::HeaderMap;

/// How often and after what waits a request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Repetitions after the first attempt.
    pub most: u32,
    /// Wait before the first of them; each later one waits twice as long.
    pub first_wait: Duration,
    /// No wait is longer. A service that asks for more is given up; an address of lines is asked again after this.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { most: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(60) }
    }
}

impl Retries {
    /// The wait after attempt `attempt` (from 0) failed; `asked` is what the endpoint asks for. `None`: no more attempts.
    pub fn wait(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.most || asked.is_some_and(|asked| asked > self.longest_wait) {
            return None;
        }
        let ours = self.first_wait.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(self.longest_wait);
        Some(asked.unwrap_or(ours))
    }
}

/// The time that a `Retry-After` header asks for, where there is one: seconds, or a date as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    wait_until(headers.get("retry-after")?.to_str().ok()?, now)
}

fn wait_until(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(http_date(value)?).saturating_sub(now))
}

/// Seconds since 1970 of a date in HTTP's fixed form.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let &[_, day, month, year, hour, minute, second, "GMT"] = parts.as_slice() else { return None };
    let number = |text: &str, most: u64| text.parse::<u64>().ok().filter(|n| *n <= most);
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year) = (number(day, 31)?, number(year, 9999).filter(|year| *year >= 1970)?);
    // Days since March of the year 0, in which leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    Some(days * 86_400 + number(hour, 23)? * 3600 + number(minute, 59)? * 60 + number(second, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_heed_the_endpoint() {
        let retries = Retries { most: 4, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(5) };
        let waits: Vec<_> = (0..5).map(|attempt| retries.wait(attempt, None).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), None]);
        assert_eq!(retries.wait(0, Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(retries.wait(0, Some(Duration::from_secs(6))), None);
    }

    #[test]
    fn both_forms_of_the_header_are_read() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770); // Python: email.utils.parsedate_to_datetime
        let read = |value| wait_until(value, now).map(|wait| wait.as_secs());
        assert_eq!(read(" 17 "), Some(17));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(read("Thu, 29 Feb 1996 00:00:00 GMT"), Some(825_552_000 - 784_111_770));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0), "past");
        for bad in ["", "-1", "soon", "Sun, 06 Nov 1994", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
