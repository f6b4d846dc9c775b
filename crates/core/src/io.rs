//! What connects the engine's workers with asynchronous I/O: [`Io`] to start tasks, [`Waker`] to be heard again.
//!
//! A worker never waits. A connector starts a task, exchanges requests and completions with it through
//! bounded queues, and wakes its worker when there is something to take. Only drivers know which runtime runs the tasks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A task for the asynchronous runtime.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Starts asynchronous tasks beside the workers; cheap to clone.
#[derive(Clone)]
pub struct Io {
    spawn: Arc<dyn Fn(Task) + Send + Sync>,
}

impl Io {
    /// An `Io` that starts tasks with `spawn`.
    pub fn new(spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self { spawn: Arc::new(spawn) }
    }

    /// An `Io` for runs without asynchronous connectors: a task given to it never runs.
    #[must_use]
    pub fn none() -> Self {
        Self::new(drop)
    }

    /// Starts `task` on the runtime; it must end by itself when its queues close.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(Box::pin(task));
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Io")
    }
}

/// Wakes the worker that owns a reader or writer; cheap to clone and to call.
#[derive(Clone)]
pub struct Waker {
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Waker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { wake: Arc::new(wake) }
    }

    /// A waker for drivers that look at everything in turn anyway.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| {})
    }

    /// Makes the worker look again; calls in between its looks count once.
    pub fn wake(&self) {
        (self.wake)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Waker")
    }
}

/// What a reader or writer may use of the job it runs in.
#[derive(Clone, Debug)]
pub struct IoContext {
    /// Path of the step, for messages and names.
    pub step: String,
    /// Number of the worker, from 0.
    pub worker: usize,
    /// How many workers the job has.
    pub workers: usize,
    /// Whether the job was started before with the same checkpoints: what an earlier life took and left open may still come back,
    /// even if that life ended before it could take a checkpoint.
    pub is_restored: bool,
    /// Starts asynchronous tasks.
    pub io: Io,
    /// Wakes the worker.
    pub waker: Waker,
}

impl IoContext {
    /// A context for driving a reader or writer by hand: one worker, no runtime.
    #[must_use]
    pub fn detached(step: &str) -> Self {
        Self {
            step: step.to_owned(),
            worker: 0,
            workers: 1,
            is_restored: false,
            io: Io::none(),
            waker: Waker::none(),
        }
    }
}
