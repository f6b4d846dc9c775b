//! A fallible map: what fails leaves through a dead-letter output and the step goes on.

use crate::batch::Batch;
use crate::coder::Data;
use crate::dead_letter::DeadLetter;
use crate::error::BoxError;
use crate::metrics::Counter;
use crate::operator::output::Output;
use crate::operator::seam::Operator;

/// Number of the dead-letter output.
const DEAD_LETTERS: usize = 0;

/// Turns each element into any number of others, or into a dead letter.
#[derive(Clone, Debug)]
pub struct TryFlatMap<F> {
    path: String,
    function: F,
}

impl<F> TryFlatMap<F> {
    /// The step at `path`.
    pub fn new(path: &str, function: F) -> Self {
        Self { path: path.to_owned(), function }
    }
}

impl<T, I, F> Operator<T> for TryFlatMap<F>
where
    T: Data,
    I: IntoIterator,
    I::Item: Send + 'static,
    F: FnMut(&T) -> Result<I, BoxError> + Send,
{
    type Out = I::Item;

    fn on_batch(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, I::Item>,
    ) -> Result<(), BoxError> {
        for (timestamp, at, element) in input.drain() {
            match (self.function)(&element) {
                Ok(values) => {
                    values.into_iter().for_each(|value| out.emit_at(timestamp, at, value))
                }
                Err(cause) => {
                    let window = at.map(|at| at.window);
                    let letter = DeadLetter::new(&self.path, &element, &cause, timestamp, window);
                    out.count(Counter::Errors, 1);
                    out.emit_side(DEAD_LETTERS, timestamp, at, letter);
                }
            }
        }
        Ok(())
    }
}
