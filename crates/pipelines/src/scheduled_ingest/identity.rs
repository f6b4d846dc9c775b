//! The id of a row: a stable hash of the values of some fields, the same on every machine and in every release.
//!
//! The id is the 128-bit FNV-1a hash, in 32 lowercase hexadecimal digits, of the values written one after the other as
//! netstrings: length in bytes, `:`, the value's text, `,`; a NULL is written as `~,`. The text of a number is its decimal
//! form, that of a truth value `true` or `false`. Source: the FNV specification of Fowler, Noll, Vo and Eastlake.
//!
//! FNV spreads well but resists nobody who looks for collisions on purpose: where publishers are not trusted, take an id from them.

use std::fmt::Write as _;

use super::row::Cell;

const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// Digits of an id.
pub const ID_DIGITS: usize = 32;

/// The id of a row whose identifying fields have these values.
///
/// ```
/// use millstream_pipelines::scheduled_ingest::{Cell, stable_id};
///
/// let id = stable_id([&Cell::from("UA".to_owned()), &Cell::from(1545_i64)]);
/// assert_eq!(id, "4bc6ae6201daf2277efa9a3acce9f5ce"); // of `2:UA,4:1545,`
/// ```
pub fn stable_id<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> String {
    let mut hash = OFFSET_BASIS;
    let mut text = String::new();
    for cell in cells {
        text.clear();
        let value = match cell {
            Cell::Null => {
                hash = fnv1a(hash, b"~,");
                continue;
            }
            Cell::Text(value) => value.as_str(),
            Cell::Bool(value) => {
                if *value {
                    "true"
                } else {
                    "false"
                }
            }
            Cell::Int(value) => written(&mut text, value),
            Cell::Float(value) => written(&mut text, value),
        };
        hash = fnv1a(hash, value.len().to_string().as_bytes());
        hash = fnv1a(hash, b":");
        hash = fnv1a(hash, value.as_bytes());
        hash = fnv1a(hash, b",");
    }
    format!("{hash:032x}")
}

fn written<'a>(text: &'a mut String, value: &impl std::fmt::Display) -> &'a str {
    write!(text, "{value}").expect("writing to a string does not fail");
    text
}

fn fnv1a(hash: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Cell {
        Cell::Text(value.to_owned())
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of the FNV reference code.
        assert_eq!(
            format!("{:032x}", fnv1a(OFFSET_BASIS, b"")),
            "6c62272e07bb014262b821756295c58d"
        );
        assert_eq!(
            format!("{:032x}", fnv1a(OFFSET_BASIS, b"a")),
            "d228cb696f1a8caf78912b704e4a8964"
        );
        assert_eq!(
            format!("{:032x}", fnv1a(OFFSET_BASIS, b"foobar")),
            "343e1662793c64bf6f0d3597ba446f18"
        );
    }

    #[test]
    fn an_id_is_the_hash_of_netstrings() {
        let cells = [text("UA"), Cell::Int(1545), Cell::Null, Cell::Bool(true)];
        let expected = fnv1a(OFFSET_BASIS, b"2:UA,4:1545,~,4:true,");
        assert_eq!(stable_id(&cells), format!("{expected:032x}"));
        assert_eq!(stable_id(&cells).len(), ID_DIGITS);
    }

    #[test]
    fn values_that_only_look_alike_when_joined_have_different_ids() {
        let ids = [
            stable_id(&[text("ab"), text("c")]),
            stable_id(&[text("a"), text("bc")]),
            stable_id(&[text("ab,1:c")]),
            stable_id(&[text("abc"), text("")]),
            stable_id(&[text("abc"), Cell::Null]),
            stable_id(&[text("abc")]),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{ids:?}");
        }
    }
}
