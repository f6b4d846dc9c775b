//! What a streaming pull tells about acknowledgements where delivery is exactly once.

use std::collections::BTreeSet;

use crate::proto::pubsub as proto;
use crate::pubsub::error::{AckFailure, Error, Result};
use crate::pubsub::message::AckId;
use proto::streaming_pull_response::{AcknowledgeConfirmation, ModifyAckDeadlineConfirmation};

type Failures = [(AckId, AckFailure)];

/// The ids that had no effect: no error on a stream, which goes on.
pub(super) fn failures(outcome: Result<()>) -> Result<Vec<(AckId, AckFailure)>> {
    match outcome {
        Ok(()) => Ok(Vec::new()),
        Err(Error::AckIds { failures }) => Ok(failures),
        Err(error) => Err(error),
    }
}

fn failed(failures: &Failures, kind: AckFailure) -> Vec<String> {
    let of_kind = failures.iter().filter(|(_, failure)| *failure == kind);
    of_kind.map(|(id, _)| id.to_string()).collect()
}

fn succeeded(sent: &[String], failures: &Failures) -> Vec<String> {
    let failed: BTreeSet<_> = failures.iter().map(|(id, _)| id.to_string()).collect();
    sent.iter().filter(|id| !failed.contains(*id)).cloned().collect()
}

/// `None` when nothing was sent.
pub(super) fn acknowledge_confirmation(
    sent: &[String],
    failures: &Failures,
) -> Option<AcknowledgeConfirmation> {
    (!sent.is_empty()).then(|| AcknowledgeConfirmation {
        ack_ids: succeeded(sent, failures),
        invalid_ack_ids: failed(failures, AckFailure::Invalid),
        unordered_ack_ids: failed(failures, AckFailure::Unordered),
        temporary_failed_ack_ids: Vec::new(),
    })
}

/// `None` when nothing was sent.
pub(super) fn modify_confirmation(
    sent: &[String],
    failures: &Failures,
) -> Option<ModifyAckDeadlineConfirmation> {
    (!sent.is_empty()).then(|| ModifyAckDeadlineConfirmation {
        ack_ids: succeeded(sent, failures),
        invalid_ack_ids: failed(failures, AckFailure::Invalid),
        temporary_failed_ack_ids: Vec::new(),
    })
}
