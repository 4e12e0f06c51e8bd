//! Long errors, cut so that what matters stays: the first line, and the last exception of a traceback.

/// Maximum length of the mark for a cut.
const MARK_BYTES: usize = 80;

/// Up to this length, the gist of an error says more than its beginning and end.
pub const SHORT_BYTES: usize = 160;

/// Endings of exception names. Other names count only with a module in front.
const ENDINGS: [&str; 8] =
    ["Error", "Exception", "Warning", "Exit", "Interrupt", "Iteration", "Timeout", "Failure"];

/// `text` in at most `limit` bytes. The middle is left out: the first line and the last exception stay, with as much
/// around them as there is room for. A line that is too long by itself is cut within.
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_string();
    }
    let room = limit.saturating_sub(MARK_BYTES);
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = Kept { lines: &lines, parts: vec![None; lines.len()], room };
    let cause = exception_at(&lines).unwrap_or(lines.len() - 1);
    kept.keep(0, if cause == 0 { room } else { room / 3 });
    kept.keep(cause, kept.room * 2 / 3);
    kept.fill(cause);
    kept.text(text.len())
}

/// An error in at most `limit` bytes: only its gist if there is hardly any room.
pub fn shortened(error: &str, limit: usize) -> String {
    match gist(error) {
        Some(gist) if limit <= SHORT_BYTES && error.len() > limit => within(gist, limit),
        _ => cut(error, limit),
    }
}

/// The last exception of a text, on one line: `ModuleNotFoundError: No module named 'x'`.
pub fn exception(text: &str) -> Option<&str> {
    let lines: Vec<&str> = text.lines().collect();
    exception_at(&lines).map(|at| bare(lines[at]))
}

/// What an error says, on one line: the exception that its first line names, else its last exception, else its first
/// cause that says something, else what follows its first line if that ends with a colon, else its first line.
pub fn gist(text: &str) -> Option<&str> {
    let cause = || cause(text);
    let first = || text.lines().next().map(|line| line.trim_start_matches("error: "));
    let after = || text.lines().next().filter(|line| line.ends_with(':')).and_then(|_| text.lines().nth(1));
    let named = || first().and_then(exception_within);
    named()
        .or_else(|| exception(text))
        .or_else(cause)
        .or_else(after)
        .or_else(first)
        .map(str::trim)
        .filter(|line| !line.is_empty())
}

/// The first cause that says more than an exit status or that there was an error. uv's causes begin with `cause: `.
fn cause(text: &str) -> Option<&str> {
    let starts = ["caused by: ", "cause: "];
    let causes = text.lines().filter_map(|line| {
        let cause = starts.iter().find_map(|start| line.trim().strip_prefix(start))?;
        Some(cause.trim_start_matches("error: "))
    });
    let says_little =
        |cause: &&str| cause.contains(" exited with status ") || cause.starts_with("No solution found");
    let said = causes.clone().find(|cause| !says_little(cause)).or_else(|| causes.clone().next())?;
    // In `Because A and your project depends on B, we can conclude that …`, A is what the user does not know yet.
    let reason = said.strip_prefix("Because ").and_then(|rest| rest.split(" and your project ").next());
    Some(reason.filter(|reason| !reason.contains(", we can conclude")).unwrap_or(said))
}

/// The exception at the end of a sentence: `it does not load here: KeyError: 'X'`.
fn exception_within(line: &str) -> Option<&str> {
    line.match_indices(": ").map(|(at, _)| &line[at + 2..]).find(|rest| is_exception(rest))
}

/// An exception without the module of its class: `DagsterImportError: …`. Other text is returned as it is.
pub fn without_module(gist: &str) -> &str {
    let name = gist.split(':').next().unwrap_or_default();
    match name.rfind('.') {
        Some(dot) if is_exception(gist) => &gist[dot + 1..],
        _ => gist,
    }
}

/// The first line of an error, and its gist if that is not in it, without the name of the code location that has it:
/// `updated and failed to load: KeyError: 'X'`.
pub fn headline(text: &str, name: &str) -> String {
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let start = format!("the code location `{name}` ");
    let first = first.strip_prefix(&start).map_or(first, |rest| rest.trim_start_matches("was "));
    match gist(text) {
        Some(gist) if !gist.ends_with(first) && !first.contains(gist) => {
            format!("{}: {gist}", first.trim_end_matches(':'))
        }
        _ => first.to_string(),
    }
}

/// The beginning of one line, of at most `limit` bytes.
pub fn within(line: &str, limit: usize) -> String {
    if line.len() <= limit {
        return line.to_string();
    }
    let most = limit.saturating_sub(" …".len());
    let end = (0..=most).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
    format!("{} …", &line[..end])
}

/// The line of the last exception.
fn exception_at(lines: &[&str]) -> Option<usize> {
    lines.iter().rposition(|line| is_exception(bare(line)))
}

/// A line without the prefix from an error's text.
fn bare(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("caused by: ").unwrap_or(line)
}

/// Whether a line begins as Python prints an exception: its name, and a message or nothing.
fn is_exception(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    let rest = &line[name.len()..];
    let is_name = |part: &str| {
        part.starts_with(|char: char| char.is_alphabetic() || char == '_')
            && part.chars().all(|char| char.is_alphanumeric() || char == '_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_class = last.starts_with(char::is_uppercase) && last.contains(char::is_lowercase);
    let is_known = name.contains('.') || ENDINGS.iter().any(|ending| last.ends_with(ending));
    name.split('.').all(is_name)
        && is_class
        && is_known
        && (rest.is_empty() || rest.starts_with(": ") || rest == ":")
}

/// The lines of a text that are kept.
struct Kept<'a> {
    lines: &'a [&'a str],
    parts: Vec<Option<String>>,
    room: usize,
}

impl Kept<'_> {
    /// Keep a line, or its beginning; returns whether there was room for it.
    fn keep(&mut self, at: usize, limit: usize) -> bool {
        if self.parts[at].is_some() {
            return true;
        }
        let part = within(self.lines[at], limit.min(self.room.saturating_sub(1)));
        if part.len() >= self.room {
            return false;
        }
        self.room -= part.len() + 1;
        self.parts[at] = Some(part);
        true
    }

    /// Fill the room with the lines after the first one and with those around the cause, in turn.
    fn fill(&mut self, cause: usize) {
        let (mut from_start, mut before, mut after) = (1, cause, cause + 1);
        let mut going = [true; 3];
        while going.contains(&true) {
            if going[0] {
                going[0] = from_start < self.lines.len() && self.whole(from_start);
                from_start += 1;
            }
            if going[1] {
                going[1] = after < self.lines.len() && self.whole(after);
                after += 1;
            }
            if going[2] {
                going[2] = before > 0 && self.whole(before - 1);
                before = before.saturating_sub(1);
            }
        }
    }

    /// Keep a line if there is room for the whole line.
    fn whole(&mut self, at: usize) -> bool {
        self.parts[at].is_some() || (self.lines[at].len() < self.room && self.keep(at, self.room))
    }

    /// The lines that are kept, with a mark in place of missing ones. The first mark says how much is missing.
    fn text(&self, before_bytes: usize) -> String {
        let kept_bytes: usize = self.parts.iter().flatten().map(|part| part.len() + 1).sum();
        let mut mark = format!(
            "… {} bytes left out; the log of the run has all of it",
            before_bytes.saturating_sub(kept_bytes)
        );
        let mut shown: Vec<String> = Vec::new();
        let mut gap = false;
        for part in &self.parts {
            match part {
                Some(part) => {
                    shown.push(part.clone());
                    gap = false;
                }
                None if !gap => {
                    shown.push(std::mem::replace(&mut mark, "…".into()));
                    gap = true;
                }
                None => {}
            }
        }
        if !self.parts.contains(&None) {
            shown.push(mark);
        }
        shown.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_cause_that_says_something_is_the_gist() {
        let unsolved = |cause: &str| {
            format!(
                "error: could not resolve the requirements\n  at: requirements.txt:3\n  caused by: `uv pip compile` exited with \
                 status 1\n  caused by: error: No solution found when resolving dependencies\n      cause: {cause}"
            )
        };
        for (text, want) in [
            (
                unsolved(
                    "Because pandsa was not found in the package registry and your project depends on pandsa, we can \
                     conclude that your requirements are unsatisfiable.",
                ),
                "could not resolve the requirements: pandsa was not found in the package registry",
            ),
            (
                unsolved("your project depends on a<2 and a>3, which are incompatible"),
                "could not resolve the requirements: your project depends on a<2 and a>3, which are incompatible",
            ),
            (
                "error: could not fetch\n  caused by: `git` exited with status 128\n  caused by: fatal: no"
                    .into(),
                "could not fetch: fatal: no",
            ),
            (
                "error: could not fetch\n  caused by: `git` exited with status 128".into(),
                "could not fetch: `git` exited with status 128",
            ),
        ] {
            assert_eq!(headline(&text, "main"), want);
        }
    }

    #[test]
    fn the_middle_is_left_out_and_the_last_exception_stays() {
        let frames: String = (0..30).map(|n| format!("  File \"defs.py\", line {n}, in f\n")).collect();
        let text = format!(
            "error: it failed to load:\nTraceback (most recent call last):\n{frames}ModuleNotFoundError: No module named 'x'\nhint: verify"
        );
        insta::assert_snapshot!(cut(&text, 300), @r#"
        error: it failed to load:
        Traceback (most recent call last):
          File "defs.py", line 0, in f
        … 854 bytes left out; the log of the run has all of it
          File "defs.py", line 28, in f
          File "defs.py", line 29, in f
        ModuleNotFoundError: No module named 'x'
        hint: verify
        "#);
        let server = format!(
            "error: it failed to load:\ndagster.DagsterUserCodeError: outer\n{frames}\nThe above exception was caused by the following exception:\nImportError: no y\n{frames}hint: verify"
        );
        insta::assert_snapshot!(cut(&server, 300), @r#"
        error: it failed to load:
        dagster.DagsterUserCodeError: outer
          File "defs.py", line 0, in f
        … 1850 bytes left out; the log of the run has all of it

        The above exception was caused by the following exception:
        ImportError: no y
          File "defs.py", line 0, in f
        …
        "#);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_within() {
        let keys = vec!["AssetKey(['warehouse', 'table'])"; 90].join(", ");
        let text = format!(
            "error: it failed to load:\nDagsterInvalidDefinitionError: Duplicate asset keys: {keys}\n  File \"a.py\""
        );
        insta::assert_snapshot!(cut(&text, 300), @r#"
        error: it failed to load:
        DagsterInvalidDefinitionError: Duplicate asset keys: AssetKey(['warehouse', 'table']), AssetKey(['warehouse', 'table']), Asse …
          File "a.py"
        … 2981 bytes left out; the log of the run has all of it
        "#);
        insta::assert_snapshot!(cut(&"x".repeat(400), 120), @"
        xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx …
        … 360 bytes left out; the log of the run has all of it
        ");
        assert!(cut(&"ä\n".repeat(400), 120).ends_with("ä\nä"));
    }

    #[test]
    fn an_error_is_shown_in_one_line() {
        let load = "error: the code location `a` was updated and failed to load:\n";
        for (text, want) in [
            (format!("{load}boom\nhint: verify"), "updated and failed to load: boom"),
            (format!("{load}KeyError: 'X'\n  File"), "updated and failed to load: KeyError: 'X'"),
            ("error: no versions fit\n  at: a/b.txt:3".into(), "no versions fit"),
            (
                "error: could not read it\n  caused by: it is a directory".into(),
                "could not read it: it is a directory",
            ),
            (
                "error: the code location `a` does not load here\n  Traceback\n    Wrapper.Error: x\n  caused by: KeyError: 'Y'"
                    .into(),
                "does not load here: KeyError: 'Y'",
            ),
        ] {
            assert_eq!(headline(&text, "a"), want);
        }
    }

    #[test]
    fn exceptions_are_found_in_all_their_forms() {
        for (text, want) in [
            ("a\nKeyError: 'X'\n", Some("KeyError: 'X'")),
            ("  caused by: ImportError: no", Some("ImportError: no")),
            ("KeyboardInterrupt", Some("KeyboardInterrupt")),
            (
                "dagster._core.errors.DagsterInvalidDefinition: two",
                Some("dagster._core.errors.DagsterInvalidDefinition: two"),
            ),
            (
                "ValueError: one\n\nThe above exception was caused by the following exception:\nTypeError: two\n  File",
                Some("TypeError: two"),
            ),
            ("error: no\nhint: look\nTraceback (most recent call last):", None),
            ("Note: x\nFile: y\nhttps://h/Error: z", None),
        ] {
            assert_eq!(exception(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_cut_is_longer_than_its_limit_or_empty(text in "(\\PC{0,300}\n?){1,40}", limit in 120_usize..2_000) {
            let short = cut(&text, limit);
            prop_assert!(short.len() <= limit.max(text.len().min(limit)), "{}", short.len());
            prop_assert_eq!(short.is_empty(), text.is_empty());
            prop_assert_eq!(cut(&short, limit), short.clone(), "once is enough");
        }
    }
}
