//! What a step writes into a checkpoint and reads back from one.
//!
//! State is a set of named cells per step. A cell is divided by key group, or unkeyed; its bytes are encoded
//! values one behind the other. The step's path identifies the state, never its position in the graph.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::coder;
use crate::error::Result;

/// The group of values that belong to no key.
const UNKEYED: u16 = u16::MAX;

type Cells = BTreeMap<(String, u16), Vec<u8>>;

/// One worker's share of a checkpoint: the cells of its steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPart {
    steps: BTreeMap<String, Vec<CellBytes>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CellBytes {
    cell: String,
    group: u16,
    #[serde(with = "bytes_field")]
    bytes: Vec<u8>,
}

/// Bytes as one MessagePack binary instead of a list of numbers.
mod bytes_field {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}

impl SnapshotPart {
    /// A part without any state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what `write` puts as the state of `step`.
    ///
    /// # Errors
    /// Whatever `write` fails with.
    pub fn add_step(
        &mut self,
        step: &str,
        write: impl FnOnce(&mut SnapshotWriter) -> Result<()>,
    ) -> Result<()> {
        let mut writer = SnapshotWriter::default();
        write(&mut writer)?;
        let cells =
            writer.cells.into_iter().map(|((cell, group), bytes)| CellBytes { cell, group, bytes });
        let mut cells: Vec<_> = cells.collect();
        if !cells.is_empty() {
            self.steps.entry(step.to_owned()).or_default().append(&mut cells);
        }
        Ok(())
    }

    /// Paths of the steps that have state.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str)
    }

    /// Bytes of state, encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.steps.values().flatten().map(|cell| cell.bytes.len()).sum()
    }
}

/// Collects the state of one step.
#[derive(Debug, Default)]
pub struct SnapshotWriter {
    cells: Cells,
}

impl SnapshotWriter {
    /// Adds a value of a key group to a cell.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn put<T: Serialize + ?Sized>(&mut self, cell: &str, group: u16, value: &T) -> Result<()> {
        let bytes = self.cells.entry((cell.to_owned(), group)).or_default();
        coder::encode_into(value, bytes)
    }

    /// Adds many values to a cell, each with its key group; faster than one by one.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub fn put_all<T: Serialize>(
        &mut self,
        cell: &str,
        values: impl Iterator<Item = (u16, T)>,
    ) -> Result<()> {
        let mut groups: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        for (group, value) in values {
            coder::encode_into(&value, groups.entry(group).or_default())?;
        }
        for (group, mut bytes) in groups {
            self.cells.entry((cell.to_owned(), group)).or_default().append(&mut bytes);
        }
        Ok(())
    }

    /// Adds a value that belongs to no key to a cell.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn put_unkeyed<T: Serialize + ?Sized>(&mut self, cell: &str, value: &T) -> Result<()> {
        self.put(cell, UNKEYED, value)
    }
}

/// The state of a checkpoint, of all its workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredState {
    parts: Vec<SnapshotPart>,
}

impl RestoredState {
    /// The state that `parts` make up.
    #[must_use]
    pub fn new(parts: Vec<SnapshotPart>) -> Self {
        Self { parts }
    }

    /// The state of one step, empty when the checkpoint has none.
    #[must_use]
    pub fn step<'a>(&'a self, step: &str) -> StepState<'a> {
        let cells = self.parts.iter().filter_map(|part| part.steps.get(step)).flatten();
        StepState { cells: cells.collect() }
    }

    /// Paths of all steps that have state.
    #[must_use]
    pub fn steps(&self) -> std::collections::BTreeSet<&str> {
        self.parts.iter().flat_map(SnapshotPart::steps).collect()
    }
}

/// The restored state of one step.
#[derive(Clone, Debug)]
pub struct StepState<'a> {
    cells: Vec<&'a CellBytes>,
}

impl StepState<'_> {
    /// All values of a cell, of every group. A keyed step keeps those whose key it owns now.
    ///
    /// # Errors
    /// When the bytes do not decode as `T`.
    pub fn values<T: DeserializeOwned>(&self, cell: &str) -> Result<Vec<T>> {
        let mut values = Vec::new();
        for stored in self.cells.iter().filter(|stored| stored.cell == cell) {
            let mut rest = stored.bytes.as_slice();
            while !rest.is_empty() {
                values.push(coder::decode_next(&mut rest)?);
            }
        }
        Ok(values)
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_workers_wrote_is_read_back_together() {
        let write = |from: u64| {
            let mut part = SnapshotPart::new();
            part.add_step("Count", |writer| {
                writer.put_all("panes", (from..from + 3).map(|key| (key as u16, (key, "v"))))?;
                writer.put_unkeyed("watermark", &from)
            })
            .unwrap();
            part
        };
        let parts = vec![write(0), write(10)];
        let encoded = coder::encode(&parts).unwrap();
        let state = RestoredState::new(coder::decode(&encoded).unwrap());
        let count = state.step("Count");
        let keys: Vec<u64> = count
            .values::<(u64, String)>("panes")
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, [0, 1, 2, 10, 11, 12]);
        assert_eq!(count.values::<u64>("watermark").unwrap(), [0, 10]);
        assert!(state.step("Other").is_empty());
    }
}
