//! NUMERIC and BIGNUMERIC: fixed-point numbers as scaled integers, with BigQuery's rounding (half away
//! from zero) and ranges.
//!
//! A NUMERIC is an `i128` scaled by 10^9, a BIGNUMERIC an [`i256`] scaled by 10^38. All arithmetic
//! goes through `i256`, so that only real overflows of the type are errors.

use arrow_buffer::i256;

/// Digits after the point of a NUMERIC.
pub(crate) const NUMERIC_SCALE: u32 = 9;
/// Digits after the point of a BIGNUMERIC.
pub(crate) const BIGNUMERIC_SCALE: u32 = 38;
/// Digits of a NUMERIC in all.
pub(crate) const NUMERIC_PRECISION: u8 = 38;
/// Digits of a BIGNUMERIC in all, as Arrow counts them.
pub(crate) const BIGNUMERIC_PRECISION: u8 = 76;

/// Largest magnitude of a NUMERIC's scaled integer: 38 digits of nine.
const NUMERIC_MAX: i128 = 10_i128.pow(38) - 1;

/// 10 to the power `exponent`; `None` above 10^76.
pub(crate) fn power_of_ten(exponent: u32) -> Option<i256> {
    let ten = i256::from_i128(10);
    let mut power = i256::ONE;
    for _ in 0..exponent {
        power = power.checked_mul(ten)?;
    }
    Some(power)
}

/// The scaled integer as a NUMERIC, if in range.
pub(crate) fn to_numeric(scaled: i256) -> Option<i128> {
    scaled.to_i128().filter(|scaled| scaled.unsigned_abs() <= NUMERIC_MAX.unsigned_abs())
}

/// Brings a scaled integer from one scale to another, rounding half away from zero.
pub(crate) fn rescale(scaled: i256, from: u32, to: u32) -> Option<i256> {
    if to >= from {
        return scaled.checked_mul(power_of_ten(to - from)?);
    }
    divide_rounding(scaled, power_of_ten(from - to)?)
}

/// The quotient rounded half away from zero; `None` on division by zero or overflow.
pub(crate) fn divide_rounding(dividend: i256, divisor: i256) -> Option<i256> {
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.checked_rem(divisor)?;
    // Compares |remainder| with |divisor| - |remainder|, which cannot overflow.
    let (remainder, divisor_size) = (remainder.wrapping_abs(), divisor.wrapping_abs());
    if remainder == i256::ZERO || remainder < divisor_size.wrapping_sub(remainder) {
        return Some(quotient);
    }
    let away =
        if dividend.is_negative() == divisor.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

/// The product of two numbers of one scale, in that scale.
pub(crate) fn multiply(left: i256, right: i256, scale: u32) -> Option<i256> {
    let unit = power_of_ten(scale)?;
    if let Some(product) = left.checked_mul(right) {
        return divide_rounding(product, unit);
    }
    // The double-scale product does not fit: split the left side into whole and fraction.
    let (whole, fraction) = (left.checked_div(unit)?, left.checked_rem(unit)?);
    let (right_whole, right_fraction) = (right.checked_div(unit)?, right.checked_rem(unit)?);
    let low = divide_rounding(fraction.checked_mul(right_fraction)?, unit)?;
    whole.checked_mul(right)?.checked_add(fraction.checked_mul(right_whole)?)?.checked_add(low)
}

/// The quotient of two numbers of one scale, in that scale; `None` on overflow or a zero divisor.
pub(crate) fn divide(left: i256, right: i256, scale: u32) -> Option<i256> {
    if right == i256::ZERO {
        return None;
    }
    if let Some(scaled) = left.checked_mul(power_of_ten(scale)?) {
        return divide_rounding(scaled, right);
    }
    // Long division: one decimal digit at a time, one more than the scale to round with.
    let negative = left.is_negative() != right.is_negative();
    let divisor = right.checked_abs()?;
    let dividend = left.checked_abs()?;
    let ten = i256::from_i128(10);
    let mut quotient = dividend.checked_div(divisor)?;
    let mut remainder = dividend.checked_rem(divisor)?;
    for _ in 0..scale {
        remainder = remainder.checked_mul(ten)?;
        quotient = quotient.checked_mul(ten)?.checked_add(remainder.checked_div(divisor)?)?;
        remainder = remainder.checked_rem(divisor)?;
    }
    if remainder >= divisor.wrapping_sub(remainder) {
        quotient = quotient.checked_add(i256::ONE)?;
    }
    if negative { quotient.checked_neg() } else { Some(quotient) }
}

/// Reads a decimal number, with optional exponent; digits beyond `scale` are rounded.
/// `None` if the text is no number or does not fit.
pub(crate) fn parse(text: &str, scale: u32) -> Option<i256> {
    let text = text.trim();
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // How many of the digits belong to the scaled integer; the rest is rounded away.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let scaled = accumulate(&digits, kept)?;
    if negative { scaled.checked_neg() } else { Some(scaled) }
}

/// The first `kept` digits (zeros appended as needed) as an integer, rounded by the next digit.
fn accumulate(digits: &[u8], kept: i64) -> Option<i256> {
    if digits.iter().all(|digit| *digit == b'0') {
        return Some(i256::ZERO);
    }
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    for at in 0..kept.max(0) {
        let digit = usize::try_from(at).ok().and_then(|at| digits.get(at)).map_or(0, |d| d - b'0');
        value = value.checked_mul(ten)?.checked_add(i256::from_i128(i128::from(digit)))?;
    }
    let next = usize::try_from(kept).ok().and_then(|at| digits.get(at));
    if next.is_some_and(|digit| *digit >= b'5') {
        value.checked_add(i256::ONE)
    } else {
        Some(value)
    }
}

/// The shortest decimal text of a scaled integer: no trailing zeros, no exponent.
pub(crate) fn format(scaled: i256, scale: u32) -> String {
    let text = scaled.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The nearest double.
pub(crate) fn to_f64(scaled: i256, scale: u32) -> f64 {
    // Through the decimal text, so that the result is the correctly rounded double.
    format(scaled, scale).parse().unwrap_or(f64::NAN)
}

/// The double rounded to the scale; `None` for NaN, infinities and out-of-range values.
pub(crate) fn from_f64(value: f64, scale: u32) -> Option<i256> {
    value.is_finite().then(|| parse(&format!("{value:e}"), scale)).flatten()
}

/// Reads the little-endian two's complement encoding the Storage API uses for both types.
pub(crate) fn from_little_endian(bytes: &[u8]) -> Option<i256> {
    const WIDTH: usize = 32;
    if bytes.is_empty() || bytes.len() > WIDTH {
        return None;
    }
    let sign = if bytes[bytes.len() - 1] & 0x80 == 0 { 0x00 } else { 0xff };
    let mut padded = [sign; WIDTH];
    padded[..bytes.len()].copy_from_slice(bytes);
    Some(i256::from_le_bytes(padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> i256 {
        parse(text, NUMERIC_SCALE).unwrap()
    }

    #[test]
    fn text_survives_a_round_trip_in_shortest_form() {
        for (text, shortest) in [
            ("0", "0"),
            ("-0.50", "-0.5"),
            ("123.456000000", "123.456"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            (".25", "0.25"),
            ("99999999999999999999999999999.999999999", "99999999999999999999999999999.999999999"),
        ] {
            assert_eq!(format(numeric(text), NUMERIC_SCALE), shortest, "{text}");
        }
        for text in ["", ".", "1.2.3", "abc", "1e", "--1"] {
            assert_eq!(parse(text, NUMERIC_SCALE), None, "{text}");
        }
    }

    #[test]
    fn digits_beyond_the_scale_round_half_away_from_zero() {
        assert_eq!(numeric("0.0000000005"), i256::ONE);
        assert_eq!(numeric("-0.0000000005"), i256::MINUS_ONE);
        assert_eq!(numeric("0.00000000049"), i256::ZERO);
        let half = divide_rounding(i256::from_i128(-7), i256::from_i128(2)).unwrap();
        assert_eq!(half, i256::from_i128(-4));
    }

    #[test]
    fn numeric_range_ends_at_29_whole_digits() {
        assert!(to_numeric(numeric("99999999999999999999999999999.999999999")).is_some());
        assert!(to_numeric(numeric("100000000000000000000000000000")).is_none());
    }

    #[test]
    fn products_and_quotients_keep_the_scale() {
        let product = multiply(numeric("1.5"), numeric("-2.000000001"), NUMERIC_SCALE).unwrap();
        assert_eq!(format(product, NUMERIC_SCALE), "-3.000000002");
        let third = divide(numeric("2"), numeric("3"), NUMERIC_SCALE).unwrap();
        assert_eq!(format(third, NUMERIC_SCALE), "0.666666667");
        let big = |text| parse(text, BIGNUMERIC_SCALE).unwrap();
        let product = multiply(big("123456789012345678.5"), big("2.25"), BIGNUMERIC_SCALE).unwrap();
        assert_eq!(format(product, BIGNUMERIC_SCALE), "277777775277777776.625");
        let half = divide(big("-100000000000000000001"), big("2"), BIGNUMERIC_SCALE).unwrap();
        assert_eq!(format(half, BIGNUMERIC_SCALE), "-50000000000000000000.5");
    }

    #[test]
    fn doubles_and_bytes_convert() {
        assert_eq!(from_f64(0.1, NUMERIC_SCALE), Some(i256::from_i128(100_000_000)));
        assert_eq!(from_f64(f64::NAN, NUMERIC_SCALE), None);
        assert!((to_f64(numeric("2.5"), NUMERIC_SCALE) - 2.5).abs() < f64::EPSILON);
        assert_eq!(from_little_endian(&[0xff]), Some(i256::MINUS_ONE));
        assert_eq!(from_little_endian(&[0x00, 0x01]), Some(i256::from_i128(256)));
        assert_eq!(from_little_endian(&[]), None);
    }
}
