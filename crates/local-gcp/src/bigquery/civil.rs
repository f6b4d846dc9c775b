//! Dates, times and instants: reading and printing them as BigQuery does, and calendar arithmetic.
//!
//! All are plain integers: days since 1970-01-01, microseconds since midnight, microseconds since the
//! epoch (with or without a zone). The calendar is the proleptic Gregorian one, years 1 to 9999.

use jiff::tz::TimeZone;

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// First day that has a DATE: 0001-01-01.
pub(crate) const DATE_MIN: i32 = -719_162;
/// Last day that has a DATE: 9999-12-31.
pub(crate) const DATE_MAX: i32 = 2_932_896;
/// First TIMESTAMP and DATETIME.
pub(crate) const INSTANT_MIN: i64 = DATE_MIN as i64 * DAY;
/// Last TIMESTAMP and DATETIME.
pub(crate) const INSTANT_MAX: i64 = (DATE_MAX as i64 + 1) * DAY - 1;

/// Days since the epoch of a day of the calendar; `None` if there is no such day.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i32> {
    if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    // Years start in March here, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Year, month and day of a day since the epoch.
pub(crate) fn civil_from_days(days: i32) -> (i64, i64, i64) {
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of a month.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day an instant (of no zone) falls on, and the microseconds into it.
pub(crate) fn split_day(micros: i64) -> (i32, i64) {
    let days = i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX);
    (days, micros.rem_euclid(DAY))
}

/// Whether this is a TIMESTAMP (or DATETIME) BigQuery can hold.
pub(crate) fn is_instant(micros: i64) -> bool {
    (INSTANT_MIN..=INSTANT_MAX).contains(&micros)
}

/// A cursor over the text of a date or time.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    /// A number of `min` to `max` digits.
    fn number(&mut self, min: usize, max: usize) -> Option<i64> {
        let digits = self.0.bytes().take(max).take_while(u8::is_ascii_digit).count();
        if digits < min {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().ok()
    }

    fn eat(&mut self, expected: char) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn date(&mut self) -> Option<i32> {
        let year = self.number(4, 4)?;
        self.eat('-')?;
        let month = self.number(1, 2)?;
        self.eat('-')?;
        days_from_civil(year, month, self.number(1, 2)?)
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(1, 2)?;
        self.eat(':')?;
        let minute = self.number(1, 2)?;
        self.eat(':')?;
        let second = self.number(1, 2)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let fraction = if self.eat('.').is_some() { self.fraction()? } else { 0 };
        Some(((hour * 60 + minute) * 60 + second) * SECOND + fraction)
    }

    /// Up to six digits after a point, as microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let before = self.0.len();
        let number = self.number(0, 6).unwrap_or(0);
        let digits = u32::try_from(before - self.0.len()).ok()?;
        Some(number * 10_i64.pow(6 - digits))
    }

    /// Date, then optionally a separator and a time.
    fn datetime(&mut self) -> Option<i64> {
        let day = i64::from(self.date()?) * DAY;
        let rest = self.0;
        let separated = self.eat('T').or_else(|| self.eat('t')).or_else(|| self.eat(' '));
        if separated.is_some() && self.0.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(day + self.time()?);
        }
        self.0 = rest;
        Some(day)
    }
}

/// Reads a whole text with one of the scanner's rules.
fn whole<T>(text: &str, rule: impl FnOnce(&mut Scanner<'_>) -> Option<T>) -> Option<T> {
    let mut scanner = Scanner(text.trim());
    let value = rule(&mut scanner)?;
    scanner.0.is_empty().then_some(value)
}

/// Reads `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    whole(text, |scanner| scanner.date())
}

/// Reads `HH:MM:SS[.FFFFFF]`.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    whole(text, |scanner| scanner.time())
}

/// Reads a date with or without a time, no zone.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    whole(text, |scanner| scanner.datetime())
}

/// Reads an instant: a date, optionally a time, optionally an offset or zone name (UTC if none).
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    parse_timestamp_in(text, &Zone::utc())
}

/// Like [`parse_timestamp`], with the zone of texts that name none.
pub(crate) fn parse_timestamp_in(text: &str, zone: &Zone) -> Option<i64> {
    let mut scanner = Scanner(text.trim());
    let local = scanner.datetime()?;
    let rest = scanner.0.trim_start();
    let instant = match rest {
        "" => zone.to_utc(local)?,
        "Z" | "z" => local,
        offset if offset.starts_with(['+', '-']) => local - parse_offset(offset)?,
        name => Zone::parse(name)?.to_utc(local)?,
    };
    is_instant(instant).then_some(instant)
}

/// Reads `+HH`, `+HH:MM` or `+HHMM` as microseconds east of UTC.
fn parse_offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let minutes = whole(text.get(1..)?, |scanner| {
        let hour = scanner.number(1, 2)?;
        let _ = scanner.eat(':');
        let minute = if scanner.0.is_empty() { 0 } else { scanner.number(2, 2)? };
        (hour <= 14 && minute <= 59).then_some(hour * 60 + minute)
    })?;
    Some(sign * minutes * 60 * SECOND)
}

/// A time zone: a fixed offset or a region of the zone database.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    /// Microseconds east of UTC.
    Offset(i64),
    /// A named region.
    Region(TimeZone),
}

impl Zone {
    /// Coordinated universal time.
    pub(crate) fn utc() -> Self {
        Self::Offset(0)
    }

    /// Reads `UTC`, `+05:30` or `Europe/Paris`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "UTC" | "utc" | "Z" => Some(Self::utc()),
            offset if offset.starts_with(['+', '-']) => parse_offset(offset).map(Self::Offset),
            region => TimeZone::get(region).ok().map(Self::Region),
        }
    }

    /// The local date and time of an instant.
    pub(crate) fn to_local(&self, instant: i64) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(instant + offset),
            Self::Region(zone) => {
                let timestamp = jiff::Timestamp::from_microsecond(instant).ok()?;
                Some(instant + i64::from(zone.to_offset(timestamp).seconds()) * SECOND)
            }
        }
    }

    /// The instant of a local date and time; in a gap, the one after it.
    pub(crate) fn to_utc(&self, local: i64) -> Option<i64> {
        match self {
            Self::Offset(offset) => Some(local - offset),
            Self::Region(zone) => {
                let naive = jiff::Timestamp::from_microsecond(local).ok()?;
                let datetime = TimeZone::UTC.to_datetime(naive);
                let timestamp = zone.to_ambiguous_timestamp(datetime).compatible().ok()?;
                Some(timestamp.as_microsecond())
            }
        }
    }
}

/// `YYYY-MM-DD`.
pub(crate) fn format_date(days: i32) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `HH:MM:SS`, with as many digits of a fraction as it has (`always_micros`: none or six).
pub(crate) fn format_time(micros: i64, always_micros: bool) -> String {
    let seconds = micros / SECOND;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    match micros % SECOND {
        0 => clock,
        fraction if !always_micros && fraction % 1_000 == 0 => {
            format!("{clock}.{:03}", fraction / 1_000)
        }
        fraction => format!("{clock}.{fraction:06}"),
    }
}

/// Date and time with a separator between them.
pub(crate) fn format_datetime(micros: i64, separator: char, always_micros: bool) -> String {
    let (days, time) = split_day(micros);
    format!("{}{separator}{}", format_date(days), format_time(time, always_micros))
}

/// An instant as `CAST(... AS STRING)` prints it, in UTC.
pub(crate) fn format_timestamp(micros: i64) -> String {
    format!("{}+00", format_datetime(micros, ' ', false))
}

/// An instant as seconds since the epoch in the form of a JSON double, as the REST API prints it.
pub(crate) fn format_seconds(micros: i64) -> String {
    if micros == 0 {
        return "0.0".to_owned();
    }
    let digits = micros.unsigned_abs().to_string();
    let exponent = digits.len() as i64 - 7;
    let significant = digits.trim_end_matches('0');
    let (first, rest) = significant.split_at(1);
    let rest = if rest.is_empty() { "0" } else { rest };
    let sign = if micros < 0 { "-" } else { "" };
    if exponent == 0 {
        format!("{sign}{first}.{rest}")
    } else {
        format!("{sign}{first}.{rest}E{exponent}")
    }
}

/// Reads the packed integer form of TIME and DATETIME that the Storage API takes: bit fields for microseconds
/// (20), second (6), minute (6), hour (5), day (5), month (4) and year.
pub(crate) fn unpack_time(packed: i64) -> Option<i64> {
    let field = |shift: u32, bits: u32| (packed >> shift) & ((1 << bits) - 1);
    let (micros, second, minute, hour) = (field(0, 20), field(20, 6), field(26, 6), field(32, 5));
    let valid = packed >= 0 && packed >> 37 == 0;
    let valid = valid && micros < SECOND && second <= 59 && minute <= 59 && hour <= 23;
    valid.then_some(((hour * 60 + minute) * 60 + second) * SECOND + micros)
}

/// See [`unpack_time`].
pub(crate) fn unpack_datetime(packed: i64) -> Option<i64> {
    let time = unpack_time(packed & ((1 << 37) - 1))?;
    let (day, month, year) = ((packed >> 37) & 31, (packed >> 42) & 15, packed >> 46);
    Some(i64::from(days_from_civil(year, month, day)?) * DAY + time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_survives_the_calendar() {
        for days in (DATE_MIN..=DATE_MAX).step_by(37).chain([DATE_MIN, -1, 0, 59, 60, DATE_MAX]) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), Some(days));
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(days_from_civil(2023, 2, 29), None);
        assert_eq!(days_from_civil(0, 1, 1), None);
    }

    #[test]
    fn instants_are_read_with_offsets_and_zones() {
        let expected = 1_704_067_200 * SECOND;
        for text in [
            "2024-01-01",
            "2024-01-01 00:00:00",
            "2024-01-01T00:00:00Z",
            "2024-01-01 01:00:00+01",
            "2024-01-01 05:30:00+05:30",
            "2024-1-1 0:0:0.000 UTC",
            "2024-01-01 01:00:00 Europe/Paris",
        ] {
            assert_eq!(parse_timestamp(text), Some(expected), "{text}");
        }
        for text in ["", "2024-13-01", "2024-01-01 24:00:00", "2024-01-01x", "nonsense"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_timestamp("2024-01-01 00:00:00.5"), Some(expected + SECOND / 2));
    }

    #[test]
    fn printing_follows_bigquery() {
        let instant = parse_timestamp("2014-08-19 07:41:35.220123").unwrap();
        assert_eq!(format_timestamp(instant), "2014-08-19 07:41:35.220123+00");
        assert_eq!(format_timestamp(instant - 123), "2014-08-19 07:41:35.220+00");
        assert_eq!(format_seconds(instant), "1.408434095220123E9");
        assert_eq!(format_seconds(0), "0.0");
        assert_eq!(format_seconds(-SECOND), "-1.0");
        assert_eq!(format_seconds(SECOND / 2), "5.0E-1");
        assert_eq!(format_datetime(instant, 'T', true), "2014-08-19T07:41:35.220123");
    }

    #[test]
    fn packed_civil_times_are_unpacked() {
        let packed_time = (12_i64 << 32) | (34 << 26) | (56 << 20) | 789;
        let time = parse_time("12:34:56.000789").unwrap();
        assert_eq!(unpack_time(packed_time), Some(time));
        let packed = (2024_i64 << 46) | (2 << 42) | (29 << 37) | packed_time;
        assert_eq!(unpack_datetime(packed), parse_datetime("2024-02-29 12:34:56.000789"));
        assert_eq!(unpack_time(60 << 20), None);
        assert_eq!(unpack_time(-1), None);
    }
}
