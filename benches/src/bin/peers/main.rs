//! `peers`: runs engines side by side on the same events and compares their results and their cost.
//!
//! Each engine lives in a process of its own, which makes its input once and then runs when told to; so no engine is
//! measured with the memory another one left behind. Rounds are interleaved: every engine once, then again, each round
//! starting with another engine, so that the machine's other load hits all alike.

mod arguments;
mod report;
mod rounds;
mod server;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use arguments::Arguments;

/// For all engines alike: with the system's allocator timely and renoir lose 1.1 to 2.3 times.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(engine) = &arguments.serve {
        return server::serve(engine, &arguments);
    }
    match rounds::run_all(&arguments) {
        Ok(mismatches) if mismatches.is_empty() => ExitCode::SUCCESS,
        Ok(mismatches) => {
            mismatches.iter().for_each(|mismatch| eprintln!("MISMATCH {mismatch}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
