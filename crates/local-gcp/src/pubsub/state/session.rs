//! Pull sessions: who takes messages from a subscription, and how much each may hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Names an open pull session of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// What a puller asks for when it opens a session.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Messages it holds at most before it acknowledges some; `None` for no limit.
    pub messages_outstanding_max: Option<u64>,
    /// Bytes it holds before it gets no further message; `None` for no limit.
    pub bytes_outstanding_max: Option<u64>,
    /// Acknowledgement deadline of its deliveries; `None` for that of the subscription.
    pub ack_deadline: Option<Duration>,
}

/// One puller.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) options: SessionOptions,
    messages_outstanding: u64,
    bytes_outstanding: u64,
    /// Found nothing to take and waits to be woken; it then stands once in the idle queue.
    idle: bool,
}

impl Session {
    /// Messages that flow control still lets through.
    pub(super) fn messages_room(&self) -> u64 {
        room(self.options.messages_outstanding_max, self.messages_outstanding)
    }

    /// Bytes that flow control still lets through; the last message may exceed them.
    pub(super) fn bytes_room(&self) -> u64 {
        room(self.options.bytes_outstanding_max, self.bytes_outstanding)
    }

    fn has_room(&self) -> bool {
        self.messages_room() > 0 && self.bytes_room() > 0
    }

    pub(super) fn charge(&mut self, messages: u64, bytes: u64) {
        self.messages_outstanding += messages;
        self.bytes_outstanding += bytes;
    }
}

fn room(limit: Option<u64>, used: u64) -> u64 {
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(used))
}

/// The sessions of one subscription, and the order in which the waiting ones are served.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Session>,
    /// Waiting sessions, longest wait first; may name closed ones.
    idle: VecDeque<SessionId>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn open(&mut self, id: SessionId, options: SessionOptions) {
        let session =
            Session { options, messages_outstanding: 0, bytes_outstanding: 0, idle: false };
        self.open.insert(id, session);
    }

    pub(super) fn close(&mut self, id: SessionId) {
        self.open.remove(&id);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.open.keys().copied()
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.open.get_mut(&id)
    }

    /// A delivery to `id` ended (acknowledged, failed or expired).
    pub(super) fn release(&mut self, id: SessionId, bytes: u64) {
        if let Some(session) = self.open.get_mut(&id) {
            session.messages_outstanding -= 1;
            session.bytes_outstanding -= bytes;
        }
    }

    /// Puts a session that found nothing at the end of the waiting queue.
    pub(super) fn wait(&mut self, id: SessionId) {
        if let Some(session) = self.open.get_mut(&id)
            && !std::mem::replace(&mut session.idle, true)
        {
            self.idle.push_back(id);
        }
    }

    /// Takes one session out of the waiting queue if it waits and has room.
    pub(super) fn wake_one(&mut self, id: SessionId, woken: &mut Vec<SessionId>) {
        if let Some(session) = self.open.get_mut(&id).filter(|it| it.idle && it.has_room()) {
            session.idle = false;
            self.idle.retain(|waiting| *waiting != id);
            woken.push(id);
        }
    }

    /// Takes out of the waiting queue as many sessions as it takes to hand out `available` messages.
    pub(super) fn wake(&mut self, available: usize, woken: &mut Vec<SessionId>) {
        let mut available = available as u64;
        for _ in 0..self.idle.len() {
            if available == 0 {
                break;
            }
            let Some(id) = self.idle.pop_front() else { break };
            match self.open.get_mut(&id) {
                Some(session) if session.has_room() => {
                    session.idle = false;
                    available = available.saturating_sub(session.messages_room());
                    woken.push(id);
                }
                Some(_) => self.idle.push_back(id),
                None => {}
            }
        }
    }
}
