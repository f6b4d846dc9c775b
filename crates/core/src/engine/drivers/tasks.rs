//! [`IoTasks`]: the asynchronous tasks of a job that are under way, so that its end can wait for them.
//!
//! A connector's task outlives its reader or writer by what it still has to say: the last acknowledgements, and which messages
//! are given back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::io::Task;

/// The asynchronous tasks of a job; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct IoTasks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoTasks {
    /// `task`, which counts as running until it is through or dropped.
    pub(crate) fn count(&self, task: Task) -> Task {
        *self.shared.running() += 1;
        let running = Running(Arc::clone(&self.shared));
        Box::pin(async move {
            task.await;
            drop(running);
        })
    }

    /// Waits until none is running, for `at_most` so long; says whether none is.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let waiting =
            self.shared
                .ended
                .wait_timeout_while(self.shared.running(), at_most, |count| *count > 0);
        *waiting.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

/// A task that is not through.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running() -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_ends_with_the_last_task() {
        let tasks = IoTasks::default();
        assert!(tasks.wait(Duration::ZERO));
        let (start, started) = std::sync::mpsc::channel::<()>();
        let task = tasks.count(Box::pin(async move { started.recv().unwrap() }));
        assert!(!tasks.wait(Duration::ZERO));
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(task);
        });
        start.send(()).unwrap();
        assert!(tasks.wait(Duration::MAX));
        thread.join().unwrap();
    }

    #[test]
    fn a_task_that_is_dropped_is_not_waited_for() {
        let tasks = IoTasks::default();
        let never = tasks.count(Box::pin(std::future::pending()));
        assert!(!tasks.wait(Duration::ZERO));
        drop(never);
        assert!(tasks.wait(Duration::ZERO));
    }
}
