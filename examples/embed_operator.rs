//! One operator in a loop of one's own, without the engine: session windows per user, fed by hand.
//!
//! An operator is a plain value that takes batches and signals and writes to whatever comes next. Who feeds it, and when, is
//! the loop's business: here a few clicks, each followed by the watermark.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::time::Duration;

use millstream::batch::Batch;
use millstream::combine::Count;
use millstream::operator::group::GroupWindows;
use millstream::operator::link::StepIdentity;
use millstream::operator::seam::Share;
use millstream::operator::{Progress, Push, Signal, StageContext, Step};
use millstream::windowing::Sessions;
use millstream::{Kv, Result, Timestamp};

/// Where the operator's output goes.
struct Print;

impl Push<Kv<String, u64>> for Print {
    fn push(&mut self, batch: &mut Batch<Kv<String, u64>>, _: &mut StageContext) -> Result<()> {
        for (_, at, (user, clicks)) in batch.drain() {
            let session = at.map(|at| at.window.to_string()).unwrap_or_default();
            println!("  {user}: {clicks} clicks in {session}");
        }
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, _: &mut StageContext) -> Result<Progress> {
        if let Signal::Watermark(watermark) = signal {
            println!("  watermark {watermark}");
        }
        Ok(Progress::Done)
    }
}

fn main() -> Result<()> {
    let sessions = Sessions::with_gap(Duration::from_secs(30));
    let count = GroupWindows::new(Count, sessions.into(), false);
    let mut step = Step::new(StepIdentity::detached("Count"), count, Box::new(Print), Vec::new());

    // Processing time is whatever the loop says it is.
    let mut ctx = StageContext::new(Timestamp::EPOCH);
    send(&mut step, &Signal::Start(None, Share::ALL), &mut ctx)?;
    for (second, user) in [(0, "ann"), (10, "bob"), (25, "ann"), (100, "ann"), (110, "bob")] {
        let at = Timestamp::from_secs(second);
        println!("{user} clicks at {at}");
        let mut batch = Batch::new();
        batch.push(at, (user.to_owned(), ()));
        step.push(&mut batch, &mut ctx)?;
        send(&mut step, &Signal::Watermark(at), &mut ctx)?;
    }
    println!("no more clicks");
    send(&mut step, &Signal::Watermark(Timestamp::MAX), &mut ctx)?;
    send(&mut step, &Signal::Teardown, &mut ctx)
}

/// A signal is repeated while the operator has more to emit than its output could take.
fn send<T>(step: &mut impl Push<T>, signal: &Signal, ctx: &mut StageContext) -> Result<()> {
    while step.signal(signal, ctx)? == Progress::Pending {}
    Ok(())
}
