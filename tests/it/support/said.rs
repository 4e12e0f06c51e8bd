//! What people read, ready for a snapshot: without what differs from run to run or from machine to machine.

use regex::Regex;
use std::sync::LazyLock;

/// Patterns and what takes their place.
static REPLACEMENTS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let temporary = format!(r"{}/\.tmp\w+", regex::escape(std::env::temp_dir().to_str().unwrap()));
    let repository = regex::escape(super::repository().to_str().unwrap());
    let patterns = [
        (r"\x1b\[[0-9;]*m", ""),
        // The chart of a run's stages, which only a slow run has.
        (r"(?s)<details><summary>⏱️.*?</details>\n\n", ""),
        (temporary.trim_end_matches('/'), "[TMP]"),
        (repository.as_str(), "[REPOSITORY]"),
        (r"\.partial-\d+-\w+", ".partial"),
        (r"(127\.0\.0\.1|localhost):\d{2,}", "$1:[PORT]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[TIME]"),
        (r"pexpress:data:\S+", "pexpress:data:[DATA]"),
        (r"\b(x86_64|aarch64)-(unknown-linux-musl|apple-darwin)", "[TARGET]"),
        (r"\b[0-9a-f]{32,64}\b", "[HASH]"),
        (r"\b(many|musl)linux_\w+|\bmacosx_\w+", "[PLATFORM]"),
        (r"\b\d+(\.\d+)? m?s\b", "[TIME]"),
        (r"[\d,.]+ (bytes|kB|MB|KiB|MiB)\b", "[SIZE]"),
    ];
    patterns.map(|(pattern, text)| (Regex::new(pattern).unwrap(), text)).into()
});

/// `text` with addresses, temporary paths, hashes, times and sizes replaced.
pub fn plain(text: &str) -> String {
    REPLACEMENTS.iter().fold(text.trim_end().to_string(), |text, (pattern, replacement)| {
        pattern.replace_all(&text, *replacement).into_owned()
    })
}

/// The errors, warnings and hints of a log, each with its causes, like [`plain`].
pub fn messages(log: &str) -> String {
    let mut is_message = false;
    let belongs = |line: &&str| {
        let starts = ["error", "warning", "hint: ", "::error", "::warning", "::notice", "interrupted"];
        is_message =
            starts.iter().any(|start| line.starts_with(start)) || (is_message && line.starts_with(' '));
        is_message
    };
    plain(&log.lines().filter(belongs).collect::<Vec<_>>().join("\n"))
}

/// The lines of a log with this word, like [`plain`].
pub fn lines(log: &str, word: &str) -> String {
    plain(&log.lines().filter(|line| line.contains(word)).collect::<Vec<_>>().join("\n"))
}
