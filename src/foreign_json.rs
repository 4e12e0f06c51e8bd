//! Reads foreign JSON (event payloads, answers of servers) with bounded memory.
//!
//! A value of two bytes of text takes up to 72 bytes in memory, so a limit on bytes alone would let a few megabytes
//! become gigabytes. serde_json itself refuses more than 128 levels.

use serde_json::Value;

/// More values than any payload or answer has: GitHub's payloads are below 25 MB of mostly text.
pub const MAX_VALUES: usize = 2_000_000;

/// Why bytes were not read as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It has too many values.
    #[error("it has more than {MAX_VALUES} values")]
    TooMany,
    /// It is not JSON.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
}

/// Read one JSON document.
///
/// # Errors
/// When it is not JSON, or has more than [`MAX_VALUES`] values.
pub fn read(bytes: &[u8]) -> Result<Value, JsonError> {
    // Counted before parsing: each value takes far more memory than its text.
    if separators(bytes) > MAX_VALUES {
        return Err(JsonError::TooMany);
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Counts commas, colons and opening brackets outside strings. The number of values is at most one more.
fn separators(bytes: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_too_many_values_is_refused_before_it_is_built() {
        let many = |each: &str| format!("[{}1]", each.repeat(MAX_VALUES));
        for text in [many("1,"), many("{},"), format!("{{{}\"a\":1}}", "\"a\":1,".repeat(MAX_VALUES))] {
            assert!(matches!(read(text.as_bytes()), Err(JsonError::TooMany)));
        }
        assert!(matches!(read("[".repeat(100_000).as_bytes()), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn commas_in_strings_do_not_count() {
        let text = format!("{{\"log\": \"\\\"{}\"}}", ",[".repeat(MAX_VALUES));
        assert_eq!(read(text.as_bytes()).unwrap()["log"].as_str().unwrap().len(), 1 + 2 * MAX_VALUES);
    }
}
