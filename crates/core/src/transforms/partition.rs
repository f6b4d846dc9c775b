//! `partition`: one collection as several.

use std::panic::Location;

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::operator::{Operator, Output};
use crate::pcollection::{PCollection, StepSpec, optional_output};

/// Sends each element to one of several outputs.
#[derive(Clone, Debug)]
struct Partition<F> {
    parts: usize,
    choose: F,
}

impl<T: Data, F: Fn(&T) -> usize + Send> Operator<T> for Partition<F> {
    type Out = T;

    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        for (timestamp, at, element) in input.drain() {
            match (self.choose)(&element) {
                0 => out.emit_at(timestamp, at, element),
                part if part < self.parts => out.emit_side(part - 1, timestamp, at, element),
                part => {
                    let parts = self.parts;
                    return Err(
                        format!("an element was sent to partition {part} of {parts}").into()
                    );
                }
            }
        }
        Ok(())
    }
}

impl<T: Data> PCollection<T> {
    /// `parts` collections, each with the elements for which `choose` gives its number. A number out of range fails the job.
    #[track_caller]
    pub fn partition<F>(&self, name: &str, parts: usize, choose: F) -> Vec<Self>
    where
        F: Fn(&T) -> usize + Clone + Send + Sync + 'static,
    {
        let mut spec = StepSpec::new(name, "Partition", Location::caller());
        spec.sides.extend((1..parts).map(|_| optional_output::<T>("part")));
        let main = self.add_operator(spec, move |_| Partition { parts, choose: choose.clone() });
        (0..parts).map(|part| main.side(part)).collect()
    }
}
