//! A running job: [`JobHandle`] to watch it, to stop it, and to wait for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::report::Report;
use crate::error::{Error, Result};
use crate::io::Waker;
use crate::metrics::Status;

/// How a job is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Reads no more, finishes what is under way, takes a last checkpoint and commits it. Open windows stay in the checkpoint:
    /// a restart from it goes on as if nothing had happened.
    Suspend,
    /// Ends the job as if all input had ended: the watermark goes to the end of time and all windows fire. Source: "Stop a running
    /// pipeline" of the Dataflow documentation.
    Drain,
}

/// The latest request to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    /// That of the first request: what began to stop in one way cannot go on in the other.
    pub(crate) mode: StopMode,
    pub(crate) within: Option<Duration>,
    /// How many requests there were before.
    pub(crate) number: u64,
}

/// What a job's threads and its handles share.
#[derive(Debug)]
pub(crate) struct JobShared {
    stop: Mutex<Option<StopRequest>>,
    status: Mutex<Status>,
    coordinator: Mutex<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JobShared {
    pub(crate) fn new(status: Status) -> Self {
        Self {
            stop: Mutex::new(None),
            status: Mutex::new(status),
            coordinator: Mutex::new(Waker::none()),
        }
    }

    pub(crate) fn stop_request(&self) -> Option<StopRequest> {
        *lock(&self.stop)
    }

    pub(crate) fn request_stop(&self, mode: StopMode, within: Option<Duration>) {
        let mut stop = lock(&self.stop);
        *stop = Some(match *stop {
            Some(before) => StopRequest { within, number: before.number + 1, ..before },
            None => StopRequest { mode, within, number: 0 },
        });
        drop(stop);
        lock(&self.coordinator).wake();
    }

    pub(crate) fn set_coordinator(&self, waker: Waker) {
        *lock(&self.coordinator) = waker;
    }

    pub(crate) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    pub(crate) fn set_status(&self, status: Status) {
        *lock(&self.status) = status;
    }
}

/// Asks a job how it is and tells it to stop; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct JobControl {
    shared: Arc<JobShared>,
}

impl JobControl {
    pub(crate) fn new(shared: Arc<JobShared>) -> Self {
        Self { shared }
    }

    /// The latest status; a new one is made at every report interval and at the end.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Asks the job to stop; `within`: give up, without a last checkpoint, when it takes longer. Asked again, a job that is stopping
    /// already has as long from then on as it is given now; how it stops does not change.
    pub fn stop(&self, mode: StopMode, within: Option<Duration>) {
        self.shared.request_stop(mode, within);
    }
}

/// A running job. Dropping the handle lets the job run on.
pub struct JobHandle {
    control: JobControl,
    thread: JoinHandle<Result<Report>>,
}

impl JobHandle {
    pub(crate) fn new(control: JobControl, thread: JoinHandle<Result<Report>>) -> Self {
        Self { control, thread }
    }

    /// A control that outlives the handle.
    #[must_use]
    pub fn control(&self) -> JobControl {
        self.control.clone()
    }

    /// The latest status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.control.status()
    }

    /// Asks the job to stop.
    pub fn stop(&self, mode: StopMode) {
        self.control.stop(mode, None);
    }

    /// Whether the job is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end of the job.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn wait(self) -> Result<Report> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Error::Stopped("the job's own thread panicked".to_owned())))
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JobHandle").field("is_finished", &self.is_finished()).finish()
    }
}
