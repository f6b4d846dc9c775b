//! What one key and window has seen of its trigger: [`TriggerState`].
//!
//! Owns the public face and the shape of the state; the rules of each trigger are in `machine`.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::trigger::ast::Trigger;
use crate::windowing::Window;

/// What a trigger is told when it is asked: where the window, the watermark and the clock stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerContext {
    /// The window as it is now.
    pub window: Window,
    /// The input watermark.
    pub watermark: Timestamp,
    /// The processing time.
    pub now: Timestamp,
    /// Whether the window may still merge with others; then parts of a trigger that wait for their turn
    /// count elements too, because a merge can give them their turn back.
    pub merging: bool,
}

impl TriggerContext {
    /// The context of a window that does not merge.
    #[must_use]
    pub const fn new(window: Window, watermark: Timestamp, now: Timestamp) -> Self {
        Self { window, watermark, now, merging: false }
    }

    /// The context of a window under a window function that merges, if `merging`.
    #[must_use]
    pub const fn with_merging(self, merging: bool) -> Self {
        Self { merging, ..self }
    }

    /// Whether the watermark has passed the last event time of the window.
    #[must_use]
    pub fn is_past_end_of_window(&self) -> bool {
        self.window.max_timestamp() < self.watermark
    }
}

/// The progress of a trigger for one key and window.
///
/// The trigger itself is shared and passed to each call; it must be the one the state was made for. The state of
/// [`Trigger::Default`] holds nothing.
///
/// The caller asks [`TriggerState::should_fire`] after elements came, after the watermark passed the end of the
/// window, and at [`TriggerState::next_wake_up`]; when it fires, it calls
/// [`TriggerState::on_fire`], and when the trigger [is finished](TriggerState::is_finished) the window is
/// closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TriggerState {
    root: Node,
}

impl TriggerState {
    /// The state of a window that no element has reached.
    #[must_use]
    pub fn new(trigger: &Trigger) -> Self {
        Self { root: Node::new(trigger) }
    }

    /// Notes an element that arrived now.
    #[inline]
    pub fn on_element(&mut self, trigger: &Trigger, ctx: &TriggerContext) {
        self.on_elements(trigger, ctx, 1);
    }

    /// Notes `count` elements that arrived now, one behind the other.
    #[inline]
    pub fn on_elements(&mut self, trigger: &Trigger, ctx: &TriggerContext, count: u64) {
        if !matches!(trigger, Trigger::Default) && !self.root.is_finished() && count > 0 {
            self.root.on_elements(trigger, ctx, count);
        }
    }

    /// The state of the window `ctx.window` that windows with these states have merged into.
    #[must_use]
    pub fn merge<'a>(
        trigger: &Trigger,
        states: impl IntoIterator<Item = &'a Self>,
        ctx: &TriggerContext,
    ) -> Self {
        if matches!(trigger, Trigger::Default) {
            return Self::new(trigger);
        }
        let roots: Vec<&Node> = states.into_iter().map(|state| &state.root).collect();
        Self { root: Node::merge(trigger, &roots, ctx) }
    }

    /// Whether the window should emit a pane now.
    #[must_use]
    #[inline]
    pub fn should_fire(&self, trigger: &Trigger, ctx: &TriggerContext) -> bool {
        !self.root.is_finished() && self.root.should_fire(trigger, ctx)
    }

    /// Notes that the window emitted a pane; only to be called when [`TriggerState::should_fire`] holds.
    pub fn on_fire(&mut self, trigger: &Trigger, ctx: &TriggerContext) {
        if !matches!(trigger, Trigger::Default) && !self.root.is_finished() {
            self.root.on_fire(trigger, ctx);
        }
    }

    /// Whether the trigger will never fire again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.root.is_finished()
    }

    /// The earliest processing time after `ctx.now` at which [`TriggerState::should_fire`] may become true by the
    /// passing of time alone.
    #[must_use]
    pub fn next_wake_up(&self, trigger: &Trigger, ctx: &TriggerContext) -> Option<Timestamp> {
        if self.root.is_finished() { None } else { self.root.next_wake_up(trigger, ctx) }
    }
}

/// The state of a trigger and its parts. Names are short because a checkpoint holds one per key and window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    /// Nothing but whether it has finished.
    #[serde(rename = "l")]
    Leaf(bool),
    /// Whether it has finished, and the elements in the pane.
    #[serde(rename = "c")]
    Count(bool, u64),
    /// Whether it has finished, and the processing time that must pass.
    #[serde(rename = "d")]
    Delay(bool, Option<Timestamp>),
    /// Whether it has finished, and the states of the parts.
    #[serde(rename = "p")]
    Parts(bool, Box<[Node]>),
}

impl Node {
    pub(super) fn new(trigger: &Trigger) -> Self {
        let parts = |parts: &[Trigger]| Self::Parts(false, parts.iter().map(Self::new).collect());
        match trigger {
            Trigger::Default
            | Trigger::Always
            | Trigger::Never
            | Trigger::AfterWatermark { early: None, late: None } => Self::Leaf(false),
            Trigger::AfterCount(_) => Self::Count(false, 0),
            Trigger::AfterProcessingTime { .. } | Trigger::AfterSynchronizedProcessingTime => {
                Self::Delay(false, None)
            }
            Trigger::AfterWatermark { early, late } => {
                let of = |part: &Option<Box<Trigger>>| {
                    part.as_deref().map_or(Self::Leaf(false), Self::new)
                };
                Self::Parts(false, Box::new([of(early), of(late)]))
            }
            Trigger::Repeatedly(part) => Self::Parts(false, Box::new([Self::new(part)])),
            Trigger::AfterEach(all) | Trigger::AfterAll(all) | Trigger::AfterAny(all) => parts(all),
            Trigger::OrFinally { main, until } => {
                Self::Parts(false, Box::new([Self::new(main), Self::new(until)]))
            }
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Leaf(finished)
            | Self::Count(finished, _)
            | Self::Delay(finished, _)
            | Self::Parts(finished, _) => *finished,
        }
    }

    pub(super) fn set_finished(&mut self, value: bool) {
        match self {
            Self::Leaf(finished)
            | Self::Count(finished, _)
            | Self::Delay(finished, _)
            | Self::Parts(finished, _) => *finished = value,
        }
    }

    /// The states of the parts; none for a trigger without parts.
    pub(super) fn parts(&self) -> &[Self] {
        match self {
            Self::Parts(_, parts) => parts,
            _ => &[],
        }
    }

    pub(super) fn parts_mut(&mut self) -> &mut [Self] {
        match self {
            Self::Parts(_, parts) => parts,
            _ => &mut [],
        }
    }

    /// Forgets the pane: counts and delays, not what has finished.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Leaf(_) => {}
            Self::Count(_, count) => *count = 0,
            Self::Delay(_, until) => *until = None,
            Self::Parts(_, parts) => parts.iter_mut().for_each(Self::clear),
        }
    }

    /// Starts anew, with all parts.
    pub(super) fn reset(&mut self) {
        self.set_finished(false);
        match self {
            Self::Parts(_, parts) => parts.iter_mut().for_each(Self::reset),
            _ => self.clear(),
        }
    }
}
