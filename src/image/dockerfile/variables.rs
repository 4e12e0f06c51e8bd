//! Variables in the words of a Dockerfile.
//!
//! Source: "Dockerfile reference", "Environment replacement" and "ENV".

/// How deep defaults may be nested.
const DEPTH: usize = 16;
/// Longer words are refused: each line of a Dockerfile can double a variable.
const LIMIT_BYTES: usize = 64 * 1024;

/// A word with its variables replaced and its quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The word.
    pub text: String,
    /// Variables without a value and a default; they count as empty.
    pub unset: Vec<String>,
}

/// Replace `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and the same without colon, and remove quotes. `None`
/// for another form, an unfinished one, or one with a very long result.
pub fn expand(word: &str, escape: char, value: &dyn Fn(&str) -> Option<String>) -> Option<Expanded> {
    let mut expanded = Expanded::default();
    replace(word, escape, value, DEPTH, &mut expanded)?;
    Some(expanded)
}

fn replace(
    word: &str,
    escape: char,
    value: &dyn Fn(&str) -> Option<String>,
    depth: usize,
    into: &mut Expanded,
) -> Option<()> {
    let mut rest = word;
    let mut quote = None;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '\'' | '"' if quote.is_none() => quote = Some(char),
            char if quote == Some(char) => quote = None,
            char if char == escape && quote != Some('\'') => {
                let next = rest.chars().next()?;
                rest = &rest[next.len_utf8()..];
                into.text.push(next);
            }
            '$' if quote != Some('\'') => rest = variable(rest, escape, value, depth, into)?,
            char => into.text.push(char),
        }
        if into.text.len() > LIMIT_BYTES {
            return None;
        }
    }
    quote.is_none().then_some(())
}

/// Replace the variable at the start of `rest`, whose `$` was read. Returns what follows it.
fn variable<'t>(
    rest: &'t str,
    escape: char,
    value: &dyn Fn(&str) -> Option<String>,
    depth: usize,
    into: &mut Expanded,
) -> Option<&'t str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let Some(inner) = rest.strip_prefix('{') else {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        match (name, value(name)) {
            ("", _) => into.text.push('$'),
            (_, Some(value)) => into.text.push_str(&value),
            (name, None) => into.unset.push(name.to_string()),
        }
        return Some(after);
    };
    let end = inner.find(|c| !is_name(c))?;
    let (name, after) = inner.split_at(end);
    let close = closing(after)?;
    let (operator, after) = (&after[..close], &after[close + 1..]);
    let found = value(name);
    let (is_set, form) = match operator.strip_prefix(':') {
        Some(form) => (found.as_deref().is_some_and(|found| !found.is_empty()), form),
        None => (found.is_some(), operator),
    };
    let depth = depth.checked_sub(1)?;
    match form.chars().next() {
        _ if name.is_empty() => return None,
        None if operator.is_empty() => match found {
            Some(found) => into.text.push_str(&found),
            None => into.unset.push(name.to_string()),
        },
        Some('-') if is_set => into.text.push_str(&found.unwrap_or_default()),
        Some('-') => replace(&form[1..], escape, value, depth, into)?,
        Some('+') if is_set => replace(&form[1..], escape, value, depth, into)?,
        Some('+') => {}
        _ => return None,
    }
    Some(after)
}

/// Where the brace is closed that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The pairs of `ENV`, `LABEL` and `ARG`, as they are written: `A=b C="d e"`, or the old form `A b c` of one pair. `None`
/// for another form.
pub fn pairs(text: &str, escape: char) -> Option<Vec<(String, String)>> {
    let words = words(text, escape);
    let first = words.first()?;
    if !first.contains('=') {
        let value = text.trim_start().strip_prefix(first.as_str())?.trim();
        return (!value.is_empty()).then(|| vec![(first.clone(), value.to_string())]);
    }
    let pair =
        |word: &String| word.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()));
    words.iter().map(pair).collect()
}

/// Words separated by blanks that are not quoted. Quotes stay.
fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let word = words.last_mut().expect("there is always one");
        match char {
            ' ' | '\t' if quote.is_none() => words.push(String::new()),
            char if char == escape => {
                word.push(char);
                word.extend(chars.next());
            }
            char => {
                match quote {
                    None if matches!(char, '"' | '\'') => quote = Some(char),
                    Some(open) if open == char => quote = None,
                    _ => {}
                }
                word.push(char);
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
