//! The windows of one key that merge: [`MergingWindowSet`].
//!
//! Owns which windows of a merging window function are active for a key, and where the state of each is kept. A
//! window that grows keeps its state where it was: each active window has a *state window*, one of
//! those it was merged from, so that growing a session moves no state. Must not know what the state is.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::windowing::window::Window;
use crate::windowing::window_fn::{Merge, WindowFn};

/// A window that is active for a key, and the window under which its state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveWindow {
    /// The window as it is now.
    pub window: Window,
    /// The window under which state cells, timers and holds of it are found; unique among the key's.
    pub state: Window,
}

/// One merge that an added window caused, reported before the set changes.
#[derive(Clone, Copy, Debug)]
pub struct ActiveMerge<'a> {
    /// The window that results.
    pub into: Window,
    /// Where its state is kept: the state window of one of the sources.
    pub state: Window,
    /// The active windows it replaces, each with its own state; never empty. The window just added is
    /// not among them, it has no state yet.
    pub sources: &'a [ActiveWindow],
}

impl ActiveMerge<'_> {
    /// The state windows whose contents move into [`ActiveMerge::state`] and are then gone.
    pub fn merged_away(&self) -> impl Iterator<Item = Window> + '_ {
        self.sources.iter().map(|source| source.state).filter(|state| *state != self.state)
    }
}

/// The active windows of one key under a merging window function.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{MergingWindowSet, Sessions, Window};
/// use std::time::Duration;
///
/// let at = Timestamp::from_secs;
/// let sessions = Sessions::with_gap(Duration::from_secs(10));
/// let mut active = MergingWindowSet::default();
/// let first = active.add(&sessions, Window::new(at(0), at(10)), |_| Ok(()))?;
/// let grown = active.add(&sessions, Window::new(at(5), at(15)), |merge| {
///     assert_eq!(merge.into, Window::new(at(0), at(15)));
///     Ok(())
/// })?;
/// assert_eq!(grown.window, Window::new(at(0), at(15)));
/// assert_eq!(grown.state, first.state, "the session grew where it was");
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MergingWindowSet {
    /// Sorted by window; no window and no state window twice.
    active: Vec<ActiveWindow>,
}

impl MergingWindowSet {
    /// Number of active windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Whether no window is active; the key's set can be dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// The active windows, the one that ends first at the front.
    #[must_use]
    pub fn windows(&self) -> &[ActiveWindow] {
        &self.active
    }

    /// The state window of an active window.
    #[must_use]
    pub fn state_window(&self, window: &Window) -> Option<Window> {
        self.position(window).ok().map(|position| self.active[position].state)
    }

    /// Ends `window`; returns the state window to be dropped, if it was active.
    pub fn remove(&mut self, window: &Window) -> Option<Window> {
        self.position(window).ok().map(|position| self.active.remove(position).state)
    }

    /// Adds a window an element was assigned to, merges, and returns the window the element is in now.
    ///
    /// `on_merge` is called for each merge of active windows, before the set changes: it moves their state,
    /// trigger state, timers and holds. A window that was active already, or that merges with no
    /// other, causes no call.
    ///
    /// # Errors
    /// The error of `on_merge`, or [`Error::Invalid`] when the window function asks for a merge that
    /// cannot be: a window that is not active, in two merges, or merged into one that stays active.
    pub fn add(
        &mut self,
        window_fn: &dyn WindowFn,
        window: Window,
        on_merge: impl FnMut(ActiveMerge<'_>) -> Result<()>,
    ) -> Result<ActiveWindow> {
        match self.position(&window) {
            Ok(position) => Ok(self.active[position]),
            Err(_) if window_fn.merges_overlapping() => self.add_overlapping(window, on_merge),
            Err(_) => self.add_merging(window_fn, window, on_merge),
        }
    }

    fn position(&self, window: &Window) -> Result<usize, usize> {
        self.active.binary_search_by(|active| active.window.cmp(window))
    }

    /// Sessions: the active windows are disjoint, so those that the new one meets lie side by side.
    fn add_overlapping(
        &mut self,
        window: Window,
        mut on_merge: impl FnMut(ActiveMerge<'_>) -> Result<()>,
    ) -> Result<ActiveWindow> {
        let first = self.active.partition_point(|active| active.window.end <= window.start);
        let met = self.active[first..].partition_point(|active| active.window.start < window.end);
        if met == 0 {
            return Ok(self.insert_new(window));
        }
        let sources = &self.active[first..first + met];
        let into = sources.iter().fold(window, |into, source| into.span(&source.window));
        let merged = ActiveWindow { window: into, state: sources[0].state };
        if met > 1 || sources[0].window != into {
            on_merge(ActiveMerge { into, state: merged.state, sources })?;
            self.active.drain(first + 1..first + met);
            self.active[first] = merged;
        }
        Ok(merged)
    }

    /// Any merging function: the set is the function's to judge, so its merges are checked.
    fn add_merging(
        &mut self,
        window_fn: &dyn WindowFn,
        window: Window,
        mut on_merge: impl FnMut(ActiveMerge<'_>) -> Result<()>,
    ) -> Result<ActiveWindow> {
        let mut windows: Vec<Window> = self.active.iter().map(|active| active.window).collect();
        windows.push(window);
        windows.sort_unstable();
        let merges = window_fn.merge(&windows);
        check_merges(window_fn, &windows, &merges)?;

        let mut results = Vec::with_capacity(merges.len());
        for merge in &merges {
            results.extend(self.merged(merge, &mut on_merge)?);
        }
        let gone =
            |active: &ActiveWindow| merges.iter().any(|merge| merge.from.contains(&active.window));
        self.active.retain(|active| !gone(active));
        for result in results {
            self.insert(result);
        }
        let taken = merges.iter().find(|merge| merge.from.contains(&window));
        let added = taken.map_or(window, |merge| merge.into);
        match self.position(&added) {
            Ok(position) => Ok(self.active[position]),
            Err(_) => Ok(self.insert_new(added)),
        }
    }

    /// The result of one merge; none when it takes no window that has state.
    fn merged(
        &self,
        merge: &Merge,
        on_merge: &mut impl FnMut(ActiveMerge<'_>) -> Result<()>,
    ) -> Result<Option<ActiveWindow>> {
        let taken = |active: &&ActiveWindow| merge.from.contains(&active.window);
        let sources: Vec<ActiveWindow> = self.active.iter().filter(taken).copied().collect();
        let Some(first) = sources.first() else { return Ok(None) };
        let merged = ActiveWindow { window: merge.into, state: first.state };
        if sources != [merged] {
            on_merge(ActiveMerge { into: merge.into, state: merged.state, sources: &sources })?;
        }
        Ok(Some(merged))
    }

    /// Adds a window without state. Its state goes under its own name, unless a window that has since
    /// been changed by a merge keeps its state there: then under a tag that is free.
    fn insert_new(&mut self, window: Window) -> ActiveWindow {
        let mut state = window;
        while self.active.iter().any(|active| active.state == state) {
            state.tag = state.tag.wrapping_sub(1);
        }
        let active = ActiveWindow { window, state };
        self.insert(active);
        active
    }

    fn insert(&mut self, active: ActiveWindow) {
        if self.active.is_empty() {
            // Most keys have one session at a time.
            self.active.reserve_exact(1);
        }
        let position = self.active.partition_point(|other| other.window < active.window);
        self.active.insert(position, active);
    }
}

fn check_merges(window_fn: &dyn WindowFn, windows: &[Window], merges: &[Merge]) -> Result<()> {
    let name = window_fn.name();
    let invalid =
        |what: String| Err(Error::invalid_value(format!("window function {name} {what}")));
    let mut merged: Vec<Window> = merges.iter().flat_map(|merge| merge.from.clone()).collect();
    merged.sort_unstable();
    if let Some(unknown) = merged.iter().find(|window| windows.binary_search(window).is_err()) {
        return invalid(format!("merges {unknown}, which is not active"));
    }
    if let Some(twice) = merged.windows(2).find(|pair| pair[0] == pair[1]) {
        return invalid(format!("merges {} twice", twice[0]));
    }
    let mut results: Vec<Window> = merges.iter().map(|merge| merge.into).collect();
    results.sort_unstable();
    if let Some(twice) = results.windows(2).find(|pair| pair[0] == pair[1]) {
        return invalid(format!("merges twice into {}", twice[0]));
    }
    let stays =
        |into: &&Window| windows.binary_search(into).is_ok() && merged.binary_search(into).is_err();
    match results.iter().find(stays) {
        Some(into) => invalid(format!("merges into {into}, which is active and not merged itself")),
        None => Ok(()),
    }
}
