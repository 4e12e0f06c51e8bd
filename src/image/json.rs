//! JSON with its keys in order, so that equal values have equal bytes and equal digests.

use serde::Serialize;
use serde_json::Value;

/// A value as compact JSON; the keys of every object are sorted by their bytes.
pub fn canonical(value: &impl Serialize) -> Vec<u8> {
    // Serialising to a `Value` fails for maps whose keys are not strings, and the types here have none.
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    sorted(value).to_string().into_bytes()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_level() {
        let value = json!({"b": [{"z": 1, "a": null}], "B": "é"});
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), r#"{"B":"é","b":[{"a":null,"z":1}]}"#);
    }
}
