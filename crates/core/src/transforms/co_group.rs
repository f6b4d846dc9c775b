//! `co_group_by_key`: the values of several collections under each key.

use std::panic::Location;

use serde::{Deserialize, Serialize};

use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::pcollection::PCollection;

/// A value of one of two collections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Either<L, R> {
    /// Of the first.
    Left(L),
    /// Of the second.
    Right(R),
}

/// The values of two collections under one key.
pub type Both<L, R> = (Vec<L>, Vec<R>);

/// Keeps every value, those of the two collections apart.
#[derive(Clone, Copy, Debug)]
struct CollectBoth;

impl<L: Data, R: Data> CombineFn<Either<L, R>> for CollectBoth {
    type Accumulator = (Vec<L>, Vec<R>);
    type Output = (Vec<L>, Vec<R>);

    fn create_accumulator(&self) -> Self::Accumulator {
        (Vec::new(), Vec::new())
    }

    fn add_input(&self, accumulator: &mut Self::Accumulator, input: Either<L, R>) {
        match input {
            Either::Left(value) => accumulator.0.push(value),
            Either::Right(value) => accumulator.1.push(value),
        }
    }

    fn merge(&self, accumulator: &mut Self::Accumulator, mut other: Self::Accumulator) {
        accumulator.0.append(&mut other.0);
        accumulator.1.append(&mut other.1);
    }

    fn extract_output(&self, accumulator: &Self::Accumulator) -> Self::Output {
        accumulator.clone()
    }
}

impl<K: Key + Sync, L: Data> PCollection<Kv<K, L>> {
    /// For each key and window, the values of this collection and those of `other`. Both need the same windowing.
    ///
    /// ```
    /// # use millstream::prelude::*;
    /// let pipeline = Pipeline::new();
    /// let names = pipeline.create("Names", [(1, "tea".to_owned())]);
    /// let prices = pipeline.create("Prices", [(1, 250_u64), (1, 300)]);
    /// names.co_group_by_key("Join", &prices).for_each("Check", |(_, (names, prices))| {
    ///     assert_eq!((names.len(), prices.len()), (1, 2));
    /// });
    /// Engine::builder().run(&pipeline)?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn co_group_by_key<R: Data>(
        &self,
        name: &str,
        other: &PCollection<Kv<K, R>>,
    ) -> PCollection<Kv<K, Both<L, R>>> {
        let location = Location::caller();
        let pipeline = self.pipeline.clone();
        pipeline.scoped(name, || {
            let left = self.map("Left", |(key, value)| (key, Either::<L, R>::Left(value)));
            let right = other.map("Right", |(key, value)| (key, Either::<L, R>::Right(value)));
            left.flatten_with("Flatten", [right]).add_combine(
                "Group",
                "CoGroupByKey",
                CollectBoth,
                false,
                None,
                location,
            )
        })
    }
}
