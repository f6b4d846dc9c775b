//! One operator of millstream in a loop of one's own: no engine, no threads; the loop says what comes and what time it is.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use millstream::batch::Batch;
use millstream::combine::Count;
use millstream::operator::group::GroupWindows;
use millstream::operator::link::StepIdentity;
use millstream::operator::seam::Share;
use millstream::operator::{Progress, Push, Signal, StageContext, Step};
use millstream::windowing::Sessions;
use millstream::{Kv, Result, Timestamp};

/// Where the operator's output goes: here to standard output.
struct Print;

impl Push<Kv<String, u64>> for Print {
    fn push(&mut self, batch: &mut Batch<Kv<String, u64>>, _: &mut StageContext) -> Result<()> {
        for (_, at, (user, clicks)) in batch.drain() {
            let session = at.map(|at| at.window.to_string()).unwrap_or_default();
            println!("{user}: {clicks} clicks in {session}");
        }
        Ok(())
    }

    fn signal(&mut self, _: &Signal, _: &mut StageContext) -> Result<Progress> {
        Ok(Progress::Done)
    }
}

/// Reads lines `SECOND USER`, in order of time, and counts each user's clicks by session.
fn main() -> Result<()> {
    let sessions = Sessions::with_gap(Duration::from_secs(30));
    let count = GroupWindows::new(Count, sessions.into(), false);
    let mut step = Step::new(StepIdentity::detached("Count"), count, Box::new(Print), Vec::new());
    let mut ctx = StageContext::new(Timestamp::EPOCH);
    send(&mut step, &Signal::Start(None, Share::ALL), &mut ctx)?;

    let mut refused = BTreeMap::new();
    for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
        let Some((at, user)) = parse(&line) else {
            *refused.entry(line).or_insert(0) += 1;
            continue;
        };
        let mut batch = Batch::new();
        batch.push(at, (user, ()));
        step.push(&mut batch, &mut ctx)?;
        send(&mut step, &Signal::Watermark(at), &mut ctx)?;
    }
    send(&mut step, &Signal::Watermark(Timestamp::MAX), &mut ctx)?;
    send(&mut step, &Signal::Teardown, &mut ctx)?;
    refused.iter().for_each(|(line, times)| println!("refused {times} times: {line:?}"));
    Ok(())
}

fn parse(line: &str) -> Option<(Timestamp, String)> {
    let (second, user) = line.split_once(' ')?;
    Some((Timestamp::from_secs(second.parse().ok()?), user.to_owned()))
}

/// A signal is repeated while the operator has more to emit than its output could take.
fn send<T>(step: &mut impl Push<T>, signal: &Signal, ctx: &mut StageContext) -> Result<()> {
    while step.signal(signal, ctx)? == Progress::Pending {}
    Ok(())
}
