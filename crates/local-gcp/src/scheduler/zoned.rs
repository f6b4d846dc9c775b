//! [`Zoned`]: the instants of wall-clock times in a time zone, over clock changes.
//!
//! Google's documentation says that jobs run by the clock on the wall and that a clock change may make a job "run or not run
//! unexpectedly", without saying how. Here the rule is that of the unix cron whose patterns Cloud Scheduler takes, cron(8):
//!
//! - A job that repeats through the day (minute or hour starts with `*`) is due whenever the wall shows one of its times: not at
//!   times that are skipped, twice at times that are shown twice.
//! - A job at fixed times is due once a day for each: times that are skipped are due, together, at the instant of the change;
//!   times that are shown twice are due the first time.
//! - A change of three hours or more is no clock change but a change of date line or ruler: the clock on the wall simply counts.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;

/// Below this a change of the offset is one of the clocks.
const CLOCK_CHANGE_SECONDS: i32 = 3 * 3_600;
/// Clock changes looked through: many more than there are in the decades that [`Cron`] looks at.
const TRANSITIONS_SEARCHED_MAX: usize = 1_000;

/// Wall-clock times in a time zone.
#[derive(Clone, Debug)]
pub(super) struct Zoned {
    pub(super) cron: Cron,
    pub(super) zone: TimeZone,
}

impl Zoned {
    /// The first instant after `now` that is due.
    pub(super) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let mut from = now.checked_add(Duration::from_nanos(1)).ok()?;
        for _ in 0..TRANSITIONS_SEARCHED_MAX {
            let offset = self.zone.to_offset(from);
            let wall = self.first_wall_time(from, offset);
            let due = offset.to_timestamp(self.cron.at_or_after(wall)?).ok()?;
            let Some(change) = self.zone.following(from).next() else { return Some(due) };
            if due < change.timestamp() {
                return Some(due);
            }
            if self.is_due_at_change(change.timestamp(), offset, change.offset()) {
                return Some(change.timestamp());
            }
            from = change.timestamp();
        }
        None
    }

    /// The wall-clock time from which on times count at `from`; for fixed times it is the end of what the wall shows twice.
    fn first_wall_time(&self, from: Timestamp, offset: Offset) -> DateTime {
        let wall = offset.to_datetime(from);
        let before = from.checked_add(Duration::from_nanos(1)).unwrap_or(from);
        let Some(change) = self.zone.preceding(before).next() else { return wall };
        let Ok(earlier) = change.timestamp().checked_sub(SignedDuration::from_nanos(1)) else {
            return wall;
        };
        let former = self.zone.to_offset(earlier);
        if self.is_handled(former, offset) && former > offset {
            wall.max(former.to_datetime(change.timestamp()))
        } else {
            wall
        }
    }

    /// Whether a fixed time is among those that the change skips.
    fn is_due_at_change(&self, change: Timestamp, former: Offset, offset: Offset) -> bool {
        let (gone, back) = (former.to_datetime(change), offset.to_datetime(change));
        self.is_handled(former, offset) && self.cron.at_or_after(gone).is_some_and(|due| due < back)
    }

    fn is_handled(&self, former: Offset, offset: Offset) -> bool {
        let change = offset.seconds() - former.seconds();
        !self.cron.is_repeating() && change.abs() < CLOCK_CHANGE_SECONDS
    }
}
