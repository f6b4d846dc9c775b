//! What a firing says about itself: [`PaneInfo`], beside every element that a grouping emits.
//!
//! Owns the numbering of panes and the rule that makes one early, on time or late. Must not know how
//! a trigger decides to fire.
//!
//! ```
//! use millstream::pane::{PaneInfo, Timing};
//!
//! let early = PaneInfo::following(None, Timing::Early, false);
//! let on_time = PaneInfo::following(Some(&early), Timing::OnTime, false);
//! assert_eq!((on_time.index, on_time.non_speculative_index), (1, 0));
//! assert!(early.is_first && !on_time.is_first);
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// When a pane fired, seen from the watermark.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Timing {
    /// Before the watermark passed the end of the window: a speculative result.
    Early,
    /// When the watermark passed the end of the window; at most one pane of a window is on time.
    OnTime,
    /// After the on-time pane, or when the output could not be on time any more.
    Late,
    /// No firing was involved: the element comes from a source or from a step without grouping.
    #[default]
    Unknown,
}

impl Timing {
    /// The timing of a window's next pane.
    ///
    /// Late when a pane that was not early has gone out, or when the output watermark has passed
    /// `max_timestamp` (nothing downstream could count the pane as on time); early while the input
    /// watermark has not passed it; on time otherwise.
    #[must_use]
    pub fn of_next(
        previous: Option<&PaneInfo>,
        max_timestamp: Timestamp,
        input_watermark: Timestamp,
        output_watermark: Timestamp,
    ) -> Self {
        let only_early_so_far = previous.is_none_or(|pane| pane.timing == Self::Early);
        if !only_early_so_far || max_timestamp < output_watermark {
            Self::Late
        } else if input_watermark <= max_timestamp {
            Self::Early
        } else {
            Self::OnTime
        }
    }
}

/// Whether an element is added to the results or takes an earlier one back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Sign {
    /// The element counts.
    #[default]
    Insert,
    /// The element cancels an equal one emitted before.
    Retract,
}

/// The firing that emitted an element: which one of its window, and when.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaneInfo {
    /// Number of this pane among all panes of its key and window, from 0.
    pub index: u64,
    /// Number of this pane among those that are not early, from 0; 0 in an early pane, which has none
    /// (see [`PaneInfo::non_speculative`]).
    pub non_speculative_index: u64,
    /// Early, on time or late.
    pub timing: Timing,
    /// Whether no pane of this key and window came before.
    pub is_first: bool,
    /// Whether no pane of this key and window will follow.
    pub is_last: bool,
    /// Whether the element counts or takes an earlier one back.
    pub sign: Sign,
}

impl PaneInfo {
    /// The pane of elements that no trigger has fired: first, last and of unknown timing.
    pub const NO_FIRING: Self = Self {
        index: 0,
        non_speculative_index: 0,
        timing: Timing::Unknown,
        is_first: true,
        is_last: true,
        sign: Sign::Insert,
    };

    /// The pane of a window that fires exactly once, on time.
    pub const ON_TIME_AND_ONLY_FIRING: Self = Self { timing: Timing::OnTime, ..Self::NO_FIRING };

    /// The pane of a key and window that follows `previous`.
    #[must_use]
    pub fn following(previous: Option<&Self>, timing: Timing, is_last: bool) -> Self {
        let non_speculative_index = match previous.and_then(Self::non_speculative) {
            Some(before) if timing != Timing::Early => before + 1,
            _ => 0,
        };
        Self {
            index: previous.map_or(0, |pane| pane.index + 1),
            non_speculative_index,
            timing,
            is_first: previous.is_none(),
            is_last,
            sign: Sign::Insert,
        }
    }

    /// Number of this pane among those that are not early; none for an early pane.
    ///
    /// Beam writes -1 for none.
    #[must_use]
    pub fn non_speculative(&self) -> Option<u64> {
        (self.timing != Timing::Early).then_some(self.non_speculative_index)
    }

    /// This pane with another sign.
    #[must_use]
    pub const fn with_sign(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }

    /// Whether the element takes an earlier one back.
    #[must_use]
    pub fn is_retraction(&self) -> bool {
        self.sign == Sign::Retract
    }
}

impl Default for PaneInfo {
    fn default() -> Self {
        Self::NO_FIRING
    }
}

impl fmt::Debug for PaneInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NO_FIRING {
            return formatter.write_str("NO_FIRING");
        }
        write!(formatter, "{:?}#{}", self.timing, self.index)?;
        if let Some(index) = self.non_speculative() {
            write!(formatter, "/{index}")?;
        }
        for (holds, name) in [
            (self.is_first, " first"),
            (self.is_last, " last"),
            (self.is_retraction(), " retraction"),
        ] {
            if holds {
                formatter.write_str(name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_are_numbered_and_early_ones_have_no_non_speculative_number() {
        let timings = [Timing::Early, Timing::Early, Timing::OnTime, Timing::Late, Timing::Late];
        let mut panes: Vec<PaneInfo> = Vec::new();
        for (position, timing) in timings.into_iter().enumerate() {
            panes.push(PaneInfo::following(panes.last(), timing, position == 4));
        }
        let indexes: Vec<u64> = panes.iter().map(|pane| pane.index).collect();
        let non_speculative: Vec<_> = panes.iter().map(PaneInfo::non_speculative).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
        assert_eq!(non_speculative, [None, None, Some(0), Some(1), Some(2)]);
        assert_eq!(panes.iter().filter(|pane| pane.is_first).count(), 1);
        let again_early = PaneInfo::following(panes.last(), Timing::Early, false);
        assert_eq!((again_early.index, again_early.non_speculative_index), (5, 0));
        assert!(panes[0].is_first && panes[4].is_last && !panes[3].is_last);
    }

    #[test]
    fn a_pane_is_on_time_once_and_late_ever_after() {
        let at = Timestamp::from_secs;
        let end = at(60);
        assert_eq!(Timing::of_next(None, end, at(60), at(0)), Timing::Early);
        assert_eq!(Timing::of_next(None, end, at(61), at(60)), Timing::OnTime);
        assert_eq!(Timing::of_next(None, end, at(62), at(61)), Timing::Late);
        let on_time = PaneInfo::ON_TIME_AND_ONLY_FIRING;
        assert_eq!(Timing::of_next(Some(&on_time), end, at(0), at(0)), Timing::Late);
        let early = PaneInfo::following(None, Timing::Early, false);
        assert_eq!(Timing::of_next(Some(&early), end, at(61), at(0)), Timing::OnTime);
    }

    #[test]
    fn the_default_is_no_firing_and_the_pane_stays_small() {
        assert_eq!(PaneInfo::default(), PaneInfo::NO_FIRING);
        assert_eq!(size_of::<PaneInfo>(), 24);
        let retraction = PaneInfo::ON_TIME_AND_ONLY_FIRING.with_sign(Sign::Retract);
        assert_eq!(format!("{retraction:?}"), "OnTime#0/0 first last retraction");
        let bytes = rmp_serde::to_vec_named(&retraction).unwrap();
        assert_eq!(rmp_serde::from_slice::<PaneInfo>(&bytes).unwrap(), retraction);
    }
}
