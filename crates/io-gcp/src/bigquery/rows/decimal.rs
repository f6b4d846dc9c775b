//! Decimal numbers as text to the scaled whole numbers that NUMERIC and BIGNUMERIC are made of; exact, or refused.

use arrow_buffer::i256;

/// Digits behind the point of a NUMERIC.
pub(super) const NUMERIC_SCALE: i8 = 9;
/// All digits of a NUMERIC.
pub(super) const NUMERIC_DIGITS: u8 = 38;
/// Digits behind the point of a BIGNUMERIC.
pub(super) const BIGNUMERIC_SCALE: i8 = 38;
/// All digits of a BIGNUMERIC that Arrow's widest decimal can hold; BigQuery itself holds a part of a 77th.
pub(super) const BIGNUMERIC_DIGITS: u8 = 76;

/// Significant digits that are looked at: more than any column holds.
const DIGITS_MAX: usize = 96;
/// Exponents beyond this cannot denote a number that fits.
const EXPONENT_MAX: i32 = 1_000;

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is no decimal number at all.
    NotANumber,
    /// It has more digits behind the point than the column.
    TooPrecise,
    /// It is too large.
    OutOfRange,
}

/// `text` times 10^9.
pub(super) fn parse_numeric(text: &str) -> Result<i128, Problem> {
    let digits = Digits::parse(text)?.scaled(NUMERIC_SCALE, NUMERIC_DIGITS)?;
    let value = digits.iter().fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    Ok(if digits.negative { -value } else { value })
}

/// `text` times 10^38.
pub(super) fn parse_bignumeric(text: &str) -> Result<i256, Problem> {
    let digits = Digits::parse(text)?.scaled(BIGNUMERIC_SCALE, BIGNUMERIC_DIGITS)?;
    let sign = if digits.negative { "-" } else { "" };
    let number: String = digits.iter().map(char::from).collect();
    i256::from_string(&format!("{sign}{number}")).ok_or(Problem::OutOfRange)
}

/// A decimal number: its significant digits, and how many of them stand before the point.
struct Digits {
    negative: bool,
    bytes: [u8; DIGITS_MAX],
    len: usize,
    point: i32,
}

impl Digits {
    fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.bytes[..self.len].iter().copied()
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
            return Err(Problem::NotANumber);
        }
        let mut digits = Self { negative, bytes: [0; DIGITS_MAX], len: 0, point: exponent };
        digits.collect(whole, fraction)?;
        Ok(digits)
    }

    fn collect(&mut self, whole: &str, fraction: &str) -> Result<(), Problem> {
        let whole = whole.trim_start_matches('0');
        let kept = if whole.is_empty() {
            let significant = fraction.trim_start_matches('0');
            self.point -= to_i32(fraction.len() - significant.len())?;
            significant
        } else {
            self.point += to_i32(whole.len())?;
            fraction
        };
        let all = whole.len() + kept.len();
        let trailing = trailing_zeros(whole, kept);
        self.len = all - trailing;
        if self.len > DIGITS_MAX {
            let is_large = self.point > i32::from(BIGNUMERIC_DIGITS);
            return Err(if is_large { Problem::OutOfRange } else { Problem::TooPrecise });
        }
        for (place, byte) in whole.bytes().chain(kept.bytes()).take(self.len).enumerate() {
            self.bytes[place] = byte;
        }
        Ok(())
    }

    /// Pads the digits so that `scale` of them stand behind the point.
    fn scaled(mut self, scale: i8, digits_max: u8) -> Result<Self, Problem> {
        if self.len == 0 {
            return Ok(self);
        }
        let len = self.point + i32::from(scale);
        if len > i32::from(digits_max) {
            return Err(Problem::OutOfRange);
        }
        match usize::try_from(len) {
            Ok(len) if len >= self.len => {
                self.bytes[self.len..len].fill(b'0');
                self.len = len;
                Ok(self)
            }
            _ => Err(Problem::TooPrecise),
        }
    }
}

fn parse_exponent(text: &str) -> Result<i32, Problem> {
    let exponent: i32 = text.parse().map_err(|_| Problem::NotANumber)?;
    Ok(exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX))
}

fn to_i32(len: usize) -> Result<i32, Problem> {
    i32::try_from(len).map_err(|_| Problem::OutOfRange)
}

fn trailing_zeros(whole: &str, fraction: &str) -> usize {
    let behind = fraction.len() - fraction.trim_end_matches('0').len();
    if behind < fraction.len() {
        return behind;
    }
    behind + whole.len() - whole.trim_end_matches('0').len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_text_is_read_exactly() {
        for (text, value) in [
            ("0", 0),
            ("-0.0", 0),
            ("1", 1_000_000_000),
            ("-12.5", -12_500_000_000),
            (".000000001", 1),
            ("+7.", 7_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("12.5E-2", 125_000_000),
            ("0.0000000010000", 1),
            ("99999999999999999999999999999.999999999", 10_i128.pow(38) - 1),
            ("1000e-3", 1_000_000_000),
        ] {
            assert_eq!(parse_numeric(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_says_how() {
        for (text, problem) in [
            ("", Problem::NotANumber),
            (".", Problem::NotANumber),
            ("1,5", Problem::NotANumber),
            ("--1", Problem::NotANumber),
            ("1e", Problem::NotANumber),
            ("0x10", Problem::NotANumber),
            ("0.0000000001", Problem::TooPrecise),
            ("1e-400", Problem::TooPrecise),
            ("100000000000000000000000000000", Problem::OutOfRange),
            ("1e29", Problem::OutOfRange),
            ("1e2000000000", Problem::OutOfRange),
        ] {
            assert_eq!(parse_numeric(text), Err(problem), "{text}");
        }
        let long = format!("0.{}1", "3".repeat(200));
        assert_eq!(parse_bignumeric(&long), Err(Problem::TooPrecise));
        assert_eq!(parse_bignumeric(&"9".repeat(200)), Err(Problem::OutOfRange));
        assert_eq!(parse_bignumeric("1e-38"), Ok(i256::ONE));
        let largest = format!("{}.{}", "9".repeat(38), "9".repeat(38));
        assert_eq!(
            parse_bignumeric(&format!("-{largest}")),
            Ok(i256::from_string(&format!("-{}", "9".repeat(76))).unwrap())
        );
        assert_eq!(parse_bignumeric("1e38"), Err(Problem::OutOfRange));
    }

    proptest! {
        #[test]
        fn a_scaled_number_reads_back(value in -(10_i128.pow(38) - 1)..10_i128.pow(38)) {
            let (whole, rest) = (value.unsigned_abs() / 1_000_000_000, value.unsigned_abs() % 1_000_000_000);
            let sign = if value < 0 { "-" } else { "" };
            prop_assert_eq!(parse_numeric(&format!("{sign}{whole}.{rest:09}")), Ok(value));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+0-9.eE]{0,120}") {
            let _ = (parse_numeric(&text), parse_bignumeric(&text));
        }
    }
}
