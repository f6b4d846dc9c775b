//! Tests of the window operator: Beam's white-box cases, re-expressed by name, then laws over random streams.

mod firing_order;
mod lateness;
mod laws;
mod merging;
mod panes;
mod processing_time;
mod retracting;
mod tester;
