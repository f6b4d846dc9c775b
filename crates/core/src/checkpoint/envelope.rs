//! The envelope of every stored object: magic, version, length and checksum in front of the payload.

use crate::error::{Error, Result};

const MAGIC: [u8; 4] = *b"MSTR";
const VERSION: u16 = 1;
const HEADER: usize = 4 + 2 + 8 + 4;

/// Wraps `payload`.
#[must_use]
pub fn seal(payload: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEADER + payload.len());
    sealed.extend_from_slice(&MAGIC);
    sealed.extend_from_slice(&VERSION.to_le_bytes());
    sealed.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    sealed.extend_from_slice(&checksum(payload).to_le_bytes());
    sealed.extend_from_slice(payload);
    sealed
}

/// The checksum covers version and length too, so that no header bit can flip unseen.
fn checksum(payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&VERSION.to_le_bytes());
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The payload of a wrapped object.
///
/// # Errors
/// When the object is cut, damaged, no checkpoint object at all, or of an unknown version.
pub fn unseal(sealed: &[u8]) -> Result<&[u8]> {
    let problem = |what: &str| Err(Error::checkpoint_problem(what.to_owned()));
    let Some((header, payload)) = sealed.split_at_checked(HEADER) else {
        return problem("the object is shorter than its header");
    };
    let (magic, rest) = header.split_at(4);
    if magic != MAGIC {
        return problem("the object is no checkpoint object");
    }
    if rest[..2] != VERSION.to_le_bytes() {
        let found = u16::from_le_bytes([rest[0], rest[1]]);
        return Err(Error::checkpoint_problem(format!(
            "the object has format version {found}; this release reads version {VERSION}"
        )));
    }
    if rest[2..10] != (payload.len() as u64).to_le_bytes() {
        return problem("the object is cut off or too long");
    }
    if rest[10..14] != checksum(payload).to_le_bytes() {
        return problem("the object's checksum does not match: it is damaged");
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let sealed = seal(b"some state of some step");
        assert_eq!(unseal(&sealed).unwrap(), b"some state of some step");
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.clone();
                damaged[index] ^= 1 << bit;
                assert!(unseal(&damaged).is_err(), "bit {bit} of byte {index}");
            }
            assert!(unseal(&sealed[..index]).is_err(), "cut to {index} bytes");
        }
    }
}
