//! Days, times of day and points in time as text, read without an allocation. Microseconds throughout.
//!
//! Sources: RFC 3339; the canonical forms of DATE, TIME, DATETIME and TIMESTAMP in BigQuery's lexical structure.

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400 * SECOND;
/// The day 0001-01-01, counted from 1970-01-01.
pub(super) const DATE_MIN: i64 = -719_162;
/// The day 9999-12-31, counted from 1970-01-01.
pub(super) const DATE_MAX: i64 = 2_932_896;

/// Whether BigQuery can hold the point in time `micros`.
pub(super) fn is_timestamp(micros: i64) -> bool {
    (DATE_MIN * DAY..(DATE_MAX + 1) * DAY).contains(&micros)
}

/// Days since 1970-01-01 of a text like `2024-01-31`.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return None };
    let year = i64::from(pair(y1, y2)?) * 100 + i64::from(pair(y3, y4)?);
    let (month, day) = (i64::from(pair(m1, m2)?), i64::from(pair(d1, d2)?));
    let is_valid =
        year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    is_valid.then(|| days_from_civil(year, month, day))
}

/// Microseconds since midnight of a text like `12:30:00.25`.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock.as_bytes() else { return None };
    let (hour, minute, second) = (pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Some(seconds * SECOND + parse_fraction(fraction)?)
}

/// Microseconds since 1970-01-01T00:00:00 of a text like `2024-01-31T12:30:00.25`, without a zone.
pub(super) fn parse_datetime(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    Some(parse_date(date)? * DAY + parse_time(time)?)
}

/// Microseconds since 1970-01-01T00:00:00Z of a text like `2024-01-31T12:30:00.25+01:00`.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (local, offset) = split_zone(text)?;
    let micros = parse_datetime(local)? - offset * SECOND;
    is_timestamp(micros).then_some(micros)
}

/// Splits the zone off; its offset in seconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, 0));
    }
    if let Some(local) = text.strip_suffix(" UTC") {
        return Some((local, 0));
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = *zone.as_bytes() else { return None };
    let (hours, minutes) = (i64::from(pair(h1, h2)?), i64::from(pair(m1, m2)?));
    let seconds = hours * 3_600 + minutes * 60;
    (hours <= 23 && minutes <= 59).then_some((local, if sign == b'-' { -seconds } else { seconds }))
}

/// Microseconds of an empty text or one like `.25`; further digits are cut.
fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix('.')?.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place| digits.get(place).map_or(0, |byte| i64::from(byte - b'0'));
    Some((0..6).fold(0, |micros, place| micros * 10 + digit(place)))
}

fn pair(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

fn month_days(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, by counting from the first of March of a year divisible by 400.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instant_reads_like_the_calendar_library_reads_it(
            micros in DATE_MIN * DAY..(DATE_MAX + 1) * DAY,
            minutes in -1_439_i32..1_440,
        ) {
            let stamp = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(parse_timestamp(&stamp.to_string()), Some(micros));
            let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(minutes * 60).unwrap());
            let text = stamp.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string();
            let year_fits = text.len() >= 25 && !text.starts_with('-') && !text.starts_with("0000") && &text[4..5] == "-";
            if year_fits {
                prop_assert_eq!(parse_timestamp(&text), Some(micros), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}") {
            let _ = (parse_timestamp(&text), parse_datetime(&text), parse_date(&text), parse_time(&text));
        }
    }

    #[test]
    fn the_usual_forms_of_a_timestamp_are_read() {
        let noon = 1_357_041_600 * SECOND;
        for text in [
            "2013-01-01T12:00:00Z",
            "2013-01-01t12:00:00z",
            "2013-01-01 12:00:00 UTC",
            "2013-01-01T13:30:00+01:30",
            "2013-01-01T04:00:00.000-08:00",
        ] {
            assert_eq!(parse_timestamp(text), Some(noon), "{text}");
        }
        assert_eq!(parse_timestamp("2013-01-01T12:00:00.123456789Z"), Some(noon + 123_456));
        assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Some(DATE_MIN * DAY));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999Z"), Some((DATE_MAX + 1) * DAY - 1));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2013-01-01",
            "2013-01-01T12:00:00",
            "2013-02-29T12:00:00Z",
            "2013-13-01T12:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T12:00:60Z",
            "2013-01-01T12:00:00.Z",
            "2013-01-01T12:00:00.1x2Z",
            "2013-01-01T12:00:00+0100",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2013-01-01T12:00:00ü01:00",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_date("2000-02-29"), Some(11_016));
        assert_eq!(parse_date("1900-02-29"), None);
        assert_eq!(parse_time("23:59:59.999999"), Some(DAY - 1));
        assert_eq!(parse_datetime("1970-01-02 00:00:00.5"), Some(DAY + 500_000));
    }
}
