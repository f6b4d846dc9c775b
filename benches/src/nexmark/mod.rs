//! The Nexmark auction site: its events, and the rules by which they are made.

mod event;
mod generator;

pub use event::{Auction, Bid, Event, Person};
pub use generator::{event, events};
