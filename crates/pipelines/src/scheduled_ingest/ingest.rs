//! [`Ingest`]: the pipeline between source and sinks, as a composite that a test or another program can apply to messages of
//! any origin.

use millstream::dead_letter::Rejected;
use millstream::operator::map::Reified;
use millstream::prelude::*;
use millstream::windowing::{ClosingBehavior, WindowingStrategy};
use millstream_io_gcp::pubsub::PubSubMessage;

use super::config::WindowsConfig;
use super::dead_letters::{DeadLetterRow, DescribeLetters};
use super::row::Row;
use super::validate::Prepared;

/// Parses messages, and aggregates what could be parsed.
#[derive(Clone, Debug)]
pub struct Ingest {
    prepared: Prepared,
    windows: WindowsConfig,
}

/// What becomes of messages.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// A row for each usable message.
    pub rows: PCollection<Row>,
    /// A row for each pane of a window and group.
    pub aggregates: PCollection<Row>,
    /// A letter for each message that cannot be used.
    pub dead_letters: PCollection<DeadLetterRow>,
}

impl Ingest {
    /// Parses and aggregates as configured.
    #[must_use]
    pub const fn new(prepared: Prepared, windows: WindowsConfig) -> Self {
        Self { prepared, windows }
    }
}

impl PTransform<PCollection<PubSubMessage>> for Ingest {
    type Output = Ingested;

    fn expand(self, messages: PCollection<PubSubMessage>) -> Ingested {
        let Prepared { message, aggregates, .. } = self.prepared;
        let (rows, failed) = messages.try_map("Parse", move |incoming: &PubSubMessage| {
            message
                .parse(&incoming.data, incoming.publish_time)
                .map_err(|problem| Rejected::new(incoming.data.to_vec(), problem))
        });
        let keyed = aggregates.clone();
        let measures = aggregates.measures();
        let panes = rows
            .map("KeyByGroup", move |row| keyed.keyed(&row))
            .window("IntoWindows", windowing(&self.windows))
            .combine_per_key("Aggregate", measures)
            .reify("Panes")
            .map("AggregateRow", move |pane: Reified<_>| aggregates.row(pane));
        let dead_letters = failed.collection().par_do("DescribeFailures", DescribeLetters);
        Ingested { rows, aggregates: panes, dead_letters }
    }
}

/// Fixed windows that show early results, refine late ones, and mark the last pane of each.
fn windowing(config: &WindowsConfig) -> WindowingStrategy {
    let windows = FixedWindows::of(config.size())
        .allowed_lateness(config.allowed_lateness())
        .accumulating()
        .closing_behavior(ClosingBehavior::FireAlways);
    match config.early_firing().map(Trigger::after_processing_time) {
        // Late messages wait for each other as long as early ones do, so that a burst of them is one pane.
        Some(delay) => windows.early_firings(delay.clone()).late_firings(delay),
        None => windows.late_firings(Trigger::after_count(1)),
    }
}
