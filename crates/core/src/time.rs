//! Event time and processing time: [`Timestamp`], and the [`Clock`] that is the only way to read the machine's time.
//!
//! Owns the one place where the operating system's clock is read, so that everything above it can be
//! replayed under a virtual clock. Must not know windows, watermarks or threads.
//!
//! ```
//! use millstream::time::Timestamp;
//! use std::time::Duration;
//!
//! let noon = Timestamp::parse("2013-01-01T12:00:00Z")?;
//! assert_eq!(noon + Duration::from_secs(60), Timestamp::from_secs(1_357_041_660));
//! # Ok::<(), millstream::Error>(())
//! ```

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, within Beam's bounds.
///
/// Arithmetic saturates at [`Timestamp::MIN`] and [`Timestamp::MAX`], which stand for "before" and
/// "after everything". Source: Beam's `BoundedWindow.TIMESTAMP_MIN_VALUE` and `TIMESTAMP_MAX_VALUE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The least timestamp, before all data.
    pub const MIN: Self = Self(-9_223_372_036_854_775_000);
    /// The greatest timestamp; a watermark here says that no more data will come.
    pub const MAX: Self = Self(9_223_372_036_854_775_000);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The timestamp `micros` microseconds after the epoch, cut to the bounds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// The timestamp `millis` milliseconds after the epoch, cut to the bounds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        // One comparison in the common case: sources call this for every record.
        if millis.unsigned_abs() <= Self::MAX.0.unsigned_abs() / 1_000 {
            Self(millis * 1_000)
        } else {
            Self::from_micros(millis.saturating_mul(1_000))
        }
    }

    /// The timestamp `secs` seconds after the epoch, cut to the bounds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Reads an RFC 3339 timestamp such as `2013-01-01T10:00:00Z`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the text is no RFC 3339 timestamp.
    pub fn parse(text: &str) -> Result<Self> {
        text.parse::<jiff::Timestamp>()
            .map(|stamp| Self::from_micros(stamp.as_microsecond()))
            .map_err(|cause| Error::invalid(format!("{text:?} is no RFC 3339 timestamp"), cause))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This timestamp moved by `micros`, cut to the bounds.
    #[must_use]
    pub const fn saturating_add_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The time from `earlier` to this one; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// A duration in microseconds, cut to what a [`Timestamp`] can be moved by.
#[must_use]
pub fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.saturating_add_micros(duration_micros(duration))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        self.saturating_add_micros(-duration_micros(duration))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => formatter.write_str("-inf"),
            Self::MAX => formatter.write_str("+inf"),
            Self(micros) => match jiff::Timestamp::from_microsecond(micros) {
                Ok(stamp) => write!(formatter, "{stamp}"),
                Err(_) => write!(formatter, "{micros}us"),
            },
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Where processing time comes from: the machine in production, a script in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current processing time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, which never runs backwards within one process.
#[derive(Debug, Clone)]
pub struct SystemClock {
    started: std::time::Instant,
    started_at: Timestamp,
}

impl SystemClock {
    /// A clock set to the machine's wall time now and advanced by its monotonic clock.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn new() -> Self {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self { started: std::time::Instant::now(), started_at: Timestamp::EPOCH + since_epoch }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { micros: Arc::new(AtomicI64::new(now.as_micros())) }
    }

    /// Moves the clock to `now`; a time in the past is ignored.
    pub fn advance_to(&self, now: Timestamp) {
        self.micros.fetch_max(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock on by `duration`.
    pub fn advance(&self, duration: Duration) {
        self.advance_to(self.now() + duration);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_the_bounds() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn text_and_back_is_the_same_instant() {
        let at = Timestamp::parse("2013-01-01T10:00:00.25Z").unwrap();
        assert_eq!(at.to_string(), "2013-01-01T10:00:00.25Z");
        assert!(Timestamp::parse("yesterday").is_err());
        assert_eq!(Timestamp::MAX.to_string(), "+inf");
    }

    #[test]
    fn a_manual_clock_never_runs_backwards() {
        let clock = ManualClock::at(Timestamp::from_secs(5));
        clock.advance_to(Timestamp::from_secs(3));
        assert_eq!(clock.now(), Timestamp::from_secs(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_secs(6));
    }
}
