//! The command line.

use clap::Parser;
use millstream_benches::engines;
use millstream_benches::workload::Workload;

/// Runs engines side by side on the same events; fails when results that should be equal are not.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// The engines to run, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = engine_names(), value_parser = engine_name)]
    pub(crate) engines: Vec<String>,

    /// The workloads to run, separated by commas; `wcpre` is `wc` with words added up before the exchange.
    #[arg(long, value_delimiter = ',', default_values_t = [Workload::Q0, Workload::Q1, Workload::Q5, Workload::Sum])]
    pub(crate) workloads: Vec<Workload>,

    /// Worker threads per engine.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub(crate) workers: usize,

    /// Input events (pairs for sum, words for wc). For 10000000 the results are also compared with published ones.
    #[arg(long, default_value_t = 10_000_000, value_parser = positive)]
    pub(crate) events: usize,

    /// Rounds; in each every engine runs once.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub(crate) repetitions: usize,

    /// Runs one engine when told to on standard input; how the program starts itself.
    #[arg(long, hide = true)]
    pub(crate) serve: Option<String>,
}

fn engine_names() -> Vec<String> {
    engines::all().iter().map(|engine| engine.name().to_owned()).collect()
}

fn engine_name(name: &str) -> Result<String, String> {
    let names = engine_names();
    if names.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(format!("{name:?} is no engine that was compiled in; there are {}", names.join(", ")))
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) => Err("must be at least 1".to_owned()),
        Err(error) => Err(format!("{error}")),
    }
}
