//! The manifest: what makes a checkpoint exist, and what a restart compares before it trusts one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::envelope::{seal, unseal};
use crate::checkpoint::store::CheckpointStore;
use crate::coder;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::sink::Epoch;
use crate::state::{RestoredState, SnapshotPart};
use crate::time::Timestamp;

/// Checkpoints that are kept: the latest, and the one before it in case the latest is damaged.
const KEPT: usize = 2;

/// Describes one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Its number.
    pub epoch: Epoch,
    /// Processing time at which it was taken.
    pub taken_at: Timestamp,
    /// Name of the job.
    pub job: String,
    /// The job had come to its end.
    pub is_last: bool,
    /// Fingerprint of each step, by path.
    pub steps: BTreeMap<String, String>,
    /// Names of the objects with the workers' state.
    pub parts: Vec<String>,
}

impl Manifest {
    /// A manifest of `epoch` for a job with this graph.
    #[must_use]
    pub fn new(epoch: Epoch, taken_at: Timestamp, job: &str, is_last: bool, graph: &Graph) -> Self {
        let step = |node: &crate::graph::Node| (node.path.to_string(), node.fingerprint.clone());
        Self {
            epoch,
            taken_at,
            job: job.to_owned(),
            is_last,
            steps: graph.nodes().iter().map(step).collect(),
            parts: Vec::new(),
        }
    }

    /// Compares with the graph that is to be restored into.
    ///
    /// # Errors
    /// When a step that has state is gone or has changed so that its state would be lost, naming each.
    pub fn check(&self, graph: &Graph, state: &RestoredState) -> Result<()> {
        let now: BTreeMap<&str, &str> =
            graph.nodes().iter().map(|node| (&*node.path, &*node.fingerprint)).collect();
        let mut differences = Vec::new();
        for step in state.steps() {
            let then = self.steps.get(step);
            match (then, now.get(step)) {
                (Some(_), None) => differences.push(format!("step {step:?} has state and is gone")),
                (Some(then), Some(now)) if then != now => differences
                    .push(format!("step {step:?} has changed: it was «{then}» and is «{now}» now")),
                _ => {}
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let epoch = self.epoch;
        Err(Error::invalid_value(format!(
            "checkpoint {epoch} does not fit the pipeline, state would be lost:\n  {}\n  hint: keep names and \
             types of steps with state, or start with another checkpoint directory",
            differences.join("\n  ")
        )))
    }
}

/// A checkpoint that was loaded.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its state.
    pub state: RestoredState,
    /// Newer checkpoints that were damaged and passed over, with what is wrong with each.
    pub passed_over: Vec<String>,
}

fn manifest_name(epoch: Epoch) -> String {
    format!("manifest-{epoch:020}")
}

/// Stores a checkpoint: its parts, then its manifest; then removes what is older than the one before it. Gives its size in bytes.
///
/// # Errors
/// When it is not durable; the checkpoint before it is then still the latest.
pub fn save(
    store: &dyn CheckpointStore,
    mut manifest: Manifest,
    parts: &[SnapshotPart],
) -> Result<u64> {
    let epoch = manifest.epoch;
    let mut bytes = 0;
    for (worker, part) in parts.iter().enumerate() {
        let name = format!("part-{epoch:020}-{worker:04}");
        let sealed = seal(&coder::encode(part)?);
        bytes += sealed.len() as u64;
        store.put(&name, &sealed)?;
        manifest.parts.push(name);
    }
    put_manifest(store, &manifest)?;
    remove_old(store, epoch);
    Ok(bytes)
}

/// Makes sure that a checkpoint that was loaded outlasts a crash, before anything is built on it. The life that wrote it may have
/// failed over its very last sync, so that it can be read and is not durable; and a newer one that was passed over must not
/// become whole with parts of the one that takes its number.
///
/// # Errors
/// When it is not durable.
pub fn confirm(store: &dyn CheckpointStore, manifest: &Manifest) -> Result<()> {
    for name in store.list()? {
        if epoch_of(&name, "manifest-").is_some_and(|epoch| epoch > manifest.epoch) {
            store.delete(&name)?;
        }
    }
    // Written anew instead of synced again: a sync that follows a failed one may succeed without having written anything.
    put_manifest(store, manifest)
}

fn put_manifest(store: &dyn CheckpointStore, manifest: &Manifest) -> Result<()> {
    store.put(&manifest_name(manifest.epoch), &seal(&coder::encode(manifest)?))
}

/// Removes what no kept checkpoint needs. That it fails is no harm: the next one tries again.
fn remove_old(store: &dyn CheckpointStore, latest: Epoch) {
    let Ok(names) = store.list() else { return };
    let manifests: Vec<Epoch> =
        names.iter().filter_map(|name| epoch_of(name, "manifest-")).collect();
    let Some(&oldest_kept) = manifests.iter().rev().filter(|&&epoch| epoch <= latest).nth(KEPT - 1)
    else {
        return;
    };
    for name in names {
        let epoch = epoch_of(&name, "manifest-").or_else(|| epoch_of(&name, "part-"));
        if epoch.is_some_and(|epoch| epoch < oldest_kept)
            && let Err(error) = store.delete(&name)
        {
            tracing::warn!(object = name, %error, "an old checkpoint object could not be removed");
        }
    }
}

fn epoch_of(name: &str, prefix: &str) -> Option<Epoch> {
    name.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

/// The latest checkpoint that is whole; `None` when there is none at all.
///
/// # Errors
/// When the store cannot be read, or there are checkpoints and all are damaged.
pub fn load_latest(store: &dyn CheckpointStore) -> Result<Option<Checkpoint>> {
    let names = store.list()?;
    let mut passed_over = Vec::new();
    for name in names.iter().rev().filter(|name| name.starts_with("manifest-")) {
        match load(store, name) {
            Ok((manifest, state)) => return Ok(Some(Checkpoint { manifest, state, passed_over })),
            Err(error) => passed_over.push(format!("{name}: {}", error.chain().join(": "))),
        }
    }
    if passed_over.is_empty() {
        return Ok(None);
    }
    let what = format!("no checkpoint is whole:\n  {}", passed_over.join("\n  "));
    Err(Error::checkpoint_problem(what))
}

fn load(store: &dyn CheckpointStore, name: &str) -> Result<(Manifest, RestoredState)> {
    let manifest: Manifest = coder::decode(unseal(&store.get(name)?)?)?;
    let mut parts = Vec::new();
    for part in &manifest.parts {
        parts.push(coder::decode::<SnapshotPart>(unseal(&store.get(part)?)?)?);
    }
    Ok((manifest, RestoredState::new(parts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{DirectoryStore, MemoryStore};
    use crate::testing::sim::{DiskFaults, SimDisk};

    fn manifest(epoch: Epoch) -> Manifest {
        Manifest::new(epoch, Timestamp::EPOCH, "job", false, &Graph::default())
    }

    fn part(value: u64) -> SnapshotPart {
        let mut part = SnapshotPart::new();
        part.add_step("Count", |writer| writer.put_unkeyed("n", &value)).unwrap();
        part
    }

    fn latest(store: &MemoryStore) -> (Epoch, Vec<u64>) {
        let checkpoint = load_latest(store).unwrap().unwrap();
        (checkpoint.manifest.epoch, checkpoint.state.step("Count").values("n").unwrap())
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
        let store = MemoryStore::new();
        assert!(load_latest(&store).unwrap().is_none());
        for epoch in 1..=4 {
            save(&store, manifest(epoch), &[part(epoch), part(epoch + 10)]).unwrap();
        }
        assert_eq!(latest(&store), (4, vec![4, 14]));
        assert_eq!(store.list().unwrap().len(), 6, "two checkpoints of three objects are kept");
        let name = "part-00000000000000000004-0001";
        let mut bytes = store.get(name).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        store.put(name, &bytes).unwrap();
        assert_eq!(latest(&store), (3, vec![3, 13]));
        store.delete("part-00000000000000000003-0000").unwrap();
        let error = load_latest(&store).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("no object"), "{error}");
    }

    #[test]
    fn a_checkpoint_that_a_life_started_from_survives_a_power_failure() {
        let mut not_durable = 0;
        for seed in 0..200 {
            let faults = DiskFaults { sync_percent: 30, ..DiskFaults::default() };
            let disk = SimDisk::new(seed, faults);
            let store = DirectoryStore::on(disk.clone(), "simulated disk").unwrap();
            let save = |epoch| save(&store, manifest(epoch), &[]).ok().map(|_| epoch);
            let saved = (1..=3).filter_map(save).max();
            let Some(found) = load_latest(&store).unwrap() else { continue };
            not_durable += u32::from(Some(found.manifest.epoch) != saved);
            disk.set_faults(DiskFaults::default());
            confirm(&store, &found.manifest).unwrap();
            disk.crash();
            let survived = load_latest(&store).unwrap().unwrap();
            assert_eq!(survived.manifest.epoch, found.manifest.epoch, "seed {seed}");
        }
        assert!(
            not_durable > 10,
            "only {not_durable} checkpoints were found that nobody had finished"
        );
    }

    #[test]
    fn a_damaged_checkpoint_does_not_become_whole_with_parts_of_another() {
        let store = MemoryStore::new();
        for epoch in 1..=2 {
            save(&store, manifest(epoch), &[part(epoch), part(epoch + 10)]).unwrap();
        }
        let first = "part-00000000000000000002-0000";
        let bytes = store.get(first).unwrap();
        store.put(first, b"damaged").unwrap();
        let found = load_latest(&store).unwrap().unwrap();
        confirm(&store, &found.manifest).unwrap();
        // The life that goes on dies with one part of its second checkpoint written.
        store.put(first, &bytes).unwrap();
        assert_eq!(latest(&store), (1, vec![1, 11]));
    }

    #[test]
    fn state_of_a_step_that_is_gone_is_not_dropped_silently() {
        let state = RestoredState::new(vec![part(1)]);
        let mut old = manifest(1);
        old.steps.insert("Count".into(), "CombinePerKey".into());
        let error = old.check(&Graph::default(), &state).unwrap_err().to_string();
        assert!(error.contains("\"Count\" has state and is gone"), "{error}");
    }
}
