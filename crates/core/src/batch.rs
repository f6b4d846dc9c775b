//! The unit of work: [`Batch`], a column of values beside a column of event times.
//!
//! Window and pane data are there only where they differ from "not assigned": before a grouping no element
//! has any, behind one most batches share a single pane.

use crate::pane::PaneInfo;
use crate::time::Timestamp;
use crate::windowing::Window;
use serde::{Deserialize, Serialize};

/// Bytes of values that a batch inside a stage should hold at most: with its input and its output
/// a step then works in a first-level cache of 32 KiB (measured: larger batches halve the speed).
const STAGE_BATCH_BYTES: usize = 5_120;

/// The window an element is in and the firing that emitted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowedPane {
    /// The one window of the element.
    pub window: Window,
    /// The firing that emitted the element.
    pub pane: PaneInfo,
}

impl WindowedPane {
    /// The global window before any grouping.
    pub const GLOBAL: Self = Self { window: Window::GLOBAL, pane: PaneInfo::NO_FIRING };
}

/// Window and pane of a batch's elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Panes {
    /// Not assigned yet: the windowing strategy of the collection applies to the event times.
    #[default]
    Unassigned,
    /// All elements are in the same window and pane.
    Uniform(WindowedPane),
    /// One entry per element.
    Each(Vec<WindowedPane>),
}

/// Values with their event times and, where assigned, their windows and panes.
///
/// All columns have the same length. [`Batch::iter`] and the `push` methods keep them so.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    pub(crate) values: Vec<T>,
    pub(crate) timestamps: Vec<Timestamp>,
    pub(crate) panes: Panes,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { values: Vec::new(), timestamps: Vec::new(), panes: Panes::Unassigned }
    }
}

impl<T> Batch<T> {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `capacity` elements.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            timestamps: Vec::with_capacity(capacity),
            panes: Panes::Unassigned,
        }
    }

    /// How many elements a batch inside a stage should hold, so that it stays in the first-level cache.
    #[must_use]
    pub const fn stage_len() -> usize {
        let size = size_of::<T>() + size_of::<Timestamp>();
        let len = STAGE_BATCH_BYTES / size;
        if len < 16 {
            16
        } else if len > 256 {
            256
        } else {
            len
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends an element whose window is not assigned yet.
    pub fn push(&mut self, timestamp: Timestamp, value: T) {
        debug_assert!(!self.is_assigned() || self.is_empty(), "a batch is assigned as a whole");
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Appends elements whose windows are not assigned yet.
    #[inline]
    pub fn extend(&mut self, elements: impl IntoIterator<Item = (Timestamp, T)>) {
        debug_assert!(!self.is_assigned() || self.is_empty(), "a batch is assigned as a whole");
        let elements = elements.into_iter();
        let (least, _) = elements.size_hint();
        self.values.reserve(least);
        self.timestamps.reserve(least);
        for (timestamp, value) in elements {
            self.timestamps.push(timestamp);
            self.values.push(value);
        }
    }

    /// Appends copies of `values`, whose event times `timestamp` gives; faster than one by one.
    #[inline]
    pub fn extend_cloned(&mut self, values: &[T], timestamp: impl FnMut(&T) -> Timestamp)
    where
        T: Clone,
    {
        debug_assert!(!self.is_assigned() || self.is_empty(), "a batch is assigned as a whole");
        self.values.extend_from_slice(values);
        self.timestamps.extend(values.iter().map(timestamp));
    }

    /// Takes all elements out where all are in the same pane, or in none; gives the pane, times and values. `None` where
    /// panes differ: then use [`Batch::drain`].
    #[allow(clippy::type_complexity, reason = "two iterators and what they have in common")]
    pub fn drain_uniform(
        &mut self,
    ) -> Option<(Option<WindowedPane>, impl Iterator<Item = (Timestamp, T)> + '_)> {
        let at = match self.panes {
            Panes::Unassigned => None,
            Panes::Uniform(at) => Some(at),
            Panes::Each(_) => return None,
        };
        self.panes = Panes::Unassigned;
        Some((at, self.timestamps.drain(..).zip(self.values.drain(..))))
    }

    /// Sets the pane of all elements.
    pub fn assign_all(&mut self, at: WindowedPane) {
        self.panes = Panes::Uniform(at);
    }

    /// Appends an element of one window and pane.
    pub fn push_windowed(&mut self, timestamp: Timestamp, at: WindowedPane, value: T) {
        self.add_pane(at);
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    fn add_pane(&mut self, at: WindowedPane) {
        let len = self.values.len();
        match &mut self.panes {
            Panes::Each(each) => each.push(at),
            Panes::Uniform(same) if *same == at => {}
            _ if len == 0 => self.panes = Panes::Uniform(at),
            other => {
                let first = match other {
                    Panes::Uniform(same) => *same,
                    _ => WindowedPane::GLOBAL,
                };
                let mut each = Vec::with_capacity(len + 1);
                each.resize(len, first);
                each.push(at);
                self.panes = Panes::Each(each);
            }
        }
    }

    /// Appends an element with the window and pane that element `index` of `other` has.
    pub fn push_like<U>(&mut self, other: &Batch<U>, index: usize, value: T) {
        match &other.panes {
            Panes::Unassigned => self.push(other.timestamps[index], value),
            Panes::Uniform(at) => self.push_windowed(other.timestamps[index], *at, value),
            Panes::Each(each) => self.push_windowed(other.timestamps[index], each[index], value),
        }
    }

    /// Whether the elements carry windows.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        !matches!(self.panes, Panes::Unassigned)
    }

    /// The window and pane of element `index`, when assigned.
    #[must_use]
    pub fn windowed(&self, index: usize) -> Option<WindowedPane> {
        match &self.panes {
            Panes::Unassigned => None,
            Panes::Uniform(at) => Some(*at),
            Panes::Each(each) => each.get(index).copied(),
        }
    }

    /// Forgets the windows and panes: the next grouping assigns them from the event times.
    pub fn unassign(&mut self) {
        self.panes = Panes::Unassigned;
    }

    /// Removes all elements and keeps the memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.timestamps.clear();
        self.panes = Panes::Unassigned;
    }

    /// The values in order.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The event times in order.
    #[must_use]
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// The elements with their event times.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &T)> {
        self.timestamps.iter().copied().zip(&self.values)
    }

    /// Takes all elements out, with event time and, where assigned, window and pane.
    pub fn drain(&mut self) -> impl Iterator<Item = (Timestamp, Option<WindowedPane>, T)> + '_ {
        let panes = std::mem::take(&mut self.panes);
        self.timestamps.drain(..).zip(self.values.drain(..)).enumerate().map(
            move |(index, (timestamp, value))| {
                let at = match &panes {
                    Panes::Unassigned => None,
                    Panes::Uniform(at) => Some(*at),
                    Panes::Each(each) => Some(each[index]),
                };
                (timestamp, at, value)
            },
        )
    }

    /// Moves all elements of `other` behind those of this batch.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            other.clear();
        } else if self.panes == other.panes && !matches!(self.panes, Panes::Each(_)) {
            self.values.append(&mut other.values);
            self.timestamps.append(&mut other.timestamps);
            other.clear();
        } else {
            for (timestamp, at, value) in other.drain() {
                match at {
                    Some(at) => self.push_windowed(timestamp, at, value),
                    None => self.push_unassigned_behind(timestamp, value),
                }
            }
        }
    }

    fn push_unassigned_behind(&mut self, timestamp: Timestamp, value: T) {
        if self.is_assigned() {
            self.push_windowed(timestamp, WindowedPane::GLOBAL, value);
        } else {
            self.push(timestamp, value);
        }
    }

    /// Takes the first `count` elements out into a batch of their own.
    #[must_use]
    pub fn split_front(&mut self, count: usize) -> Self {
        let count = count.min(self.len());
        let panes = match &mut self.panes {
            Panes::Each(each) => Panes::Each(each.drain(..count).collect()),
            other => other.clone(),
        };
        Self {
            values: self.values.drain(..count).collect(),
            timestamps: self.timestamps.drain(..count).collect(),
            panes,
        }
    }

    /// Drops all but the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.timestamps.truncate(len);
        if let Panes::Each(each) = &mut self.panes {
            each.truncate(len);
        }
    }

    /// Keeps the elements that `keep` accepts, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        for index in 0..self.values.len() {
            if keep(&self.values[index]) {
                self.values.swap(kept, index);
                self.timestamps.swap(kept, index);
                if let Panes::Each(each) = &mut self.panes {
                    each.swap(kept, index);
                }
                kept += 1;
            }
        }
        self.values.truncate(kept);
        self.timestamps.truncate(kept);
        if let Panes::Each(each) = &mut self.panes {
            each.truncate(kept);
        }
    }

    /// Moves every value through `map` into the empty batch `out`; times, windows and panes go along.
    pub fn map_into<U>(&mut self, out: &mut Batch<U>, map: impl FnMut(T) -> U) {
        debug_assert!(out.is_empty(), "the output was handed on before");
        out.values.clear();
        out.values.extend(self.values.drain(..).map(map));
        std::mem::swap(&mut self.timestamps, &mut out.timestamps);
        self.timestamps.clear();
        out.panes = std::mem::take(&mut self.panes);
    }

    /// Like [`Batch::map_into`] for a function that may drop elements.
    pub fn filter_map_into<U>(&mut self, out: &mut Batch<U>, mut map: impl FnMut(T) -> Option<U>) {
        debug_assert!(out.is_empty(), "the output was handed on before");
        let panes = std::mem::take(&mut self.panes);
        out.values.reserve(self.values.len());
        out.timestamps.reserve(self.values.len());
        let mut each_out = Vec::new();
        if let Panes::Each(each) = &panes {
            for (index, value) in self.values.drain(..).enumerate() {
                if let Some(mapped) = map(value) {
                    out.values.push(mapped);
                    out.timestamps.push(self.timestamps[index]);
                    each_out.push(each[index]);
                }
            }
        } else {
            for (timestamp, value) in self.timestamps.iter().zip(self.values.drain(..)) {
                if let Some(mapped) = map(value) {
                    out.values.push(mapped);
                    out.timestamps.push(*timestamp);
                }
            }
        }
        self.timestamps.clear();
        out.panes = if matches!(panes, Panes::Each(_)) { Panes::Each(each_out) } else { panes };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn pane(start: i64) -> WindowedPane {
        let window = Window { start: at(start), end: at(start + 10), tag: 0 };
        WindowedPane { window, pane: PaneInfo::NO_FIRING }
    }

    #[test]
    fn a_uniform_pane_becomes_one_per_element_when_a_second_appears() {
        let mut batch = Batch::new();
        batch.push_windowed(at(1), pane(0), 'a');
        batch.push_windowed(at(2), pane(0), 'b');
        assert_eq!(batch.panes, Panes::Uniform(pane(0)));
        batch.push_windowed(at(11), pane(10), 'c');
        assert_eq!(batch.windowed(1), Some(pane(0)));
        assert_eq!(batch.windowed(2), Some(pane(10)));
        assert_eq!(batch.drain().count(), 3);
    }

    #[test]
    fn retain_split_and_append_keep_the_columns_together() {
        let mut batch = Batch::new();
        for value in 0..6 {
            batch.push_windowed(at(value), pane(value / 2), value);
        }
        batch.retain(|value| value % 2 == 1);
        let mut front = batch.split_front(1);
        assert_eq!(front.windowed(0), Some(pane(0)));
        assert_eq!(batch.timestamps(), [at(3), at(5)]);
        front.append(&mut batch);
        assert_eq!(front.values(), [1, 3, 5]);
        assert_eq!(front.windowed(2), Some(pane(2)));
    }

    #[test]
    fn stage_batches_fit_the_first_level_cache() {
        assert_eq!(Batch::<u64>::stage_len(), 256);
        assert_eq!(Batch::<[u64; 5]>::stage_len(), 106);
        assert_eq!(Batch::<[u8; 4096]>::stage_len(), 16);
    }
}
