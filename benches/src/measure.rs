//! What a run costs: wall time, processor time of the whole process, and memory. The one place that reads the clock.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The cost of one run.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From the call to the return, threads started and joined included.
    pub wall: Duration,
    /// User and system time of all threads.
    pub processor: Duration,
    /// Peak resident memory above what was resident before the first run, in KiB; 0 where the system does not tell.
    pub memory_kib: u64,
}

/// Measures runs against the state of the process at its creation.
#[derive(Debug)]
pub struct Meter {
    resident_before_kib: u64,
}

impl Meter {
    /// A meter that counts what is resident now, such as the input, as there before.
    #[must_use]
    pub fn new() -> Self {
        Self { resident_before_kib: status_kib("VmRSS:") }
    }

    /// Runs `work` and says what it cost.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, Cost) {
        // Sets the peak back to what is resident; where that is refused, the peak is that of all runs so far.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let (processor_before, started) = (processor_time(), Instant::now());
        let result = work();
        let (wall, processor) = (started.elapsed(), processor_time() - processor_before);
        let memory_kib = status_kib("VmHWM:").saturating_sub(self.resident_before_kib);
        (result, Cost { wall, processor, memory_kib })
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

/// A line of `/proc/self/status` in KiB; 0 where there is none.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
