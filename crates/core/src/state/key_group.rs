//! Keys to 128 key groups to workers.
//!
//! State is partitioned by group from the start, so that a restart may use another number of workers.
//! A derived `Hash` is not stable across compilers: a restore hashes every key anew and never trusts a stored group.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

/// Number of key groups, and so the greatest useful number of workers for one step.
pub const KEY_GROUPS: u16 = 128;

/// The hash that routes a key and finds it in its table: compute it once per element.
#[inline]
pub fn key_hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    // FxHasher already rotates its best bits down; one more multiply and fold spreads them to the top bits, which route.
    let product = u128::from(hasher.finish()) * 0x9E37_79B9_7F4A_7C15_u128;
    fold(product)
}

#[allow(clippy::cast_possible_truncation, reason = "folding keeps both halves")]
const fn fold(product: u128) -> u64 {
    (product as u64) ^ ((product >> 64) as u64)
}

/// The group of a key hash, below [`KEY_GROUPS`].
#[inline]
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "seven bits remain")]
pub const fn key_group(hash: u64) -> u16 {
    (hash >> 57) as u16
}

/// The worker, of `workers`, that owns a key group.
#[inline]
#[must_use]
pub const fn owner(group: u16, workers: usize) -> usize {
    group as usize * workers / KEY_GROUPS as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_spread_evenly_over_workers() {
        for workers in [1, 2, 3, 8, 128] {
            let mut owned = vec![0; workers];
            (0..KEY_GROUPS).for_each(|group| owned[owner(group, workers)] += 1);
            let (least, most) = (owned.iter().min().unwrap(), owned.iter().max().unwrap());
            assert!(most - least <= 1, "{workers} workers own {owned:?}");
        }
    }

    #[test]
    fn small_integer_keys_spread_over_all_groups() {
        let mut seen = [0_u32; KEY_GROUPS as usize];
        (0..12_800_u64).for_each(|key| seen[key_group(key_hash(&key)) as usize] += 1);
        assert!(seen.iter().all(|&count| count > 30), "{seen:?}");
    }
}
