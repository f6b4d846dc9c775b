//! [`CombineFn`]: associative and commutative aggregation, and the usual ones.
//!
//! A combine is split into accumulators, so that the engine may aggregate before an exchange, per slice of a
//! window, and merge what it has. Source: Beam's `Combine.CombineFn`.
//!
//! ```
//! use millstream::combine::{CombineFn, Max};
//!
//! let mut left = CombineFn::<u32>::create_accumulator(&Max);
//! Max.add_input(&mut left, 1);
//! let mut right = None;
//! Max.add_input(&mut right, 4);
//! Max.merge(&mut left, right);
//! assert_eq!(Max.extract_output(&left), Some(4));
//! ```

mod basic;
mod top;

pub use basic::{Count, Max, Mean, MeanAccumulator, Min, Sum, SumOf, Zero};
pub use top::{Largest, Preference, Smallest, Top};

use crate::coder::Data;

/// Aggregates many inputs into one output through accumulators that can be merged.
///
/// `add_input` and `merge` must be associative and commutative: the engine chooses their order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot combine values of type `{In}`",
    note = "implement `CombineFn<{In}>` for it, or use one of `millstream::combine`"
)]
pub trait CombineFn<In>: Clone + Send + Sync + 'static {
    /// What is kept while inputs arrive.
    type Accumulator: Data;
    /// The aggregate.
    type Output: Data;

    /// An accumulator of no inputs.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Adds one input.
    fn add_input(&self, accumulator: &mut Self::Accumulator, input: In);

    /// Adds everything that `other` holds.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);

    /// The aggregate of what the accumulator holds; it may be asked for many times.
    fn extract_output(&self, accumulator: &Self::Accumulator) -> Self::Output;
}
