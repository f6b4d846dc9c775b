//! Resumable uploads under way: parts of files that come with several requests.
//!
//! Pure. Bounded in number and bytes; the oldest go first, and their clients start again.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde_json::Value as Json;

use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::load::FILE_BYTES_MAX;

/// Uploads under way at once.
const UPLOADS_MAX: usize = 64;
/// Bytes of all uploads under way.
const BYTES_MAX: usize = 4 * FILE_BYTES_MAX;

/// A resumable upload.
#[derive(Debug)]
struct Upload {
    id: String,
    project: String,
    /// The job that the file is for.
    job: Json,
    bytes: BytesMut,
}

/// A part of a file, as the `Content-Range` of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Where the part starts; `None` if the request only asks how far the upload is.
    pub(super) start: Option<u64>,
    /// Length of the whole file, once the client knows.
    pub(super) total: Option<u64>,
}

impl Part {
    /// Reads `bytes 0-9/10`, `bytes 0-9/*`, `bytes */10` and `bytes */*`; `None` if it is none of these.
    pub(super) fn parse(range: &str) -> Option<Self> {
        let (part, total) = range.strip_prefix("bytes")?.trim().split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if part == "*" {
            return Some(Self { start: None, total });
        }
        let (start, end) = part.split_once('-')?;
        let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
        (start <= end).then_some(Self { start: Some(start), total })
    }
}

/// How far an upload is after a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// So many bytes are here; more are to come.
    More(u64),
    /// All is here.
    Done { project: String, job: Json, file: Bytes },
}

/// All uploads under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    uploads: VecDeque<Upload>,
    next: u64,
}

impl Uploads {
    /// Starts an upload; the id it is known by.
    pub(super) fn start(&mut self, life: i64, project: String, job: Json) -> String {
        if self.uploads.len() >= UPLOADS_MAX {
            self.uploads.pop_front();
        }
        self.next += 1;
        let id = format!("{life:x}-{}", self.next);
        let (bytes, known_by) = (BytesMut::new(), id.clone());
        self.uploads.push_back(Upload { id, project, job, bytes });
        known_by
    }

    /// Adds a part.
    ///
    /// # Errors
    /// When there is no such upload (any more), the part does not start where the last ended, or the file is too long.
    pub(super) fn add(&mut self, id: &str, part: Part, bytes: &[u8]) -> Result<Progress, ApiError> {
        let at = self.uploads.iter().position(|upload| upload.id == id);
        let at = at.ok_or_else(|| {
            ApiError::new(Reason::NotFound, format!("Not found: Upload {id}; start it again"))
        })?;
        let upload = &mut self.uploads[at];
        if let Some(start) = part.start {
            let has = upload.bytes.len() as u64;
            if start > has {
                let message =
                    format!("The part starts at byte {start}, the upload has {has} bytes");
                return Err(ApiError::invalid(message));
            }
            // Bytes that came before come again when an answer was lost.
            let known = usize::try_from(has - start).unwrap_or(usize::MAX);
            upload.bytes.extend_from_slice(bytes.get(known..).unwrap_or_default());
        }
        let has = upload.bytes.len();
        if has > FILE_BYTES_MAX {
            self.uploads.remove(at);
            return Err(too_long(has as u64));
        }
        let progress = match part.total.filter(|total| *total == has as u64) {
            Some(_) => match self.uploads.remove(at) {
                Some(Upload { project, job, bytes, .. }) => {
                    Progress::Done { project, job, file: bytes.freeze() }
                }
                None => Progress::More(has as u64),
            },
            None => Progress::More(has as u64),
        };
        self.shrink(id);
        Ok(progress)
    }

    /// Lets the oldest uploads go while all have too many bytes, but for the one just used.
    fn shrink(&mut self, used: &str) {
        while self.uploads.iter().map(|upload| upload.bytes.len()).sum::<usize>() > BYTES_MAX {
            match self.uploads.iter().position(|upload| upload.id != used) {
                Some(oldest) => drop(self.uploads.remove(oldest)),
                None => return,
            }
        }
    }
}

/// A file is longer than this server takes.
pub(super) fn too_long(bytes: u64) -> ApiError {
    ApiError::new(
        Reason::BadRequest,
        format!(
            "The file has {bytes} bytes, the maximum of this local BigQuery is {FILE_BYTES_MAX}; load it in pieces"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |start, total| Some(Part { start, total });
        assert_eq!(Part::parse("bytes 0-9/10"), part(Some(0), Some(10)));
        assert_eq!(Part::parse("bytes 5-9/*"), part(Some(5), None));
        assert_eq!(Part::parse("bytes */10"), part(None, Some(10)));
        assert_eq!(Part::parse("bytes */*"), part(None, None));
        for wrong in ["", "bytes", "bytes 9-0/10", "bytes a-b/c", "0-9/10", "bytes 0-9"] {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }

    fn part(range: &str) -> Part {
        Part::parse(range).unwrap()
    }

    #[test]
    fn parts_make_a_file_whether_or_not_some_come_again() {
        let mut uploads = Uploads::default();
        let id = uploads.start(7, "p".to_owned(), json!({"a": 1}));
        assert_eq!(uploads.add(&id, part("bytes 0-2/*"), b"abc"), Ok(Progress::More(3)));
        assert_eq!(uploads.add(&id, part("bytes */*"), b""), Ok(Progress::More(3)));
        assert_eq!(uploads.add(&id, part("bytes 1-3/*"), b"bcd"), Ok(Progress::More(4)));
        let gap = uploads.add(&id, part("bytes 9-9/10"), b"x").unwrap_err();
        assert_eq!(gap.reason, Reason::Invalid);
        let done = uploads.add(&id, part("bytes 4-5/6"), b"ef").unwrap();
        let (project, job) = ("p".to_owned(), json!({"a": 1}));
        assert_eq!(done, Progress::Done { project, job, file: Bytes::from_static(b"abcdef") });
        assert_eq!(uploads.add(&id, part("bytes */6"), b"").unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn an_empty_file_is_one() {
        let mut uploads = Uploads::default();
        let id = uploads.start(7, "p".to_owned(), Json::Null);
        assert!(matches!(uploads.add(&id, part("bytes */0"), b""), Ok(Progress::Done { .. })));
    }

    #[test]
    fn uploads_are_few_and_files_are_short() {
        let mut uploads = Uploads::default();
        let first = uploads.start(7, "p".to_owned(), Json::Null);
        (0..UPLOADS_MAX).for_each(|_| drop(uploads.start(7, "p".to_owned(), Json::Null)));
        assert_eq!(
            uploads.add(&first, part("bytes */*"), b"").unwrap_err().reason,
            Reason::NotFound
        );
        let long = uploads.start(7, "p".to_owned(), Json::Null);
        let bytes = vec![0; FILE_BYTES_MAX + 1];
        let refused = uploads.add(&long, part("bytes 0-1/*"), &bytes).unwrap_err();
        assert_eq!(refused.reason, Reason::BadRequest);
    }
}
