//! Adds up outputs: a count and a hash per worker, merged at the end.

use std::sync::{Arc, Mutex, PoisonError};

use ::millstream::prelude::*;

use crate::outcome::Outcome;

/// What all workers have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Total(Arc<Mutex<Outcome>>);

impl Total {
    pub(super) fn outcome(&self) -> Outcome {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up what one worker sees.
#[derive(Clone, Debug)]
pub(super) struct AddUp<F> {
    total: Total,
    mine: Outcome,
    hash: F,
    windowed: bool,
}

impl<F> AddUp<F> {
    pub(super) fn new(total: &Total, hash: F, windowed: bool) -> Self {
        Self { total: total.clone(), mine: Outcome::default(), hash, windowed }
    }
}

impl<T, F> DoFn<T> for AddUp<F>
where
    T: Data,
    F: Fn(&T, u64) -> u64 + Clone + Send + Sync + 'static,
{
    type Out = ();

    fn observes_windows(&self) -> bool {
        self.windowed
    }

    #[inline]
    fn process(&mut self, output: T, ctx: &mut ProcessContext<'_, ()>) -> Result<(), BoxError> {
        let end = if self.windowed { ctx.window().end.as_millis().cast_unsigned() } else { 0 };
        self.mine.add((self.hash)(&output, end));
        Ok(())
    }

    fn teardown(&mut self) {
        self.total.0.lock().unwrap_or_else(PoisonError::into_inner).merge(self.mine);
    }
}
