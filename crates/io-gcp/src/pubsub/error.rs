//! [`PubSubError`]: what Pub/Sub did not do, for which resource, and whether trying again may help.

use std::sync::Arc;

use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error as GoogleError;
use google_cloud_pubsub::error::PublishError;

use crate::connection::ConnectionError;

/// Why something could not be done in Pub/Sub.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PubSubError {
    /// A name is not of the form Pub/Sub wants.
    #[error(
        "{name:?} is no name of a {kind}: expected projects/PROJECT/{kind}s/{example}, its last part of 3 to 255 characters, a letter first"
    )]
    Name {
        /// `topic` or `subscription`.
        kind: &'static str,
        /// What was given.
        name: String,
        /// How such names end.
        example: &'static str,
    },
    /// An option has a value that cannot work.
    #[error("{resource}: {what}")]
    Option {
        /// The topic or subscription that is configured.
        resource: String,
        /// What is wrong.
        what: String,
    },
    /// The service cannot be reached as configured.
    #[error("cannot connect for {resource}")]
    Connection {
        /// The topic or subscription to be used.
        resource: String,
        /// What cannot be used.
        source: Arc<ConnectionError>,
    },
    /// The topic or subscription does not exist.
    #[error("{resource} does not exist")]
    NotFound {
        /// The topic or subscription.
        resource: String,
        /// What the service said.
        source: Arc<GoogleError>,
    },
    /// The credentials do not allow the call.
    #[error("no permission to {action} {resource}")]
    PermissionDenied {
        /// What was to be done.
        action: &'static str,
        /// The topic or subscription.
        resource: String,
        /// What the service said.
        source: Arc<GoogleError>,
    },
    /// The service refused the call or did not answer it.
    #[error("cannot {action} {resource}")]
    Call {
        /// What was to be done.
        action: &'static str,
        /// The topic or subscription.
        resource: String,
        /// What the service said.
        source: Arc<GoogleError>,
    },
    /// A subscription exists already, of another topic.
    #[error("{subscription} exists, but reads {actual}, not {wanted}")]
    OtherTopic {
        /// The subscription.
        subscription: String,
        /// The topic it reads.
        actual: String,
        /// The topic it was to read.
        wanted: String,
    },
    /// The client stopped before the work was done.
    #[error("{resource}: the client stopped before the work was done: {what}")]
    Stopped {
        /// The topic or subscription.
        resource: String,
        /// What stopped it.
        what: String,
    },
    /// A checkpoint holds something that is no state of this source.
    #[error("{resource}: the restored state cannot be read: {what}")]
    Restored {
        /// The subscription.
        resource: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl PubSubError {
    /// The error of a call that was to `action` `resource`.
    pub(crate) fn call(action: &'static str, resource: &str, source: Arc<GoogleError>) -> Self {
        let resource = resource.to_owned();
        match source.status().map(|status| status.code) {
            Some(Code::NotFound) => Self::NotFound { resource, source },
            Some(Code::PermissionDenied) => Self::PermissionDenied { action, resource, source },
            _ => Self::Call { action, resource, source },
        }
    }

    /// The error of a publish to `topic`.
    pub(crate) fn publish(topic: &str, error: &PublishError) -> Self {
        match error {
            PublishError::Rpc(source) => Self::call("publish to", topic, Arc::clone(source)),
            other => Self::Stopped { resource: topic.to_owned(), what: other.to_string() },
        }
    }

    pub(crate) fn connection(resource: &str, source: ConnectionError) -> Self {
        Self::Connection { resource: resource.to_owned(), source: Arc::new(source) }
    }

    /// Whether the topic or subscription does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the credentials do not allow the call.
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Self::PermissionDenied { .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call { source, .. } => is_retryable(source),
            Self::Stopped { .. } => true,
            _ => false,
        }
    }
}

/// Whether a call that failed with `error` may succeed later.
pub(crate) fn is_retryable(error: &GoogleError) -> bool {
    if let Some(status) = error.status() {
        return matches!(
            status.code,
            Code::Aborted
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
                | Code::Unavailable
                | Code::Unknown
        );
    }
    if let Some(code) = error.http_status_code() {
        return matches!(code, 429 | 500 | 502 | 503 | 504);
    }
    error.is_transport()
        || error.is_io()
        || error.is_timeout()
        || error.is_connect()
        || error.is_exhausted()
        || error.is_transient_and_before_rpc()
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_gax::error::rpc::Status;

    fn status(code: Code) -> Arc<GoogleError> {
        Arc::new(GoogleError::service(Status::default().set_code(code).set_message("said so")))
    }

    #[test]
    fn what_the_service_says_becomes_an_error_that_names_the_resource() {
        let name = "projects/p/subscriptions/s";
        let gone = PubSubError::call("read", name, status(Code::NotFound));
        assert!(gone.is_not_found() && !gone.is_retryable());
        assert_eq!(gone.to_string(), format!("{name} does not exist"));
        let denied = PubSubError::call("read", name, status(Code::PermissionDenied));
        assert!(denied.is_permission_denied());
        assert_eq!(denied.to_string(), format!("no permission to read {name}"));
        let busy = PubSubError::call("read", name, status(Code::Unavailable));
        assert!(busy.is_retryable());
        assert!(
            std::error::Error::source(&busy)
                .is_some_and(|cause| cause.to_string().contains("said so"))
        );
    }
}
