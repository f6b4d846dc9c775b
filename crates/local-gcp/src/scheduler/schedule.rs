//! When a job is due: pure arithmetic on instants.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

use super::error::{Error, Result};
use crate::clock::Timestamp;

/// Below a millisecond tokio's timers cannot follow.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Missed cron ticks are counted up to this; more only means "very many".
const MISSED_COUNTED_MAX: u64 = 10_000;

/// When a job is due.
///
/// # Example
/// ```
/// use millstream_local_gcp::clock::Timestamp;
/// use millstream_local_gcp::scheduler::Schedule;
///
/// let daily = Schedule::cron("30 2 * * *", "Europe/Berlin")?;
/// let winter = Timestamp::from_secs(1_700_000_000); // 2023-11-14T22:13:20Z
/// assert_eq!(daily.next_after(winter).unwrap().to_string(), "2023-11-15T01:30:00Z");
/// # Ok::<(), millstream_local_gcp::scheduler::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schedule(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Every { micros: i64 },
    Cron { cron: Box<Cron>, zone: TimeZone },
}

impl Schedule {
    /// Due at every multiple of `interval` since the Unix epoch, so that a restart keeps the beat.
    ///
    /// # Errors
    /// When the interval is below a millisecond or above a century.
    pub fn every(interval: Duration) -> Result<Self> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            return Err(Error::Interval { interval });
        }
        let micros =
            i64::try_from(interval.as_micros()).map_err(|_| Error::Interval { interval })?;
        Ok(Self(Kind::Every { micros }))
    }

    /// Due by a cron pattern of five fields (or six, seconds first), in a time zone of the IANA database.
    ///
    /// A local time that a clock change skips is due right after the change; one that occurs twice is due
    /// once, unless the pattern is a repeating one.
    ///
    /// # Errors
    /// When the pattern does not parse or the time zone is unknown.
    pub fn cron(pattern: &str, time_zone: &str) -> Result<Self> {
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser
            .parse(pattern)
            .map_err(|error| Error::Cron { pattern: pattern.to_owned(), source: error.into() })?;
        let zone = TimeZone::get(time_zone).map_err(|error| Error::TimeZone {
            name: time_zone.to_owned(),
            source: error.into(),
        })?;
        Ok(Self(Kind::Cron { cron: Box::new(cron), zone }))
    }

    /// The first instant after `now` at which the job is due; `None` when it never is again.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every { micros } => {
                let passed = now.as_micros().div_euclid(*micros);
                passed.checked_add(1)?.checked_mul(*micros).map(Timestamp::from_micros)
            }
            Kind::Cron { cron, zone } => {
                let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
                let next = cron.find_next_occurrence(&now.to_zoned(zone.clone()), false).ok()?;
                Some(Timestamp::from_micros(next.timestamp().as_microsecond()))
            }
        }
    }

    /// How often the job is due after `start` up to and including `end`.
    pub(super) fn count_between(&self, start: Timestamp, end: Timestamp) -> u64 {
        if let Kind::Every { micros } = &self.0 {
            let beats = |at: Timestamp| at.as_micros().div_euclid(*micros);
            return u64::try_from(beats(end) - beats(start)).unwrap_or(0);
        }
        let mut count = 0;
        let mut at = start;
        while let Some(next) = self.next_after(at)
            && next <= end
            && count < MISSED_COUNTED_MAX
        {
            count += 1;
            at = next;
        }
        count
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Every { micros } => {
                write!(f, "every {:?}", Duration::from_micros(micros.unsigned_abs()))
            }
            Kind::Cron { cron, zone } => {
                write!(f, "{cron} {}", zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}
