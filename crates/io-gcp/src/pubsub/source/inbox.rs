//! [`Inbox`]: messages received and not yet handed out, in order, with their least event time at hand.

use std::collections::VecDeque;

use millstream::Timestamp;

use super::machine::Delivery;

/// Messages received and not yet handed out.
#[derive(Debug)]
pub(super) struct Inbox<H> {
    batches: VecDeque<std::vec::IntoIter<Delivery<H>>>,
    /// Least event times of batches, rising; a batch counts until its last message is taken.
    minima: VecDeque<Minimum>,
    received: u64,
    taken: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Minimum {
    /// How many messages had been received with the batch.
    until: u64,
    earliest: Timestamp,
}

impl<H> Default for Inbox<H> {
    fn default() -> Self {
        Self { batches: VecDeque::new(), minima: VecDeque::new(), received: 0, taken: 0, bytes: 0 }
    }
}

impl<H> Inbox<H> {
    /// Adds messages behind the others.
    pub(super) fn push(&mut self, batch: Vec<Delivery<H>>) {
        let Some(earliest) = batch.iter().map(|delivery| delivery.event_time).min() else {
            return;
        };
        self.received += batch.len() as u64;
        self.bytes += batch.iter().map(|delivery| delivery.bytes).sum::<u64>();
        while self.minima.back().is_some_and(|before| before.earliest >= earliest) {
            self.minima.pop_back();
        }
        self.minima.push_back(Minimum { until: self.received, earliest });
        self.batches.push_back(batch.into_iter());
    }

    /// Takes the first message.
    pub(super) fn pop(&mut self) -> Option<Delivery<H>> {
        let front = self.batches.front_mut()?;
        let delivery = front.next()?;
        if front.len() == 0 {
            self.batches.pop_front();
        }
        self.taken += 1;
        self.bytes -= delivery.bytes;
        while self.minima.front().is_some_and(|minimum| minimum.until <= self.taken) {
            self.minima.pop_front();
        }
        Some(delivery)
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> u64 {
        self.received - self.taken
    }

    /// Whether there is no message.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Bytes of the messages.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// No message is earlier than this.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.minima.front().map(|minimum| minimum.earliest)
    }
}
