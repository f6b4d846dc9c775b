//! Elements to bytes and back: [`Data`], and the encoding of state, checkpoints and dead letters.
//!
//! State is written as MessagePack maps with field names: self-describing, so that values such as
//! `serde_json::Value`, flattened, skipped and newly defaulted fields survive. Source: the MessagePack
//! specification. Nothing is encoded between steps of one process.
//!
//! ```
//! use millstream::coder;
//!
//! let bytes = coder::encode(&("tea", 200_u64))?;
//! assert_eq!(coder::decode::<(String, u64)>(&bytes)?, ("tea".to_owned(), 200));
//! # Ok::<(), millstream::Error>(())
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What can flow through a pipeline: any owned serde type that can be cloned and sent to another thread.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a pipeline",
    note = "derive `Clone`, `serde::Serialize` and `serde::Deserialize` for it; it must own its data and be `Send`"
)]
pub trait Data: Serialize + DeserializeOwned + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> Data for T {}

/// What elements can be grouped by.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "a key is `Data` that also derives `Hash` and `Eq`; floating point numbers cannot be keys"
)]
pub trait Key: Data + std::hash::Hash + Eq {}

impl<T: Data + std::hash::Hash + Eq> Key for T {}

/// A keyed element: the pair of its key and its value.
pub type Kv<K, V> = (K, V);

/// Encodes one value as a MessagePack map with field names.
///
/// # Errors
/// [`Error::Coder`] when the value's own `Serialize` fails.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// Appends one encoded value to `bytes`; encoded values are self-delimiting.
///
/// # Errors
/// [`Error::Coder`] when the value's own `Serialize` fails; `bytes` may then end in a part of it.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    rmp_serde::encode::write_named(bytes, value).map_err(|cause| coder_error::<T>("encode", cause))
}

/// Decodes one value that fills `bytes`.
///
/// # Errors
/// [`Error::Coder`] when the bytes are no such value or are longer than one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut rest = bytes;
    let value = decode_next(&mut rest)?;
    if rest.is_empty() {
        return Ok(value);
    }
    let cause = format!("{} bytes follow the value", rest.len());
    Err(coder_error::<T>("decode", std::io::Error::new(std::io::ErrorKind::InvalidData, cause)))
}

/// Decodes the value at the front of `bytes` and moves `bytes` behind it.
///
/// # Errors
/// [`Error::Coder`] when the bytes do not start with such a value.
pub fn decode_next<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T> {
    let mut decoder = rmp_serde::Deserializer::new(&mut *bytes);
    T::deserialize(&mut decoder).map_err(|cause| coder_error::<T>("decode", cause))
}

fn coder_error<T: ?Sized>(
    action: &'static str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let what = std::any::type_name::<T>().to_owned();
    Error::Coder { action, what, source: Box::new(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Old {
        id: u32,
        #[serde(flatten)]
        rest: serde_json::Map<String, serde_json::Value>,
    }

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct New {
        id: u32,
        #[serde(default)]
        added: Option<String>,
    }

    #[test]
    fn a_field_added_later_takes_its_default() {
        let mut rest = serde_json::Map::new();
        rest.insert("x".into(), serde_json::json!({"deep": [1, null]}));
        let old = Old { id: 7, rest };
        let bytes = encode(&old).unwrap();
        assert_eq!(decode::<Old>(&bytes).unwrap(), old);
        assert_eq!(decode::<New>(&bytes).unwrap(), New { id: 7, added: None });
    }

    #[test]
    fn values_follow_each_other_without_separators() {
        let mut bytes = Vec::new();
        for value in 0..3_u64 {
            encode_into(&(value, "v"), &mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        for value in 0..3_u64 {
            assert_eq!(decode_next::<(u64, String)>(&mut rest).unwrap(), (value, "v".to_owned()));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn damaged_bytes_are_an_error_that_names_the_type() {
        let error = decode::<(u64, String)>(&[0xc1, 0xff]).unwrap_err();
        assert!(error.to_string().contains("u64"), "{error}");
        assert!(decode::<u8>(&[1, 2]).is_err());
    }
}
