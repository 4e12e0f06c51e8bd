//! JSON text exactly as Python's `json.dumps(value, sort_keys=True)` writes it, because that text is hashed.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// Sorted keys, `", "` and `": "` as separators, `\uXXXX` for everything outside printable ASCII, no newline at the
/// end.
pub fn to_string(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).map(sorted).unwrap_or_default();
    to_string_in_order(&value)
}

/// The same, with keys in their own order.
pub fn to_string_in_order(value: &Value) -> String {
    let mut text = Vec::new();
    // Neither a JSON value nor writing to memory can fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, PythonFormatter));
    String::from_utf8_lossy(&text).into_owned()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                out.write_all(&[c as u8])?;
            } else {
                // Python escapes characters beyond U+FFFF as two surrogates.
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Expected texts are what CPython's `json.dumps(value, sort_keys=True)` printed.
    #[test]
    fn text_is_what_python_writes() {
        for (value, want) in [
            (json!({"b": [1, true, null], "a": {}}), r#"{"a": {}, "b": [1, true, null]}"#),
            (json!({"é": "\u{7f}\u{80}😀"}), r#"{"\u00e9": "\u007f\u0080\ud83d\ude00"}"#),
            (json!("\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}"), r#""\"\\/\b\f\n\r\t\u0001\u001f""#),
            (json!([]), "[]"),
        ] {
            assert_eq!(to_string(&value), want);
        }
    }

    #[test]
    fn to_string_in_order_keeps_the_order_of_keys() {
        assert_eq!(to_string_in_order(&json!({"b": 1, "a": 2})), r#"{"b": 1, "a": 2}"#);
    }
}
