//! One engine in a process of its own: the inside, and the handle by which the first process drives it.
//!
//! The conversation is lines of text: the engine says `ready` when its input is made; for each `run` it is told, it
//! answers with the figures of one run.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use millstream_benches::engines;
use millstream_benches::measure::{Cost, Meter};
use millstream_benches::outcome::Outcome;
use millstream_benches::workload::Workload;

use crate::arguments::Arguments;

const READY: &str = "ready";
const RUN: &str = "run";

/// One run of an engine: its result and its cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) cost: Cost,
}

impl Run {
    fn to_line(self) -> String {
        let Self { outcome, cost } = self;
        let (wall, processor) = (cost.wall.as_nanos(), cost.processor.as_nanos());
        format!("{} {} {wall} {processor} {}", outcome.count, outcome.hash, cost.memory_kib)
    }

    fn from_line(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line.split(' ').map_while(|number| number.parse().ok()).collect();
        let [count, hash, wall, processor, memory_kib] = numbers[..] else { return None };
        let cost = Cost {
            wall: Duration::from_nanos(wall),
            processor: Duration::from_nanos(processor),
            memory_kib,
        };
        Some(Self { outcome: Outcome { count, hash }, cost })
    }
}

/// The inside: makes the input of the first workload asked for, then runs the engine as often as told.
pub(crate) fn serve(engine: &str, arguments: &Arguments) -> ExitCode {
    let known = engines::all().into_iter().find(|known| known.name() == engine);
    let (Some(engine), Some(workload)) = (known, arguments.workloads.first().copied()) else {
        return ExitCode::FAILURE;
    };
    let data = workload.data(arguments.events);
    let meter = Meter::new();
    let mut answers = io::stdout();
    let mut answer = |line: &str| writeln!(answers, "{line}").and_then(|()| answers.flush());
    let mut is_heard = answer(READY).is_ok();
    for line in io::stdin().lines() {
        if !is_heard || line.is_err() {
            return ExitCode::FAILURE;
        }
        let (outcome, cost) = meter.measure(|| engine.run(workload, &data, arguments.workers));
        is_heard = answer(&Run { outcome, cost }.to_line()).is_ok();
    }
    ExitCode::SUCCESS
}

/// An engine's process, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts an engine and waits until its input is made.
    pub(crate) fn start(
        engine: &str,
        workload: Workload,
        arguments: &Arguments,
    ) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", engine, "--workloads", workload.name()])
            .args(["--events", &arguments.events.to_string()])
            .args(["--workers", &arguments.workers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut server = Self { child, commands, answers };
        match server.answer()?.as_str() {
            READY => Ok(server),
            other => Err(unexpected(engine, other)),
        }
    }

    /// Has the engine run once.
    pub(crate) fn run(&mut self) -> io::Result<Run> {
        writeln!(self.commands, "{RUN}")?;
        self.commands.flush()?;
        let line = self.answer()?;
        Run::from_line(&line).ok_or_else(|| unexpected("the engine", &line))
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its figures are in; nothing it could still say matters.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unexpected(who: &str, said: &str) -> io::Error {
    let said = if said.is_empty() { "nothing: it may have crashed" } else { said };
    io::Error::other(format!("{who} answered {said}"))
}
