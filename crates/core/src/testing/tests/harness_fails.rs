//! The harness has to fail: operators with planted bugs, each caught.

use crate::batch::Batch;
use crate::error::{BoxError, Result};
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Progress, Share};
use crate::state::{SnapshotWriter, StepState};
use crate::testing::{OperatorDriver, OperatorHarness};
use crate::time::Timestamp;

/// A running sum whose faults can be chosen.
#[derive(Clone, Copy, Default)]
struct Faulty {
    sum: u64,
    loses_state: bool,
    stalls: bool,
    counts_batches: bool,
    leaves_input: bool,
    skips_when_full: bool,
    rest: u64,
    watermark: i64,
}

impl Operator<u64> for Faulty {
    type Out = u64;

    fn on_batch(
        &mut self,
        input: &mut Batch<u64>,
        out: &mut Output<'_, u64>,
    ) -> Result<(), BoxError> {
        if self.leaves_input {
            return Ok(());
        }
        self.sum += u64::from(self.counts_batches);
        for (timestamp, _, value) in input.drain() {
            self.sum += value;
            out.emit(timestamp, self.sum);
        }
        self.rest = 3;
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Output<'_, u64>,
    ) -> Result<Progress, BoxError> {
        // A restart tells the same watermark again.
        while self.rest > 0 && watermark.as_micros() > self.watermark {
            self.rest -= 1;
            if self.skips_when_full && out.is_full() {
                continue;
            }
            out.emit(watermark, self.rest);
            out.flush();
            if out.is_full() {
                return Ok(Progress::Pending);
            }
        }
        self.watermark = watermark.as_micros();
        Ok(if self.stalls { Progress::Pending } else { Progress::Done })
    }

    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        writer.put_unkeyed("sum", &(self.sum, self.rest, self.watermark))
    }

    fn restore(&mut self, state: &StepState<'_>, _share: Share) -> Result<()> {
        if !self.loses_state {
            for stored in state.values::<(u64, u64, i64)>("sum")? {
                (self.sum, self.rest, self.watermark) = stored;
            }
        }
        Ok(())
    }
}

fn run(faulty: Faulty) {
    let at = Timestamp::from_secs;
    let harness = OperatorHarness::new(move || faulty)
        .elements([(at(1), 1), (at(2), 2)])
        .watermark(at(5))
        .elements([(at(6), 3)])
        .watermark(at(9));
    assert_eq!(harness.run().values(), [1, 3, 2, 1, 0, 6, 2, 1, 0]);
}

#[test]
fn a_sound_operator_passes() {
    run(Faulty::default());
}

#[test]
#[should_panic(expected = "cut: Restart")]
fn state_that_is_lost_is_caught() {
    run(Faulty { loses_state: true, ..Faulty::default() });
}

#[test]
#[should_panic(expected = "pending without progress")]
fn a_stall_is_caught() {
    run(Faulty { stalls: true, ..Faulty::default() });
}

#[test]
#[should_panic(expected = "split: OneByOne")]
fn a_dependence_on_batches_is_caught() {
    run(Faulty { counts_batches: true, ..Faulty::default() });
}

#[test]
#[should_panic(expected = "left elements in its input")]
fn input_that_is_left_is_caught() {
    run(Faulty { leaves_input: true, ..Faulty::default() });
}

#[test]
#[should_panic(expected = "outbox: OneSlot")]
fn output_that_is_dropped_for_want_of_room_is_caught() {
    run(Faulty { skips_when_full: true, ..Faulty::default() });
}

#[test]
#[should_panic(expected = "routed_by")]
fn several_workers_without_routing_are_refused() {
    let mut driver = OperatorDriver::new(Faulty::default);
    driver.push([(Timestamp::EPOCH, 1)]).unwrap();
    let _ = driver.restart(2);
}
