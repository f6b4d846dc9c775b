//! The Storage Write protocol as state machines: requests out, answers in, `now` passed in.
//!
//! Nothing in here knows sockets, clocks, randomness beyond a seed, or an async runtime: a shell sends the [`Request`]s
//! and brings the [`Answer`]s, in production over Google's client, in a test or simulation over a model of the server.
//!
//! [`BufferedProtocol`] writes exactly once, by way of buffered streams:
//!
//! - Blocks of rows are appended at explicit offsets, in order. What was answered makes up the *confirmed* prefix of the stream.
//! - A block whose outcome is unknown is sent again at the same offset; `ALREADY_EXISTS` then means that it had arrived. The same
//!   answer to a block sent for the first time means that somebody else writes to the stream: an error.
//! - A checkpoint records how many rows of each stream are confirmed. Only a commit flushes, and only up to there: what lies behind
//!   the confirmed prefix never becomes visible.
//! - Rows that BigQuery refuses are taken out, and the blocks behind move forward. Should an abandoned request still be
//!   able to land where another block now goes, everything not confirmed goes to a new stream instead.
//! - A restored checkpoint's streams are flushed to where it says and never appended to. With the first checkpoint of the new life they are
//!   finalised, which locks out an earlier life that still runs. Not before: another worker may have to flush the same stream, and
//!   BigQuery does not promise that a finalised stream can be flushed.
//! - Whatever cannot be repaired that way fails the job, which then restarts from its last checkpoint: never wrong, only slower.
//!
//! [`DefaultProtocol`] writes at least once, by way of the table's default stream: blocks are independent of each other and visible at once.

mod buffered;
mod commits;
mod default_stream;
mod messages;
#[cfg(test)]
mod simulation;
mod slots;
#[cfg(test)]
mod tests;
mod trouble;
mod write;

pub use buffered::BufferedProtocol;
pub use default_stream::DefaultProtocol;
pub use messages::{
    Answer, AppendId, Block, Committable, ConnectionId, Failure, FailureKind, ProtocolError,
    ProtocolOptions, Request, RowFailure, Split, StreamCommit, StreamKind,
};
pub use write::WriteProtocol;
