//! A disk in memory that forgets what was not synced: [`SimDisk`].
//!
//! File contents and directory entries become durable separately, as on a real file system. A crash keeps what was synced; of the rest each
//! piece survives whole, in part, or not at all, as the seed decides.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::checkpoint::{Disk, DiskLock};

/// How often operations fail, each in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    /// A write fails, having written a part.
    pub write_percent: u8,
    /// A sync fails: the content must be taken as lost.
    pub sync_percent: u8,
    /// A rename fails.
    pub rename_percent: u8,
    /// Bug to plant: syncs do nothing and say that they did.
    pub skips_sync: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    faults: DiskFaults,
    inodes: Vec<Inode>,
    entries: BTreeMap<String, usize>,
    durable_entries: BTreeMap<String, usize>,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk whose faults come from `seed`.
    #[must_use]
    pub fn new(seed: u64, faults: DiskFaults) -> Self {
        let state = State {
            rng: Rng::with_seed(seed),
            faults,
            inodes: Vec::new(),
            entries: BTreeMap::new(),
            durable_entries: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on operations fail as often as `faults` says.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.lock_state().faults = faults;
    }

    /// The power goes off and comes back.
    pub fn crash(&self) {
        let state = &mut *self.lock_state();
        let mut survived = state.durable_entries.clone();
        for (name, inode) in &state.entries {
            if state.durable_entries.get(name) != Some(inode) && state.rng.bool() {
                survived.insert(name.clone(), *inode);
            }
        }
        for name in state.durable_entries.keys() {
            if !state.entries.contains_key(name) && state.rng.bool() {
                survived.remove(name);
            }
        }
        for inode in &mut state.inodes {
            if inode.content != inode.durable {
                let kept = match state.rng.u8(0..4) {
                    0 => inode.durable.clone(),
                    1 => inode.content.clone(),
                    2 => Vec::new(),
                    _ => inode.content[..state.rng.usize(0..=inode.content.len())].to_vec(),
                };
                inode.content.clone_from(&kept);
                inode.durable = kept;
            }
        }
        state.entries.clone_from(&survived);
        state.durable_entries = survived;
    }
}

impl State {
    fn fails(&mut self, percent: u8) -> bool {
        percent > 0 && self.rng.u8(0..100) < percent
    }

    fn inode(&self, name: &str) -> Result<usize> {
        self.entries.get(name).copied().ok_or_else(|| Error::from(ErrorKind::NotFound))
    }
}

impl Disk for SimDisk {
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let state = &mut *self.lock_state();
        let mut inode = Inode { content: bytes.to_vec(), durable: Vec::new() };
        let failed = state.fails(state.faults.write_percent);
        if failed {
            inode.content.truncate(state.rng.usize(0..=bytes.len()));
        }
        state.inodes.push(inode);
        state.entries.insert(name.to_owned(), state.inodes.len() - 1);
        if failed { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, name: &str) -> Result<()> {
        let state = &mut *self.lock_state();
        let inode = state.inode(name)?;
        if state.fails(state.faults.sync_percent) {
            return Err(Error::other("simulated sync failure"));
        }
        if !state.faults.skips_sync {
            let inode = &mut state.inodes[inode];
            inode.durable.clone_from(&inode.content);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let state = &mut *self.lock_state();
        let inode = state.inode(from)?;
        if state.fails(state.faults.rename_percent) {
            return Err(Error::other("simulated rename failure"));
        }
        state.entries.remove(from);
        state.entries.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_directory(&self) -> Result<()> {
        let state = &mut *self.lock_state();
        if state.fails(state.faults.sync_percent) {
            return Err(Error::other("simulated directory sync failure"));
        }
        if !state.faults.skips_sync {
            state.durable_entries.clone_from(&state.entries);
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let state = self.lock_state();
        Ok(state.inodes[state.inode(name)?].content.clone())
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.lock_state().entries.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let state = &mut *self.lock_state();
        state.inode(name)?;
        state.entries.remove(name);
        Ok(())
    }

    fn lock(&self) -> Result<DiskLock> {
        Ok(DiskLock::new(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_surely_survives() {
        let mut lost = 0;
        for seed in 0..50 {
            let disk = SimDisk::new(seed, DiskFaults::default());
            disk.write("kept", b"all of it").unwrap();
            disk.sync("kept").unwrap();
            disk.sync_directory().unwrap();
            disk.write("unsynced", b"some of it").unwrap();
            disk.crash();
            assert_eq!(disk.read("kept").unwrap(), b"all of it", "seed {seed}");
            if disk.read("unsynced").ok().as_deref() != Some(b"some of it".as_slice()) {
                lost += 1;
            }
        }
        assert!(lost > 20, "unsynced files survived {} of 50 crashes", 50 - lost);
    }
}
