//! The simulator: whole jobs on one thread with a virtual clock, an unreliable source, an unreliable disk and crashes, all from one seed.
//!
//! The workers, stages, coordinator and commit protocol are the ones of production; only the driver, the disk and the outside world are
//! simulated. A seed replays exactly. Faults come first (safety), then none any more, and the job must come to rest (liveness).
//!
//! ```
//! use millstream::testing::sim::{Scenario, run};
//!
//! let outcome = run(&Scenario::seeded(7)).expect("nothing is lost or doubled");
//! assert!(outcome.lives > 1, "it crashed at least once");
//! ```

mod disk;
mod queue;
mod scenario;
mod table;

pub use disk::{DiskFaults, SimDisk};
pub use queue::{QueueFaults, QueueResidual, SimMessage, SimQueue, SimQueueReader, SimQueueSource};
pub use scenario::{Bug, Outcome, Scenario, Violation, run};
pub use table::{FlushTo, SimTable, SimTableSink, SimTableWriter};
