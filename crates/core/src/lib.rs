//! Streaming dataflow in the Apache Beam model, run by an embedded engine.

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
