//! Parts of dates and times: truncation, extraction, differences, sums, and printing by format.

use super::error::SqlError;
use crate::bigquery::civil::{self, DAY, SECOND, Zone};

type Result<T> = std::result::Result<T, SqlError>;

/// A part of a date or time, as `EXTRACT`, `TIMESTAMP_TRUNC` and intervals name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    /// A week that starts on this day, counted from Monday = 0.
    Week(i64),
    Month,
    Quarter,
    Year,
    IsoYear,
    DayOfWeek,
    DayOfYear,
}

impl Part {
    /// Reads a part's name; ISOWEEK is a week from Monday.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Some(match name.as_str() {
            "MICROSECOND" | "MICROSECONDS" => Self::Microsecond,
            "MILLISECOND" | "MILLISECONDS" => Self::Millisecond,
            "SECOND" | "SECONDS" => Self::Second,
            "MINUTE" | "MINUTES" => Self::Minute,
            "HOUR" | "HOURS" => Self::Hour,
            "DAY" | "DAYS" => Self::Day,
            "WEEK" | "WEEKS" | "WEEK(SUNDAY)" => Self::Week(6),
            "ISOWEEK" | "WEEK(MONDAY)" => Self::Week(0),
            "WEEK(TUESDAY)" => Self::Week(1),
            "WEEK(WEDNESDAY)" => Self::Week(2),
            "WEEK(THURSDAY)" => Self::Week(3),
            "WEEK(FRIDAY)" => Self::Week(4),
            "WEEK(SATURDAY)" => Self::Week(5),
            "MONTH" | "MONTHS" => Self::Month,
            "QUARTER" | "QUARTERS" => Self::Quarter,
            "YEAR" | "YEARS" => Self::Year,
            "ISOYEAR" => Self::IsoYear,
            "DAYOFWEEK" => Self::DayOfWeek,
            "DAYOFYEAR" => Self::DayOfYear,
            _ => return None,
        })
    }

    /// Microseconds of parts that always have the same.
    fn fixed_micros(self) -> Option<i64> {
        Some(match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3_600 * SECOND,
            Self::Day => DAY,
            _ => return None,
        })
    }

    /// Months of parts that are made of months.
    fn months(self) -> Option<i64> {
        match self {
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
            _ => None,
        }
    }

    /// Whether it is smaller than a day.
    pub(crate) fn is_of_day(self) -> bool {
        self.fixed_micros().is_some_and(|micros| micros < DAY)
    }
}

/// The start of the part that a local instant lies in.
pub(crate) fn truncate(micros: i64, part: Part) -> Result<i64> {
    if let Some(unit) = part.fixed_micros() {
        return Ok(micros - micros.rem_euclid(unit));
    }
    let (days, _) = civil::split_day(micros);
    let (year, month, _) = civil::civil_from_days(days);
    let first = |year, month| civil::days_from_civil(year, month, 1);
    let start = match part {
        Part::Week(start) => {
            Some(days - i32::try_from((weekday(days) - start).rem_euclid(7)).unwrap_or(0))
        }
        Part::Month => first(year, month),
        Part::Quarter => first(year, (month - 1) / 3 * 3 + 1),
        Part::Year => first(year, 1),
        Part::IsoYear => Some(iso_year_start(iso_year(days))),
        _ => return Err(SqlError::query(format!("{part:?} is no part to truncate to"))),
    };
    start.map(|start| i64::from(start) * DAY).ok_or_else(|| SqlError::query("Date is out of range"))
}

/// The number of a part of a local instant.
pub(crate) fn extract(micros: i64, part: Part) -> i64 {
    let (days, time) = civil::split_day(micros);
    let (year, month, day) = civil::civil_from_days(days);
    let first_day = civil::days_from_civil(year, 1, 1).unwrap_or(days);
    match part {
        Part::Microsecond => time % SECOND,
        Part::Millisecond => time % SECOND / 1_000,
        Part::Second => time / SECOND % 60,
        Part::Minute => time / (60 * SECOND) % 60,
        Part::Hour => time / (3_600 * SECOND),
        Part::Day => day,
        Part::Month => month,
        Part::Quarter => (month - 1) / 3 + 1,
        Part::Year => year,
        Part::IsoYear => iso_year(days),
        Part::DayOfWeek => (weekday(days) + 1) % 7 + 1,
        Part::DayOfYear => i64::from(days - first_day) + 1,
        // ISO weeks are numbered within ISO years, other weeks from the year's first start day.
        Part::Week(0) => i64::from(days - iso_year_start(iso_year(days))) / 7 + 1,
        Part::Week(start) => {
            let lead = (start - weekday(first_day)).rem_euclid(7);
            (i64::from(days - first_day) - lead).div_euclid(7) + 1
        }
    }
}

/// A local instant moved by so many parts; months keep the day if they have it. `None` out of range.
pub(crate) fn add(micros: i64, count: i64, part: Part) -> Option<i64> {
    let moved = match (part.fixed_micros(), part.months(), part) {
        (Some(unit), ..) => micros.checked_add(count.checked_mul(unit)?)?,
        (_, Some(months), _) => {
            let (days, time) = civil::split_day(micros);
            let (year, month, day) = civil::civil_from_days(days);
            let total = (year * 12 + month - 1).checked_add(count.checked_mul(months)?)?;
            let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
            let day = day.min(civil::days_in_month(year, month));
            i64::from(civil::days_from_civil(year, month, day)?) * DAY + time
        }
        (.., Part::Week(_)) => micros.checked_add(count.checked_mul(7 * DAY)?)?,
        _ => return None,
    };
    civil::is_instant(moved).then_some(moved)
}

/// How many boundaries of the part lie between two local instants, as DATE_DIFF and DATETIME_DIFF count.
pub(crate) fn boundaries(later: i64, earlier: i64, part: Part) -> Result<i64> {
    if let Some(months) = part.months() {
        let count = |micros| {
            (extract(micros, Part::Year) * 12 + extract(micros, Part::Month) - 1).div_euclid(months)
        };
        return Ok(count(later) - count(earlier));
    }
    let (later, earlier) = (truncate(later, part)?, truncate(earlier, part)?);
    match part {
        Part::IsoYear => Ok(extract(later, part) - extract(earlier, part)),
        Part::Week(_) => Ok((later - earlier) / (7 * DAY)),
        _ => Ok((later - earlier) / part.fixed_micros().unwrap_or(1)),
    }
}

/// How many whole parts lie between two instants, as TIMESTAMP_DIFF counts.
pub(crate) fn whole_parts(later: i64, earlier: i64, part: Part) -> Result<i64> {
    let unit = part.fixed_micros();
    let unit =
        unit.ok_or_else(|| SqlError::query(format!("TIMESTAMP_DIFF does not support {part:?}")))?;
    Ok((later - earlier) / unit)
}

/// Day of the week, Monday = 0.
fn weekday(days: i32) -> i64 {
    (i64::from(days) + 3).rem_euclid(7)
}

/// The year whose weeks (from Monday, with at least four days in it) contain the day.
fn iso_year(days: i32) -> i64 {
    let thursday = i64::from(days) - weekday(days) + 3;
    civil::civil_from_days(i32::try_from(thursday).unwrap_or(days)).0
}

/// The Monday on which an ISO year starts.
fn iso_year_start(year: i64) -> i32 {
    let fourth = civil::days_from_civil(year, 1, 4).unwrap_or(civil::DATE_MIN);
    fourth - i32::try_from(weekday(fourth)).unwrap_or(0)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Prints a local instant by a `strftime` format; `zone` gives what `%z` and `%s` need.
pub(crate) fn format(pattern: &str, instant: i64, zone: &Zone) -> Result<String> {
    let local =
        zone.to_local(instant).ok_or_else(|| SqlError::query("Timestamp is out of range"))?;
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let element = characters.next().unwrap_or('%');
        let extended = if element == 'E' { extended(&mut characters, local) } else { None };
        match extended.or_else(|| element_text(element, local, instant)) {
            Some(printed) => text.push_str(&printed),
            None => {
                return Err(SqlError::unsupported(format!("The format element %{element}")));
            }
        }
    }
    Ok(text)
}

/// `%E4Y`, `%E<digits>S` and `%E*S`.
fn extended(characters: &mut std::str::Chars<'_>, local: i64) -> Option<String> {
    let (amount, kind) = (characters.next()?, characters.next()?);
    let seconds = extract(local, Part::Second);
    let micros = format!("{:06}", extract(local, Part::Microsecond));
    match (amount, kind) {
        ('4', 'Y') => Some(format!("{:04}", extract(local, Part::Year))),
        ('*', 'S') if micros == "000000" => Some(format!("{seconds:02}")),
        ('*', 'S') => Some(format!("{seconds:02}.{}", micros.trim_end_matches('0'))),
        ('0', 'S') => Some(format!("{seconds:02}")),
        ('1'..='6', 'S') => {
            let digits = amount.to_digit(10)? as usize;
            Some(format!("{seconds:02}.{}", &micros[..digits]))
        }
        _ => None,
    }
}

fn element_text(element: char, local: i64, instant: i64) -> Option<String> {
    let part = |part| extract(local, part);
    let (days, time) = civil::split_day(local);
    let hour12 = (part(Part::Hour) + 11) % 12 + 1;
    let month = MONTHS[(part(Part::Month) - 1) as usize];
    let day = DAYS[weekday(days) as usize];
    let clock = civil::format_time(time - time % SECOND, false);
    let offset = (local - instant) / (60 * SECOND);
    Some(match element {
        'Y' => part(Part::Year).to_string(),
        'y' => format!("{:02}", part(Part::Year) % 100),
        'm' => format!("{:02}", part(Part::Month)),
        'd' => format!("{:02}", part(Part::Day)),
        'e' => format!("{:2}", part(Part::Day)),
        'j' => format!("{:03}", part(Part::DayOfYear)),
        'H' => format!("{:02}", part(Part::Hour)),
        'I' => format!("{hour12:02}"),
        'M' => format!("{:02}", part(Part::Minute)),
        'S' => format!("{:02}", part(Part::Second)),
        'p' => if part(Part::Hour) < 12 { "AM" } else { "PM" }.to_owned(),
        'B' => month.to_owned(),
        'b' | 'h' => month[..3].to_owned(),
        'A' => day.to_owned(),
        'a' => day[..3].to_owned(),
        'u' => (weekday(days) + 1).to_string(),
        'w' => ((weekday(days) + 1) % 7).to_string(),
        'G' => iso_year(days).to_string(),
        'V' => format!("{:02}", part(Part::Week(0))),
        'U' => format!("{:02}", part(Part::Week(6))),
        'Q' => part(Part::Quarter).to_string(),
        'F' => civil::format_date(days),
        'T' => clock,
        'R' => clock[..5].to_owned(),
        'D' => {
            format!("{:02}/{:02}/{:02}", part(Part::Month), part(Part::Day), part(Part::Year) % 100)
        }
        's' => instant.div_euclid(SECOND).to_string(),
        'z' => format!(
            "{}{:02}{:02}",
            if offset < 0 { '-' } else { '+' },
            offset.abs() / 60,
            offset.abs() % 60
        ),
        'Z' if offset == 0 => "UTC".to_owned(),
        'Z' => format!("UTC{:+}", offset / 60),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        civil::parse_datetime(text).unwrap()
    }

    #[test]
    fn instants_are_cut_to_every_part() {
        let instant = at("2024-05-17 13:45:59.123456");
        for (part, expected) in [
            ("MILLISECOND", "2024-05-17 13:45:59.123"),
            ("MINUTE", "2024-05-17 13:45:00"),
            ("DAY", "2024-05-17"),
            ("WEEK", "2024-05-12"),
            ("ISOWEEK", "2024-05-13"),
            ("WEEK(FRIDAY)", "2024-05-17"),
            ("MONTH", "2024-05-01"),
            ("QUARTER", "2024-04-01"),
            ("YEAR", "2024-01-01"),
            ("ISOYEAR", "2024-01-01"),
        ] {
            assert_eq!(truncate(instant, Part::parse(part).unwrap()), Ok(at(expected)), "{part}");
        }
    }

    #[test]
    fn weeks_are_numbered_as_bigquery_does() {
        // The examples of Google's documentation of EXTRACT.
        for (day, iso_year, iso_week, year, week) in [
            ("2015-12-23", 2015, 52, 2015, 51),
            ("2015-12-29", 2015, 53, 2015, 52),
            ("2016-01-02", 2015, 53, 2016, 0),
            ("2016-01-04", 2016, 1, 2016, 1),
        ] {
            let parts = [Part::IsoYear, Part::Week(0), Part::Year, Part::Week(6)];
            let numbers = parts.map(|part| extract(at(day), part));
            assert_eq!(numbers, [iso_year, iso_week, year, week], "{day}");
        }
        assert_eq!(extract(at("2024-05-19"), Part::DayOfWeek), 1);
        assert_eq!(extract(at("2024-12-31"), Part::DayOfYear), 366);
    }

    #[test]
    fn months_are_added_within_their_length() {
        let moved = |text, count, part| add(at(text), count, part).unwrap();
        assert_eq!(moved("2024-01-31", 1, Part::Month), at("2024-02-29"));
        assert_eq!(moved("2024-02-29", -1, Part::Year), at("2023-02-28"));
        assert_eq!(moved("2024-02-29 01:00:00", 2, Part::Week(6)), at("2024-03-14 01:00:00"));
        assert_eq!(add(at("9999-12-31"), 1, Part::Day), None);
    }

    #[test]
    fn differences_count_boundaries_or_whole_parts() {
        let (later, earlier) = (at("2018-01-01"), at("2017-12-30 12:00:00"));
        assert_eq!(boundaries(later, earlier, Part::Year), Ok(1));
        assert_eq!(boundaries(later, earlier, Part::Week(6)), Ok(1));
        assert_eq!(boundaries(later, earlier, Part::Day), Ok(2));
        assert_eq!(whole_parts(later, earlier, Part::Day), Ok(1));
        assert_eq!(whole_parts(earlier, later, Part::Hour), Ok(-36));
    }

    #[test]
    fn formats_print_their_elements() {
        let instant = at("2024-05-07 03:04:05.678");
        let utc = |pattern| format(pattern, instant, &Zone::utc()).unwrap();
        assert_eq!(utc("%F %T %Z"), "2024-05-07 03:04:05 UTC");
        assert_eq!(utc("%Y-%m-%dT%H:%M:%E3S%z"), "2024-05-07T03:04:05.678+0000");
        assert_eq!(
            utc("%a %d %b %Y, %I %p, %j, %E*S 100%%"),
            "Tue 07 May 2024, 03 AM, 128, 05.678 100%"
        );
        let zone = Zone::parse("+05:30").unwrap();
        assert_eq!(format("%R %z", instant, &zone).unwrap(), "08:34 +0530");
        assert!(format("%k", instant, &zone).is_err());
    }
}
