//! The end of a stage: [`ExchangeOut`] routes elements into batches per destination and sends them, with watermarks and barriers in band.
//!
//! A watermark never overtakes an element: it is sent to a destination only when nothing for it is waiting. A batch is sent when it is full,
//! when its stage has nothing more at hand, or when it has waited for two milliseconds.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::batch::Batch;
use crate::coder::{Key, Kv};
use crate::error::Result;
use crate::operator::link::Push;
use crate::operator::seam::{Barrier, Progress, Signal, StageContext};
use crate::sink::ShardBy;
use crate::state::{key_group, key_hash, owner};
use crate::time::Timestamp;

/// Elements of a batch that crosses an exchange, at most.
const EXCHANGE_RECORDS_MAX: usize = 1_024;

/// Bytes of values of a batch that crosses an exchange, at most (as far as their size on the stack tells).
const EXCHANGE_BYTES_MAX: usize = 64 * 1_024;

/// How long an element waits for its batch to fill while its stage is busy.
const LINGER: Duration = Duration::from_millis(2);

/// What travels between stages.
#[derive(Debug)]
pub enum Message {
    /// A [`Batch`] of the edge's type, and how many elements it has.
    Batch(Box<dyn Any + Send>, usize),
    /// No element of an earlier event time will come from this sender.
    Watermark(Timestamp),
    /// A checkpoint's cut.
    Barrier(Barrier),
}

/// Sends messages to one destination. Nothing is refused: what does not fit waits, and the sender reports that it is full.
pub trait MessageSender: Send {
    /// Sends; true when the destination is full now.
    fn send(&mut self, message: Message) -> bool;

    /// Sends what waits; true when something still does.
    fn retry(&mut self) -> bool;
}

/// Chooses the destination of an element.
pub trait Route<T>: Send {
    /// The number of the destination, below `targets`.
    fn target(&mut self, element: &T, targets: usize) -> usize;
}

/// Everything to the one destination.
#[derive(Clone, Copy, Debug)]
pub struct Forward;

impl<T> Route<T> for Forward {
    #[inline]
    fn target(&mut self, _element: &T, _targets: usize) -> usize {
        0
    }
}

/// By the key group of the key.
#[derive(Clone, Copy, Debug)]
pub struct ByKey;

impl<K: Key, V> Route<Kv<K, V>> for ByKey {
    #[inline]
    fn target(&mut self, element: &Kv<K, V>, targets: usize) -> usize {
        owner(key_group(key_hash(&element.0)), targets)
    }
}

/// By the key group of what a sink shards by.
pub struct ByShard<T>(pub ShardBy<T>);

impl<T> fmt::Debug for ByShard<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ByShard")
    }
}

impl<T> Route<T> for ByShard<T> {
    fn target(&mut self, element: &T, targets: usize) -> usize {
        owner(key_group(key_hash(&self.0(element))), targets)
    }
}

/// To each destination in turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl<T> Route<T> for RoundRobin {
    fn target(&mut self, _element: &T, targets: usize) -> usize {
        self.next = (self.next + 1) % targets;
        self.next
    }
}

struct Target<T> {
    sender: Box<dyn MessageSender>,
    batch: Batch<T>,
    watermark: Timestamp,
    is_full: bool,
}

/// Routes elements to destinations.
pub struct ExchangeOut<T, R> {
    route: R,
    targets: Vec<Target<T>>,
    watermark: Timestamp,
    flushed_at: Timestamp,
}

impl<T: Send + 'static, R: Route<T>> ExchangeOut<T, R> {
    /// An exchange to the destinations of `senders`.
    pub fn new(route: R, senders: Vec<Box<dyn MessageSender>>) -> Self {
        let target = |sender| Target {
            sender,
            batch: Batch::new(),
            watermark: Timestamp::MIN,
            is_full: false,
        };
        Self {
            route,
            targets: senders.into_iter().map(target).collect(),
            watermark: Timestamp::MIN,
            flushed_at: Timestamp::MIN,
        }
    }

    const fn records_max() -> usize {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let by_bytes = EXCHANGE_BYTES_MAX / size;
        if by_bytes < 16 {
            16
        } else if by_bytes > EXCHANGE_RECORDS_MAX {
            EXCHANGE_RECORDS_MAX
        } else {
            by_bytes
        }
    }

    fn flush_all(&mut self, ctx: &mut StageContext) {
        self.flushed_at = ctx.now;
        for target in &mut self.targets {
            target.flush(self.watermark, ctx);
        }
    }

    fn end_bundle(&mut self, ctx: &mut StageContext) {
        if ctx.now >= self.flushed_at + LINGER {
            self.flush_all(ctx);
        } else if self.targets.iter().any(|target| target.has_more(self.watermark)) {
            // Whoever waits must not wait for the bundle that fills its batch: look again when the time is over. Where nobody
            // waits there is no timer: two exchanges of a stage would keep waking it, each with the timer of the other.
            ctx.wake(self.flushed_at + LINGER);
        }
    }
}

impl<T: Send + 'static> Target<T> {
    /// Whether elements or a watermark wait to be sent.
    fn has_more(&self, watermark: Timestamp) -> bool {
        !self.batch.is_empty() || watermark > self.watermark
    }

    fn flush(&mut self, watermark: Timestamp, ctx: &mut StageContext) {
        if !self.batch.is_empty() {
            let len = self.batch.len();
            let batch = std::mem::replace(&mut self.batch, Batch::with_capacity(len));
            self.send(Message::Batch(Box::new(batch), len), ctx);
        }
        if watermark > self.watermark {
            self.watermark = watermark;
            self.send(Message::Watermark(watermark), ctx);
        }
    }

    fn send(&mut self, message: Message, ctx: &mut StageContext) {
        self.is_full = self.sender.send(message);
        ctx.full |= self.is_full;
    }
}

impl<T: Send + 'static, R: Route<T>> Push<T> for ExchangeOut<T, R> {
    fn push(&mut self, batch: &mut Batch<T>, ctx: &mut StageContext) -> Result<()> {
        if let [target] = self.targets.as_mut_slice() {
            target.batch.append(batch);
            if target.batch.len() >= Self::records_max() {
                target.flush(self.watermark, ctx);
            }
            return Ok(());
        }
        let count = self.targets.len();
        for (timestamp, at, value) in batch.drain() {
            let target = &mut self.targets[self.route.target(&value, count)];
            match at {
                Some(at) => target.batch.push_windowed(timestamp, at, value),
                None => target.batch.push(timestamp, value),
            }
            if target.batch.len() >= Self::records_max() {
                target.flush(self.watermark, ctx);
            }
        }
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        match signal {
            Signal::Watermark(watermark) => self.watermark = self.watermark.max(*watermark),
            Signal::FinishBundle | Signal::Time => self.end_bundle(ctx),
            Signal::Flush => self.flush_all(ctx),
            Signal::Retry => {
                for target in &mut self.targets {
                    target.is_full = target.is_full && target.sender.retry();
                    ctx.full |= target.is_full;
                }
            }
            Signal::Barrier(barrier) => {
                self.flush_all(ctx);
                for target in &mut self.targets {
                    target.send(Message::Barrier(*barrier), ctx);
                }
            }
            Signal::Start(..) | Signal::Teardown => {}
        }
        Ok(Progress::Done)
    }
}

impl<T, R> fmt::Debug for ExchangeOut<T, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ExchangeOut").field("targets", &self.targets.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<Message>>>);

    impl MessageSender for Sent {
        fn send(&mut self, message: Message) -> bool {
            self.0.lock().unwrap().push(message);
            false
        }

        fn retry(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn an_exchange_asks_for_a_timer_only_while_something_waits() {
        let sent = Sent::default();
        let mut exchange = ExchangeOut::new(Forward, vec![Box::new(sent.clone())]);
        let start = Timestamp::from_secs(10);
        let mut ctx = StageContext::new(start);
        let mut time = |exchange: &mut ExchangeOut<u64, Forward>, now, waits: bool| {
            if waits {
                let mut batch = Batch::new();
                batch.push(now, 1);
                exchange.push(&mut batch, &mut ctx).unwrap();
            }
            (ctx.now, ctx.wake_at) = (now, None);
            let _ = exchange.signal(&Signal::Time, &mut ctx).unwrap();
            ctx.wake_at
        };
        assert_eq!(time(&mut exchange, start, true), None, "sent at once");
        let soon = start + LINGER / 2;
        assert_eq!(time(&mut exchange, soon, false), None, "nothing waits");
        assert_eq!(time(&mut exchange, soon, true), Some(start + LINGER));
        assert_eq!(time(&mut exchange, start + LINGER, false), None, "sent");
        assert_eq!(sent.0.lock().unwrap().len(), 2);
    }
}
