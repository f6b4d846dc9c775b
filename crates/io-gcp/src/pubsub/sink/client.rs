//! Google's publishers for one topic, made from a connection, with their retries counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use google_cloud_gax::retry_policy::{RetryPolicy, RetryPolicyExt};
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;
use google_cloud_gax::throttle_result::ThrottleResult;
use google_cloud_pubsub::Error as GoogleError;
use google_cloud_pubsub::client::{BasePublisher, Publisher};
use google_cloud_pubsub::retry_policy::RetryableErrors;

use super::super::error::PubSubError;
use crate::connection::{Connection, Service};

/// The service takes 1,000 messages in a request; larger requests cost less for each message.
const REQUEST_MESSAGES: u32 = 1_000;
/// A tenth of what the service takes, so that requests stay short.
const REQUEST_BYTES: u32 = 1_000_000;
/// How long a message waits for others to share its request.
const LINGER: Duration = Duration::from_millis(10);
/// How long a request is tried again before the job fails.
const RETRY_LIMIT: Duration = Duration::from_secs(600);

/// The publishers for one topic over one connection.
#[derive(Clone, Debug)]
pub(super) struct Publishers {
    /// Sends messages together.
    pub(super) together: Publisher,
    /// Sends each message in a request of its own.
    pub(super) alone: Publisher,
}

impl Publishers {
    pub(super) async fn connect(
        topic: &str,
        connection: &Connection,
        retries: Arc<AtomicU64>,
    ) -> Result<Self, PubSubError> {
        let failed = |error| PubSubError::connection(topic, error);
        let resolved = connection.resolve(Service::PubSub).map_err(failed)?;
        let policy = CountingRetries { inner: RetryableErrors, retries };
        let mut builder = BasePublisher::builder()
            .with_credentials(resolved.credentials())
            .with_retry_policy(policy.with_time_limit(RETRY_LIMIT));
        if let Some(endpoint) = resolved.endpoint() {
            builder = builder.with_endpoint(endpoint);
        }
        let base = builder.build().await.map_err(|cause| failed(resolved.client_error(cause)))?;
        let together = base
            .publisher(topic)
            .set_message_count_threshold(REQUEST_MESSAGES)
            .set_byte_threshold(REQUEST_BYTES)
            .set_delay_threshold(LINGER)
            .build();
        let alone = base.publisher(topic).set_message_count_threshold(1).build();
        Ok(Self { together, alone })
    }
}

/// Counts requests that are sent again.
#[derive(Debug)]
struct CountingRetries {
    inner: RetryableErrors,
    retries: Arc<AtomicU64>,
}

impl RetryPolicy for CountingRetries {
    fn on_error(&self, state: &RetryState, error: GoogleError) -> RetryResult {
        let result = self.inner.on_error(state, error);
        if let RetryResult::Continue(error) = &result {
            self.retries.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "a publish request failed and is sent again");
        }
        result
    }

    fn on_throttle(&self, state: &RetryState, error: GoogleError) -> ThrottleResult {
        self.inner.on_throttle(state, error)
    }
}
