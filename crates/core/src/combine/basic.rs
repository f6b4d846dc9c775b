//! Count, sum, minimum, maximum and mean.

use std::marker::PhantomData;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::coder::Data;
use crate::combine::CombineFn;

/// Counts inputs of any type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<In> CombineFn<In> for Count {
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    #[inline]
    fn add_input(&self, accumulator: &mut u64, _input: In) {
        *accumulator += 1;
    }

    fn merge(&self, accumulator: &mut u64, other: u64) {
        *accumulator += other;
    }

    fn extract_output(&self, accumulator: &u64) -> u64 {
        *accumulator
    }
}

/// The number nothing is: what a sum of no inputs gives.
pub trait Zero {
    /// The neutral element of addition.
    const ZERO: Self;
}

macro_rules! zero {
    ($($number:ty => $zero:expr),*) => { $(impl Zero for $number { const ZERO: Self = $zero; })* };
}

zero!(u8 => 0, u16 => 0, u32 => 0, u64 => 0, u128 => 0, usize => 0);
zero!(i8 => 0, i16 => 0, i32 => 0, i64 => 0, i128 => 0, isize => 0, f32 => 0.0, f64 => 0.0);

/// Sums numbers; integer overflow panics in debug builds and wraps otherwise, as `+=` does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum;

impl<N: Data + Zero + AddAssign> CombineFn<N> for Sum {
    type Accumulator = N;
    type Output = N;

    fn create_accumulator(&self) -> N {
        N::ZERO
    }

    #[inline]
    fn add_input(&self, accumulator: &mut N, input: N) {
        *accumulator += input;
    }

    fn merge(&self, accumulator: &mut N, other: N) {
        *accumulator += other;
    }

    fn extract_output(&self, accumulator: &N) -> N {
        accumulator.clone()
    }
}

/// Sums a number taken from each input.
pub struct SumOf<F, N> {
    take: F,
    number: PhantomData<fn() -> N>,
}

impl<F, N> SumOf<F, N> {
    /// Sums what `take` gives for each input.
    pub const fn new(take: F) -> Self {
        Self { take, number: PhantomData }
    }
}

impl<F: Clone, N> Clone for SumOf<F, N> {
    fn clone(&self) -> Self {
        Self { take: self.take.clone(), number: PhantomData }
    }
}

impl<F, N> std::fmt::Debug for SumOf<F, N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SumOf")
    }
}

impl<In, N, F> CombineFn<In> for SumOf<F, N>
where
    N: Data + Zero + AddAssign,
    F: Fn(In) -> N + Clone + Send + Sync + 'static,
{
    type Accumulator = N;
    type Output = N;

    fn create_accumulator(&self) -> N {
        N::ZERO
    }

    #[inline]
    fn add_input(&self, accumulator: &mut N, input: In) {
        *accumulator += (self.take)(input);
    }

    fn merge(&self, accumulator: &mut N, other: N) {
        *accumulator += other;
    }

    fn extract_output(&self, accumulator: &N) -> N {
        accumulator.clone()
    }
}

/// The least input; `None` for no inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Min;

/// The greatest input; `None` for no inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Max;

macro_rules! extreme {
    ($name:ident, $better:tt) => {
        impl<T: Data + PartialOrd> CombineFn<T> for $name {
            type Accumulator = Option<T>;
            type Output = Option<T>;

            fn create_accumulator(&self) -> Option<T> {
                None
            }

            #[inline]
            fn add_input(&self, accumulator: &mut Option<T>, input: T) {
                if accumulator.as_ref().is_none_or(|best| input $better *best) {
                    *accumulator = Some(input);
                }
            }

            fn merge(&self, accumulator: &mut Option<T>, other: Option<T>) {
                if let Some(input) = other {
                    self.add_input(accumulator, input);
                }
            }

            fn extract_output(&self, accumulator: &Option<T>) -> Option<T> {
                accumulator.clone()
            }
        }
    };
}

extreme!(Min, <);
extreme!(Max, >);

/// The arithmetic mean; `None` for no inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean;

/// A sum and how many numbers are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanAccumulator {
    /// Sum of the inputs.
    pub sum: f64,
    /// Number of inputs.
    pub count: u64,
}

impl<N: Into<f64>> CombineFn<N> for Mean {
    type Accumulator = MeanAccumulator;
    type Output = Option<f64>;

    fn create_accumulator(&self) -> MeanAccumulator {
        MeanAccumulator::default()
    }

    #[inline]
    fn add_input(&self, accumulator: &mut MeanAccumulator, input: N) {
        accumulator.sum += input.into();
        accumulator.count += 1;
    }

    fn merge(&self, accumulator: &mut MeanAccumulator, other: MeanAccumulator) {
        accumulator.sum += other.sum;
        accumulator.count += other.count;
    }

    fn extract_output(&self, accumulator: &MeanAccumulator) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "a count above 2^52 is out of reach")]
        (accumulator.count > 0).then(|| accumulator.sum / accumulator.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined<In, C: CombineFn<In>>(combine: &C, left: Vec<In>, right: Vec<In>) -> C::Output {
        let mut accumulator = combine.create_accumulator();
        left.into_iter().for_each(|input| combine.add_input(&mut accumulator, input));
        let mut other = combine.create_accumulator();
        right.into_iter().for_each(|input| combine.add_input(&mut other, input));
        combine.merge(&mut accumulator, other);
        combine.extract_output(&accumulator)
    }

    #[test]
    fn merged_accumulators_equal_one_over_all_inputs() {
        assert_eq!(combined(&Count, vec!["a", "b"], vec!["c"]), 3);
        assert_eq!(combined(&Sum, vec![1, 2], vec![3]), 6);
        assert_eq!(combined(&Min, vec![4, 2], vec![3]), Some(2));
        assert_eq!(combined(&Max, vec![4, 2], vec![9]), Some(9));
        assert_eq!(combined(&Mean, vec![1.0, 2.0], vec![6.0]), Some(3.0));
        assert_eq!(combined(&SumOf::new(|text: &str| text.len()), vec!["ab"], vec!["c"]), 3);
    }

    #[test]
    fn no_inputs_have_no_extreme_and_no_mean() {
        assert_eq!(combined::<u32, _>(&Max, vec![], vec![]), None);
        assert_eq!(combined::<f64, _>(&Mean, vec![], vec![]), None);
        assert_eq!(combined::<u32, _>(&Sum, vec![], vec![]), 0);
    }
}
