//! The crate's error: what failed, in which step, and why.
//!
//! A variant names the place; the cause stays in `source`, so that a chain can be printed once and whole
//! ([`Error::chain`]). Bad data is not an error of a pipeline: it becomes a dead letter.

use std::fmt::Write as _;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as user code and connectors return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a step, the graph or the engine failed with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph cannot run as built; nothing was read or written.
    #[error("the pipeline cannot run as built: {}", list(.problems))]
    Graph {
        /// Every problem found, each naming its step.
        problems: Vec<Problem>,
    },
    /// A step failed; the cause is the user's or the connector's own error.
    #[error("step {step:?} failed{}", place(.location))]
    Step {
        /// Path of the step that failed.
        step: String,
        /// Source file and line where the step was applied, when known.
        location: Option<String>,
        /// The step's own error.
        source: BoxError,
    },
    /// User code panicked; the panic is reported like an error of its step.
    #[error("step {step:?} panicked: {message}")]
    Panic {
        /// Path of the step that panicked.
        step: String,
        /// What the panic said.
        message: String,
    },
    /// State could not be encoded or decoded.
    #[error("cannot {action} {what}")]
    Coder {
        /// `encode` or `decode`.
        action: &'static str,
        /// Type or cell concerned.
        what: String,
        /// The format's own error.
        source: BoxError,
    },
    /// A checkpoint could not be written, read or trusted.
    #[error("checkpoint: {what}")]
    Checkpoint {
        /// What could not be done.
        what: String,
        /// The storage's own error, when there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// A value given by the user cannot be used.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
        /// The underlying error, when there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// The engine stopped before the work was done, for example because a deadline passed.
    #[error("stopped before the work was done: {0}")]
    Stopped(String),
}

/// One thing that is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Path of the step concerned.
    pub step: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// Source file and line where the step was applied.
    pub location: String,
}

impl Problem {
    /// A problem of `step`, applied at `location`.
    pub fn new(
        step: impl Into<String>,
        location: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { step: step.into(), what: what.into(), hint: hint.into(), location: location.into() }
    }
}

fn list(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ =
            write!(text, "\n  step {:?} ({}): {}", problem.step, problem.location, problem.what);
        if !problem.hint.is_empty() {
            let _ = write!(text, "\n    hint: {}", problem.hint);
        }
    }
    text
}

fn place(location: &Option<String>) -> String {
    location.as_ref().map(|at| format!(" (applied at {at})")).unwrap_or_default()
}

impl Error {
    /// A value that cannot be used, with its cause.
    pub fn invalid(what: impl Into<String>, cause: impl Into<BoxError>) -> Self {
        Self::Invalid { what: what.into(), source: Some(cause.into()) }
    }

    /// A value that cannot be used.
    pub fn invalid_value(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), source: None }
    }

    /// A checkpoint problem with its cause.
    pub fn checkpoint(what: impl Into<String>, cause: impl Into<BoxError>) -> Self {
        Self::Checkpoint { what: what.into(), source: Some(cause.into()) }
    }

    /// A checkpoint problem without a deeper cause.
    pub fn checkpoint_problem(what: impl Into<String>) -> Self {
        Self::Checkpoint { what: what.into(), source: None }
    }

    /// The failure of `step`.
    pub fn step(step: impl Into<String>, cause: impl Into<BoxError>) -> Self {
        Self::Step { step: step.into(), location: None, source: cause.into() }
    }

    /// Path of the step concerned, when the error has one.
    #[must_use]
    pub fn step_path(&self) -> Option<&str> {
        match self {
            Self::Step { step, .. } | Self::Panic { step, .. } => Some(step),
            _ => None,
        }
    }

    /// Whether a restart from the last checkpoint may help: false for graphs and unusable values.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Graph { .. } | Self::Invalid { .. })
    }

    /// The error and its causes, outermost first, each one line.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        reason_chain(self)
    }
}

/// An error and its causes, outermost first.
#[must_use]
pub fn reason_chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect()
}
