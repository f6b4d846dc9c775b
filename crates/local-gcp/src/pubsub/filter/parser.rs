//! Reads a filter: AND or OR between terms, NOT or a minus before one, parentheses.

use super::expression::Filter;
use super::tokens::{Token, Tokens, Wrong};

type Parsed = Result<Filter, Wrong>;

/// Reads a whole filter. Nesting is bounded by the length of a filter.
pub(super) fn parse(text: &str) -> Parsed {
    let mut tokens = Tokens::new(text);
    let (position, token) = tokens.next()?;
    let mut parser = Parser { tokens, position, token };
    let filter = parser.expression()?;
    match parser.token {
        Token::End => Ok(filter),
        _ => Err(parser.wrong("AND, OR or the end is missing")),
    }
}

/// One token ahead.
struct Parser<'a> {
    tokens: Tokens<'a>,
    position: usize,
    token: Token,
}

impl Parser<'_> {
    fn wrong(&self, expected: &'static str) -> Wrong {
        Wrong::at(self.position, expected)
    }

    /// Goes on to the next token; returns the current one.
    fn advance(&mut self) -> Result<Token, Wrong> {
        let (position, token) = self.tokens.next()?;
        self.position = position;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn expect(&mut self, token: &Token, expected: &'static str) -> Result<(), Wrong> {
        if self.token != *token {
            return Err(self.wrong(expected));
        }
        self.advance().map(|_| ())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(it) if it == word)
    }

    /// Terms joined by AND alone or by OR alone: Google wants parentheses around a mix.
    fn expression(&mut self) -> Parsed {
        let first = self.term()?;
        let word = ["AND", "OR"].into_iter().find(|word| self.is_word(word));
        let Some(word) = word else { return Ok(first) };
        let mut parts = vec![first];
        while self.is_word(word) {
            self.advance()?;
            parts.push(self.term()?);
        }
        if self.is_word("AND") || self.is_word("OR") {
            return Err(self.wrong("AND and OR are mixed without parentheses"));
        }
        Ok(if word == "AND" { Filter::All(parts) } else { Filter::Any(parts) })
    }

    fn term(&mut self) -> Parsed {
        match &self.token {
            Token::Minus => self.negated(),
            Token::Open => {
                self.advance()?;
                let inner = self.expression()?;
                self.expect(&Token::Close, "a closing parenthesis is missing")?;
                Ok(inner)
            }
            Token::Word(word) if word == "NOT" => self.negated(),
            Token::Word(word) if word == "hasPrefix" => self.has_prefix(),
            _ => self.comparison(),
        }
    }

    fn negated(&mut self) -> Parsed {
        self.advance()?;
        Ok(Filter::Not(Box::new(self.term()?)))
    }

    fn has_prefix(&mut self) -> Parsed {
        self.advance()?;
        self.expect(&Token::Open, "an opening parenthesis is missing")?;
        self.attributes()?;
        self.expect(&Token::Dot, "a dot and a key are missing")?;
        let key = self.key()?;
        self.expect(&Token::Comma, "a comma is missing")?;
        let prefix = self.text()?;
        self.expect(&Token::Close, "a closing parenthesis is missing")?;
        Ok(Filter::HasPrefix { key, prefix })
    }

    fn comparison(&mut self) -> Parsed {
        self.attributes()?;
        match self.token {
            Token::Colon => {
                self.advance()?;
                Ok(Filter::Has { key: self.key()? })
            }
            Token::Dot => {
                self.advance()?;
                let key = self.key()?;
                let is_equal = match self.token {
                    Token::Equal => true,
                    Token::NotEqual => false,
                    _ => return Err(self.wrong("= or != is missing")),
                };
                self.advance()?;
                let equals = Filter::Equals { key, value: self.text()? };
                // Whether != wants the attribute to be there is not said by Google; here it does not.
                Ok(if is_equal { equals } else { Filter::Not(Box::new(equals)) })
            }
            _ => Err(self.wrong("a colon or a dot is missing")),
        }
    }

    fn attributes(&mut self) -> Result<(), Wrong> {
        self.expect(&Token::Word("attributes".to_owned()), "the word attributes is missing")
    }

    fn key(&mut self) -> Result<String, Wrong> {
        match &self.token {
            Token::Word(_) | Token::Text(_) => match self.advance()? {
                Token::Word(key) | Token::Text(key) => Ok(key),
                _ => Err(self.wrong("a key is missing")),
            },
            _ => Err(self.wrong("a key is missing")),
        }
    }

    fn text(&mut self) -> Result<String, Wrong> {
        match &self.token {
            Token::Text(_) => match self.advance()? {
                Token::Text(text) => Ok(text),
                _ => Err(self.wrong("a string literal is missing")),
            },
            _ => Err(self.wrong("a string literal is missing")),
        }
    }
}
