//! [`ReadApiConfig`]: how long and how much the read API asks BigQuery.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A lookup in a clustered table takes about a second; whoever waits five has given up.
const TIMEOUT_MILLIS: u64 = 5_000;
/// Below the 100 queries at a time that BigQuery has long granted a project's users.
const QUERIES_MAX: usize = 64;
/// More than wait for a second at 1,000 requests a second.
const WAITING_MAX: usize = 1_024;

/// How long and how much the read API asks BigQuery.
///
/// ```
/// use millstream_pipelines::scheduled_ingest::ReadApiConfig;
///
/// let config: ReadApiConfig = serde_json::from_str(r#"{"timeout_millis": 2000}"#)?;
/// assert_eq!(config.timeout().as_secs(), 2);
/// assert_eq!(config.queries_max, 64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReadApiConfig {
    /// How long a request may take, its wait for other queries included.
    pub timeout_millis: u64,
    /// How many queries run at a time.
    pub queries_max: usize,
    /// How many requests may wait for them; more are refused at once.
    pub waiting_max: usize,
}

impl ReadApiConfig {
    /// How long a request may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_millis)
    }

    /// Adds what is wrong to `problems`.
    pub(in super::super) fn check(&self, problems: &mut Vec<String>) {
        if self.timeout_millis == 0 {
            problems.push("read_api: timeout_millis must be at least 1".to_owned());
        }
        if self.queries_max == 0 {
            problems.push("read_api: queries_max must be at least 1".to_owned());
        }
        let room = tokio::sync::Semaphore::MAX_PERMITS;
        if self.queries_max.saturating_add(self.waiting_max) > room {
            problems.push(format!("read_api: queries_max and waiting_max are more than {room}"));
        }
    }
}

impl Default for ReadApiConfig {
    fn default() -> Self {
        Self { timeout_millis: TIMEOUT_MILLIS, queries_max: QUERIES_MAX, waiting_max: WAITING_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_let_nothing_through_or_everything_are_reported() {
        let problems = |config: ReadApiConfig| {
            let mut problems = Vec::new();
            config.check(&mut problems);
            problems.len()
        };
        assert_eq!(problems(ReadApiConfig::default()), 0);
        let nothing = ReadApiConfig { timeout_millis: 0, queries_max: 0, waiting_max: 0 };
        assert_eq!(problems(nothing), 2);
        let all = ReadApiConfig { waiting_max: usize::MAX, ..ReadApiConfig::default() };
        assert_eq!(problems(all), 1);
    }
}
