//! Messages in Avro's binary encoding.

use super::definition::{Definition, Named, Type};

type Checked = Result<(), String>;

/// Deepest nesting of values: a definition may nest without end, and a stack must not.
const DEPTH_MAX: usize = 100;

/// Values beyond the bytes of a message: some take no byte, and a message may claim any number of them.
const EMPTY_VALUES_MAX: usize = 100_000;

pub(super) fn check(definition: &Definition, data: &[u8]) -> Checked {
    let values_left = data.len().saturating_add(EMPTY_VALUES_MAX);
    let mut reader = Reader { definition, data, values_left };
    reader.any(&definition.root, 0)?;
    match reader.data.len() {
        0 => Ok(()),
        rest => Err(format!("it ends {rest} byte(s) too late")),
    }
}

struct Reader<'a> {
    definition: &'a Definition,
    data: &'a [u8],
    values_left: usize,
}

impl Reader<'_> {
    fn any(&mut self, kind: &Type, depth: usize) -> Checked {
        if depth > DEPTH_MAX || self.values_left == 0 {
            return Err("it is nested too deeply or has too many values".to_owned());
        }
        self.values_left -= 1;
        match kind {
            Type::Null => Ok(()),
            Type::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err("a boolean is neither 0 nor 1".to_owned()),
            },
            Type::Int => match i32::try_from(self.long()?) {
                Ok(_) => Ok(()),
                Err(_) => Err("an int is out of range".to_owned()),
            },
            Type::Long => self.long().map(|_| ()),
            Type::Float => self.take(4).map(|_| ()),
            Type::Double => self.take(8).map(|_| ()),
            Type::Bytes => self.bytes().map(|_| ()),
            Type::String => self.text(),
            Type::Array(items) => self.blocks(|reader| reader.any(items, depth + 1)),
            Type::Map(values) => self.blocks(|reader| {
                reader.text()?;
                reader.any(values, depth + 1)
            }),
            Type::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|at| branches.get(at));
                self.any(branch.ok_or("a union has no such branch")?, depth + 1)
            }
            Type::Named(name) => self.named(name, depth),
        }
    }

    fn named(&mut self, name: &str, depth: usize) -> Checked {
        match self.definition.names.get(name) {
            Some(Named::Record(fields)) => fields.iter().try_for_each(|(field, kind)| {
                self.any(kind, depth + 1).map_err(|reason| match depth {
                    0 => format!("{field}: {reason}"),
                    _ => reason,
                })
            }),
            Some(Named::Enumeration(symbols)) => {
                let symbol = usize::try_from(self.long()?).ok().and_then(|at| symbols.get(at));
                symbol.map(|_| ()).ok_or_else(|| format!("{name} has no such symbol"))
            }
            Some(Named::Fixed(size)) => self.take(*size).map(|_| ()),
            None => Err(format!("unknown type {name}")),
        }
    }

    /// Blocks of values up to an empty one; a negative count is followed by the size of the block in bytes.
    fn blocks(&mut self, mut value: impl FnMut(&mut Self) -> Checked) -> Checked {
        loop {
            let count = self.long()?;
            if count < 0 {
                self.long()?;
            }
            match count.unsigned_abs() {
                0 => return Ok(()),
                count => (0..count).try_for_each(|_| value(self))?,
            }
        }
    }

    fn text(&mut self) -> Checked {
        match std::str::from_utf8(self.bytes()?) {
            Ok(_) => Ok(()),
            Err(_) => Err("a string is not UTF-8".to_owned()),
        }
    }

    fn bytes(&mut self) -> Result<&[u8], String> {
        let length = usize::try_from(self.long()?);
        self.take(length.map_err(|_| "a length is negative")?)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let taken = self.data.split_at_checked(length);
        let (taken, rest) = taken.ok_or("it ends too early")?;
        self.data = rest;
        Ok(taken)
    }

    /// A number of seven bits by byte, least significant first, with the sign in the lowest bit.
    fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err("a number is too long".to_owned())
    }
}
