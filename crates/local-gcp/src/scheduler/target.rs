//! [`Target`]: what a job does at each tick.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::error::BoxError;
use super::http::{HttpCall, Refused};
use super::job::Tick;
use crate::proto::rpc::Status;
use crate::proto::scheduler as proto;
use crate::pubsub::{self, NewMessage, PubSub};
use crate::status::Code;

/// `DEADLINE_EXCEEDED` and `UNKNOWN`, which no service of this crate answers itself.
const DEADLINE_EXCEEDED: i32 = 4;
const UNKNOWN: i32 = 2;

type Called = Pin<Box<dyn Future<Output = std::result::Result<(), BoxError>> + Send>>;

/// What a job does at each tick.
#[derive(Clone)]
pub struct Target(Action);

#[derive(Clone)]
enum Action {
    Call { function: Arc<dyn Fn(Tick) -> Called + Send + Sync>, topic: Option<Arc<str>> },
    Publish { pubsub: PubSub, topic: Arc<str>, message: NewMessage },
    Http(Box<HttpCall>),
}

impl Target {
    /// Calls an asynchronous function.
    pub fn call<F, R>(function: F) -> Self
    where
        F: Fn(Tick) -> R + Send + Sync + 'static,
        R: Future<Output = std::result::Result<(), BoxError>> + Send + 'static,
    {
        let function = Arc::new(move |tick| Box::pin(function(tick)) as Called);
        Self(Action::Call { function, topic: None })
    }

    /// For a function that publishes to a topic: the API shows it as the job's target.
    #[must_use]
    pub fn shown_as_topic(mut self, name: &str) -> Self {
        if let Action::Call { topic, .. } = &mut self.0 {
            *topic = Some(name.into());
        }
        self
    }

    /// Publishes the same message to a topic of a local Pub/Sub each time.
    #[must_use]
    pub fn publish(pubsub: PubSub, topic: impl Into<String>, message: NewMessage) -> Self {
        Self(Action::Publish { pubsub, topic: topic.into().into(), message })
    }

    pub(super) fn http(call: HttpCall) -> Self {
        Self(Action::Http(Box::new(call)))
    }

    /// Whether somebody outside this process decides how long a run takes.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.0, Action::Http(_))
    }

    pub(super) fn run(&self, job: &Arc<str>, tick: Tick) -> Called {
        match &self.0 {
            Action::Call { function, .. } => function(tick),
            Action::Publish { pubsub, topic, message } => {
                let published = pubsub.publish(topic, vec![message.clone()]);
                Box::pin(std::future::ready(published.map(|_| ()).map_err(BoxError::from)))
            }
            Action::Http(call) => Box::pin(HttpCall::clone(call).send(Arc::clone(job), tick)),
        }
    }

    /// As a field of a job of the API.
    pub(super) fn as_field(&self) -> Option<proto::job::Target> {
        let (topic, message) = match &self.0 {
            Action::Call { topic, .. } => (topic.as_ref()?, &NewMessage::default()),
            Action::Publish { topic, message, .. } => (topic, message),
            Action::Http(_) => return None,
        };
        Some(proto::job::Target::PubsubTarget(proto::PubsubTarget {
            topic_name: topic.to_string(),
            data: message.data.clone(),
            attributes: message.attributes.clone(),
        }))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target")
    }
}

/// A target that did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within the attempt's deadline")]
pub(super) struct Late;

/// What a job's status says of an attempt.
pub(super) fn status(result: &std::result::Result<(), BoxError>) -> Status {
    let Err(error) = result else { return Status::default() };
    let canonical = |code: Code| i32::from(code.grpc());
    let code = if let Some(error) = error.downcast_ref::<pubsub::Error>() {
        canonical(error.code())
    } else if let Some(refused) = error.downcast_ref::<Refused>() {
        canonical(refused.code())
    } else if error.is::<Late>() {
        DEADLINE_EXCEEDED
    } else if error.is::<hyper_util::client::legacy::Error>() {
        canonical(Code::Unavailable)
    } else {
        UNKNOWN
    };
    Status { code, message: super::error::chain(error.as_ref()), details: Vec::new() }
}
