//! Reads the protocol-buffer wire format without knowing the message: tags, varints, fixed and counted fields.

/// One field as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// Walks over the fields of a message.
#[derive(Clone, Debug)]
pub(crate) struct WireReader<'a>(&'a [u8]);

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("message is truncated")]
    Truncated,
    #[error("varint is longer than 10 bytes")]
    Varint,
    #[error("wire type {0} is not supported")]
    WireType(u64),
    #[error("field number is out of range")]
    Tag,
}

impl<'a> WireReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field: its number and content; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(i32, Wire<'a>)>, WireError> {
        if self.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = i32::try_from(key >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(WireError::Tag)?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.fixed64()?),
            2 => Wire::Bytes(self.counted()?),
            5 => Wire::Fixed32(self.fixed32()?),
            other => return Err(WireError::WireType(other)),
        };
        Ok(Some((number, wire)))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        const VARINT_BYTES_MAX: usize = 10;
        let mut value = 0_u64;
        for at in 0..VARINT_BYTES_MAX {
            let byte = *self.0.get(at).ok_or(WireError::Truncated)?;
            // Bits beyond the 64th are dropped, as all decoders do.
            value |= u64::from(byte & 0x7f).checked_shl(at as u32 * 7).unwrap_or(0);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Varint)
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, WireError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn counted(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x1d, 1, 0, 0, 0, // 3: fixed32
            0x21, 2, 0, 0, 0, 0, 0, 0, 0, // 4: fixed64
        ];
        let mut reader = WireReader::new(&bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.field().unwrap() {
            fields.push(field);
        }
        let expected = vec![
            (1, Wire::Varint(150)),
            (2, Wire::Bytes(b"hi")),
            (3, Wire::Fixed32(1)),
            (4, Wire::Fixed64(2)),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn damaged_messages_are_refused() {
        let error = |bytes: &[u8]| WireReader::new(bytes).field().unwrap_err();
        assert_eq!(error(&[0x08]), WireError::Truncated);
        assert_eq!(error(&[0x12, 0x05, b'h']), WireError::Truncated);
        assert_eq!(error(&[0x0b]), WireError::WireType(3));
        assert_eq!(error(&[0xff; 11]), WireError::Varint);
        assert_eq!(error(&[0x00]), WireError::Tag);
    }
}
