//! One journal: records in, group writes to one file, rewritten when most of it is garbage.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{BoxError, Error, Result};
use super::frame::{HEADER, Reader, encode};

/// Below this a journal is not worth rewriting: replaying it takes a fraction of a second.
const REWRITE_BYTES_MIN: u64 = 64 << 20;

/// A buffer that grew beyond this for one large request is given back after the write.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// How far a journal has been appended to, in bytes since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "a record is in the file only after commit(position)"]
pub struct Position(u64);

/// An append-only file of records, safe to share between threads.
///
/// `append` puts a record into memory and fixes its place in the order: call it under the lock of the
/// state that the record describes. `commit` puts everything appended so far into the file: call it
/// after that lock is released and before the request is answered. Requests that arrive together are
/// written together.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    buffer: Mutex<Buffer>,
    output: Mutex<Output>,
}

/// Records not yet in the file.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    appended: u64,
}

#[derive(Debug)]
struct Output {
    file: File,
    /// Everything up to here (on the scale of [`Position`]) is in the file.
    written: u64,
    file_bytes: u64,
    /// Written since the last sync.
    dirty: bool,
    /// The first failure; nothing is written after it.
    failed: Option<String>,
}

impl Journal {
    /// Opens or creates the journal at `path`, feeding every record in it to `apply`, oldest first.
    ///
    /// A torn last record (the process was killed while writing) is cut off.
    ///
    /// # Errors
    /// When the file cannot be read or written, is damaged before its last record, or `apply` fails.
    pub fn open<R: DeserializeOwned>(
        path: impl Into<PathBuf>,
        apply: impl FnMut(R) -> std::result::Result<(), BoxError>,
    ) -> Result<Self> {
        let path = path.into();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let total = file.metadata().map_err(Error::io("inspect", &path))?.len();
        let sound = Reader::new(BufReader::new(&file), &path, total)?.replay(apply)?;
        if sound < total {
            tracing::warn!(path = %path.display(), cut = total - sound, "journal had a torn tail");
        }
        file.set_len(sound).map_err(Error::io("truncate", &path))?;
        file.seek(SeekFrom::Start(sound)).map_err(Error::io("seek in", &path))?;
        if sound == 0 {
            file.write_all(HEADER).map_err(Error::io("write", &path))?;
        }
        let file_bytes = sound.max(HEADER.len() as u64);
        let output = Output { file, written: 0, file_bytes, dirty: true, failed: None };
        let buffer = Buffer { bytes: Vec::new(), appended: 0 };
        Ok(Self { path, buffer: Mutex::new(buffer), output: Mutex::new(output) })
    }

    /// Adds a record behind all earlier ones; it is in the file after [`commit`](Self::commit).
    ///
    /// # Errors
    /// When the record cannot be encoded; the journal is then unchanged.
    pub fn append<R: Serialize>(&self, record: &R) -> Result<Position> {
        let mut buffer = self.buffer();
        let before = buffer.bytes.len();
        encode(record, &mut buffer.bytes)
            .map_err(|source| Error::Encode { path: self.path.clone(), source })?;
        buffer.appended += (buffer.bytes.len() - before) as u64;
        Ok(Position(buffer.appended))
    }

    /// Returns once every record appended up to `position` is in the file.
    ///
    /// # Errors
    /// When a write fails, now or earlier: the journal then stops for good.
    pub fn commit(&self, position: Position) -> Result<()> {
        let mut output = self.output();
        if output.written >= position.0 {
            return Ok(());
        }
        let (mut bytes, appended) = {
            let mut buffer = self.buffer();
            (std::mem::take(&mut buffer.bytes), buffer.appended)
        };
        output.write(&self.path, &bytes, appended)?;
        drop(output);
        if bytes.capacity() <= BUFFER_BYTES_KEPT {
            bytes.clear();
            let mut buffer = self.buffer();
            if buffer.bytes.capacity() == 0 {
                buffer.bytes = bytes;
            }
        }
        Ok(())
    }

    /// Forces what was committed to the disk, so that it survives the death of the machine.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<()> {
        let file = {
            let mut output = self.output();
            if !std::mem::take(&mut output.dirty) {
                return Ok(());
            }
            output.file.try_clone().map_err(Error::io("share", &self.path))?
        };
        // Outside the lock: requests go on while the disk works.
        file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.output().file_bytes
    }

    /// Whether so much of the file is garbage that [`rewrite`](Self::rewrite) pays, given about how many
    /// bytes a rewritten file would have.
    #[must_use]
    pub fn is_worth_rewriting(&self, live_bytes: u64) -> bool {
        let file_bytes = self.file_bytes();
        file_bytes > REWRITE_BYTES_MIN && file_bytes / 2 > live_bytes
    }

    /// Replaces the whole content by `records`, in one atomic step: a crash leaves the old file or the new.
    ///
    /// The records must describe the state after everything appended so far, and nothing may be appended
    /// meanwhile: hold the lock of the state.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one then stays in use.
    pub fn rewrite<R: Serialize>(&self, records: impl IntoIterator<Item = R>) -> Result<()> {
        let mut output = self.output();
        output.check(&self.path)?;
        let fresh = self.path.with_extension("rewrite");
        let (file, file_bytes) = write_fresh(&fresh, records)?;
        std::fs::rename(&fresh, &self.path).map_err(Error::io("rename", &fresh))?;
        sync_parent(&self.path)?;
        let mut buffer = self.buffer();
        buffer.bytes.clear();
        output.written = buffer.appended;
        output.file = file;
        output.file_bytes = file_bytes;
        output.dirty = false;
        Ok(())
    }

    // A panic while a lock is held leaves plain data whose invariants hold between statements.
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn check(&self, path: &Path) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(Error::Stopped { path: path.to_owned(), reason: reason.clone() }),
        }
    }

    fn write(&mut self, path: &Path, bytes: &[u8], appended: u64) -> Result<()> {
        self.check(path)?;
        if let Err(source) = self.file.write_all(bytes) {
            // Part of it may be in the file: writing on would put damage before sound records.
            self.failed = Some(source.to_string());
            return Err(Error::Io { action: "write", path: path.to_owned(), source });
        }
        self.file_bytes += bytes.len() as u64;
        self.written = appended;
        self.dirty = true;
        Ok(())
    }
}

fn write_fresh<R: Serialize>(
    path: &Path,
    records: impl IntoIterator<Item = R>,
) -> Result<(File, u64)> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    writer.write_all(HEADER).map_err(Error::io("write", path))?;
    let mut file_bytes = HEADER.len() as u64;
    let mut frame = Vec::new();
    for record in records {
        frame.clear();
        encode(&record, &mut frame)
            .map_err(|source| Error::Encode { path: path.to_owned(), source })?;
        writer.write_all(&frame).map_err(Error::io("write", path))?;
        file_bytes += frame.len() as u64;
    }
    let file = writer.into_inner().map_err(|error| Error::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into_error(),
    })?;
    file.sync_data().map_err(Error::io("sync", path))?;
    Ok((file, file_bytes))
}

/// Makes a rename durable. Only some systems can open a directory; where not, the rename stands anyway.
fn sync_parent(path: &Path) -> Result<()> {
    match path.parent().map(File::open) {
        Some(Ok(directory)) => directory.sync_all().map_err(Error::io("sync directory of", path)),
        _ => Ok(()),
    }
}
