//! The shell between the machine and Google's publishers: one task that sends messages and carries the answers back.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::error::PublishError;

use super::super::error::PubSubError;
use super::client::Publishers;
use super::machine::{PublishOutcome, PublishRequest};
use super::options::PubSubSink;
use super::writer::Shared;

/// Answers carried back at once: a full request.
const ANSWERS_BATCH: usize = 1_000;

type Answers = FuturesUnordered<BoxFuture<'static, Option<(u64, PublishOutcome)>>>;

/// Connects, and publishes until the writer is gone.
pub(super) async fn run(shared: Arc<Shared>, sink: PubSubSink) {
    let retries = Arc::clone(&shared.retries);
    let publishers = match Publishers::connect(&sink.topic, &sink.connection, retries).await {
        Ok(publishers) => publishers,
        Err(error) => {
            shared.machine().fail(error);
            return shared.waker.wake();
        }
    };
    let mut answers = Answers::new();
    loop {
        let (requests, is_closed) = shared.take_requests();
        if is_closed {
            return;
        }
        for request in requests {
            start(&publishers, &sink.topic, request, &answers);
        }
        tokio::select! {
            () = shared.requested.notified() => {}
            Some(answer) = answers.next(), if !answers.is_empty() => {
                take_answers(&shared, answer, &mut answers);
            }
        }
    }
}

fn start(publishers: &Publishers, topic: &str, request: PublishRequest, answers: &Answers) {
    match request {
        PublishRequest::Publish { id, message, alone } => {
            let publisher = if alone { &publishers.alone } else { &publishers.together };
            let published = publisher.publish(message.to_google());
            let topic = topic.to_owned();
            answers.push(published.map(move |answer| Some((id, outcome(&topic, answer)))).boxed());
        }
        PublishRequest::Resume(key) => {
            publishers.together.resume_publish(key.as_str());
            publishers.alone.resume_publish(key);
        }
        PublishRequest::Flush => {
            let publisher = publishers.together.clone();
            answers.push(async move { publisher.flush().await }.map(|()| None).boxed());
        }
    }
}

fn outcome(topic: &str, answer: Result<String, PublishError>) -> PublishOutcome {
    match answer {
        Ok(_) => PublishOutcome::Published,
        Err(PublishError::OrderingKeyPaused) => PublishOutcome::Paused,
        Err(error) => refusal(&error).map_or_else(
            || PublishOutcome::Failed(PubSubError::publish(topic, &error)),
            PublishOutcome::Refused,
        ),
    }
}

/// What the service said, when it is the message that is wrong.
fn refusal(error: &PublishError) -> Option<String> {
    let PublishError::Rpc(error) = error else { return None };
    let status = error.status()?;
    (status.code == Code::InvalidArgument).then(|| status.message.clone())
}

fn take_answers(shared: &Shared, first: Option<(u64, PublishOutcome)>, answers: &mut Answers) {
    let mut batch: Vec<_> = first.into_iter().collect();
    while batch.len() < ANSWERS_BATCH {
        match answers.next().now_or_never() {
            Some(Some(answer)) => batch.extend(answer),
            _ => break,
        }
    }
    let mut machine = shared.machine();
    for (id, outcome) in batch {
        machine.answered(id, outcome);
    }
    machine.fill();
    drop(machine);
    shared.waker.wake();
}
