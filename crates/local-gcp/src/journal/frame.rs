//! The bytes of a journal: a header, then records framed as length, CRC-32 and MessagePack payload.
//!
//! A killed process leaves a prefix of what it wrote, a dead machine possibly a damaged last record or
//! zeros: all of these end the journal quietly. Damage followed by more records is an error, because
//! dropping acknowledged records in silence is worse than refusing to start.

use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{BoxError, Error, Result};

/// Names the format and its version; a change of the frame changes the last digit.
pub(super) const HEADER: &[u8; 8] = b"MSJRNL01";

/// Length and checksum before each payload.
const FRAME_BYTES: usize = 8;

/// The longest payload: above any request (10 MB, 20 MB for BigQuery) with room for encoding; a longer
/// length can only be damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Appends one framed record to `out`; leaves `out` as it was when the record cannot be encoded.
pub(super) fn encode<R: Serialize>(
    record: &R,
    out: &mut Vec<u8>,
) -> std::result::Result<(), BoxError> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    if let Err(error) = rmp_serde::encode::write(out, record) {
        out.truncate(start);
        return Err(Box::new(error));
    }
    let payload = &out[start + FRAME_BYTES..];
    if payload.len() > PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes exceed the limit of {PAYLOAD_BYTES_MAX}", payload.len());
        out.truncate(start);
        return Err(reason.into());
    }
    let length = payload.len() as u32;
    let checksum = crc32fast::hash(payload);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads records one by one and knows where the sound part ends.
pub(super) struct Reader<'a, I> {
    input: I,
    path: &'a Path,
    /// Bytes of the whole file.
    total: u64,
    /// End of the last sound record.
    sound: u64,
    payload: Vec<u8>,
}

/// What came next in the file.
enum Frame {
    /// A sound payload, in the reader's buffer.
    Payload,
    /// The end, or a torn record that ends the file.
    End,
}

impl<'a, I: Read> Reader<'a, I> {
    /// Reads `total` bytes of `input`; the header must come first.
    pub(super) fn new(mut input: I, path: &'a Path, total: u64) -> Result<Self> {
        let mut header = [0; HEADER.len()];
        let read = read_full(&mut input, &mut header).map_err(Error::io("read", path))?;
        // A kill during creation leaves a short header; the file then holds nothing.
        let sound = if read == HEADER.len() && &header == HEADER {
            HEADER.len() as u64
        } else if HEADER.starts_with(&header[..read]) && read as u64 == total {
            0
        } else {
            let reason = "not a journal of this version";
            return Err(Error::Corrupt { path: path.to_owned(), offset: 0, reason });
        };
        Ok(Self { input, path, total, sound, payload: Vec::new() })
    }

    /// Feeds every sound record to `apply`; returns the length of the sound part of the file.
    pub(super) fn replay<R: DeserializeOwned>(
        mut self,
        mut apply: impl FnMut(R) -> std::result::Result<(), BoxError>,
    ) -> Result<u64> {
        while self.sound > 0 {
            let offset = self.sound;
            match self.next_frame()? {
                Frame::End => break,
                Frame::Payload => rmp_serde::from_slice(&self.payload)
                    .map_err(BoxError::from)
                    .and_then(&mut apply)
                    .map_err(|source| Error::Replay {
                        path: self.path.to_owned(),
                        offset,
                        source,
                    })?,
            }
        }
        Ok(self.sound)
    }

    fn next_frame(&mut self) -> Result<Frame> {
        let mut head = [0; FRAME_BYTES];
        let remaining = self.total - self.sound;
        if remaining < FRAME_BYTES as u64 {
            return Ok(Frame::End);
        }
        self.input.read_exact(&mut head).map_err(Error::io("read", self.path))?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length == 0 {
            return self.only_zeros(head);
        }
        let end = (FRAME_BYTES + length) as u64;
        if end > remaining {
            return if length > PAYLOAD_BYTES_MAX {
                Err(self.corrupt("impossible record length"))
            } else {
                Ok(Frame::End)
            };
        }
        self.payload.resize(length, 0);
        self.input.read_exact(&mut self.payload).map_err(Error::io("read", self.path))?;
        if crc32fast::hash(&self.payload) != checksum {
            return if end == remaining {
                Ok(Frame::End)
            } else {
                Err(self.corrupt("checksum mismatch"))
            };
        }
        self.sound += end;
        Ok(Frame::Payload)
    }

    /// No record is empty: a zero length is the zero-filled tail some file systems leave, or damage.
    fn only_zeros(&mut self, head: [u8; FRAME_BYTES]) -> Result<Frame> {
        let mut chunk = head.to_vec();
        loop {
            if chunk.iter().any(|&byte| byte != 0) {
                return Err(self.corrupt("empty record"));
            }
            chunk.resize(4096, 0);
            let read =
                read_full(&mut self.input, &mut chunk).map_err(Error::io("read", self.path))?;
            if read == 0 {
                return Ok(Frame::End);
            }
            chunk.truncate(read);
        }
    }

    fn corrupt(&self, reason: &'static str) -> Error {
        Error::Corrupt { path: self.path.to_owned(), offset: self.sound, reason }
    }
}

/// Reads until `buffer` is full or the input ends; returns how much was read.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
