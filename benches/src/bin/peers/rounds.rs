//! Runs the engines in interleaved rounds and checks that their results agree.

use std::io;

use millstream_benches::engines::{self, Engine};
use millstream_benches::outcome::Outcome;
use millstream_benches::workload::{Agreement, Workload};

use crate::arguments::Arguments;
use crate::report;
use crate::server::{Run, Server};

/// All runs of one engine on one workload.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) engine: &'static str,
    pub(crate) agreement: Agreement,
    pub(crate) runs: Vec<Run>,
}

/// Runs every workload, prints a table for each, and returns what does not agree.
pub(crate) fn run_all(arguments: &Arguments) -> io::Result<Vec<String>> {
    let mut mismatches = Vec::new();
    for workload in &arguments.workloads {
        let runs = run_workload(*workload, arguments)?;
        report::print(*workload, arguments, &runs)?;
        mismatches.extend(mismatches_of(*workload, &runs, workload.published(arguments.events)));
    }
    Ok(mismatches)
}

fn run_workload(workload: Workload, arguments: &Arguments) -> io::Result<Vec<Runs>> {
    let mut servers = Vec::new();
    let mut all_runs = Vec::new();
    for engine in chosen(arguments) {
        if engine.supports(workload) {
            servers.push(Server::start(engine.name(), workload, arguments)?);
            let agreement = engine.agreement(workload).min(workload.agreement(arguments.workers));
            all_runs.push(Runs { engine: engine.name(), agreement, runs: Vec::new() });
        } else {
            eprintln!("{workload}: SKIPPED {}, which does not support it", engine.name());
        }
    }
    for round in 0..arguments.repetitions {
        for place in 0..servers.len() {
            let next = (round + place) % servers.len();
            all_runs[next].runs.push(servers[next].run()?);
        }
    }
    Ok(all_runs)
}

fn chosen(arguments: &Arguments) -> impl Iterator<Item = Box<dyn Engine>> {
    engines::all().into_iter().filter(|engine| {
        let name = engine.name();
        arguments.engines.iter().any(|chosen| chosen == name)
    })
}

/// Compares every run with the published outcome, or with the first run of the first engine that can be compared.
fn mismatches_of(workload: Workload, all_runs: &[Runs], published: Option<Outcome>) -> Vec<String> {
    let comparable = || all_runs.iter().filter(|runs| runs.agreement > Agreement::None);
    let first = comparable().find_map(|runs| runs.runs.first()).map(|run| run.outcome);
    let Some(expected) = published.or(first) else { return Vec::new() };
    let mut mismatches = Vec::new();
    for Runs { engine, agreement, runs } in comparable() {
        let differs = |run: &&Run| match agreement {
            Agreement::Exact => run.outcome != expected,
            _ => run.outcome.count != expected.count,
        };
        if let Some(run) = runs.iter().find(differs) {
            let Outcome { count, hash } = run.outcome;
            mismatches.push(format!(
                "{workload}: {engine} gave {count} outputs with hash {hash:016x}, expected {} with {:016x}",
                expected.count, expected.hash
            ));
        }
    }
    mismatches
}
