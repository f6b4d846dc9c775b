//! Words of the filter language.

/// What was found where something else had to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Offset in bytes.
    pub(super) position: usize,
    pub(super) expected: &'static str,
}

impl Wrong {
    pub(super) fn at(position: usize, expected: &'static str) -> Self {
        Self { position, expected }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A key or a word of the language.
    Word(String),
    /// A string literal, without quotes and escapes.
    Text(String),
    Colon,
    Dot,
    Equal,
    NotEqual,
    Comma,
    Minus,
    Open,
    Close,
    End,
}

/// Reads tokens off a text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token), Wrong> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let symbols = [
            ("!=", Token::NotEqual),
            (":", Token::Colon),
            (".", Token::Dot),
            ("=", Token::Equal),
            (",", Token::Comma),
            ("-", Token::Minus),
            ("(", Token::Open),
            (")", Token::Close),
        ];
        if rest.is_empty() {
            self.at = start;
            return Ok((start, Token::End));
        }
        if let Some((symbol, token)) = symbols.into_iter().find(|(it, _)| rest.starts_with(it)) {
            self.at = start + symbol.len();
            return Ok((start, token));
        }
        if rest.starts_with('"') {
            self.at = start + 1;
            return Ok((start, Token::Text(self.literal(start)?)));
        }
        let length = rest.find(|it: char| !is_word(it)).unwrap_or(rest.len());
        if length == 0 {
            return Err(Wrong::at(start, "an unexpected character"));
        }
        self.at = start + length;
        Ok((start, Token::Word(rest[..length].to_owned())))
    }

    /// The rest of a string literal whose opening quote, at `start`, was read.
    fn literal(&mut self, start: usize) -> Result<String, Wrong> {
        let mut value = String::new();
        loop {
            let here = self.at;
            match self.character() {
                None => return Err(Wrong::at(start, "a string literal that does not end")),
                Some('"') => return Ok(value),
                Some('\\') => {
                    let escaped = self.escape();
                    value.push(
                        escaped.ok_or_else(|| Wrong::at(here, "an unknown escape sequence"))?,
                    );
                }
                Some(character) => value.push(character),
            }
        }
    }

    fn character(&mut self) -> Option<char> {
        let character = self.text[self.at..].chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// The character that an escape sequence stands for, whose backslash was read.
    fn escape(&mut self) -> Option<char> {
        Some(match self.character()? {
            quoted @ ('"' | '\'' | '\\' | '?') => quoted,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' | 'X' => self.number(2, 16)?,
            'u' => self.number(4, 16)?,
            'U' => self.number(8, 16)?,
            '0'..='7' => {
                self.at -= 1;
                self.number(3, 8)?
            }
            _ => return None,
        })
    }

    fn number(&mut self, digits: usize, radix: u32) -> Option<char> {
        let digits = self.text.get(self.at..self.at + digits)?;
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        self.at += digits.len();
        char::from_u32(u32::from_str_radix(digits, radix).ok()?)
    }
}

/// Keys may have hyphens; a minus that negates stands before a word, never inside.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}
