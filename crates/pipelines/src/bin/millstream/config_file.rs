//! The configuration file that several commands take.

use std::path::Path;

use millstream::BoxError;
use millstream_pipelines::run::RunError;
use millstream_pipelines::scheduled_ingest::ScheduledIngestConfig;

/// Reads the file at `path`.
pub(crate) fn read(path: &Path) -> Result<ScheduledIngestConfig, BoxError> {
    let failed = |source| RunError::File { action: "read", path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    // What the parser says names the field, the line and the column.
    Ok(serde_json::from_str(&text).map_err(|error| failed(error.into()))?)
}
