//! Intervals in words, the part of App Engine's schedule syntax that Cloud Scheduler still takes:
//! `every N minutes`, `every N hours from 10:00 to 14:00`, `every N hours synchronized`.

use std::time::Duration;

use super::cron::Cron;

const DAY_SECONDS: u32 = 86_400;

/// What the words say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Interval {
    /// So long after the end of the previous run.
    AfterRun(Duration),
    /// By the clock on the wall, from a time of the day on.
    Within(Cron),
}

/// Reads an interval in words; `None` when the text does not start with `every`.
pub(super) fn parse(text: &str) -> Option<Result<Interval, String>> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["every", rest @ ..] = words.as_slice() else { return None };
    Some(interval(rest))
}

fn interval(words: &[&str]) -> Result<Interval, String> {
    let [number, unit, rest @ ..] = words else {
        return Err("\"every\" wants a number and minutes or hours".to_owned());
    };
    let minutes = minutes(number, unit)?;
    match rest {
        [] => Ok(Interval::AfterRun(Duration::from_secs(u64::from(minutes) * 60))),
        ["synchronized"] if 1_440 % minutes == 0 => {
            Ok(Interval::Within(Cron::within_days(0, DAY_SECONDS - 1, minutes)))
        }
        ["synchronized"] => Err("a synchronized interval divides the day without rest".to_owned()),
        ["from", first, "to", last] => {
            let (first, last) = (time(first)?, time(last)?);
            if first >= last {
                return Err("the time after \"to\" is later on the same day".to_owned());
            }
            Ok(Interval::Within(Cron::within_days(first, last, minutes)))
        }
        _ => Err(format!("{:?} is not understood", rest.join(" "))),
    }
}

fn minutes(number: &str, unit: &str) -> Result<u32, String> {
    let minutes_each = match unit {
        "minute" | "minutes" | "mins" => 1,
        "hour" | "hours" => 60,
        _ => return Err(format!("{unit:?} is neither minutes nor hours")),
    };
    let number = number.parse::<u32>().ok().and_then(|number| number.checked_mul(minutes_each));
    number
        .filter(|minutes| (1..=DAY_SECONDS).contains(minutes))
        .ok_or_else(|| "its number is out of range".to_owned())
}

/// A time of the day such as `9:30` or `14:00`, in seconds since midnight.
fn time(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no time of the day");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, below: u32| text.parse::<u32>().ok().filter(|&number| number < below);
    let (hour, minute) = number(hour, 24).zip(number(minute, 60)).ok_or_else(wrong)?;
    Ok((hour * 60 + minute) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_in_words() {
        let plain = |text: &str| parse(text).unwrap().unwrap();
        assert_eq!(plain("every 5 minutes"), Interval::AfterRun(Duration::from_secs(300)));
        assert_eq!(plain("Every  2 hours"), Interval::AfterRun(Duration::from_secs(7_200)));
        assert_eq!(plain("every 1 mins"), Interval::AfterRun(Duration::from_secs(60)));
        assert_eq!(
            plain("every 30 minutes from 10:00 to 11:45"),
            Interval::Within(Cron::within_days(36_000, 42_300, 30))
        );
        assert_eq!(
            plain("every 2 hours synchronized"),
            Interval::Within(Cron::within_days(0, 86_399, 120))
        );
        assert!(parse("*/5 * * * *").is_none());
        for wrong in [
            "every",
            "every 5",
            "every 0 minutes",
            "every -5 minutes",
            "every 5 days",
            "every monday 09:00",
            "every 5 minutes from 10:00",
            "every 5 minutes from 11:00 to 10:00",
            "every 5 minutes from 10 to 11",
            "every 5 minutes from 10:60 to 11:00",
            "every 7 hours synchronized",
            "every 99999999999 hours",
        ] {
            assert!(parse(wrong).unwrap().is_err(), "{wrong}");
        }
    }
}
