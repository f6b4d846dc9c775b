//! [`DirectoryStore`]: checkpoints as files of a directory.

use std::io;
use std::path::Path;

use crate::checkpoint::disk::{Disk, DiskLock, OsDisk};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, Result};

/// Suffix of files that are being written.
const PARTIAL: &str = ".partial";

/// Name of the file that is locked.
const LOCK: &str = "lock";

/// Keeps each object as a file: written aside, synced, renamed, and the directory synced. Holds the directory against other processes.
#[derive(Debug)]
pub struct DirectoryStore<D: Disk = OsDisk> {
    disk: D,
    place: String,
    _lock: DiskLock,
}

impl DirectoryStore<OsDisk> {
    /// Opens the directory, creating it when absent.
    ///
    /// # Errors
    /// When it cannot be created, or another process uses it.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let place = directory.as_ref().display().to_string();
        let disk = OsDisk::open(directory.as_ref()).map_err(|cause| {
            Error::checkpoint(format!("cannot open directory {place:?}"), cause)
        })?;
        Self::on(disk, &place)
    }
}

impl<D: Disk> DirectoryStore<D> {
    /// Uses `disk`; `place` names it in messages.
    ///
    /// # Errors
    /// When another process uses it.
    pub fn on(disk: D, place: &str) -> Result<Self> {
        let lock = disk.lock().map_err(|cause| {
            let what = if cause.kind() == io::ErrorKind::WouldBlock {
                format!("directory {place:?} is in use by another process")
            } else {
                format!("cannot lock directory {place:?}")
            };
            Error::checkpoint(what, cause)
        })?;
        Ok(Self { disk, place: place.to_owned(), _lock: lock })
    }

    fn failed<'a>(&'a self, action: &'a str, name: &'a str) -> impl Fn(io::Error) -> Error + 'a {
        move |cause| {
            Error::checkpoint(format!("cannot {action} {name:?} in {:?}", self.place), cause)
        }
    }
}

impl<D: Disk> CheckpointStore for DirectoryStore<D> {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let partial = format!("{name}{PARTIAL}");
        self.disk.write(&partial, bytes).map_err(self.failed("write", &partial))?;
        self.disk.sync(&partial).map_err(self.failed("sync", &partial))?;
        self.disk.rename(&partial, name).map_err(self.failed("rename", &partial))?;
        self.disk.sync_directory().map_err(self.failed("sync the directory of", name))
    }

    fn get(&self, name: &str) -> Result<Vec<u8>> {
        self.disk.read(name).map_err(self.failed("read", name))
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = self.disk.list().map_err(self.failed("list", "objects"))?;
        names.retain(|name| name != LOCK && !name.ends_with(PARTIAL));
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.disk.remove(name) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", name)(cause))
            }
            _ => Ok(()),
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_survive_and_a_second_process_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(directory.path()).unwrap();
        store.put("b", b"2").unwrap();
        store.put("a", b"1").unwrap();
        let refused = DirectoryStore::open(directory.path()).unwrap_err();
        assert!(refused.to_string().contains("in use by another process"), "{refused}");
        drop(store);
        let store = DirectoryStore::open(directory.path()).unwrap();
        assert_eq!(store.list().unwrap(), ["a", "b"]);
        store.delete("a").unwrap();
        store.delete("a").unwrap();
        assert_eq!(store.get("b").unwrap(), b"2");
        assert!(store.get("a").is_err());
    }
}
