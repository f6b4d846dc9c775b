//! [`CheckpointStore`]: where checkpoints are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// Keeps named objects. An object is there whole or not at all, and durable when `put` returns.
pub trait CheckpointStore: Send + Sync + fmt::Debug {
    /// Stores an object, in place of one that has its name.
    ///
    /// # Errors
    /// When it is not durably stored.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// An object.
    ///
    /// # Errors
    /// When it does not exist or cannot be read.
    fn get(&self, name: &str) -> Result<Vec<u8>>;

    /// Names of all objects, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self) -> Result<Vec<String>>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn delete(&self, name: &str) -> Result<()>;

    /// Whether what is stored outlives the process.
    fn is_durable(&self) -> bool;
}

/// Keeps checkpoints in the memory of the process: they serve restarts within it only. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<R>(&self, run: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> R) -> R {
        run(&mut self.objects.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CheckpointStore for MemoryStore {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.with(|objects| objects.insert(name.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Vec<u8>> {
        self.with(|objects| objects.get(name).cloned())
            .ok_or_else(|| Error::checkpoint_problem(format!("no object {name:?}")))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.with(|objects| objects.keys().cloned().collect()))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.with(|objects| objects.remove(name));
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}
