//! Variables in a path that was written for a shell.

use crate::host::Host;

/// `text` with `$NAME`, `${NAME}` and a leading `~` filled in. Nothing else of a shell: a `$` that no name follows
/// stays, and so does `~name`.
///
/// # Errors
/// What is wrong, in a sentence, where a variable is not set or a brace not closed.
pub(super) fn fill_in(text: &str, host: &Host) -> Result<String, String> {
    let value = |name: &str| {
        let unset = || format!("the variable `{name}` is not set in the environment of this step");
        host.var(name).map(String::from).ok_or_else(unset)
    };
    let mut filled = String::new();
    let mut rest = text;
    if let Some(below) = text.strip_prefix('~').filter(|below| below.is_empty() || below.starts_with('/')) {
        filled = value("HOME")?;
        rest = below;
    }
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let (name, next) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or("`${` has no closing `}`")?,
            None => after.split_at(name_length(after)),
        };
        if name.is_empty() && next == after {
            filled.push('$');
        } else if name_length(name) == name.len() && !name.is_empty() {
            filled.push_str(&value(name)?);
        } else {
            return Err(format!("`{name}` in `${{{name}}}` is not the name of a variable"));
        }
        rest = next;
    }
    Ok(filled + rest)
}

/// How many bytes at the start of `text` are the name of a variable.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.find(|each: char| !(each.is_ascii_alphanumeric() || each == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn only_variables_and_a_leading_tilde_are_filled_in() {
        let host = host(&[("A", "/ws"), ("B_1", "x y"), ("HOME", "/home/me"), ("EMPTY", ""), ("S", "$A")]);
        for (text, want) in [
            ("plain/path", Ok("plain/path")),
            ("$A/p", Ok("/ws/p")),
            ("${A}/p/$B_1", Ok("/ws/p/x y")),
            ("$A$A", Ok("/ws/ws")),
            ("${A}b", Ok("/wsb")),
            ("~", Ok("/home/me")),
            ("~/out", Ok("/home/me/out")),
            ("~other/out", Ok("~other/out")),
            ("a~/b", Ok("a~/b")),
            ("cost$/5$", Ok("cost$/5$")),
            ("$1/x", Ok("$1/x")),
            ("$(rm -rf x)/`y`/*", Ok("$(rm -rf x)/`y`/*")),
            // Once only: a value is not looked at again.
            ("$S", Ok("$A")),
            ("$NOPE/p", Err("the variable `NOPE` is not set in the environment of this step")),
            ("${EMPTY}/p", Err("the variable `EMPTY` is not set in the environment of this step")),
            ("${A", Err("`${` has no closing `}`")),
            ("${A:-x}", Err("`A:-x` in `${A:-x}` is not the name of a variable")),
            ("${}", Err("`` in `${}` is not the name of a variable")),
        ] {
            assert_eq!(fill_in(text, &host), want.map(String::from).map_err(String::from), "{text}");
        }
    }
}
