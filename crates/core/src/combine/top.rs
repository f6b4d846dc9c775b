//! The first inputs of an order: [`Top`].

use crate::coder::Data;
use crate::combine::CombineFn;

/// Orders inputs so that the best come first.
pub trait Preference<T>: Clone + Send + Sync + 'static {
    /// Whether `left` is to be kept rather than `right`.
    fn prefers(&self, left: &T, right: &T) -> bool;
}

/// Prefers greater inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Largest;

/// Prefers smaller inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smallest;

impl<T: PartialOrd> Preference<T> for Largest {
    fn prefers(&self, left: &T, right: &T) -> bool {
        left > right
    }
}

impl<T: PartialOrd> Preference<T> for Smallest {
    fn prefers(&self, left: &T, right: &T) -> bool {
        left < right
    }
}

impl<T, F: Fn(&T, &T) -> bool + Clone + Send + Sync + 'static> Preference<T> for F {
    fn prefers(&self, left: &T, right: &T) -> bool {
        self(left, right)
    }
}

/// The best inputs, best first; of equal ones any may be kept.
///
/// ```
/// use millstream::combine::{CombineFn, Top};
///
/// let two = Top::largest(2);
/// let mut best = two.create_accumulator();
/// [3, 9, 4].into_iter().for_each(|input| two.add_input(&mut best, input));
/// assert_eq!(CombineFn::<i32>::extract_output(&two, &best), [9, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Top<P> {
    count: usize,
    preference: P,
}

impl Top<Largest> {
    /// The `count` greatest inputs.
    #[must_use]
    pub const fn largest(count: usize) -> Self {
        Self { count, preference: Largest }
    }
}

impl Top<Smallest> {
    /// The `count` least inputs.
    #[must_use]
    pub const fn smallest(count: usize) -> Self {
        Self { count, preference: Smallest }
    }
}

impl<P> Top<P> {
    /// The `count` inputs that `preference(left, right)` puts before all others.
    pub const fn by(count: usize, preference: P) -> Self {
        Self { count, preference }
    }
}

impl<T: Data, P: Preference<T>> CombineFn<T> for Top<P> {
    type Accumulator = Vec<T>;
    type Output = Vec<T>;

    fn create_accumulator(&self) -> Vec<T> {
        Vec::new()
    }

    fn add_input(&self, accumulator: &mut Vec<T>, input: T) {
        let place = accumulator.partition_point(|kept| !self.preference.prefers(&input, kept));
        if place < self.count {
            accumulator.truncate(self.count - 1);
            accumulator.insert(place, input);
        }
    }

    fn merge(&self, accumulator: &mut Vec<T>, other: Vec<T>) {
        other.into_iter().for_each(|input| self.add_input(accumulator, input));
    }

    fn extract_output(&self, accumulator: &Vec<T>) -> Vec<T> {
        accumulator.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_in_order_whatever_the_order_of_arrival() {
        let top = Top::by(3, |left: &u32, right: &u32| left < right);
        let mut best = top.create_accumulator();
        [9, 1, 7, 3, 8, 2].into_iter().for_each(|input| top.add_input(&mut best, input));
        assert_eq!(top.extract_output(&best), [1, 2, 3]);
    }

    #[test]
    fn top_of_nothing_keeps_nothing() {
        let top = Top::largest(0);
        let mut best = top.create_accumulator();
        top.add_input(&mut best, 5);
        assert!(best.is_empty());
    }
}
