//! Laws of window functions and of merging, against naive models.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::error::{Error, Result};
use crate::time::Timestamp;
use crate::windowing::active::ActiveWindow;
use crate::windowing::{
    CalendarWindows, FixedWindows, Merge, MergingWindowSet, Sessions, SlidingWindows, Window,
    WindowFn,
};

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn window(start: i64, end: i64) -> Window {
    Window::new(at(start), at(end))
}

fn assigned(window_fn: &dyn WindowFn, timestamp: Timestamp) -> Vec<Window> {
    let mut windows = Vec::new();
    window_fn.assign(timestamp, &mut windows);
    windows
}

/// Any timestamp, often near zero and near the bounds.
fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>().prop_map(Timestamp::from_micros),
        (-1_000_i64..1_000).prop_map(Timestamp::from_micros),
        (0_i64..1_000).prop_map(|micros| Timestamp::MIN.saturating_add_micros(micros)),
        (-1_000_i64..1_000).prop_map(|micros| Window::GLOBAL.end.saturating_add_micros(micros)),
        (0_i64..1_000).prop_map(|micros| Timestamp::MAX.saturating_add_micros(-micros)),
    ]
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        any::<u64>().prop_map(Duration::from_micros),
        (0_u64..100).prop_map(Duration::from_micros),
        Just(Duration::MAX),
    ]
}

/// Sessions by definition: sort, and begin a new one where a gap is.
fn naive_sessions(times: &[i64], gap: i64) -> Vec<Window> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let mut sessions: Vec<Window> = Vec::new();
    for time in sorted {
        match sessions.last_mut() {
            Some(last) if at(time) < last.end => last.end = at(time + gap),
            _ => sessions.push(window(time, time + gap)),
        }
    }
    sessions
}

/// Sessions without the shortcut, as a custom function would be.
#[derive(Debug)]
struct PlainSessions(Sessions);

impl WindowFn for PlainSessions {
    fn name(&self) -> &'static str {
        "PlainSessions"
    }
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        self.0.assign(timestamp, windows);
    }
    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }
    fn is_merging(&self) -> bool {
        true
    }
    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        self.0.merge(windows)
    }
}

/// Adds an element at each time and keeps its times as the state of its window.
fn run_set(
    window_fn: &dyn WindowFn,
    times: &[i64],
) -> (MergingWindowSet, BTreeMap<Window, Vec<i64>>) {
    let mut set = MergingWindowSet::default();
    let mut states: BTreeMap<Window, Vec<i64>> = BTreeMap::new();
    for time in times {
        let new = assigned(window_fn, at(*time))[0];
        let active = set
            .add(window_fn, new, |merge| {
                for gone in merge.merged_away() {
                    let moved = states.remove(&gone).expect("a source has state");
                    states.get_mut(&merge.state).expect("the kept state is there").extend(moved);
                }
                Ok(())
            })
            .unwrap();
        assert!(active.window.contains(at(*time)));
        states.entry(active.state).or_default().push(*time);
    }
    (set, states)
}

proptest! {
    #[test]
    fn fixed_windows_tile_event_time(size in 1_i64..500, offset in 0_i64..500, time in -5_000_i64..5_000) {
        let offset = offset % size;
        let fixed = FixedWindows::of(Duration::from_micros(size.unsigned_abs()))
            .with_offset(Duration::from_micros(offset.unsigned_abs()));
        let found = fixed.window_of(at(time));
        prop_assert!(found.contains(at(time)));
        prop_assert_eq!(found.end.as_micros() - found.start.as_micros(), size);
        prop_assert_eq!((found.start.as_micros() - offset).rem_euclid(size), 0);
        prop_assert_eq!(fixed.window_of(found.start), found);
        prop_assert_eq!(fixed.window_of(found.max_timestamp()), found);
        prop_assert_eq!(fixed.window_of(found.end).start, found.end);
    }

    #[test]
    fn sliding_windows_are_all_that_hold_the_element(
        size in 1_i64..100, period in 1_i64..100, offset in 0_i64..100, time in -1_000_i64..1_000,
    ) {
        let offset = offset % period;
        let micros = |micros: i64| Duration::from_micros(micros.unsigned_abs());
        let sliding =
            SlidingWindows::of(micros(size)).every(micros(period)).with_offset(micros(offset));
        let naive: Vec<Window> = (-2_000..2_000)
            .filter(|start: &i64| (start - offset).rem_euclid(period) == 0)
            .map(|start| window(start, start + size))
            .filter(|window| window.contains(at(time)))
            .collect();
        let found = assigned(&sliding, at(time));
        if size % period == 0 {
            prop_assert_eq!(i64::try_from(found.len()).unwrap(), size / period);
        }
        for window in &found {
            let output = sliding.output_time(at(time), window);
            prop_assert!(window.contains(output) && output >= at(time));
        }
        prop_assert_eq!(found, naive);
    }

    #[test]
    fn sliding_windows_one_behind_the_other_are_fixed(size in any_duration(), time in any_timestamp()) {
        let fixed = FixedWindows::of(size).window_of(time);
        prop_assert_eq!(assigned(&SlidingWindows::of(size), time), vec![fixed]);
    }

    #[test]
    fn every_timestamp_has_sound_windows_whatever_the_size(
        time in any_timestamp(), size in any_duration(), offset in any_duration(), number: u32,
    ) {
        let functions: [Box<dyn WindowFn>; 5] = [
            Box::new(FixedWindows::of(size).with_offset(offset)),
            Box::new(SlidingWindows::of(size).every(size / 3 + Duration::from_micros(1)).with_offset(offset)),
            Box::new(Sessions::with_gap(size)),
            Box::new(CalendarWindows::months(number)),
            Box::new(CalendarWindows::days(number).starting_on(i32::MAX, 12, 31)),
        ];
        let counted = time.min(Window::GLOBAL.max_timestamp());
        for function in functions {
            for window in assigned(&*function, time) {
                prop_assert!(window.contains(counted), "{:?} {}", function, window);
                prop_assert!(window.end <= Window::GLOBAL.end && window.tag == 0);
                prop_assert!(window.contains(function.output_time(counted, &window)));
            }
        }
    }

    #[test]
    fn calendar_windows_tile_event_time(
        number in 1_u32..40, unit in 0_usize..4, days in -400_000_i64..400_000, offset in -40_000_i32..40_000,
    ) {
        let units =
            [CalendarWindows::days, CalendarWindows::weeks, CalendarWindows::months, CalendarWindows::years];
        let calendar = units[unit](number).with_utc_offset_secs(offset);
        let time = Timestamp::from_secs(days * 86_400 + 4_321);
        let found = assigned(&calendar, time)[0];
        prop_assert!(found.contains(time));
        prop_assert_eq!(assigned(&calendar, found.start)[0], found);
        prop_assert_eq!(assigned(&calendar, found.max_timestamp())[0], found);
        prop_assert_eq!(assigned(&calendar, found.end)[0].start, found.end);
    }

    #[test]
    fn sessions_equal_their_definition_in_any_order_of_arrival(
        times in prop::collection::vec(-100_i64..100, 0..30), gap in 1_i64..20, seed in any::<prop::sample::Index>(),
    ) {
        let sessions = Sessions::with_gap(Duration::from_micros(gap.unsigned_abs()));
        let naive = naive_sessions(&times, gap);
        let mut rotated = times.clone();
        if !rotated.is_empty() {
            rotated.rotate_left(seed.index(times.len()));
        }
        let plain = PlainSessions(sessions);
        let by_function: [(&dyn WindowFn, &[i64]); 4] =
            [(&sessions, &times), (&plain, &times), (&sessions, &rotated), (&plain, &rotated)];
        for (function, times) in by_function {
            let (set, states) = run_set(function, times);
            let windows: Vec<Window> = set.windows().iter().map(|active| active.window).collect();
            prop_assert_eq!(&windows, &naive);
            prop_assert_eq!(states.len(), set.len());
            for active in set.windows() {
                let expected: BTreeSet<i64> =
                    times.iter().copied().filter(|time| active.window.contains(at(*time))).collect();
                let held: BTreeSet<i64> = states[&active.state].iter().copied().collect();
                prop_assert_eq!(held, expected);
            }
        }
    }

    #[test]
    fn the_shortcut_keeps_the_same_state_windows_as_any_function(
        times in prop::collection::vec(-100_i64..100, 0..30), gap in 1_i64..20,
    ) {
        let sessions = Sessions::with_gap(Duration::from_micros(gap.unsigned_abs()));
        prop_assert_eq!(run_set(&sessions, &times), run_set(&PlainSessions(sessions), &times));
    }

    #[test]
    fn session_merging_is_idempotent_and_associative(
        times in prop::collection::vec(-100_i64..100, 0..30), split in any::<prop::sample::Index>(), gap in 1_i64..20,
    ) {
        let sessions = Sessions::with_gap(Duration::from_micros(gap.unsigned_abs()));
        let merged = |windows: Vec<Window>| -> Vec<Window> {
            let merges = sessions.merge(&windows);
            let gone: BTreeSet<Window> = merges.iter().flat_map(|merge| merge.from.clone()).collect();
            let stay = windows.into_iter().filter(|window| !gone.contains(window));
            let all: BTreeSet<Window> = stay.chain(merges.iter().map(|merge| merge.into)).collect();
            all.into_iter().collect()
        };
        let windows: Vec<Window> = times.iter().flat_map(|time| assigned(&sessions, at(*time))).collect();
        let at_once = merged(windows.clone());
        prop_assert_eq!(&merged(at_once.clone()), &at_once);
        let cut = if windows.is_empty() { 0 } else { split.index(windows.len()) };
        let (front, back) = windows.split_at(cut);
        let in_parts: Vec<Window> = merged(front.to_vec()).into_iter().chain(merged(back.to_vec())).collect();
        prop_assert_eq!(merged(in_parts), at_once);
    }
}

/// A value holds until the next one: each element's window ends where the next begins.
#[derive(Debug)]
struct Validity;

impl WindowFn for Validity {
    fn name(&self) -> &'static str {
        "Validity"
    }
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::new(timestamp, Window::GLOBAL.end));
    }
    fn fingerprint(&self) -> String {
        "validity".to_owned()
    }
    fn is_merging(&self) -> bool {
        true
    }
    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        let mut sorted = windows.to_vec();
        sorted.sort_unstable_by_key(|window| (window.start, window.end));
        sorted.dedup_by_key(|window| window.start);
        let shrunk = |pair: &[Window]| Merge {
            into: Window::new(pair[0].start, pair[1].start),
            from: windows.iter().filter(|window| window.start == pair[0].start).copied().collect(),
        };
        let changes = |merge: &Merge| merge.from != [merge.into];
        sorted.windows(2).map(shrunk).filter(changes).collect()
    }
}

#[test]
fn windows_may_shrink_when_others_come() {
    let (set, states) = run_set(&Validity, &[26, 144, 85, 86]);
    let windows: Vec<Window> = set.windows().iter().map(|active| active.window).collect();
    let last = Window::new(at(144), Window::GLOBAL.end);
    assert_eq!(windows, [window(26, 85), window(85, 86), window(86, 144), last]);
    for active in set.windows() {
        assert_eq!(states[&active.state], [active.window.start.as_micros()]);
    }
}

#[test]
fn a_window_that_was_shrunk_takes_back_its_own_elements() {
    let (set, states) = run_set(&Validity, &[26, 85, 26]);
    assert_eq!(set.len(), 2);
    let shrunk = set.state_window(&window(26, 85)).unwrap();
    assert_eq!(states[&shrunk], [26, 26]);
}

fn add(
    set: &mut MergingWindowSet,
    function: &dyn WindowFn,
    window: Window,
) -> Result<ActiveWindow> {
    set.add(function, window, |_| Ok(()))
}

#[test]
fn a_session_keeps_its_state_while_it_grows_and_when_sessions_join() {
    let sessions = Sessions::with_gap(Duration::from_micros(10));
    let mut set = MergingWindowSet::default();
    let first = add(&mut set, &sessions, window(0, 10)).unwrap();
    let second = add(&mut set, &sessions, window(15, 25)).unwrap();
    assert_eq!((first.state, second.state), (window(0, 10), window(15, 25)));
    let mut merges = Vec::new();
    let joined = set
        .add(&sessions, window(8, 18), |merge| {
            merges.push((
                merge.into,
                merge.sources.to_vec(),
                merge.merged_away().collect::<Vec<_>>(),
            ));
            Ok(())
        })
        .unwrap();
    assert_eq!(merges, [(window(0, 25), vec![first, second], vec![window(15, 25)])]);
    assert_eq!(joined, ActiveWindow { window: window(0, 25), state: window(0, 10) });
    assert_eq!(set.state_window(&window(0, 25)), Some(window(0, 10)));
    assert_eq!(set.state_window(&window(0, 10)), None);
}

#[test]
fn a_window_inside_an_active_one_causes_no_merge() {
    let sessions = Sessions::with_gap(Duration::from_micros(10));
    for function in [&sessions as &dyn WindowFn, &PlainSessions(sessions)] {
        let mut set = MergingWindowSet::default();
        add(&mut set, function, window(0, 10)).unwrap();
        add(&mut set, function, window(5, 15)).unwrap();
        let inside = set
            .add(function, window(2, 12), |merge| panic!("nothing changes, but {merge:?}"))
            .unwrap();
        assert_eq!(inside.window, window(0, 15));
    }
}

#[test]
fn a_removed_window_starts_anew() {
    let sessions = Sessions::with_gap(Duration::from_micros(10));
    let mut set = MergingWindowSet::default();
    add(&mut set, &sessions, window(0, 10)).unwrap();
    add(&mut set, &sessions, window(5, 15)).unwrap();
    assert_eq!(set.remove(&window(0, 10)), None, "it has grown");
    assert_eq!(set.remove(&window(0, 15)), Some(window(0, 10)));
    assert!(set.is_empty());
    let again = add(&mut set, &sessions, window(5, 15)).unwrap();
    assert_eq!(again.state, window(5, 15));
}

#[test]
fn a_failed_merge_leaves_the_set_as_it_was() {
    let sessions = Sessions::with_gap(Duration::from_micros(10));
    let mut set = MergingWindowSet::default();
    add(&mut set, &sessions, window(0, 10)).unwrap();
    let before = set.clone();
    let failed = set.add(&sessions, window(5, 15), |_| Err(Error::invalid_value("no state")));
    assert!(failed.is_err());
    assert_eq!(set, before);
}

/// Asks for the merges it is given.
#[derive(Debug)]
struct Scripted(Vec<Merge>);

impl WindowFn for Scripted {
    fn name(&self) -> &'static str {
        "Scripted"
    }
    fn assign(&self, _timestamp: Timestamp, _windows: &mut Vec<Window>) {}
    fn fingerprint(&self) -> String {
        "scripted".to_owned()
    }
    fn merge(&self, _windows: &[Window]) -> Vec<Merge> {
        self.0.clone()
    }
}

#[test]
fn merges_that_cannot_be_are_errors() {
    let (one, two, three) = (window(0, 10), window(20, 30), window(40, 50));
    let merge = |into, from: &[Window]| Merge { into, from: from.to_vec() };
    let cases = [
        (vec![merge(one, &[one, window(7, 8)])], "not active"),
        (vec![merge(one, &[one, two]), merge(three, &[two, three])], "twice"),
        (vec![merge(window(0, 99), &[one]), merge(window(0, 99), &[two])], "twice into"),
        (vec![merge(two, &[one])], "not merged itself"),
    ];
    for (merges, reason) in cases {
        let mut set = MergingWindowSet::default();
        for window in [one, two] {
            add(&mut set, &Scripted(Vec::new()), window).unwrap();
        }
        let before = set.clone();
        let error = add(&mut set, &Scripted(merges), three).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("Scripted"), "{error}");
        assert_eq!(set, before);
    }
}

#[test]
fn windows_may_change_places_in_one_step() {
    let (one, two, three) = (window(0, 10), window(20, 30), window(40, 50));
    let mut set = MergingWindowSet::default();
    for window in [one, two] {
        add(&mut set, &Scripted(Vec::new()), window).unwrap();
    }
    let swap = |into, from| Merge { into, from: vec![from] };
    let swapped = Scripted(vec![swap(two, one), swap(one, two)]);
    add(&mut set, &swapped, three).unwrap();
    assert_eq!(set.state_window(&one), Some(two));
    assert_eq!(set.state_window(&two), Some(one));
    assert_eq!(set.state_window(&three), Some(three));
}

#[test]
fn a_window_named_like_the_state_of_another_keeps_its_own() {
    let (one, shrunk) = (window(0, 10), window(0, 5));
    let mut set = MergingWindowSet::default();
    add(&mut set, &Scripted(Vec::new()), one).unwrap();
    let shrink = Scripted(vec![Merge { into: shrunk, from: vec![one] }]);
    add(&mut set, &shrink, window(20, 30)).unwrap();
    assert_eq!(set.state_window(&shrunk), Some(one));
    let again = add(&mut set, &Scripted(Vec::new()), one).unwrap();
    assert_eq!(again.window, one);
    assert_ne!(again.state, one, "the shrunk window keeps its state there");
}

#[test]
fn a_set_survives_a_checkpoint() {
    let sessions = Sessions::with_gap(Duration::from_micros(10));
    let (set, _) = run_set(&sessions, &[1, 5, 40, 90, 95]);
    let bytes = rmp_serde::to_vec_named(&set).unwrap();
    assert_eq!(rmp_serde::from_slice::<MergingWindowSet>(&bytes).unwrap(), set);
}
