//! [`KeySlab`]: keys to values that keep their number, so that timers and cursors can name an entry in four bytes.

use hashbrown::HashTable;

use crate::coder::Key;
use crate::state::key_hash;

/// Entries in one vector, found by key through an index or directly by their number.
#[derive(Debug)]
pub(super) struct KeySlab<K, T> {
    index: HashTable<u32>,
    entries: Vec<Option<(K, T)>>,
    free: Vec<u32>,
}

impl<K, T> Default for KeySlab<K, T> {
    fn default() -> Self {
        Self { index: HashTable::new(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<K: Key, T> KeySlab<K, T> {
    /// The number and value of `key`, made by `create` when the key is new.
    #[inline]
    pub(super) fn entry(&mut self, key: K, create: impl FnOnce() -> T) -> (u32, &mut T) {
        let hash = key_hash(&key);
        let is_key = |number: &u32| matches!(&self.entries[*number as usize], Some((known, _)) if *known == key);
        let number = match self.index.find(hash, is_key) {
            Some(number) => *number,
            None => self.insert(hash, key, create()),
        };
        let entry = self.entries[number as usize].as_mut().expect("the index names live entries");
        (number, &mut entry.1)
    }

    fn insert(&mut self, hash: u64, key: K, value: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("memory ends before four billion keys")
        });
        self.entries[number as usize] = Some((key, value));
        let entries = &self.entries;
        self.index.insert_unique(hash, number, |number| {
            entries[*number as usize].as_ref().map_or(0, |(key, _)| key_hash(key))
        });
        number
    }

    /// The entry with this number, unless it was removed.
    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<(&K, &mut T)> {
        let entry = self.entries.get_mut(number as usize)?.as_mut()?;
        Some((&entry.0, &mut entry.1))
    }

    /// Removes the entry with this number; the number may be given to another key.
    pub(super) fn remove(&mut self, number: u32) -> Option<(K, T)> {
        let (key, value) = self.entries.get_mut(number as usize)?.take()?;
        if let Ok(found) = self.index.find_entry(key_hash(&key), |known| *known == number) {
            found.remove();
        }
        self.free.push(number);
        Some((key, value))
    }

    /// One above the greatest number in use.
    pub(super) fn bound(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("memory ends before four billion keys")
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// All entries in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.entries.iter().flatten().map(|(key, value)| (key, value))
    }
}

/// All entries of a slab, given away one by one.
pub(super) type IntoEntries<K, T> = std::iter::Flatten<std::vec::IntoIter<Option<(K, T)>>>;

impl<K, T> IntoIterator for KeySlab<K, T> {
    type Item = (K, T);
    type IntoIter = IntoEntries<K, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_while_the_index_grows_and_are_given_again_after_a_removal() {
        let mut slab = KeySlab::default();
        let numbers: Vec<u32> = (0..1_000_u64).map(|key| slab.entry(key, || key * 2).0).collect();
        for key in 0..1_000_u64 {
            let (number, value) = slab.entry(key, || unreachable!("{key} is known"));
            assert_eq!((number, *value), (numbers[usize::try_from(key).unwrap()], key * 2));
        }
        assert_eq!(slab.remove(numbers[7]), Some((7, 14)));
        assert_eq!(slab.remove(numbers[7]), None);
        assert!(slab.get_mut(numbers[7]).is_none());
        assert_eq!(slab.entry(5_000, || 1).0, numbers[7]);
        assert_eq!((slab.len(), slab.bound()), (1_000, 1_000));
        assert_eq!(slab.iter().count(), 1_000);
        assert_eq!(slab.into_iter().map(|(key, _)| key).max(), Some(5_000));
    }
}
