//! Bad data does not stop a pipeline: what a step cannot process leaves it as dead letters, with reason and original bytes.
//!
//! The failures are an output that has to be read. A pipeline that forgets them does not run; the second half shows what it says.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use millstream::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    sku: String,
    cents: u64,
}

impl Order {
    /// Reads `tea=250`.
    fn parse(line: &str) -> Result<Self, BoxError> {
        let (sku, cents) = line.split_once('=').ok_or("there is no `=`")?;
        Ok(Self { sku: sku.to_owned(), cents: cents.parse()? })
    }
}

fn main() -> Result<(), Error> {
    let lines = ["tea=250", "coffee", "milk=12o", "rice=90"];

    let pipeline = Pipeline::new();
    let (orders, failed) = pipeline
        .create("Lines", lines.map(String::from))
        .try_map("Parse", |line| Order::parse(line));
    orders.for_each("Print", |order| println!("{} costs {} cents", order.sku, order.cents));
    failed.collection().for_each("PrintFailed", |letter| {
        let bytes = String::from_utf8_lossy(&letter.bytes);
        println!("{} refused {bytes:?}: {}", letter.step, letter.reason());
    });
    let report = Engine::builder().workers(1).run(&pipeline)?;
    println!("errors of Parse: {}", report.step("Parse").map_or(0, |step| step.errors));

    let forgetful = Pipeline::new();
    let (orders, failed) = forgetful
        .create("Lines", lines.map(String::from))
        .try_map("Parse", |line| Order::parse(line));
    orders.for_each("Print", |_| {});
    drop(failed);
    if let Err(Error::Graph { problems }) = Engine::builder().run(&forgetful) {
        for problem in problems {
            println!("step {}: {}", problem.step, problem.what);
        }
    }
    Ok(())
}
