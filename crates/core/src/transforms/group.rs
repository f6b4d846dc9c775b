//! `group_by_key`: all values of each key and window.

use std::panic::Location;

use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::pcollection::PCollection;

/// Keeps every value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collect;

impl<T: Data> CombineFn<T> for Collect {
    type Accumulator = Vec<T>;
    type Output = Vec<T>;

    fn create_accumulator(&self) -> Vec<T> {
        Vec::new()
    }

    fn add_input(&self, accumulator: &mut Vec<T>, input: T) {
        accumulator.push(input);
    }

    fn merge(&self, accumulator: &mut Vec<T>, mut other: Vec<T>) {
        if accumulator.is_empty() {
            *accumulator = other;
        } else {
            accumulator.append(&mut other);
        }
    }

    fn extract_output(&self, accumulator: &Vec<T>) -> Vec<T> {
        accumulator.clone()
    }
}

impl<K: Key + Sync, V: Data> PCollection<Kv<K, V>> {
    /// All values of each key and window, in no particular order. Where they are only aggregated,
    /// [`PCollection::combine_per_key`] keeps less and is faster.
    #[track_caller]
    pub fn group_by_key(&self, name: &str) -> PCollection<Kv<K, Vec<V>>> {
        self.add_combine(name, "GroupByKey", Collect, false, None, Location::caller())
    }

    /// Like [`PCollection::group_by_key`], with the elements that came after their window expired as a second output.
    #[track_caller]
    pub fn group_by_key_with_late(&self, name: &str) -> (PCollection<Kv<K, Vec<V>>>, Self) {
        let location = Location::caller();
        let main = self.add_combine(name, "GroupByKey", Collect, true, None, location);
        let mut late: Self = main.side(1);
        late.shape = self.shape.clone();
        (main, late)
    }
}
