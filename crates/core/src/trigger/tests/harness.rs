//! A window operator without elements: it runs one trigger over the windows of one key.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;
use crate::trigger::{Trigger, TriggerContext, TriggerState};
use crate::windowing::{FixedWindows, GlobalWindows, Sessions, Window, WindowFn};

/// Times are milliseconds, as in Beam's tests.
pub(super) struct Tester {
    trigger: Trigger,
    window_fn: Box<dyn WindowFn>,
    states: BTreeMap<Window, TriggerState>,
    finished: Vec<Window>,
    watermark: Timestamp,
    now: Timestamp,
}

pub(super) fn window(start: i64, end: i64) -> Window {
    Window::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Tester {
    pub(super) fn new(trigger: Trigger, window_fn: impl WindowFn) -> Self {
        Self {
            trigger,
            window_fn: Box::new(window_fn),
            states: BTreeMap::new(),
            finished: Vec::new(),
            watermark: Timestamp::MIN,
            now: Timestamp::EPOCH,
        }
    }

    pub(super) fn fixed(trigger: Trigger, size: u64) -> Self {
        Self::new(trigger, FixedWindows::of(millis(size)))
    }

    pub(super) fn sessions(trigger: Trigger, gap: u64) -> Self {
        Self::new(trigger, Sessions::with_gap(millis(gap)))
    }

    pub(super) fn global(trigger: Trigger) -> Self {
        Self::new(trigger, GlobalWindows)
    }

    fn ctx(&self, window: Window) -> TriggerContext {
        TriggerContext::new(window, self.watermark, self.now)
            .with_merging(self.window_fn.is_merging())
    }

    /// Elements at these event times; one whose window has merged away joins the merged window.
    pub(super) fn inject(&mut self, times: &[i64]) {
        for time in times {
            let mut windows = Vec::new();
            self.window_fn.assign(Timestamp::from_millis(*time), &mut windows);
            for assigned in windows {
                let covers = |active: &&Window| active.span(&assigned) == **active;
                let into = self.states.keys().find(covers).copied().unwrap_or(assigned);
                let ctx = self.ctx(into);
                let new = || TriggerState::new(&self.trigger);
                self.states.entry(into).or_insert_with(new).on_element(&self.trigger, &ctx);
            }
        }
    }

    pub(super) fn merge(&mut self) {
        let windows: Vec<Window> = self.states.keys().copied().collect();
        for merge in self.window_fn.merge(&windows) {
            let states: Vec<TriggerState> =
                merge.from.iter().filter_map(|from| self.states.remove(from)).collect();
            let merged = TriggerState::merge(&self.trigger, &states, &self.ctx(merge.into));
            self.states.insert(merge.into, merged);
        }
    }

    pub(super) fn watermark(&mut self, millis: i64) {
        self.watermark = Timestamp::from_millis(millis);
    }

    pub(super) fn clock(&mut self, millis: i64) {
        self.now = Timestamp::from_millis(millis);
    }

    pub(super) fn should_fire(&self, window: Window) -> bool {
        let state = self.states.get(&window);
        state.is_some_and(|state| state.should_fire(&self.trigger, &self.ctx(window)))
    }

    /// Fires if the trigger says so; a window whose trigger finishes is closed and forgotten.
    pub(super) fn fire(&mut self, window: Window) {
        if !self.should_fire(window) {
            return;
        }
        let ctx = self.ctx(window);
        let state = self.states.get_mut(&window).unwrap();
        state.on_fire(&self.trigger, &ctx);
        if state.is_finished() {
            assert!(!state.should_fire(&self.trigger, &ctx), "finished, and fires again");
            self.states.remove(&window);
            self.finished.push(window);
        }
    }

    /// Asserts that the trigger is ready, and fires.
    pub(super) fn must_fire(&mut self, window: Window) {
        assert!(self.should_fire(window), "{} should fire in {window}", self.trigger);
        self.fire(window);
    }

    pub(super) fn is_finished(&self, window: Window) -> bool {
        self.finished.contains(&window)
    }

    pub(super) fn next_wake_up(&self, window: Window) -> Option<Timestamp> {
        self.states.get(&window)?.next_wake_up(&self.trigger, &self.ctx(window))
    }
}
