//! Bounded queues between stages, one per edge, producing worker and consuming worker.
//!
//! The queue is a single-producer single-consumer ring. What does not fit waits with the producer, which takes no more input until
//! it is gone: that is how a slow stage slows down everything in front of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::io::Waker;
use crate::operator::exchange::{Message, MessageSender};

/// Messages in a ring: enough to keep both sides busy, few enough to bound the skew between workers.
const RING_SLOTS: usize = 16;

/// The producing end.
pub struct Sender {
    ring: rtrb::Producer<Message>,
    waiting: VecDeque<Message>,
    consumer: Waker,
    queued: Arc<AtomicU64>,
}

/// The consuming end.
pub struct Receiver {
    ring: rtrb::Consumer<Message>,
    producer: Waker,
    queued: Arc<AtomicU64>,
}

/// Makes a queue; each side wakes the other.
#[must_use]
pub fn mailbox(producer: Waker, consumer: Waker) -> (Sender, Receiver) {
    let (sending, receiving) = rtrb::RingBuffer::new(RING_SLOTS);
    let queued = Arc::new(AtomicU64::new(0));
    let sender =
        Sender { ring: sending, waiting: VecDeque::new(), consumer, queued: Arc::clone(&queued) };
    (sender, Receiver { ring: receiving, producer, queued })
}

fn records(message: &Message) -> u64 {
    if let Message::Batch(_, len) = message { *len as u64 } else { 0 }
}

impl Sender {
    fn push_waiting(&mut self) -> bool {
        let mut pushed = false;
        while let Some(message) = self.waiting.pop_front() {
            if let Err(rtrb::PushError::Full(message)) = self.ring.push(message) {
                self.waiting.push_front(message);
                break;
            }
            pushed = true;
        }
        if pushed {
            self.consumer.wake();
        }
        !self.waiting.is_empty()
    }
}

impl MessageSender for Sender {
    fn send(&mut self, message: Message) -> bool {
        self.queued.fetch_add(records(&message), Ordering::Relaxed);
        self.waiting.push_back(message);
        self.push_waiting()
    }

    fn retry(&mut self) -> bool {
        self.push_waiting()
    }
}

impl Receiver {
    /// The next message.
    pub fn receive(&mut self) -> Option<Message> {
        let was_full = self.ring.slots() >= RING_SLOTS;
        let message = self.ring.pop().ok()?;
        self.queued.fetch_sub(records(&message), Ordering::Relaxed);
        if was_full {
            self.producer.wake();
        }
        Some(message)
    }

    /// Elements that wait on both sides.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sender")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Receiver").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn what_does_not_fit_waits_in_order_and_the_producer_is_woken_for_it() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let producer = Waker::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let (mut sender, mut receiver) = mailbox(producer, Waker::none());
        let total = RING_SLOTS as i64 + 3;
        for second in 0..total {
            let full = sender.send(Message::Watermark(Timestamp::from_secs(second)));
            assert_eq!(full, second >= RING_SLOTS as i64);
        }
        for second in 0..total {
            let Some(Message::Watermark(at)) = receiver.receive() else { panic!("a watermark") };
            assert_eq!(at, Timestamp::from_secs(second));
            sender.retry();
        }
        assert!(receiver.receive().is_none());
        assert!(woken.load(Ordering::SeqCst) >= 1);
    }
}
