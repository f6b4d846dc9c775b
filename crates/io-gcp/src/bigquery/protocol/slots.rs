//! [`Slots`]: the blocks that are not answered, in the order in which they came.

use std::collections::VecDeque;

use millstream::Timestamp;

use super::messages::{
    AppendId, Block, Failure, ProtocolError, ProtocolOptions, RowFailure, Split,
};

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be sent.
    Waiting,
    /// Sent, at this time.
    InFlight(Timestamp),
    /// Written.
    Done,
    /// Not written, or nobody knows.
    Failed(Failure),
    /// Being taken apart by the owner of the machine.
    Splitting,
}

/// A block that is not answered.
#[derive(Debug)]
pub(super) struct Slot<B> {
    pub(super) id: AppendId,
    /// Missing while the block is being taken apart.
    pub(super) block: Option<B>,
    pub(super) rows: u64,
    bytes: usize,
    /// Where it was sent to.
    pub(super) offset: u64,
    /// Whether an earlier request with the same rows at the same offset may have been carried out.
    pub(super) may_be_written: bool,
    pub(super) state: State,
}

impl<B> Slot<B> {
    pub(super) const fn is_in_flight(&self) -> bool {
        matches!(self.state, State::InFlight(_))
    }
}

/// The blocks that are not answered.
#[derive(Debug)]
pub(super) struct Slots<B> {
    queue: VecDeque<Slot<B>>,
    bytes: usize,
    next: AppendId,
    splits: Vec<Split<B>>,
}

impl<B: Block> Slots<B> {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, next: 0, splits: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has_room(&self, options: &ProtocolOptions) -> bool {
        self.queue.len() < options.blocks_max && self.bytes < options.bytes_max
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<B>> {
        self.queue.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<B>> {
        self.queue.iter_mut()
    }

    pub(super) fn front(&self) -> Option<&Slot<B>> {
        self.queue.front()
    }

    /// Adds a block at the end.
    pub(super) fn push(&mut self, block: B) {
        let (rows, bytes) = (block.rows(), block.bytes());
        self.bytes += bytes;
        self.queue.push_back(Slot {
            id: self.next,
            block: Some(block),
            rows,
            bytes,
            offset: 0,
            may_be_written: false,
            state: State::Waiting,
        });
        self.next += 1;
    }

    /// The block `id`, if it is in flight.
    pub(super) fn in_flight(&mut self, id: AppendId) -> Option<&mut Slot<B>> {
        let index = self.queue.binary_search_by_key(&id, |slot| slot.id).ok()?;
        let slot = self.queue.get_mut(index)?;
        slot.is_in_flight().then_some(slot)
    }

    /// When the oldest request was sent.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let sent = |slot: &Slot<B>| match slot.state {
            State::InFlight(since) => Some(since),
            _ => None,
        };
        self.queue.iter().filter_map(sent).min()
    }

    /// Removes the blocks at the front that are written; how many rows they have.
    pub(super) fn pop_done(&mut self) -> u64 {
        let mut rows = 0;
        while self.queue.front().is_some_and(|slot| slot.state == State::Done) {
            if let Some(slot) = self.queue.pop_front() {
                self.bytes -= slot.bytes;
                rows += slot.rows;
            }
        }
        rows
    }

    /// Removes all blocks that are written, wherever they stand.
    pub(super) fn remove_done(&mut self) {
        let bytes = &mut self.bytes;
        self.queue.retain(|slot| {
            let is_done = slot.state == State::Done;
            *bytes -= if is_done { slot.bytes } else { 0 };
            !is_done
        });
    }

    /// Hands the block at `index` out, to come back without the rows of `failures`.
    pub(super) fn split(
        &mut self,
        index: usize,
        failures: Vec<RowFailure>,
    ) -> Result<(), ProtocolError> {
        let Some(slot) = self.queue.get_mut(index) else { return Ok(()) };
        if failures.is_empty() || failures.iter().any(|failure| failure.index >= slot.rows) {
            return Err(ProtocolError::new("rows were refused that were not sent"));
        }
        if let Some(block) = slot.block.take() {
            slot.state = State::Splitting;
            self.splits.push(Split { append: slot.id, block, failures });
        }
        Ok(())
    }

    /// Blocks to be taken apart.
    pub(super) fn take_splits(&mut self) -> Vec<Split<B>> {
        std::mem::take(&mut self.splits)
    }

    /// Takes a block back without the refused rows; `None` when none is left.
    pub(super) fn put_back(&mut self, id: AppendId, block: Option<B>) {
        let Ok(index) = self.queue.binary_search_by_key(&id, |slot| slot.id) else { return };
        let Some(slot) = self.queue.get_mut(index) else { return };
        if slot.state != State::Splitting {
            return;
        }
        self.bytes -= slot.bytes;
        match block {
            Some(block) => {
                (slot.rows, slot.bytes) = (block.rows(), block.bytes());
                self.bytes += slot.bytes;
                slot.block = Some(block);
                slot.may_be_written = false;
                slot.state = State::Waiting;
            }
            None => {
                self.queue.remove(index);
            }
        }
    }
}
