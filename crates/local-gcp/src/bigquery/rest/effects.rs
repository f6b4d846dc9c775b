//! What statements did, in the words of jobs and query answers.

use serde_json::{Value as Json, json};

use crate::bigquery::sql::{Effect, EffectKind};

/// Adds what a statement did to the `statistics.query` of its job.
pub(super) fn add_statistics(statistics: &mut Json, effect: &Effect) {
    statistics["statementType"] = effect.statement_type.into();
    match &effect.kind {
        EffectKind::Rows { .. } => add_answer(statistics, effect),
        EffectKind::Table { operation, table } => {
            statistics["ddlOperationPerformed"] = (*operation).into();
            statistics["ddlTargetTable"] = json!({
                "projectId": table.dataset.project,
                "datasetId": table.dataset.dataset,
                "tableId": table.table,
            });
        }
    }
}

/// Adds what a statement did to the rows of a table to an answer.
pub(super) fn add_answer(answer: &mut Json, effect: &Effect) {
    let EffectKind::Rows { inserted, updated, deleted } = &effect.kind else { return };
    answer["numDmlAffectedRows"] = (inserted + updated + deleted).to_string().into();
    answer["dmlStats"] = json!({
        "insertedRowCount": inserted.to_string(),
        "updatedRowCount": updated.to_string(),
        "deletedRowCount": deleted.to_string(),
    });
}
