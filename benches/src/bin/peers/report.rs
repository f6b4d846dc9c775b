//! The table of one workload.

use std::io::{self, Write};
use std::time::Duration;

use millstream_benches::workload::{Agreement, Workload};

use crate::arguments::Arguments;
use crate::rounds::Runs;
use crate::server::Run;

/// What the table says of one engine.
struct Row {
    /// Million events per second: least, median, greatest.
    rates: [f64; 3],
    /// Processor nanoseconds per event, the least of all runs: the figure that other load disturbs least.
    processor: f64,
    memory_mib: u64,
}

impl Row {
    fn new(runs: &[Run], events: usize) -> Self {
        let mut walls: Vec<Duration> = runs.iter().map(|run| run.cost.wall).collect();
        walls.sort();
        let rate = |wall: Duration| events as f64 / wall.as_secs_f64() / 1e6;
        let processor = runs.iter().map(|run| run.cost.processor).min().unwrap_or_default();
        let memory_kib = runs.iter().map(|run| run.cost.memory_kib).max().unwrap_or_default();
        Self {
            rates: [walls[walls.len() - 1], walls[walls.len() / 2], walls[0]].map(rate),
            processor: processor.as_nanos() as f64 / events as f64,
            memory_mib: memory_kib / 1_024,
        }
    }
}

/// Prints a table with one row for each engine, and its speed relative to each of the others.
pub(crate) fn print(
    workload: Workload,
    arguments: &Arguments,
    all_runs: &[Runs],
) -> io::Result<()> {
    let Arguments { workers, events, repetitions, .. } = arguments;
    let rows: Vec<Row> = all_runs.iter().map(|runs| Row::new(&runs.runs, *events)).collect();
    let mut out = io::stdout().lock();
    writeln!(out, "{workload}: {events} events, workers: {workers}, rounds: {repetitions}")?;
    write!(out, "{:<12}{:>9}{:>9}{:>9}", "engine", "Mev/s min", "median", "max")?;
    write!(out, "{:>11}{:>10}", "cpu ns/ev", "extra MiB")?;
    all_runs.iter().try_for_each(|runs| write!(out, "{:>12}", format!("x {}", runs.engine)))?;
    writeln!(out, "{:>12}  hash", "outputs")?;
    for (runs, row) in all_runs.iter().zip(&rows) {
        let [min, median, max] = row.rates;
        write!(out, "{:<12}{min:>9.2}{median:>9.2}{max:>9.2}", runs.engine)?;
        write!(out, "{:>11.1}{:>10}", row.processor, row.memory_mib)?;
        rows.iter().try_for_each(|other| write!(out, "{:>12.2}", median / other.rates[1]))?;
        let outcome = runs.runs[0].outcome;
        let note = match runs.agreement {
            Agreement::None => "  (not the same computation)",
            Agreement::Count => "  (hash depends on the order)",
            Agreement::Exact => "",
        };
        writeln!(out, "{:>12}  {:016x}{note}", outcome.count, outcome.hash)?;
    }
    writeln!(out)
}
