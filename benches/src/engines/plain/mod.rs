//! The plain loop: what a programmer writes who needs no engine. It borrows its events and is the practical limit.

mod counts;
mod joins;
mod rounds;
mod sessions;
mod stateless;
mod windows;

use super::Engine;
use crate::outcome::Outcome;
use crate::workload::{Data, Workload};

/// Hand-written loops over the input, without any engine.
#[derive(Debug)]
pub struct Plain;

impl Engine for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn supports(&self, _workload: Workload) -> bool {
        true
    }

    fn run(&self, workload: Workload, data: &Data, workers: usize) -> Outcome {
        match workload {
            Workload::Q0 => rounds::run::<stateless::PassThrough>(data.events(), workers),
            Workload::Q1 => rounds::run::<stateless::InEuros>(data.events(), workers),
            Workload::Q2 => rounds::run::<stateless::SomeAuctions>(data.events(), workers),
            Workload::Q3 => rounds::run::<joins::LocalSellers>(data.events(), workers),
            Workload::Q5 => rounds::run::<windows::BusiestAuctions>(data.events(), workers),
            Workload::Q7 => rounds::run::<windows::HighestBid>(data.events(), workers),
            Workload::Q8 => rounds::run::<joins::NewSellers>(data.events(), workers),
            Workload::Q11 => rounds::run::<sessions::BidSessions>(data.events(), workers),
            Workload::Sum => rounds::run::<counts::RunningSum>(data.pairs(), workers),
            Workload::WordCount | Workload::WordCountPreaggregated => {
                counts::count_words(data.lines(), workers)
            }
        }
    }
}
