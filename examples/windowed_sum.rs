//! Sums per minute of event time, with early and late data.
//!
//! The script says what arrives when, and how far event time has come: the watermark. A late sale refines the result of its minute
//! while the allowed lateness lasts; after that it comes out of the grouping as a second output.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::time::Duration;

use millstream::prelude::*;
use millstream::testing::{TestPipeline, TestStream};

fn main() {
    let at = Timestamp::from_secs;
    let tea = |cents: u64| ("tea".to_owned(), cents);
    let sales = TestStream::new()
        .add(at(10), tea(200))
        .add(at(70), tea(50)) // out of order is fine: the watermark has not passed the first minute
        .add(at(20), tea(300))
        .advance_watermark(at(60)) // closes [0 s, 60 s)
        .add(at(30), tea(1)) // late, within the allowed five minutes
        .advance_watermark(at(400)) // the first minute is forgotten
        .add(at(40), tea(7)) // too late
        .finish();

    let pipeline = TestPipeline::new();
    let by_minute = FixedWindows::of(Duration::from_secs(60))
        .allowed_lateness(Duration::from_secs(300))
        .accumulating();
    let (sums, late) = pipeline
        .read("Sales", sales)
        .window("ByMinute", by_minute)
        .combine_per_key_with_late("Sum", Sum);
    sums.reify("Panes").for_each("Print", |sum| {
        let (item, cents) = sum.value;
        println!("{item} in {}: {cents} cents ({:?})", sum.window, sum.pane.timing);
    });
    late.for_each("TooLate", |(item, cents)| println!("{item}: {cents} cents came too late"));

    let status = pipeline.run();
    let late = status.step("Sum").map_or(0, |step| step.late);
    println!("{late} sale counted as late");
}
