//! CSV text as records of fields, each with whether it was quoted: an empty field that was is an empty text, one that was not
//! is nothing.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use super::options::CsvOptions;

/// Fields longer than this grow their buffer.
const FIELD_BYTES: usize = 1_024;

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvField {
    pub(super) bytes: Vec<u8>,
    pub(super) is_quoted: bool,
}

/// One record, and the line it starts on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvRecord {
    pub(super) line: u64,
    pub(super) fields: Vec<CsvField>,
}

/// The records of a text, empty lines left out.
#[derive(Debug)]
pub(super) struct CsvRecords<'a> {
    reader: Reader,
    rest: &'a [u8],
    quote: Option<u8>,
    buffer: Vec<u8>,
}

impl<'a> CsvRecords<'a> {
    pub(super) fn new(text: &'a [u8], options: &CsvOptions) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(options.delimiter);
        match options.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let rest = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let (quote, buffer) = (options.quote, vec![0; FIELD_BYTES]);
        Self { reader: builder.build(), rest, quote, buffer }
    }

    /// The next field, and whether it ends its record; `None` at the end of the text.
    fn field(&mut self) -> Option<(CsvField, bool)> {
        let (mut length, mut is_quoted) = (0, false);
        loop {
            let (result, read, written) =
                self.reader.read_field(self.rest, &mut self.buffer[length..]);
            let (taken, rest) = self.rest.split_at(read);
            is_quoted |= self.quote.is_some_and(|quote| taken.contains(&quote));
            self.rest = rest;
            length += written;
            match result {
                // The next call, with nothing to read, tells the reader that the text is over.
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::OutputFull => self.buffer.resize(2 * self.buffer.len(), 0),
                ReadFieldResult::Field { record_end } => {
                    let bytes = self.buffer[..length].to_vec();
                    return Some((CsvField { bytes, is_quoted }, record_end));
                }
                ReadFieldResult::End => return None,
            }
        }
    }
}

impl Iterator for CsvRecords<'_> {
    type Item = CsvRecord;

    fn next(&mut self) -> Option<CsvRecord> {
        let line = self.reader.line();
        let mut fields = Vec::new();
        while let Some((field, ends)) = self.field() {
            fields.push(field);
            if ends {
                return Some(CsvRecord { line, fields });
            }
        }
        (!fields.is_empty()).then_some(CsvRecord { line, fields })
    }
}
