//! The data directory of a server: locked against a second server, one journal per service in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;

use super::error::{BoxError, Error, Result};
use super::file::Journal;

/// A directory owned by one server until dropped (or until its process dies).
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    journals: Mutex<Vec<Arc<Journal>>>,
    /// Holds the lock; the operating system releases it when the process dies.
    lock: File,
}

impl DataDirectory {
    /// Creates the directory if need be and takes it into possession.
    ///
    /// # Errors
    /// [`Error::Locked`] when another server uses it; [`Error::Io`] when it cannot be created.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(Error::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, journals: Mutex::default(), lock }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { action: "lock", path: lock_path, source })
            }
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the journal called `name` (file `name.journal`), replaying it through `apply`.
    ///
    /// # Errors
    /// Those of [`Journal::open`].
    pub fn journal<R: DeserializeOwned>(
        &self,
        name: &str,
        apply: impl FnMut(R) -> std::result::Result<(), BoxError>,
    ) -> Result<Arc<Journal>> {
        let journal = Arc::new(Journal::open(self.path.join(format!("{name}.journal")), apply)?);
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        journals.push(Arc::clone(&journal));
        Ok(journal)
    }

    /// Lets another server have the directory, even while handles on this one still exist somewhere; the
    /// caller must write no more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn release(&self) -> Result<()> {
        self.lock.unlock().map_err(Error::io("unlock", &self.path))
    }

    /// Forces all journals of the directory to the disk.
    ///
    /// # Errors
    /// The first failure; the other journals are still tried.
    pub fn sync(&self) -> Result<()> {
        let journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        journals.iter().map(|journal| journal.sync()).fold(Ok(()), Result::and)
    }
}
