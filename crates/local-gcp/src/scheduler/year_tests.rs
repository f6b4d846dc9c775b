//! Whole years minute by minute: each schedule against a naive reading of the clock on the wall, in zones whose clocks change in
//! different ways.

use std::collections::VecDeque;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::Schedule;
use crate::clock::Timestamp;

/// Which wall-clock minutes a pattern names, written out by hand.
type Named = fn(DateTime) -> bool;

/// Pattern, whether it repeats through the day, what it names.
const PATTERNS: [(&str, bool, Named); 10] = [
    ("*/15 * * * *", true, |at| at.minute() % 15 == 0),
    ("30 * * * *", true, |at| at.minute() == 30),
    ("*/20 2 * * *", true, |at| at.hour() == 2 && at.minute() % 20 == 0),
    ("30 2 * * *", false, |at| (at.hour(), at.minute()) == (2, 30)),
    ("0 0 * * *", false, |at| (at.hour(), at.minute()) == (0, 0)),
    ("15,45 0-3 * * *", false, |at| at.hour() <= 3 && [15, 45].contains(&at.minute())),
    ("0 0 31 * *", false, |at| at.day() == 31 && (at.hour(), at.minute()) == (0, 0)),
    ("45 1 1-7 * SUN", false, |at| {
        (at.day() <= 7 || at.weekday().to_sunday_zero_offset() == 0)
            && (at.hour(), at.minute()) == (1, 45)
    }),
    ("10 2 * MAR,OCT,APR,NOV 0", false, |at| {
        [3, 4, 10, 11].contains(&at.month())
            && at.weekday().to_sunday_zero_offset() == 0
            && (at.hour(), at.minute()) == (2, 10)
    }),
    ("59 23 31 12 *", false, |at| {
        (at.month(), at.day(), at.hour(), at.minute()) == (12, 31, 23, 59)
    }),
];

/// Zones, and a year in which their clocks change.
const YEARS: [(&str, i16); 9] = [
    ("Europe/Berlin", 2024),
    ("America/New_York", 2025),
    // By half an hour.
    ("Australia/Lord_Howe", 2025),
    // At midnight: the day starts at 01:00 once, and 23:00 to 24:00 is there twice.
    ("America/Sao_Paulo", 2018),
    ("Asia/Beirut", 2024),
    // Leap year, no changes.
    ("Asia/Kolkata", 2024),
    ("Etc/UTC", 2023),
    // Summer time is suspended for Ramadan: four changes.
    ("Africa/Casablanca", 2024),
    // The 30th of December does not exist; besides two changes of an hour.
    ("Pacific/Apia", 2011),
];

/// A minute of a year, as the wall shows it.
struct Minute {
    at: jiff::Timestamp,
    wall: DateTime,
    /// What a clock change of less than three hours skips right before.
    skipped: Vec<DateTime>,
    /// Whether the wall has shown this within the three hours before.
    is_again: bool,
}

/// What the wall shows, as minutes since the epoch on the wall.
fn shown(zone: &TimeZone, at: jiff::Timestamp) -> i64 {
    (at.as_second() + i64::from(zone.to_offset(at).seconds())) / 60
}

fn civil(minutes: i64) -> DateTime {
    Offset::UTC.to_datetime(jiff::Timestamp::from_second(minutes * 60).unwrap())
}

/// The minutes of a year in a zone, one after the other.
fn minutes(zone: &TimeZone, year: i16) -> Vec<Minute> {
    let start = zone.to_timestamp(jiff::civil::date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
    let at = |minute: i64| jiff::Timestamp::from_second(start.as_second() + minute * 60).unwrap();
    let mut before: VecDeque<i64> = (-180..0).map(|minute| shown(zone, at(minute))).collect();
    let mut minutes = Vec::new();
    loop {
        let at = at(minutes.len() as i64);
        let now = shown(zone, at);
        if civil(now).year() != year {
            return minutes;
        }
        let expected = before.back().unwrap() + 1;
        let skipped = if now - expected < 180 { expected..now } else { 0..0 };
        // Where the wall only went on there is nothing to look for.
        let is_again = now - before[0] != 180 && before.contains(&now);
        minutes.push(Minute {
            at,
            wall: civil(now),
            skipped: skipped.map(civil).collect(),
            is_again,
        });
        before.pop_front();
        before.push_back(now);
    }
}

/// The due minutes of a year, by looking at each.
fn naive(
    minutes: &[Minute],
    is_repeating: bool,
    named: impl Fn(DateTime) -> bool,
) -> Vec<jiff::Timestamp> {
    let is_due = |it: &&Minute| {
        let now = named(it.wall);
        let fixed = || (now && !it.is_again) || it.skipped.iter().any(|&at| named(at));
        if is_repeating { now } else { fixed() }
    };
    minutes.iter().filter(is_due).map(|it| it.at).collect()
}

#[test]
fn a_year_of_each_pattern_in_each_zone_is_as_a_naive_reading_of_the_wall_has_it() {
    for (name, year) in YEARS {
        let zone = TimeZone::get(name).unwrap();
        let minutes = minutes(&zone, year);
        for (pattern, is_repeating, named) in PATTERNS {
            let expected = naive(&minutes, is_repeating, named);
            let schedule = Schedule::parse(pattern, name).unwrap();
            let first = jiff::civil::date(year, 1, 1).at(0, 0, 0, 0);
            let before = zone.to_timestamp(first).unwrap().as_microsecond() - 1;
            let next = |at: &Timestamp| schedule.next_after(*at);
            let due: Vec<_> = std::iter::successors(next(&Timestamp::from_micros(before)), next)
                .map(|at| jiff::Timestamp::from_microsecond(at.as_micros()).unwrap())
                .take_while(|&at| zone.to_datetime(at).year() == year)
                .collect();
            assert!(!due.is_empty());
            assert_eq!(due, expected, "{pattern} in {name} in {year}");
        }
    }
}

/// The instants of a schedule after `start`, as text.
fn instants(pattern: &str, zone: &str, start: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(pattern, zone).unwrap();
    let start: jiff::Timestamp = start.parse().unwrap();
    let next = |at: &Timestamp| schedule.next_after(*at);
    std::iter::successors(next(&Timestamp::from_micros(start.as_microsecond())), next)
        .take(count)
        .map(|at| at.to_string())
        .collect()
}

#[test]
fn a_fixed_time_that_the_clocks_skip_is_due_at_the_change() {
    assert_eq!(
        instants("30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", 2),
        ["2025-03-09T07:00:00Z", "2025-03-10T06:30:00Z"]
    );
    assert_eq!(
        instants("0,30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 3),
        ["2024-03-31T01:00:00Z", "2024-04-01T00:00:00Z", "2024-04-01T00:30:00Z"]
    );
    // Half an hour: 02:00 to 02:30.
    assert_eq!(
        instants("15 2 * * *", "Australia/Lord_Howe", "2025-10-04T12:00:00Z", 2),
        ["2025-10-04T15:30:00Z", "2025-10-05T15:15:00Z"]
    );
    // There is no midnight.
    assert_eq!(
        instants("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        ["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]
    );
    assert_eq!(
        instants("30 0 * * *", "Asia/Beirut", "2024-03-30T12:00:00Z", 2),
        ["2024-03-30T22:00:00Z", "2024-03-31T21:30:00Z"]
    );
}

#[test]
fn a_fixed_time_that_the_clocks_show_twice_is_due_once() {
    assert_eq!(
        instants("30 1 * * *", "America/New_York", "2025-11-01T12:00:00Z", 2),
        ["2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"]
    );
    assert_eq!(
        instants("45 1 * * *", "Australia/Lord_Howe", "2025-04-04T16:00:00Z", 2),
        ["2025-04-05T14:45:00Z", "2025-04-06T15:15:00Z"]
    );
    assert_eq!(
        instants("30 23 * * *", "Asia/Beirut", "2024-10-26T12:00:00Z", 2),
        ["2024-10-26T20:30:00Z", "2024-10-27T21:30:00Z"]
    );
    // A job that starts within the second hour has missed its time.
    assert_eq!(
        instants("30 1 * * *", "America/New_York", "2025-11-02T06:10:00Z", 1),
        ["2025-11-03T06:30:00Z"]
    );
}

#[test]
fn a_repeating_job_is_due_whenever_the_wall_says_so() {
    let hour = ["00:00", "00:15", "00:30", "00:45", "01:00", "01:15"];
    let autumn = instants("*/15 * * * *", "Europe/Berlin", "2024-10-26T23:59:00Z", 6);
    assert_eq!(autumn, hour.map(|time| format!("2024-10-27T{time}:00Z")));
    // 02:00 and 02:30 are shown twice in Berlin, and none of them in spring.
    let twice = instants("*/30 2 * * *", "Europe/Berlin", "2024-10-26T23:59:00Z", 5);
    assert_eq!(
        twice.iter().map(|at| &at[8..16]).collect::<Vec<_>>(),
        ["27T00:00", "27T00:30", "27T01:00", "27T01:30", "28T01:00"]
    );
    assert_eq!(
        instants("*/30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z", 1),
        ["2024-04-01T00:00:00Z"]
    );
}

#[test]
fn a_day_that_a_zone_leaves_out_is_no_clock_change() {
    assert_eq!(
        instants("0 12 30 12 *", "Pacific/Apia", "2010-12-31T12:00:00Z", 1),
        ["2012-12-29T22:00:00Z"]
    );
}

#[test]
fn intervals_know_no_clock_changes() {
    let schedule = Schedule::parse("every 30 minutes", "Europe/Berlin").unwrap();
    let end = |text: &str| {
        let at: jiff::Timestamp = text.parse().unwrap();
        schedule.next_after(Timestamp::from_micros(at.as_microsecond())).unwrap().to_string()
    };
    assert_eq!(end("2024-03-31T00:50:07Z"), "2024-03-31T01:20:07Z");
    assert_eq!(end("2024-10-27T00:50:07Z"), "2024-10-27T01:20:07Z");
    let synchronized =
        instants("every 8 hours synchronized", "Asia/Kolkata", "2024-01-01T00:00:00Z", 3);
    assert_eq!(
        synchronized,
        ["2024-01-01T02:30:00Z", "2024-01-01T10:30:00Z", "2024-01-01T18:30:00Z"]
    );
    assert_eq!(
        instants("every 45 minutes from 22:00 to 23:00", "Etc/UTC", "2024-01-01T00:00:00Z", 3),
        ["2024-01-01T22:00:00Z", "2024-01-01T22:45:00Z", "2024-01-02T22:00:00Z"]
    );
}

#[test]
fn the_api_takes_five_fields_and_known_zones() {
    for (schedule, zone) in [
        ("* * * * * *", ""),
        ("@hourly", ""),
        ("* * * * *", "Mars/Base"),
        ("every 5 minutes", "Mars/Base"),
    ] {
        assert!(Schedule::parse(schedule, zone).is_err(), "{schedule} {zone}");
    }
    Schedule::parse("* * * * *", "").unwrap();
    Schedule::parse(" 0  9\t* * MON ", "America/Argentina/Buenos_Aires").unwrap();
}

/// A field of a random pattern, and the numbers that it names.
fn random_field(random: &mut fastrand::Rng, first: i8, last: i8) -> (String, Vec<i8>) {
    let from = random.i8(first..=last);
    let to = random.i8(from..=last);
    let step = random.i8(1..=last);
    let steps = |from: i8, to: i8| (from..=to).step_by(step.unsigned_abs().into()).collect();
    match random.u8(0..6) {
        0 | 1 => ("*".to_owned(), (first..=last).collect()),
        2 => (format!("*/{step}"), steps(first, last)),
        3 => (format!("{from}-{to}/{step}"), steps(from, to)),
        4 => (format!("{from}-{to}"), (from..=to).collect()),
        _ => (format!("{to},{from}"), vec![from, to]),
    }
}

#[test]
fn random_patterns_around_clock_changes_are_as_a_naive_reading_has_them() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for (name, year) in [YEARS[0], YEARS[2], YEARS[3], YEARS[7]] {
        let zone = TimeZone::get(name).unwrap();
        let minutes = minutes(&zone, year);
        let changes =
            minutes.iter().enumerate().filter(|(_, it)| it.is_again || !it.skipped.is_empty());
        let changes: Vec<usize> = changes.map(|(at, _)| at).collect();
        for _ in 0..200 {
            let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
            let fields = ranges.map(|(first, last)| random_field(&mut random, first, last));
            let pattern = fields.each_ref().map(|(text, _)| text.as_str()).join(" ");
            let [minute, hour, day, month, weekday] = &fields;
            let is_restricted = |field: &(String, Vec<i8>)| !field.0.starts_with('*');
            let either = is_restricted(day) && is_restricted(weekday);
            let named = |at: DateTime| {
                let of_month = day.1.contains(&at.day());
                let of_week = weekday.1.contains(&at.weekday().to_sunday_zero_offset());
                let is_day = if either { of_month || of_week } else { of_month && of_week };
                is_day
                    && month.1.contains(&at.month())
                    && hour.1.contains(&at.hour())
                    && minute.1.contains(&at.minute())
            };
            let change = changes[random.usize(..changes.len())];
            let window = &minutes[change - 2_000..change + 2_000];
            let expected = naive(window, !is_restricted(minute) || !is_restricted(hour), named);

            let schedule = Schedule::parse(&pattern, name).unwrap();
            let micros = |minute: &Minute| minute.at.as_microsecond();
            let mut due = Vec::new();
            let mut at = Timestamp::from_micros(micros(&window[0]) - 1);
            while let Some(next) = schedule.next_after(at)
                && next.as_micros() <= micros(&window[window.len() - 1])
            {
                due.push(jiff::Timestamp::from_microsecond(next.as_micros()).unwrap());
                at = next;
            }
            assert_eq!(due, expected, "{pattern} in {name} in {year}");
        }
    }
}
