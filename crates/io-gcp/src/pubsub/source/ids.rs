//! [`MessageKey`]: what makes a message the same message; `IdSet`: many keys in few bytes, for checkpoints.
//!
//! Pub/Sub's message ids are whole numbers that rise with time, so a set of them is written as runs: the gap to the run
//! before, and the run's length, as variable-length numbers.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many keys a set from a checkpoint may claim to hold: far above what memory would, and a bound for damaged ones.
const SET_MAX: u64 = 200_000_000;

/// What makes a message the same message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageKey {
    /// A whole number, as Pub/Sub's own ids are.
    Number(u64),
    /// Anything else.
    Text(Box<str>),
}

impl MessageKey {
    /// The key that `text` is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.parse() {
            Ok(number) if is_canonical(text) => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }
}

/// Whether a number written in the usual way gives `text` back.
fn is_canonical(text: &str) -> bool {
    text == "0" || (!text.starts_with(['0', '+']) && !text.is_empty())
}

/// A set of message keys in few bytes; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdSet {
    /// Runs of numbers: for each the gap to the end of the one before and its length less one.
    runs: Bytes,
    /// Texts, each behind its length.
    texts: Bytes,
    /// How many keys there are.
    len: u64,
}

impl IdSet {
    /// The set of `keys`.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a MessageKey>) -> Self {
        let mut numbers = Vec::new();
        let mut texts: Vec<&str> = Vec::new();
        for key in keys {
            match key {
                MessageKey::Number(number) => numbers.push(*number),
                MessageKey::Text(text) => texts.push(text),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        texts.sort_unstable();
        texts.dedup();
        let len = (numbers.len() + texts.len()) as u64;
        Self { runs: write_runs(&numbers), texts: write_texts(&texts), len }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Calls `take` with every key.
    ///
    /// # Errors
    /// What is wrong with the bytes, when they are no set; some keys may have been taken then.
    pub(super) fn for_each(&self, mut take: impl FnMut(MessageKey)) -> Result<(), &'static str> {
        if self.len > SET_MAX {
            return Err("a set of message ids is too large");
        }
        let mut left = self.len;
        let mut rest = &self.runs[..];
        let mut next = 0_u64;
        while !rest.is_empty() {
            let run = read_run(&mut rest, next).ok_or("a run of message ids is damaged")?;
            let count = (run.end() - run.start()).saturating_add(1);
            left = left.checked_sub(count).ok_or("a set of message ids is longer than it says")?;
            next = run.end().wrapping_add(1);
            run.for_each(|number| take(MessageKey::Number(number)));
        }
        let mut rest = &self.texts[..];
        while !rest.is_empty() {
            let text = read_text(&mut rest).ok_or("a message id is damaged")?;
            left = left.checked_sub(1).ok_or("a set of message ids is longer than it says")?;
            take(MessageKey::Text(text.into()));
        }
        if left == 0 { Ok(()) } else { Err("a set of message ids is shorter than it says") }
    }
}

fn write_runs(numbers: &[u64]) -> Bytes {
    let mut bytes = Vec::new();
    let mut next = 0_u64;
    for run in numbers.chunk_by(|before, after| before.wrapping_add(1) == *after) {
        let (first, last) = (run[0], run[run.len() - 1]);
        write_varint(&mut bytes, first - next);
        write_varint(&mut bytes, last - first);
        next = last.wrapping_add(1);
    }
    bytes.into()
}

fn write_texts(texts: &[&str]) -> Bytes {
    let mut bytes = Vec::new();
    for text in texts {
        write_varint(&mut bytes, text.len() as u64);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.into()
}

fn read_run(rest: &mut &[u8], next: u64) -> Option<RangeInclusive<u64>> {
    let first = next.checked_add(read_varint(rest)?)?;
    let last = first.checked_add(read_varint(rest)?)?;
    Some(first..=last)
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(read_varint(rest)?).ok()?;
    let (text, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn keys_of(set: &IdSet) -> BTreeSet<MessageKey> {
        let mut keys = BTreeSet::new();
        set.for_each(|key| assert!(keys.insert(key))).unwrap();
        keys
    }

    #[test]
    fn only_numbers_written_as_numbers_are_numbers() {
        assert_eq!(MessageKey::new("0"), MessageKey::Number(0));
        assert_eq!(MessageKey::new("18446744073709551615"), MessageKey::Number(u64::MAX));
        for text in ["", "007", "+7", "-7", "18446744073709551616", "order-7"] {
            assert_eq!(MessageKey::new(text), MessageKey::Text(text.into()));
        }
    }

    #[test]
    fn ids_in_a_row_take_a_few_bytes() {
        let keys: Vec<_> = (1_000_000_u64..1_100_000).map(MessageKey::Number).collect();
        let set = IdSet::new(keys.iter());
        assert_eq!(set.len(), 100_000);
        assert!(set.runs.len() < 10, "{} bytes", set.runs.len());
        assert_eq!(keys_of(&set).len(), 100_000);
    }

    #[test]
    fn damaged_sets_are_errors() {
        let set = IdSet::new([MessageKey::Number(7), MessageKey::new("x")].iter());
        for (runs, texts, len) in [
            (vec![0xff; 11], vec![], 1),
            (vec![1], vec![], 1),
            (vec![0, 0x80], vec![], 1),
            (set.runs.to_vec(), vec![9, b'x'], 2),
            (set.runs.to_vec(), vec![1, 0xff], 2),
            (set.runs.to_vec(), set.texts.to_vec(), 3),
            (vec![0, 9], vec![], 2),
            (set.runs.to_vec(), set.texts.to_vec(), u64::MAX),
        ] {
            let damaged = IdSet { runs: runs.into(), texts: texts.into(), len };
            assert!(damaged.for_each(drop).is_err(), "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn a_set_gives_back_what_went_in(
            numbers in proptest::collection::btree_set(prop_oneof![any::<u64>(), 0..50_u64, u64::MAX - 50..=u64::MAX], 0..80),
            texts in proptest::collection::btree_set("[a-zé]{0,9}", 0..20),
        ) {
            let keys: BTreeSet<_> = numbers
                .into_iter()
                .map(MessageKey::Number)
                .chain(texts.iter().map(|text| MessageKey::new(text)))
                .collect();
            let set = IdSet::new(keys.iter());
            prop_assert_eq!(keys_of(&set), keys);
            let stored = millstream::coder::encode(&set).unwrap();
            prop_assert_eq!(millstream::coder::decode::<IdSet>(&stored).unwrap(), set);
        }
    }
}
