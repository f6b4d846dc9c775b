//! What runs workers: threads in production, one seeded thread in tests and simulation.

pub(crate) mod signals;
pub mod single;
pub(crate) mod tasks;
pub mod threads;
