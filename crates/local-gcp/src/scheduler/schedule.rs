//! When a job is due: pure arithmetic on instants.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::cron::Cron;
use super::english::{self, Interval};
use super::error::{Error, Result};
use super::zoned::Zoned;
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
    AfterRun { micros: i64 },
    Wall { text: String, zoned: Box<Zoned> },
}

impl Schedule {
    /// Due at every multiple of `interval` since the Unix epoch, so that a restart keeps the beat.
    ///
    /// # Errors
    /// When the interval is below a millisecond or above a century.
    pub fn every(interval: Duration) -> Result<Self> {
        Ok(Self(Kind::Every { micros: micros(interval)? }))
    }

    /// Due `interval` after the end of the previous run.
    ///
    /// # Errors
    /// When the interval is below a millisecond or above a century.
    pub fn after_run(interval: Duration) -> Result<Self> {
        Ok(Self(Kind::AfterRun { micros: micros(interval)? }))
    }

    /// Due by a cron pattern of five fields (or six, seconds first), in a time zone of the IANA database.
    ///
    /// Over clock changes it follows unix cron: a fixed time that is skipped is due right at the change, and one that occurs
    /// twice is due once, the first time. A pattern that repeats through the day, its minute or hour starting with `*`, is due
    /// whenever the clock on the wall shows one of its times.
    ///
    /// # Errors
    /// When the pattern does not parse or the time zone is unknown.
    pub fn cron(pattern: &str, time_zone: &str) -> Result<Self> {
        let cron = Cron::parse(pattern).map_err(|problem| cron_error(pattern, problem))?;
        Self::wall(pattern, cron, time_zone)
    }

    /// Due as Cloud Scheduler reads a job's `schedule` and `time_zone`: unix cron of five fields, or `every N minutes` (or
    /// `hours`) after the end of the previous run, `every N minutes from 10:00 to 14:00`, `every N hours synchronized`.
    /// No time zone means UTC. The first run after an interval in words is one interval after the job was made.
    ///
    /// # Errors
    /// When the schedule does not parse or the time zone is unknown. Of App Engine's syntax, days (`every monday 09:00`) are
    /// not understood.
    pub fn parse(schedule: &str, time_zone: &str) -> Result<Self> {
        let time_zone = if time_zone.is_empty() { "Etc/UTC" } else { time_zone };
        match english::parse(schedule) {
            None if schedule.split_whitespace().count() != 5 => {
                Err(cron_error(schedule, "it has not five fields".to_owned()))
            }
            None => Self::cron(schedule, time_zone),
            Some(Err(problem)) => Err(cron_error(schedule, problem)),
            Some(Ok(Interval::AfterRun(interval))) => {
                zone(time_zone)?;
                Self::after_run(interval)
            }
            Some(Ok(Interval::Within(cron))) => Self::wall(schedule, cron, time_zone),
        }
    }

    fn wall(text: &str, cron: Cron, time_zone: &str) -> Result<Self> {
        let zoned = Box::new(Zoned { cron, zone: zone(time_zone)? });
        Ok(Self(Kind::Wall { text: text.to_owned(), zoned }))
    }

    /// The first instant after `now` at which the job is due; `None` when it never is again. Where the schedule counts from the
    /// end of a run, `now` is that end.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Every { micros } => {
                let passed = now.as_micros().div_euclid(*micros);
                passed.checked_add(1)?.checked_mul(*micros).map(Timestamp::from_micros)
            }
            Kind::AfterRun { micros } => {
                now.as_micros().checked_add(*micros).map(Timestamp::from_micros)
            }
            Kind::Wall { zoned, .. } => {
                let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
                let next = zoned.next_after(now)?;
                Some(Timestamp::from_micros(next.as_microsecond()))
            }
        }
    }

    /// Whether the next run counts from the end of this one.
    pub(super) fn is_after_run(&self) -> bool {
        matches!(self.0, Kind::AfterRun { .. })
    }

    /// How often the job is due after `start` up to and including `end`.
    pub(super) fn count_between(&self, start: Timestamp, end: Timestamp) -> u64 {
        match &self.0 {
            Kind::Every { micros } => {
                let beats = |at: Timestamp| at.as_micros().div_euclid(*micros);
                return u64::try_from(beats(end) - beats(start)).unwrap_or(0);
            }
            Kind::AfterRun { .. } => return 0,
            Kind::Wall { .. } => {}
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

    /// The schedule and the time zone as a job of the API has them.
    pub(super) fn as_fields(&self) -> (String, String) {
        let every = |micros: i64| match micros {
            whole if whole % 60_000_000 == 0 => format!("every {} minutes", whole / 60_000_000),
            other => format!("every {:?}", Duration::from_micros(other.unsigned_abs())),
        };
        match &self.0 {
            Kind::Every { micros } | Kind::AfterRun { micros } => {
                (every(*micros), "Etc/UTC".to_owned())
            }
            Kind::Wall { text, zoned } => {
                (text.clone(), zoned.zone.iana_name().unwrap_or("Etc/UTC").to_owned())
            }
        }
    }
}

fn micros(interval: Duration) -> Result<i64> {
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err(Error::Interval { interval });
    }
    i64::try_from(interval.as_micros()).map_err(|_| Error::Interval { interval })
}

fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name)
        .map_err(|error| Error::TimeZone { name: name.to_owned(), source: error.into() })
}

fn cron_error(pattern: &str, problem: String) -> Error {
    Error::Cron { pattern: pattern.to_owned(), source: problem.into() }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Every { micros } => {
                write!(f, "every {:?}", Duration::from_micros(micros.unsigned_abs()))
            }
            Kind::AfterRun { micros } => {
                write!(f, "{:?} after each run", Duration::from_micros(micros.unsigned_abs()))
            }
            Kind::Wall { text, zoned } => {
                write!(f, "{text} {}", zoned.zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}
