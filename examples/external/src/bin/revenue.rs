//! Revenue per product and minute.

use std::time::Duration;
use millstream::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Order { sku: String, cents: u64, at: i64 }

fn main() -> Result<(), Error> {
    let pipeline = Pipeline::named("revenue");
    let lines = pipeline.create("Lines", [r#"{"sku":"tea","cents":250,"at":12}"#.to_owned(), "oops".to_owned()]);

    // What fails to parse is an output of its own: the pipeline does not run before somebody reads it.
    let (orders, failed) = lines.try_map("Parse", |line| serde_json::from_str::<Order>(line));
    failed.collection().for_each("Complain", |letter| eprintln!("{}: {}", letter.step, letter.reason()));

    orders
        .with_timestamps("EventTime", |order| Timestamp::from_secs(order.at))
        .window("ByMinute", FixedWindows::of(Duration::from_secs(60)))
        .map("PriceBySku", |order| (order.sku, order.cents))
        .combine_per_key("Revenue", Sum)
        .for_each("Print", |(sku, cents)| println!("{sku}: {cents}"));

    let report = Engine::builder().run(&pipeline)?;
    eprintln!("{report}");
    Ok(())
}
