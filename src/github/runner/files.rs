//! The runner's files: blocks of outputs that no content can end, Markdown that keeps the limit.
//!
//! Source: actions/runner, `FileCommandManager` (how blocks are read) and `CreateStepSummaryCommand` (the limit).

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::Path;

/// A longer step summary is thrown away as a whole. GitHub's own limit is 1 MiB; this leaves room for earlier parts.
pub const LONGEST_SUMMARY_BYTES: usize = 900 * 1024;

/// Letters, digits, `_` and `-`: what the manual allows in the id of an output.
pub(super) fn is_output_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_') && name.chars().all(plain)
}

/// `name<<DELIMITER`, the value, `DELIMITER`, with a delimiter that does not occur in the value.
pub(super) fn output_block(name: &str, value: &str, mut delimiter: impl FnMut() -> String) -> String {
    let delimiter = loop {
        let word = delimiter();
        if !value.contains(&word) {
            break word;
        }
    };
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// An unguessable delimiter, since values contain foreign text.
pub(super) fn random_word() -> String {
    // std seeds these keys from the system's random numbers once a thread, and counts on from there; the process id and
    // time would add nothing that an author of a commit message could know.
    let mut word = String::from("pexpress-");
    for _ in 0..2 {
        let _ = write!(word, "{:016x}", RandomState::new().build_hasher().finish());
    }
    word
}

/// Write at the end of a file, in one piece. Other steps share it, so it is never truncated.
pub(super) fn append(path: &Path, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // One write: with `O_APPEND` it does not mix with what another process writes.
    file.write_all(format!("{text}{end}").as_bytes())
}

/// `markdown` in at most `limit` bytes: cut at the end of a line, open markup closed, and a line that says so.
pub(super) fn cut_markdown(markdown: &str, limit: usize) -> String {
    if markdown.len() < limit {
        return markdown.to_string();
    }
    // Open markup is known only after the cut, and closing it takes room too.
    let mut budget = limit.saturating_sub(256);
    loop {
        let kept = whole_lines(markdown, budget);
        let (fence, details) = open_at_end(kept);
        let lost = markdown.len() - kept.len();
        let closing =
            fence.map(|fence| format!("{fence}\n")).unwrap_or_default() + &"</details>\n".repeat(details);
        let text = format!(
            "{kept}{closing}\n_The rest ({lost} bytes) was cut: a summary has to stay below 1 MiB._\n"
        );
        if text.len() <= limit {
            return text;
        }
        // Not even the note fits, and an overlong summary is thrown away as a whole.
        if budget == 0 {
            return String::new();
        }
        budget = budget.saturating_sub(text.len() - limit);
    }
}

/// The lines that end within the first `limit` bytes.
fn whole_lines(text: &str, limit: usize) -> &str {
    let end = text.as_bytes()[..limit.min(text.len())].iter().rposition(|byte| *byte == b'\n');
    &text[..end.map_or(0, |at| at + 1)]
}

/// The code fence that `markdown` leaves open, and how many `<details>`.
pub(super) fn open_at_end(markdown: &str) -> (Option<String>, usize) {
    let mut fence: Option<String> = None;
    let mut details = 0_usize;
    for line in markdown.lines() {
        let line = line.trim_start();
        let marks = line.chars().take_while(|char| *char == '`').count();
        match &fence {
            Some(open) if marks >= open.len() && line.trim_end().len() == marks => fence = None,
            Some(_) => {}
            None if marks >= 3 => fence = Some("`".repeat(marks)),
            None => {
                details += line.matches("<details").count();
                details = details.saturating_sub(line.matches("</details>").count());
            }
        }
    }
    (fence, details)
}
