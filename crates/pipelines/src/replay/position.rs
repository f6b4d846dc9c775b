//! [`PositionFile`]: how far a feeder came, kept so that a restarted process goes on instead of starting anew.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::ReplayError;

/// A file that holds how many messages are published.
#[derive(Clone, Debug)]
pub struct PositionFile {
    path: PathBuf,
}

impl PositionFile {
    /// The file at `path`, whose folder exists.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The number written last; 0 where none was.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(&self) -> Result<u64, ReplayError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(self.error("read", error)),
        };
        let no_number = |error| self.error("read", IoError::new(ErrorKind::InvalidData, error));
        text.trim().parse().map_err(no_number)
    }

    /// Writes the number, so that a crash leaves this one or the one before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, position: u64) -> Result<(), ReplayError> {
        let beside = self.path.with_extension("new");
        replace(&beside, &self.path, &format!("{position}\n"))
            .map_err(|error| self.error("write", error))
    }

    fn error(&self, action: &'static str, source: IoError) -> ReplayError {
        ReplayError::Position { action, path: self.path.clone(), source }
    }
}

fn replace(beside: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(beside, text)?;
    std::fs::File::open(beside)?.sync_all()?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_written_last_is_read_and_anything_else_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = PositionFile::new(directory.path().join("feeder"));
        assert_eq!(file.read().unwrap(), 0);
        file.write(7).unwrap();
        file.write(27_004).unwrap();
        assert_eq!(file.read().unwrap(), 27_004);
        std::fs::write(directory.path().join("feeder"), "many").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("cannot read the feeder's position"));
    }
}
