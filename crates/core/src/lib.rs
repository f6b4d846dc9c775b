//! Streaming dataflow in the Apache Beam model, run by an embedded engine.
//!
//! A [`Pipeline`] is composed of named steps: a source makes a [`PCollection`], transforms make others of it, a sink takes
//! one. Elements carry event time; windows divide it, watermarks say how far it has come, triggers decide when a window's
//! result is emitted, and allowed lateness how long it may be refined. The [`Engine`] runs the pipeline on threads of the
//! program it is part of, with checkpoints from which a crashed job goes on as if nothing had happened.
//!
//! ```
//! use std::time::Duration;
//! use millstream::prelude::*;
//!
//! let pipeline = Pipeline::named("revenue");
//! pipeline
//!     .create("Orders", [("tea".to_owned(), 250_u64, 12_i64), ("tea".to_owned(), 200, 30), ("rice".to_owned(), 90, 75)])
//!     .with_timestamps("EventTime", |(_, _, second)| Timestamp::from_secs(*second))
//!     .window("ByMinute", FixedWindows::of(Duration::from_secs(60)))
//!     .map("CentsBySku", |(sku, cents, _)| (sku, cents))
//!     .combine_per_key("Revenue", Sum)
//!     .for_each("Check", |(sku, cents)| assert_eq!(cents, if sku == "tea" { 450 } else { 90 }));
//!
//! let report = Engine::builder().workers(2).run(&pipeline)?;
//! assert_eq!(report.step("Revenue").map(|step| step.records_out), Some(2));
//! # Ok::<(), Error>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | build pipelines | [`pcollection`], [`transforms`], [`windowing`], [`trigger`], [`combine`], [`dofn`] |
//! | read from and write to something new | [`source`], [`sink`] |
//! | run and watch them | [`engine`], [`metrics`], [`checkpoint`] |
//! | test them | [`testing`] |
//! | use one operator without the engine | [`operator`] |

pub mod batch;
pub mod checkpoint;
pub mod coder;
pub mod combine;
pub mod dead_letter;
pub mod dofn;
pub mod engine;
pub mod error;
pub mod graph;
pub mod io;
pub mod metrics;
pub mod operator;
pub mod pane;
pub mod pcollection;
pub mod pipeline;
pub mod pipeline_graph;
pub mod runner;
pub mod sink;
pub mod source;
pub mod state;
pub mod testing;
pub mod time;
pub mod transforms;
pub mod trigger;
pub mod windowing;

pub use coder::{Data, Key, Kv};
pub use dead_letter::DeadLetter;
pub use engine::Engine;
pub use error::{BoxError, Error, Result};
pub use pcollection::{PCollection, PTransform};
pub use pipeline::Pipeline;
pub use time::{Clock, Timestamp};

/// What a pipeline needs most: `use millstream::prelude::*;`.
pub mod prelude {
    pub use crate::combine::{CombineFn, Count, Max, Mean, Min, Sum, Top};
    pub use crate::dofn::{DoFn, OutputTag, ProcessContext};
    pub use crate::engine::Engine;
    pub use crate::transforms::impulse::PeriodicImpulse;
    pub use crate::trigger::Trigger;
    pub use crate::windowing::{FixedWindows, GlobalWindows, Sessions, SlidingWindows};
    pub use crate::{
        BoxError, Data, DeadLetter, Error, Key, Kv, PCollection, PTransform, Pipeline, Timestamp,
    };
}
