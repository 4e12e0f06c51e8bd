//! A unified diff of one file, for `--check`.

use std::fmt::Write as _;

/// Lines around a change.
const CONTEXT: usize = 3;

/// The diff of a file: one hunk from the first line that differs to the last; empty if none does.
pub fn unified(path: &str, old: Option<&str>, new: &str) -> String {
    let from = if old.is_some() { format!("a/{path}") } else { "/dev/null".to_string() };
    let old: Vec<&str> = old.unwrap_or_default().lines().collect();
    let new: Vec<&str> = new.lines().collect();
    if old == new {
        return String::new();
    }
    let same_start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - same_start;
    let same_end =
        old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(old, new)| old == new).count();
    let start = same_start.saturating_sub(CONTEXT);
    let end = |length: usize| (length - same_end + CONTEXT).min(length);
    let (old_end, new_end) = (end(old.len()), end(new.len()));
    let from_line = |length: usize| if length == 0 { 0 } else { start + 1 };
    let mut text = format!("--- {from}\n+++ b/{path}\n");
    let (old_count, new_count) = (old_end - start, new_end - start);
    let _ =
        writeln!(text, "@@ -{},{old_count} +{},{new_count} @@", from_line(old_count), from_line(new_count));
    let mut add = |mark: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "{mark}{line}");
        }
    };
    add(' ', &old[start..same_start]);
    add('-', &old[same_start..old.len() - same_end]);
    add('+', &new[same_start..new.len() - same_end]);
    add(' ', &new[new.len() - same_end..new_end]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_can_be_applied() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        for (old, new, want) in [
            (Some(old), old, ""),
            (None, "a\nb\n", "--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n"),
            (
                Some(old),
                "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
                "--- a/f\n+++ b/f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
            ),
            (Some("a\na\n"), "a\n", "--- a/f\n+++ b/f\n@@ -1,2 +1,1 @@\n a\n-a\n"),
        ] {
            assert_eq!(unified("f", old, new), want);
        }
    }
}
