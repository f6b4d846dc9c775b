//! Durable checkpoints: what is written, where, and how it is trusted again.
//!
//! A checkpoint is one object per worker and a manifest that names them. Objects are written whole and durably before the manifest is;
//! the manifest is what makes a checkpoint exist. Everything is wrapped in a checked envelope, and a damaged checkpoint
//! is passed over for the one before it.

mod directory;
mod disk;
mod envelope;
mod manifest;
mod store;

pub use directory::DirectoryStore;
pub use disk::{Disk, DiskLock, OsDisk};
pub use envelope::{seal, unseal};
pub use manifest::{Checkpoint, Manifest, confirm, load_latest, save};
pub use store::{CheckpointStore, MemoryStore};
