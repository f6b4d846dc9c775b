//! [`DeadLetter`]: what becomes of an element that a step could not process.
//!
//! Bad data is not an error of the pipeline. A fallible step sends what fails to an output of its own, with the
//! reason, the original bytes and where in the stream it was, and goes on.

use std::any::Any;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::coder::{self, Data};
use crate::error::{BoxError, reason_chain};
use crate::time::Timestamp;
use crate::windowing::Window;

/// An element that a step could not process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Path of the step.
    pub step: String,
    /// The original bytes: of a [`Rejected`] error those it names, of text and byte elements themselves, otherwise
    /// the element as JSON.
    pub bytes: Vec<u8>,
    /// Why, outermost reason first.
    pub reasons: Vec<String>,
    /// Which attempt failed for good, from 1.
    pub attempt: u32,
    /// Event time of the element.
    pub event_time: Timestamp,
    /// Window of the element, when it had one.
    pub window: Option<Window>,
}

impl DeadLetter {
    /// What became of `element`, on which `step` failed with `cause`.
    pub fn new<T: Data>(
        step: &str,
        element: &T,
        cause: &BoxError,
        event_time: Timestamp,
        window: Option<Window>,
    ) -> Self {
        let rejected = cause.downcast_ref::<Rejected>();
        let bytes =
            rejected.map_or_else(|| original_bytes(element), |rejected| rejected.bytes.clone());
        let reasons = reason_chain(&**cause);
        Self { step: step.to_owned(), bytes, reasons, attempt: 1, event_time, window }
    }

    /// The outermost reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reasons.first().map_or("", String::as_str)
    }
}

/// Text and bytes as they are, anything else as JSON, or as the state encoding where JSON cannot express it.
fn original_bytes<T: Data>(element: &T) -> Vec<u8> {
    let any: &dyn Any = element;
    if let Some(text) = any.downcast_ref::<String>() {
        return text.clone().into_bytes();
    }
    if let Some(bytes) = any.downcast_ref::<Vec<u8>>() {
        return bytes.clone();
    }
    serde_json::to_vec(element).or_else(|_| coder::encode(element)).unwrap_or_default()
}

/// An error that names the original bytes of the element it is about.
///
/// ```
/// use millstream::dead_letter::Rejected;
///
/// let bad = Rejected::new(b"{]".to_vec(), "no JSON object");
/// assert_eq!(bad.to_string(), "no JSON object");
/// ```
#[derive(Debug)]
pub struct Rejected {
    bytes: Vec<u8>,
    cause: BoxError,
}

impl Rejected {
    /// The element with these original bytes was rejected because of `cause`.
    pub fn new(bytes: impl Into<Vec<u8>>, cause: impl Into<BoxError>) -> Self {
        Self { bytes: bytes.into(), cause: cause.into() }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, formatter)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_bytes_and_structures_become_json() {
        let cause: BoxError = "bad".into();
        let letter = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let text = DeadLetter::new("Parse", &"{]".to_owned(), &cause, Timestamp::EPOCH, None);
        assert_eq!(letter(text.bytes), "{]");
        let pair = DeadLetter::new("Parse", &("a".to_owned(), 1), &cause, Timestamp::EPOCH, None);
        assert_eq!(letter(pair.bytes), "[\"a\",1]");
        let rejected: BoxError = Box::new(Rejected::new(b"raw".to_vec(), "no"));
        let named = DeadLetter::new("Parse", &7_u8, &rejected, Timestamp::EPOCH, None);
        assert_eq!((letter(named.bytes), named.reasons), ("raw".to_owned(), vec!["no".to_owned()]));
    }
}
