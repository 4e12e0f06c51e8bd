//! Shortens paths below the reader's directory: `/home/runner/work/repo/repo/requirements.txt:3` becomes
//! `requirements.txt:3`.

use std::path::Path;

/// `text` with each path below `base` relative to it. `base` itself does not change, nor do URLs and longer paths that
/// contain it.
pub fn shortened(text: &str, base: &Path) -> String {
    let Some(base) = base.to_str().map(|base| base.trim_end_matches('/')).filter(|base| base.len() > 1)
    else {
        return text.to_string();
    };
    let prefix = format!("{base}/");
    let is_path = |char: char| char.is_alphanumeric() || "/-_.~%@+".contains(char);
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&prefix) {
        let after = &rest[at + prefix.len()..];
        let before = rest[..at].chars().next_back().or(short.chars().next_back());
        let is_whole = !before.is_some_and(is_path) && after.starts_with(|next| next != '/' && is_path(next));
        short.push_str(&rest[..at]);
        if !is_whole {
            short.push_str(&prefix);
        }
        rest = after;
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_below_the_directory_are_shortened() {
        for (text, want) in [
            ("at: /w/p/requirements.txt:3", "at: requirements.txt:3"),
            ("add it to `/w/p/a/b.toml` (/w/p/c.txt:1)", "add it to `a/b.toml` (c.txt:1)"),
            ("File \"/w/p/shop/definitions.py\", line 4", "File \"shop/definitions.py\", line 4"),
            ("/w/p", "/w/p"),
            ("`/w/p/` holds nothing", "`/w/p/` holds nothing"),
            ("/w/pq/a and /x/w/p/a", "/w/pq/a and /x/w/p/a"),
            ("file:///w/p/a.whl", "file:///w/p/a.whl"),
            ("/w/p/.venv/x", ".venv/x"),
            ("/w/p//a", "/w/p//a"),
        ] {
            assert_eq!(shortened(text, Path::new("/w/p")), want, "{text}");
        }
        assert_eq!(shortened("/a/b", Path::new("/")), "/a/b");
    }
}
