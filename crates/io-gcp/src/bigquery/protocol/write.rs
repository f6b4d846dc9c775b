//! [`WriteProtocol`]: one of the two machines, behind one face.

use millstream::Timestamp;

use super::buffered::BufferedProtocol;
use super::default_stream::DefaultProtocol;
use super::messages::{
    Answer, AppendId, Block, Committable, ProtocolError, ProtocolOptions, Request, Split,
};

/// Writes blocks of rows, exactly once or at least once.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteProtocol<B: Block> {
    /// Exactly once.
    Buffered(Box<BufferedProtocol<B>>),
    /// At least once.
    Default(Box<DefaultProtocol<B>>),
}

/// Calls the same method of whichever machine it is.
macro_rules! either {
    ($which:expr, $machine:ident => $call:expr) => {
        match $which {
            WriteProtocol::Buffered($machine) => $call,
            WriteProtocol::Default($machine) => $call,
        }
    };
}

impl<B: Block> WriteProtocol<B> {
    /// A machine that writes exactly once.
    #[must_use]
    pub fn exactly_once(options: ProtocolOptions) -> Self {
        Self::Buffered(Box::new(BufferedProtocol::new(options)))
    }

    /// A machine that writes at least once.
    #[must_use]
    pub fn at_least_once(options: ProtocolOptions) -> Self {
        Self::Default(Box::new(DefaultProtocol::new(options)))
    }

    /// Whether a further block may be pushed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        either!(self, machine => machine.has_room())
    }

    /// Takes a block to be written.
    pub fn push(&mut self, block: B) {
        either!(self, machine => machine.push(block));
    }

    /// Bytes that are not answered.
    #[must_use]
    pub fn outstanding_bytes(&self) -> usize {
        either!(self, machine => machine.outstanding_bytes())
    }

    /// Requests that were sent again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        either!(self, machine => machine.retries())
    }

    /// Blocks to be taken apart and put back with [`WriteProtocol::put_back`].
    pub fn take_splits(&mut self) -> Vec<Split<B>> {
        either!(self, machine => machine.take_splits())
    }

    /// Takes a block back without the refused rows; `None` when none is left.
    pub fn put_back(&mut self, append: AppendId, block: Option<B>) {
        either!(self, machine => machine.put_back(append, block));
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// When writing cannot go on.
    pub fn poll(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Request<B::Body>>,
    ) -> Result<(), ProtocolError> {
        either!(self, machine => machine.poll(now, out))
    }

    /// When to poll again without an answer.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        either!(self, machine => machine.wake_at())
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When writing cannot go on.
    pub fn on_answer(&mut self, answer: Answer, now: Timestamp) -> Result<(), ProtocolError> {
        either!(self, machine => machine.on_answer(answer, now))
    }

    /// What a commit needs to know about everything pushed so far; `None` until all of it is answered.
    pub fn prepare(&mut self, now: Timestamp) -> Option<Committable> {
        match self {
            Self::Buffered(machine) => machine.prepare(now),
            Self::Default(machine) => machine.is_written().then(Committable::default),
        }
    }

    /// The checkpoint with `committable` is durable; with `restored` it is one of an earlier life.
    ///
    /// # Errors
    /// When rows of an earlier life would have to be made visible by a machine that writes at least once.
    pub fn commit(
        &mut self,
        committable: &Committable,
        restored: bool,
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Buffered(machine) => machine.commit(committable, restored),
            Self::Default(_) if committable.streams.is_empty() => {}
            Self::Default(_) => {
                return Err(ProtocolError::new(
                    "the checkpoint was taken by a sink that writes exactly once; restart with that once",
                ));
            }
        }
        Ok(())
    }

    /// Whether every commit that was started is done.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        match self {
            Self::Buffered(machine) => machine.is_committed(),
            Self::Default(_) => true,
        }
    }
}
