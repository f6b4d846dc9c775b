//! Runs a [`DoFn`] over batches, with its bundles, its further outputs and, where wanted, its dead letters.

use std::any::Any;

use crate::batch::{Batch, WindowedPane};
use crate::coder::Data;
use crate::dead_letter::DeadLetter;
use crate::dofn::{DoFn, ProcessContext, TaggedOutputs};
use crate::error::BoxError;
use crate::metrics::Counter;
use crate::operator::output::{Output, SidePort};
use crate::operator::seam::Operator;
use crate::time::Timestamp;

/// A DoFn as an operator. Its further outputs are those it declares, in order; dead letters, where wanted, come last.
#[derive(Clone, Debug)]
pub struct ParDo<D> {
    path: String,
    dofn: D,
    tags: Vec<&'static str>,
    dead_letters: bool,
    in_bundle: bool,
}

impl<D> ParDo<D> {
    /// The DoFn of the step at `path`, with the names of its further outputs.
    pub fn new(path: &str, dofn: D, tags: Vec<&'static str>, dead_letters: bool) -> Self {
        Self { path: path.to_owned(), dofn, tags, dead_letters, in_bundle: false }
    }

    /// Processes a batch whose failures fail the job.
    fn process_all<T: Data>(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, D::Out>,
    ) -> Result<(), BoxError>
    where
        D: DoFn<T>,
    {
        if let Some((at, elements)) = input.drain_uniform() {
            return self.process_uniform(at, elements, out);
        }
        for (timestamp, at, element) in input.drain() {
            self.process_uniform(at, std::iter::once((timestamp, element)), out)?;
            out.flush_if_full();
        }
        Ok(())
    }

    /// Processes elements of one pane with one context, renewed only when the output is handed on.
    #[inline]
    fn process_uniform<T: Data>(
        &mut self,
        at: Option<WindowedPane>,
        mut elements: impl Iterator<Item = (Timestamp, T)>,
        out: &mut Output<'_, D::Out>,
    ) -> Result<(), BoxError>
    where
        D: DoFn<T>,
    {
        let (now, watermark) = (out.now(), out.watermark());
        loop {
            let mut tagged = Tagged { names: &self.tags, sides: out.sides };
            let mut ctx = ProcessContext {
                batch: out.batch,
                tagged: &mut tagged,
                timestamp: watermark,
                at,
                now,
                watermark,
                failure: None,
            };
            let mut is_done = true;
            for (timestamp, element) in elements.by_ref() {
                ctx.timestamp = timestamp;
                self.dofn.process(element, &mut ctx)?;
                if ctx.batch.len() >= Batch::<D::Out>::stage_len() {
                    is_done = false;
                    break;
                }
            }
            if let Some(failure) = ctx.failure {
                return Err(failure);
            }
            if is_done {
                return Ok(());
            }
            out.flush();
        }
    }

    fn process_or_reject<T: Data>(
        &mut self,
        (timestamp, at, element): (Timestamp, Option<WindowedPane>, T),
        out: &mut Output<'_, D::Out>,
    ) -> Result<(), BoxError>
    where
        D: DoFn<T>,
    {
        let kept = element.clone();
        let mark = Mark::of(out);
        let result = self.call(timestamp, at, out, |dofn, ctx| dofn.process(element, ctx));
        if let Err(cause) = result {
            mark.undo(out);
            let window = at.map(|at| at.window);
            let letter = DeadLetter::new(&self.path, &kept, &cause, timestamp, window);
            out.count(Counter::Errors, 1);
            out.emit_side(self.tags.len(), timestamp, at, letter);
        }
        Ok(())
    }

    fn call<T, R>(
        &mut self,
        timestamp: Timestamp,
        at: Option<WindowedPane>,
        out: &mut Output<'_, D::Out>,
        call: impl FnOnce(&mut D, &mut ProcessContext<'_, D::Out>) -> Result<R, BoxError>,
    ) -> Result<R, BoxError>
    where
        D: DoFn<T>,
    {
        let (now, watermark) = (out.now(), out.watermark());
        let mut tagged = Tagged { names: &self.tags, sides: out.sides };
        let mut ctx = ProcessContext {
            batch: out.batch,
            tagged: &mut tagged,
            timestamp,
            at,
            now,
            watermark,
            failure: None,
        };
        let result = call(&mut self.dofn, &mut ctx);
        let failure = ctx.failure.take();
        failure.map_or(result, Err)
    }
}

impl<T: Data, D: DoFn<T>> Operator<T> for ParDo<D> {
    type Out = D::Out;

    fn on_batch(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, D::Out>,
    ) -> Result<(), BoxError> {
        if !std::mem::replace(&mut self.in_bundle, true) {
            self.dofn.start_bundle()?;
        }
        if !self.dead_letters {
            return self.process_all(input, out);
        }
        for element in input.drain() {
            self.process_or_reject(element, out)?;
            out.flush_if_full();
        }
        Ok(())
    }

    fn finish_bundle(&mut self, out: &mut Output<'_, D::Out>) -> Result<(), BoxError> {
        if std::mem::take(&mut self.in_bundle) {
            let watermark = out.watermark();
            self.call(watermark, None, out, |dofn: &mut D, ctx| {
                DoFn::<T>::finish_bundle(dofn, ctx)
            })?;
        }
        Ok(())
    }

    fn setup(&mut self) -> Result<(), BoxError> {
        self.dofn.setup()
    }

    fn teardown(&mut self) {
        self.dofn.teardown();
    }
}

/// The further outputs of a DoFn, found by name.
struct Tagged<'a> {
    names: &'a [&'static str],
    sides: &'a mut [Box<dyn SidePort>],
}

impl TaggedOutputs for Tagged<'_> {
    fn batch(&mut self, name: &'static str) -> Result<Option<&mut dyn Any>, BoxError> {
        let index = self.names.iter().position(|known| *known == name).ok_or_else(|| {
            format!("the DoFn emits to output {name:?}, which it does not declare in `tags`")
        })?;
        let port = &mut self.sides[index];
        Ok(port.is_read().then(|| port.batch_any()))
    }
}

/// How much was emitted before an element, to take back what a failing one emitted.
struct Mark {
    main: usize,
    sides: Vec<usize>,
}

impl Mark {
    fn of<T: Send + 'static>(out: &mut Output<'_, T>) -> Self {
        let sides = out.sides.iter().map(|side| side.pending()).collect();
        Self { main: out.batch().len(), sides }
    }

    fn undo<T: Send + 'static>(self, out: &mut Output<'_, T>) {
        out.batch().truncate(self.main);
        for (side, len) in out.sides.iter_mut().zip(self.sides) {
            side.truncate(len);
        }
    }
}
