//! Reads dates and times by a pattern, as PARSE_TIMESTAMP and its sisters do.

use std::sync::Arc;

use super::error::SqlError;
use super::expression::{Bound, Call, Function, Node};
use super::moments::zone_argument;
use super::operators::{coerces, no_signature};
use super::types::DataType;
use crate::bigquery::civil::{self, DAY, SECOND, Zone};
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Binds `PARSE_TIMESTAMP(pattern, text[, zone])` and its sisters; `None` for other functions.
pub(super) fn bind(name: &str, arguments: &[Bound], safe: bool) -> Option<Result<Bound>> {
    let target = match name {
        "PARSE_TIMESTAMP" => DataType::Timestamp,
        "PARSE_DATE" => DataType::Date,
        "PARSE_DATETIME" => DataType::DateTime,
        "PARSE_TIME" => DataType::Time,
        _ => return None,
    };
    let fits = (2..=3).contains(&arguments.len())
        && arguments.iter().all(|bound| coerces(bound, &DataType::String));
    if !fits {
        return Some(Err(no_signature(&format!("function {name}"), arguments.iter())));
    }
    let zone = match zone_argument(arguments.get(2)) {
        Ok(zone) => zone,
        Err(error) => return Some(Err(error)),
    };
    let wanted = target.clone();
    let parse: Function = Arc::new(move |arguments| {
        let text = |at: usize| arguments[at].as_str().unwrap_or_default();
        let read = read(text(0), text(1))?.ok_or_else(|| {
            SqlError::query(format!("Failed to parse input string \"{}\"", text(1)))
        })?;
        read.value(&wanted, &zone)
            .ok_or_else(|| SqlError::query(format!("Invalid date or time: {}", text(1))))
    });
    let arguments = arguments[..2].iter().map(|bound| bound.node.clone()).collect();
    let node = Node::Call(Call { function: parse, arguments, strict: true, safe });
    Some(Ok(Bound::new(node, target)))
}

/// What a text said.
#[derive(Debug)]
struct Read {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    /// Of the text's own zone from UTC.
    offset: Option<i64>,
    epoch: Option<i64>,
}

impl Read {
    fn value(&self, target: &DataType, zone: &Zone) -> Option<Value> {
        let days = civil::days_from_civil(self.year, self.month, self.day)?;
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let time = (hour * 3_600 + self.minute * 60 + self.second) * SECOND + self.micros;
        let local = i64::from(days) * DAY + time;
        Some(match target {
            DataType::Date => Value::Date(days),
            DataType::Time => Value::Time(time),
            DataType::DateTime => Value::DateTime(local),
            _ => {
                let instant = match (self.epoch, self.offset) {
                    (Some(seconds), _) => seconds.checked_mul(SECOND)?,
                    (None, Some(offset)) => local - offset,
                    (None, None) => zone.to_utc(local)?,
                };
                Value::Timestamp(Some(instant).filter(|instant| civil::is_instant(*instant))?)
            }
        })
    }
}

/// Reads a text; `None` if it does not follow the pattern.
fn read(pattern: &str, text: &str) -> Result<Option<Read>> {
    let mut read = Read {
        year: 1970,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        micros: 0,
        afternoon: None,
        offset: None,
        epoch: None,
    };
    let mut scanner = Scanner(text.trim_start());
    let mut elements = pattern.trim_start().chars();
    while let Some(character) = elements.next() {
        let read_on = match character {
            '%' => {
                let element = elements.next().unwrap_or('%');
                let element = match element {
                    'E' => extended(&mut elements),
                    other => Some(other),
                };
                match element.and_then(|element| scanner.element(element, &mut read)) {
                    Some(outcome) => outcome,
                    None => {
                        let message = format!("A format element of {pattern}");
                        return Err(SqlError::unsupported(message));
                    }
                }
            }
            space if space.is_whitespace() => {
                scanner.0 = scanner.0.trim_start();
                Some(())
            }
            other => scanner.literal(other),
        };
        if read_on.is_none() {
            return Ok(None);
        }
    }
    Ok(scanner.0.trim_end().is_empty().then_some(read))
}

/// `%E4Y`, `%E*S`, `%E3S` and `%Ez` as the plain elements that read the same.
fn extended(elements: &mut std::str::Chars<'_>) -> Option<char> {
    match elements.next()? {
        'z' => Some('z'),
        '4' | '*' | '0'..='6' => match elements.next()? {
            'Y' => Some('Y'),
            'S' => Some('f'),
            _ => None,
        },
        _ => None,
    }
}

/// The rest of a text.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    fn literal(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    fn number(&mut self, digits_max: usize) -> Option<i64> {
        let digits = self.0.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().ok()
    }

    /// A word of letters, in lower case.
    fn word(&mut self) -> Option<String> {
        let letters = self.0.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.0.split_at(letters);
        self.0 = rest;
        (letters > 0).then(|| word.to_ascii_lowercase())
    }

    fn within(&mut self, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        self.number(digits).filter(|number| range.contains(number))
    }

    fn pattern(&mut self, pattern: &str, read: &mut Read) -> Option<()> {
        let mut elements = pattern.chars();
        while let Some(element) = elements.next() {
            match element {
                '%' => self.element(elements.next()?, read)??,
                other => self.literal(other)?,
            }
        }
        Some(())
    }

    /// Reads one element: outer `None` if it is unknown, inner if the text does not have it.
    fn element(&mut self, element: char, read: &mut Read) -> Option<Option<()>> {
        Some(match element {
            'Y' => self.number(4).map(|year| read.year = year),
            'y' => self.within(2, 0..=99).map(|year| {
                read.year = if year < 69 { 2_000 + year } else { 1_900 + year };
            }),
            'm' => self.within(2, 1..=12).map(|month| read.month = month),
            'd' => self.within(2, 1..=31).map(|day| read.day = day),
            'e' => {
                self.0 = self.0.trim_start();
                self.within(2, 1..=31).map(|day| read.day = day)
            }
            'b' | 'B' | 'h' => self.month().map(|month| read.month = month),
            'a' | 'A' => self.word().map(drop),
            'H' => self.within(2, 0..=23).map(|hour| read.hour = hour),
            'I' => self.within(2, 1..=12).map(|hour| {
                read.hour = hour;
                read.afternoon.get_or_insert(false);
            }),
            'M' => self.within(2, 0..=59).map(|minute| read.minute = minute),
            'S' => self.within(2, 0..=59).map(|second| read.second = second),
            'f' => self.seconds(read),
            'p' => self.afternoon().map(|afternoon| read.afternoon = Some(afternoon)),
            'F' => self.pattern("%Y-%m-%d", read),
            'T' => self.pattern("%H:%M:%S", read),
            'R' => self.pattern("%H:%M", read),
            'D' => self.pattern("%m/%d/%y", read),
            'z' => self.offset().map(|offset| read.offset = Some(offset)),
            'Z' => self.word().filter(|zone| zone == "utc" || zone == "gmt").map(|_| {
                read.offset = Some(0);
            }),
            's' => self.number(12).map(|seconds| read.epoch = Some(seconds)),
            '%' => self.literal('%'),
            _ => return None,
        })
    }

    fn afternoon(&mut self) -> Option<bool> {
        match self.word()?.as_str() {
            "am" => Some(false),
            "pm" => Some(true),
            _ => None,
        }
    }

    fn month(&mut self) -> Option<i64> {
        let word = self.word()?;
        let at = MONTHS.iter().position(|month| word.starts_with(month))?;
        i64::try_from(at + 1).ok()
    }

    /// Seconds, perhaps with a fraction.
    fn seconds(&mut self, read: &mut Read) -> Option<()> {
        read.second = self.within(2, 0..=59)?;
        if let Some(fraction) = self.0.strip_prefix('.') {
            let digits = fraction.bytes().take(9).take_while(u8::is_ascii_digit).count();
            let (digits, rest) = fraction.split_at(digits);
            self.0 = rest;
            let micros: String = digits.chars().chain("000000".chars()).take(6).collect();
            read.micros = micros.parse().ok()?;
        }
        Some(())
    }

    /// `Z`, `+hhmm` or `+hh:mm`, in microseconds.
    fn offset(&mut self) -> Option<i64> {
        if let Some(rest) = self.0.strip_prefix('Z') {
            self.0 = rest;
            return Some(0);
        }
        let sign = match self.0.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.within(2, 0..=14)?;
        self.0 = self.0.strip_prefix(':').unwrap_or(self.0);
        let minutes = self.within(2, 0..=59).unwrap_or(0);
        Some(sign * (hours * 60 + minutes) * 60 * SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(pattern: &str, text: &str) -> Option<String> {
        let read = read(pattern, text).unwrap()?;
        match read.value(&DataType::Timestamp, &Zone::utc())? {
            Value::Timestamp(micros) => Some(civil::format_timestamp(micros)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn texts_are_read_by_their_pattern() {
        for (pattern, text, expected) in [
            ("%Y-%m-%d %H:%M:%S", "2024-05-17 13:45:09", "2024-05-17 13:45:09+00"),
            ("%F %T", " 2024-05-17  13:45:09 ", "2024-05-17 13:45:09+00"),
            ("%d/%b/%Y:%T %z", "17/May/2024:13:45:09 +0200", "2024-05-17 11:45:09+00"),
            ("%E4Y%m%dT%H%M%E*SZ", "20240517T134509.25Z", "2024-05-17 13:45:09.250+00"),
            ("%a %b %e %I:%M %p %y", "Fri May  7 01:05 PM 24", "2024-05-07 13:05:00+00"),
            ("%s", "1700000000", "2023-11-14 22:13:20+00"),
            ("%m/%d/%Y", "12/25/2008", "2008-12-25 00:00:00+00"),
        ] {
            assert_eq!(instant(pattern, text).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn texts_that_do_not_follow_are_refused() {
        for (pattern, text) in
            [("%Y-%m-%d", "2024-13-01"), ("%F", "2024-05-17 x"), ("%F", "2024-02-30"), ("%T", "")]
        {
            assert_eq!(instant(pattern, text), None, "{pattern} {text}");
        }
        assert!(read("%Q", "1").unwrap_err().unsupported);
    }
}
