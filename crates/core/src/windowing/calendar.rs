//! Windows of whole days, weeks, months or years: [`CalendarWindows`].
//!
//! Owns the proleptic Gregorian calendar as far as windows need it, for every [`Timestamp`]. Days are counted at
//! a fixed offset from UTC: daylight saving time is not followed.

use crate::time::Timestamp;
use crate::windowing::window::Window;
use crate::windowing::window_fn::WindowFn;

const SECOND_MICROS: i64 = 1_000_000;
const DAY_MICROS: i64 = 86_400 * SECOND_MICROS;

/// The Monday of the week of 1970-01-01, in days since that day.
const FIRST_MONDAY: Date = Date { year: 1969, month: 12, day: 29 };
const EPOCH: Date = Date { year: 1970, month: 1, day: 1 };

/// The latest day that every month has.
const LAST_COMMON_DAY: u8 = 28;

/// Largest distance from UTC, in seconds; the widest in use is 14 hours.
const UTC_OFFSET_MAX_S: i32 = 18 * 3_600;

/// Windows of a number of days, weeks, months or years.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{CalendarWindows, Window, WindowFn};
///
/// let months = CalendarWindows::months(1);
/// let mut windows = Vec::new();
/// months.assign(Timestamp::parse("2024-02-29T23:59:59Z")?, &mut windows);
/// let february = Window::new(
///     Timestamp::parse("2024-02-01T00:00:00Z")?,
///     Timestamp::parse("2024-03-01T00:00:00Z")?,
/// );
/// assert_eq!(windows, [february]);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalendarWindows {
    unit: Unit,
    number: u32,
    start: Date,
    utc_offset_s: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl CalendarWindows {
    const fn new(unit: Unit, number: u32, start: Date) -> Self {
        Self { unit, number, start, utc_offset_s: 0 }
    }

    /// Windows of `number` days, counted from 1970-01-01.
    #[must_use]
    pub const fn days(number: u32) -> Self {
        Self::new(Unit::Days, number, EPOCH)
    }

    /// Windows of `number` weeks that start on a Monday, counted from 1969-12-29.
    #[must_use]
    pub const fn weeks(number: u32) -> Self {
        Self::new(Unit::Weeks, number, FIRST_MONDAY)
    }

    /// Windows of `number` months that start on the first, counted from January 1970.
    #[must_use]
    pub const fn months(number: u32) -> Self {
        Self::new(Unit::Months, number, EPOCH)
    }

    /// Windows of `number` years that start on 1 January, counted from 1970.
    #[must_use]
    pub const fn years(number: u32) -> Self {
        Self::new(Unit::Years, number, EPOCH)
    }

    /// Makes one of the windows start on this date; the others follow before and behind it.
    ///
    /// The day also moves the start of weeks to another weekday, of months to another day of the month
    /// (28 at most), and of years to another day of the year.
    #[must_use]
    pub const fn starting_on(self, year: i32, month: u8, day: u8) -> Self {
        Self { start: Date { year, month, day }, ..self }
    }

    /// Counts days at a fixed distance from UTC, in seconds; positive to the east.
    #[must_use]
    pub const fn with_utc_offset_secs(self, seconds: i32) -> Self {
        Self { utc_offset_s: seconds, ..self }
    }

    /// First day of the window of `day`, and first day behind it.
    fn days_around(&self, day: i64) -> (i64, i64) {
        let number = i64::from(self.number.max(1));
        match self.unit {
            Unit::Days => step_around(day, days_from_civil(self.start), number, |day| day),
            Unit::Weeks => step_around(day, days_from_civil(self.start), 7 * number, |day| day),
            Unit::Months => self.months_around(day, number),
            Unit::Years => self.months_around(day, 12 * number),
        }
    }

    fn months_around(&self, day: i64, number: i64) -> (i64, i64) {
        let start_day = i64::from(self.start.day);
        let first = i64::from(self.start.year) * 12 + i64::from(self.start.month) - 1;
        let (year, month, day_of_month) = civil_from_days(day);
        let begun = i64::from(day_of_month >= start_day);
        step_around(year * 12 + month - 2 + begun, first, number, |month| {
            days_of(month.div_euclid(12), month.rem_euclid(12) + 1, start_day)
        })
    }

    /// The instant at which `day` begins, in microseconds.
    fn micros_of(&self, day: i64) -> i64 {
        let local = i128::from(day) * i128::from(DAY_MICROS);
        let utc = local - i128::from(self.utc_offset_s) * i128::from(SECOND_MICROS);
        i64::try_from(utc).unwrap_or(if utc < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The step of a regular count that holds `at`: its start and the next one's, in days.
fn step_around(at: i64, first: i64, number: i64, to_days: impl Fn(i64) -> i64) -> (i64, i64) {
    let start = first + (at - first).div_euclid(number) * number;
    (to_days(start), to_days(start + number))
}

fn days_from_civil(date: Date) -> i64 {
    days_of(i64::from(date.year), i64::from(date.month), i64::from(date.day))
}

/// Days from 1970-01-01 to a date. A year is counted from March, so that the leap day is its last;
/// 400 years have 146,097 days, and 719,468 lie between 0000-03-01 and 1970-01-01.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + day_of_year - 719_468
}

/// Year, month and day of the month of a day counted from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl WindowFn for CalendarWindows {
    fn name(&self) -> &'static str {
        "CalendarWindows"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let utc = timestamp.min(Window::GLOBAL.max_timestamp()).as_micros();
        let local = utc.saturating_add(i64::from(self.utc_offset_s) * SECOND_MICROS);
        let (start, end) = self.days_around(local.div_euclid(DAY_MICROS));
        windows.push(Window::cut(self.micros_of(start), self.micros_of(end)));
    }

    fn fingerprint(&self) -> String {
        let Self { unit, number, start: Date { year, month, day }, utc_offset_s } = self;
        let unit = format!("{unit:?}").to_lowercase();
        format!("calendar({unit}={number},start={year}-{month}-{day},offset={utc_offset_s}s)")
    }

    fn validate(&self) -> Result<(), String> {
        if self.number == 0 {
            return Err("calendar windows must be at least one unit long".to_owned());
        }
        let Date { year, month, day } = self.start;
        let start = (i64::from(year), i64::from(month), i64::from(day));
        let exists =
            (1..=12).contains(&month) && civil_from_days(days_from_civil(self.start)) == start;
        if !exists {
            return Err(format!(
                "calendar windows cannot start on {year}-{month}-{day}: no such date"
            ));
        }
        let counts_months = matches!(self.unit, Unit::Months | Unit::Years);
        if counts_months && day > LAST_COMMON_DAY {
            return Err(format!("not every month has a day {day}: start months on 28 at most"));
        }
        if self.utc_offset_s.abs() > UTC_OFFSET_MAX_S {
            return Err(format!("{} s is no offset from UTC", self.utc_offset_s));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn window_of(windows: CalendarWindows, timestamp: &str) -> (String, String) {
        let mut assigned = Vec::new();
        windows.assign(at(timestamp), &mut assigned);
        assert_eq!(assigned.len(), 1);
        assert!(assigned[0].contains(at(timestamp)));
        let day = |timestamp: Timestamp| timestamp.to_string()[..10].to_owned();
        (day(assigned[0].start), day(assigned[0].end))
    }

    fn dates(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn days_and_groups_of_days() {
        let noon = "2014-01-01T12:00:00Z";
        assert_eq!(window_of(CalendarWindows::days(1), noon), dates("2014-01-01", "2014-01-02"));
        let groups = CalendarWindows::days(7).starting_on(1970, 4, 10);
        assert_eq!(window_of(groups, "1970-04-16T23:59:59Z"), dates("1970-04-10", "1970-04-17"));
        assert_eq!(window_of(groups, "1970-04-09T00:00:00Z"), dates("1970-04-03", "1970-04-10"));
    }

    #[test]
    fn weeks_start_on_monday_or_the_weekday_asked_for() {
        let thursday = "2024-02-29T12:00:00Z";
        assert_eq!(
            window_of(CalendarWindows::weeks(1), thursday),
            dates("2024-02-26", "2024-03-04")
        );
        let sundays = CalendarWindows::weeks(1).starting_on(2024, 1, 7);
        assert_eq!(window_of(sundays, thursday), dates("2024-02-25", "2024-03-03"));
    }

    #[test]
    fn months_and_groups_of_months() {
        let months = CalendarWindows::months(1);
        assert_eq!(window_of(months, "2014-12-31T23:59:59Z"), dates("2014-12-01", "2015-01-01"));
        let fives = CalendarWindows::months(7).starting_on(2014, 1, 5);
        assert_eq!(window_of(fives, "2014-01-05T00:00:00Z"), dates("2014-01-05", "2014-08-05"));
        assert_eq!(window_of(fives, "2014-01-04T23:59:59Z"), dates("2013-06-05", "2014-01-05"));
        assert_eq!(window_of(fives, "2015-03-04T00:00:00Z"), dates("2014-08-05", "2015-03-05"));
    }

    #[test]
    fn years_and_groups_of_years() {
        let years = CalendarWindows::years(1);
        assert_eq!(window_of(years, "1969-12-31T23:59:59Z"), dates("1969-01-01", "1970-01-01"));
        let decades = CalendarWindows::years(10).starting_on(2000, 6, 1);
        assert_eq!(window_of(decades, "2010-05-31T00:00:00Z"), dates("2000-06-01", "2010-06-01"));
        assert_eq!(window_of(decades, "1999-12-31T00:00:00Z"), dates("1990-06-01", "2000-06-01"));
    }

    #[test]
    fn days_at_an_offset_from_utc_begin_earlier_or_later() {
        let tokyo = CalendarWindows::days(1).with_utc_offset_secs(9 * 3_600);
        let mut windows = Vec::new();
        tokyo.assign(at("2024-03-01T16:00:00Z"), &mut windows);
        assert_eq!(windows, [Window::new(at("2024-03-01T15:00:00Z"), at("2024-03-02T15:00:00Z"))]);
    }

    #[test]
    fn the_calendar_agrees_with_another_implementation() {
        for days in (-700_000..2_900_000).step_by(97) {
            let date = jiff::civil::date(1970, 1, 1)
                .checked_add(jiff::ToSpan::days(i32::try_from(days).unwrap()))
                .unwrap();
            let expected = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
            assert_eq!(civil_from_days(days), expected);
            assert_eq!(days_of(expected.0, expected.1, expected.2), days);
        }
    }

    #[test]
    fn the_ends_of_time_have_windows_too() {
        for windows in [CalendarWindows::days(1), CalendarWindows::months(u32::MAX)] {
            for timestamp in [Timestamp::MIN, Window::GLOBAL.max_timestamp(), Timestamp::MAX] {
                let mut assigned = Vec::new();
                windows.assign(timestamp, &mut assigned);
                assert!(assigned[0].start < assigned[0].end);
                assert!(assigned[0].contains(timestamp.min(Window::GLOBAL.max_timestamp())));
            }
        }
    }

    #[test]
    fn impossible_calendars_are_reported() {
        assert!(CalendarWindows::days(0).validate().is_err());
        assert!(CalendarWindows::days(1).starting_on(2023, 2, 29).validate().is_err());
        assert!(CalendarWindows::days(1).starting_on(2023, 0, 1).validate().is_err());
        assert!(CalendarWindows::days(1).starting_on(2024, 2, 29).validate().is_ok());
        assert!(CalendarWindows::months(1).starting_on(2024, 1, 31).validate().is_err());
        assert!(CalendarWindows::days(1).with_utc_offset_secs(100_000).validate().is_err());
    }
}
