//! Keyed state: how keys map to groups and workers, and what a step writes into a checkpoint.

pub mod key_group;
pub mod snapshot;

pub use key_group::{KEY_GROUPS, key_group, key_hash, owner};
pub use snapshot::{RestoredState, SnapshotPart, SnapshotWriter, StepState};
