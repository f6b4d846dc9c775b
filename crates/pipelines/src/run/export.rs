//! Tables as CSV files, one a table: NULL is an empty value, points in time are RFC 3339, bytes are base64.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::RunError;
use super::tables::Table;

/// Writes a table to the folder `directory`, which is made, and returns the file.
pub(super) fn write(table: &Table, directory: &Path) -> Result<PathBuf, RunError> {
    std::fs::create_dir_all(directory).map_err(|error| RunError::write(directory, error))?;
    let path = directory.join(format!("{}.csv", table.name.table()));
    let failed = |error: csv::Error| RunError::write(&path, std::io::Error::other(error));
    let mut writer = csv::Writer::from_path(&path).map_err(failed)?;
    writer.write_record(&table.columns).map_err(failed)?;
    for row in &table.rows {
        let values =
            table.columns.iter().map(|column| row.get(column).map_or_else(String::new, text));
        writer.write_record(values).map_err(failed)?;
    }
    writer.flush().map_err(|error| RunError::write(&path, error))?;
    Ok(path)
}

/// A value as people write it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
