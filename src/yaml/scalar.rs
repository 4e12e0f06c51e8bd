//! The type of a plain scalar in YAML 1.1, as PyYAML's implicit resolver decides it.
//!
//! Source: YAML 1.1 type repository (bool, float, int, null), and PyYAML 6.0.3 where it differs: an exponent needs a
//! sign and the mantissa a point (`1e3` is text), `y` and `n` are text, timestamps are left as text by Dagster+.

use serde_json::Number;

/// The value of a plain scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number that JSON can represent.
    Number(Number),
    /// A number that JSON cannot represent, or that PyYAML fails on, with the reason.
    Unusable(&'static str),
    /// `<<`.
    Merge,
    /// Text.
    Text,
}

/// Resolve a plain scalar.
pub fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "<<" => return Resolved::Merge,
        _ => {}
    }
    if let Some(value) = boolean(text) {
        return Resolved::Bool(value);
    }
    // Most scalars are words. Only these characters can start a number.
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return Resolved::Text;
    }
    // In PyYAML's order: `1:30.5` is a float, and would fail as an integer.
    float(text).or_else(|| integer(text)).unwrap_or(Resolved::Text)
}

/// `yes`, `No`, `ON`, `true` and so on, in the three spellings of case.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

const NOT_JSON: &str = "JSON has no infinity and no NaN";
const TOO_LARGE: &str = "integers of more than 64 bits cannot be sent";
const NO_DIGITS: &str = "a number without digits";

/// `+0x1F`, `0b11`, `017`, `1_000`, `1:30` (sexagesimal: 90). `None` when it is not an integer.
pub fn integer(text: &str) -> Option<Resolved> {
    let (negative, digits) = signed(text);
    let bare = |text: &str| text.replace('_', "");
    let all = |text: &str, set: &str| !text.is_empty() && text.chars().all(|c| set.contains(c));
    let magnitude = if let Some(rest) = digits.strip_prefix("0b").filter(|rest| all(rest, "01_")) {
        from_radix(&bare(rest), 2)
    } else if let Some(rest) = digits.strip_prefix("0x").filter(|rest| all(rest, "0123456789abcdefABCDEF_")) {
        from_radix(&bare(rest), 16)
    // `0` alone is not octal: an octal number needs digits after its `0`.
    } else if digits == "0" {
        Ok(0)
    } else if let Some(rest) = digits.strip_prefix('0').filter(|rest| all(rest, "01234567_")) {
        from_radix(&format!("0{}", bare(rest)), 8)
    } else if digits.starts_with(|first: char| ('1'..='9').contains(&first)) && all(digits, "0123456789_") {
        from_radix(&bare(digits), 10)
    } else {
        sexagesimal_integer(digits)?
    };
    Some(match magnitude {
        Ok(magnitude) => signed_number(negative, magnitude),
        Err(reason) => Resolved::Unusable(reason),
    })
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn from_radix(digits: &str, radix: u32) -> Result<u64, &'static str> {
    if digits.is_empty() {
        return Err(NO_DIGITS);
    }
    u64::from_str_radix(digits, radix).map_err(|_| TOO_LARGE)
}

fn signed_number(negative: bool, magnitude: u64) -> Resolved {
    if !negative {
        return Resolved::Number(magnitude.into());
    }
    // `-9223372036854775808` has no positive counterpart in i64.
    match 0i64.checked_sub_unsigned(magnitude) {
        Some(value) => Resolved::Number(value.into()),
        None => Resolved::Unusable(TOO_LARGE),
    }
}

/// `[1-9][0-9_]*(:[0-5]?[0-9])+`, in base 60.
fn sexagesimal_integer(digits: &str) -> Option<Result<u64, &'static str>> {
    let mut parts = digits.split(':');
    let first = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let head = first.starts_with(|c: char| ('1'..='9').contains(&c)) && underscored_digits(first);
    if !head || rest.is_empty() || !rest.iter().all(|part| sexagesimal_part(part)) {
        return None;
    }
    let mut value = from_radix(&first.replace('_', ""), 10);
    for part in rest {
        let part: u64 = part.parse().unwrap_or_default();
        value = value.and_then(|value| {
            value.checked_mul(60).and_then(|value| value.checked_add(part)).ok_or(TOO_LARGE)
        });
    }
    Some(value)
}

fn underscored_digits(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c == '_')
}

/// `[0-5]?[0-9]`
fn sexagesimal_part(text: &str) -> bool {
    match text.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    }
}

/// `1.`, `-1_0.5e+3`, `.5`, `1:30.5`, `.inf`, `.NaN`. `None` when it is not a float.
pub fn float(text: &str) -> Option<Resolved> {
    let (negative, digits) = signed(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Resolved::Unusable(NOT_JSON));
    }
    let (whole, fraction) = digits.split_once('.')?;
    let starts_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let value = if whole.contains(':') {
        sexagesimal_float(whole, fraction)?
    } else {
        let (fraction, exponent) = split_exponent(fraction)?;
        let pointed = if whole.is_empty() {
            // `.5` takes no sign.
            digits.len() == text.len() && starts_with_digit(fraction)
        } else {
            starts_with_digit(whole) && underscored_digits(whole)
        };
        if !pointed || !underscored_digits(fraction) {
            return None;
        }
        let written = format!("{whole}.{fraction}").replace('_', "");
        // `1.` and `.5` are floats in YAML but not for Rust's parser; zeros around them change no value.
        format!("0{written}0{exponent}").parse().ok()?
    };
    let value: f64 = if negative { -value } else { value };
    Some(Number::from_f64(value).map_or(Resolved::Unusable(NOT_JSON), Resolved::Number))
}

/// Fraction, and the exponent (`e+3`) if there is one; `None` when the `e` is not followed by a signed exponent.
fn split_exponent(text: &str) -> Option<(&str, &str)> {
    let Some(at) = text.find(['e', 'E']) else { return Some((text, "")) };
    let (fraction, exponent) = text.split_at(at);
    let digits = exponent.get(1..)?.strip_prefix(['+', '-'])?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())).then_some((fraction, exponent))
}

/// `[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*`, in base 60.
fn sexagesimal_float(whole: &str, fraction: &str) -> Option<f64> {
    let mut parts = whole.split(':');
    let first = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let head = first.starts_with(|c: char| c.is_ascii_digit()) && underscored_digits(first);
    let well_formed = head && rest.iter().all(|part| sexagesimal_part(part)) && underscored_digits(fraction);
    if !well_formed {
        return None;
    }
    let (last, middle) = rest.split_last()?;
    let last: f64 = format!("{last}.{}0", fraction.replace('_', "")).parse().ok()?;
    let mut value: f64 = first.replace('_', "").parse().ok()?;
    for part in middle {
        value = value * 60.0 + part.parse::<f64>().ok()?;
    }
    Some(value * 60.0 + last)
}

/// A scalar with an explicit tag of the type repository (`None` for any other tag). `None` when it cannot be read as
/// that type.
pub fn tagged(tag: Option<&str>, text: &str) -> Option<Resolved> {
    match tag? {
        "str" => Some(Resolved::Text),
        "null" => Some(Resolved::Null),
        "bool" => boolean(&text.to_lowercase()).map(Resolved::Bool),
        "int" => integer(text),
        // With the tag, PyYAML also accepts integers.
        "float" => float(text).or_else(|| float(&format!("{text}."))),
        _ => None,
    }
}
