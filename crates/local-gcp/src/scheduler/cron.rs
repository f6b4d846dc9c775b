//! [`Cron`]: which wall-clock times a pattern names; knows no time zone.

use jiff::Span;
use jiff::civil::{Date, DateTime};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Days looked at for the next one that a pattern names. Weekdays and leap years repeat every 28 years, every 40 around a
/// century without a leap day; what is not due within that is never due.
const DAYS_SEARCHED_MAX: usize = 41 * 366;

/// The wall-clock times of a schedule: times of the day, on the days that it names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cron {
    /// Seconds since midnight, ascending, never empty.
    times: Vec<u32>,
    days: Days,
    /// Whether the schedule repeats through the day instead of naming fixed times.
    is_repeating: bool,
}

/// The days of a schedule, as sets of bits.
#[derive(Clone, Debug, PartialEq)]
struct Days {
    of_month: u64,
    months: u64,
    of_week: u64,
    /// Both day fields are restricted: a day needs to match one of them only.
    either: bool,
}

impl Cron {
    /// Reads five fields, or six with seconds first.
    ///
    /// The patterns are those of unix cron: numbers, `*`, ranges, lists, steps, and the English names of months and weekdays in
    /// any case. What some crons add to that (`L`, `W`, `#`, `?`, `@daily`) is refused, as Cloud Scheduler does.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut fields: Vec<&str> = pattern.split_whitespace().collect();
        let seconds = if fields.len() == 6 { field(fields.remove(0), 0, 59, &[])? } else { 1 };
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("it has {} fields instead of five", fields.len()));
        };
        let (minutes, hours) = (field(minute, 0, 59, &[])?, field(hour, 0, 23, &[])?);
        let of_week = field(weekday, 0, 7, &WEEKDAYS)?;
        let days = Days {
            of_month: field(day, 1, 31, &[])?,
            months: field(month, 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            of_week: (of_week | of_week >> 7) & 0x7f,
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        let is_repeating = minute.starts_with('*') || hour.starts_with('*');
        Ok(Self { times: times(seconds, minutes, hours), days, is_repeating })
    }

    /// Every day, from one time to another, so many minutes apart.
    pub(super) fn within_days(first: u32, last: u32, minutes: u32) -> Self {
        let step = usize::try_from(minutes * 60).unwrap_or(usize::MAX).max(1);
        let days = Days { of_month: !0, months: !0, of_week: !0, either: false };
        Self { times: (first..=last).step_by(step).collect(), days, is_repeating: true }
    }

    /// Whether the schedule repeats through the day (the minute or the hour starts with `*`) instead of naming fixed times.
    pub(super) fn is_repeating(&self) -> bool {
        self.is_repeating
    }

    /// The first time named that is not before `from`; `None` when there is none any more.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        // Times are whole seconds.
        let from = match from.subsec_nanosecond() {
            0 => from,
            _ => from
                .checked_add(Span::new().seconds(1))
                .ok()?
                .with()
                .subsec_nanosecond(0)
                .build()
                .ok()?,
        };
        let mut date = from.date();
        if self.days.contain(date)
            && let Some(time) = self.time_from(seconds_of(from))
        {
            return at(date, time);
        }
        for _ in 0..DAYS_SEARCHED_MAX {
            date = date.tomorrow().ok()?;
            if self.days.contain(date) {
                return at(date, self.times[0]);
            }
        }
        None
    }

    fn time_from(&self, seconds: u32) -> Option<u32> {
        self.times.get(self.times.partition_point(|&time| time < seconds)).copied()
    }
}

impl Days {
    fn contain(&self, date: Date) -> bool {
        let has = |bits: u64, number: i8| bits >> number & 1 == 1;
        let of_month = has(self.of_month, date.day());
        let of_week = has(self.of_week, date.weekday().to_sunday_zero_offset());
        let day = if self.either { of_month || of_week } else { of_month && of_week };
        day && has(self.months, date.month())
    }
}

fn seconds_of(at: DateTime) -> u32 {
    let [hour, minute, second] = [at.hour(), at.minute(), at.second()].map(i8::unsigned_abs);
    (u32::from(hour) * 60 + u32::from(minute)) * 60 + u32::from(second)
}

fn at(date: Date, seconds: u32) -> Option<DateTime> {
    date.to_datetime(jiff::civil::Time::midnight()).checked_add(Span::new().seconds(seconds)).ok()
}

fn times(seconds: u64, minutes: u64, hours: u64) -> Vec<u32> {
    let numbers = |bits: u64| (0..60_u32).filter(move |number| bits >> number & 1 == 1);
    let minutes = || numbers(minutes).map(|minute| minute * 60);
    let of_hour = |hour: u32| minutes().map(move |minute| hour * 3_600 + minute);
    let of_day = numbers(hours).flat_map(of_hour);
    of_day.flat_map(|minute| numbers(seconds).map(move |second| minute + second)).collect()
}

/// The numbers that a field names, as bits.
fn field(text: &str, first: u32, last: u32, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for item in text.split(',') {
        bits |= item_bits(item, first, last, names)
            .ok_or_else(|| format!("{item:?} is not within {first}-{last}"))?;
    }
    Ok(bits)
}

fn item_bits(item: &str, first: u32, last: u32, names: &[&str]) -> Option<u64> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(number(step).filter(|&step| step > 0)?)),
        None => (item, None),
    };
    let value = |text: &str| named(text, first, names).or_else(|| number(text));
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (first, last),
        Some((from, to)) => (value(from)?, value(to)?),
        // A step without a range has nothing to step through.
        None if step.is_some() => return None,
        None => (value(range)?, value(range)?),
    };
    let fits = first <= from && from <= to && to <= last;
    let step = usize::try_from(step.unwrap_or(1)).ok()?;
    fits.then(|| (from..=to).step_by(step).fold(0, |bits, number| bits | 1 << number))
}

fn named(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    let position = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    u32::try_from(position).ok().map(|position| position + first)
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(pattern: &str, from: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(pattern).unwrap();
        let after =
            |at: DateTime| cron.at_or_after(at.checked_add(Span::new().seconds(1)).unwrap());
        let first = cron.at_or_after(from.parse().unwrap());
        std::iter::successors(first, |&at| after(at)).take(count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn names_ranges_lists_and_steps_are_read() {
        for (one, other) in [
            ("0 0 * jan-MAR mon", "0 0 * 1-3 1"),
            ("*/20 * * * *", "0,20,40 * * * *"),
            ("5-59/20 1-3,7 * * *", "5,25,45 1,2,3,7 * * *"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * FRI-SAT,SUN", "0 0 * * 5-7"),
        ] {
            let read = |pattern| {
                let mut cron = Cron::parse(pattern).unwrap();
                cron.is_repeating = false;
                cron
            };
            assert_eq!(read(one), read(other));
        }
    }

    #[test]
    fn what_is_no_unix_cron_is_refused() {
        for wrong in [
            "",
            "* * * *",
            "* * * * * * *",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 0 *",
            "* * * 13 *",
            "* * * * 8",
            "a * * * *",
            "*/0 * * * *",
            "5/10 * * * *",
            "10-5 * * * *",
            "* * L * *",
            "* * * * 5#2",
            "* * ? * *",
            "1,,2 * * * *",
            "-1 * * * *",
            "1- * * * *",
            "+1 * * * *",
            "* * * * MONDAY",
            "* * JAN * *",
        ] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_restricted_day_fields_are_alternatives() {
        assert_eq!(
            next("0 0 1 * SAT", "2024-06-01T00:00:00", 4), // a Saturday
            [
                "2024-06-01T00:00:00",
                "2024-06-08T00:00:00",
                "2024-06-15T00:00:00",
                "2024-06-22T00:00:00"
            ]
        );
        assert_eq!(
            next("0 0 13 * FRI", "2024-09-12T00:00:00", 4),
            [
                "2024-09-13T00:00:00",
                "2024-09-20T00:00:00",
                "2024-09-27T00:00:00",
                "2024-10-04T00:00:00"
            ]
        );
        // A field with a star restricts beside the other.
        assert_eq!(
            next("0 0 */10 * SAT", "2024-06-01T00:00:00", 2),
            ["2024-06-01T00:00:00", "2024-08-31T00:00:00"]
        );
    }

    #[test]
    fn months_differ_in_length_and_years_end() {
        assert_eq!(
            next("0 0 31 * *", "2023-12-31T00:00:01", 4),
            [
                "2024-01-31T00:00:00",
                "2024-03-31T00:00:00",
                "2024-05-31T00:00:00",
                "2024-07-31T00:00:00"
            ]
        );
        assert_eq!(
            next("0 12 29 2 *", "2023-01-01T00:00:00", 2),
            ["2024-02-29T12:00:00", "2028-02-29T12:00:00"]
        );
        // No leap day in 2100: eight years without one.
        assert_eq!(next("0 0 29 2 *", "2097-01-01T00:00:00", 1), ["2104-02-29T00:00:00"]);
        assert_eq!(
            next("59 23 31 12 *", "2024-12-31T23:58:30", 2),
            ["2024-12-31T23:59:00", "2025-12-31T23:59:00"]
        );
        assert_eq!(next("* * * * *", "2024-12-31T23:59:00.5", 1), ["2025-01-01T00:00:00"]);
        assert!(next("0 0 31 2 *", "2024-01-01T00:00:00", 1).is_empty());
    }
}
