//! [`KeyTable`]: keys to accumulators, flat, probed with a hash the caller has computed.

use hashbrown::HashTable;

use crate::coder::Key;
use crate::combine::CombineFn;
use crate::state::key_hash;

/// Keys with one accumulator each.
#[derive(Clone, Debug)]
pub struct KeyTable<K, A> {
    entries: HashTable<(K, A)>,
}

impl<K, A> Default for KeyTable<K, A> {
    fn default() -> Self {
        Self { entries: HashTable::new() }
    }
}

impl<K: Key, A> KeyTable<K, A> {
    /// The accumulator of `key`, made by `create` when the key is new.
    #[inline]
    pub fn entry(&mut self, key: K, create: impl FnOnce() -> A) -> &mut A {
        self.entry_hashed(key_hash(&key), key, create)
    }

    /// Like [`KeyTable::entry`] for a key whose hash is known.
    #[inline]
    pub fn entry_hashed(&mut self, hash: u64, key: K, create: impl FnOnce() -> A) -> &mut A {
        match self.entries.find_entry(hash, |(known, _)| *known == key) {
            Ok(entry) => &mut entry.into_mut().1,
            Err(absent) => {
                let table = absent.into_table();
                let rehash = |(known, _): &(K, A)| key_hash(known);
                &mut table.insert_unique(hash, (key, create()), rehash).into_mut().1
            }
        }
    }

    /// Takes the accumulator of `key` out.
    pub fn remove(&mut self, key: &K) -> Option<A> {
        let entry = self.entries.find_entry(key_hash(key), |(known, _)| known == key).ok()?;
        Some(entry.remove().0.1)
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All keys with their accumulators, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, A)> {
        self.entries.iter()
    }

    /// Takes all entries out and keeps the memory.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, A)> + '_ {
        self.entries.drain()
    }
}

impl<K: Key, A> IntoIterator for KeyTable<K, A> {
    type Item = (K, A);
    type IntoIter = hashbrown::hash_table::IntoIter<(K, A)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// How an input gets into an accumulator: raw, or aggregated before already.
pub trait Feed<In, C: CombineFn<V>, V>: Clone + Send + 'static {
    /// Adds `input` to `accumulator`.
    fn feed(combine: &C, accumulator: &mut C::Accumulator, input: In);
}

/// Inputs come as they are.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

/// Inputs come as accumulators, aggregated in front of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Lifted;

impl<V, C: CombineFn<V>> Feed<V, C, V> for Raw {
    #[inline]
    fn feed(combine: &C, accumulator: &mut C::Accumulator, input: V) {
        combine.add_input(accumulator, input);
    }
}

impl<V, C: CombineFn<V>> Feed<C::Accumulator, C, V> for Lifted {
    #[inline]
    fn feed(combine: &C, accumulator: &mut C::Accumulator, input: C::Accumulator) {
        combine.merge(accumulator, input);
    }
}
