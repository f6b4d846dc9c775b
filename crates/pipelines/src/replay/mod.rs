//! Replay of a file as messages: a schedule ticks, and each tick publishes the file's next slice in the order of event time.
//!
//! [`ReplayFile`] turns a CSV file into messages, [`Pace`] says how fast event time passes, [`Replay`] cuts the slices (pure
//! arithmetic), [`Feeder`] publishes them and remembers how far it came.

mod error;
mod feeder;
mod file;
mod pace;
mod position;

pub use error::ReplayError;
pub use feeder::{Feeder, FeederStatus};
pub use file::{ReplayFile, ReplayMessage};
pub use pace::{Pace, Replay};
pub use position::PositionFile;
