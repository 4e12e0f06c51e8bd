//! Paths as text: without `.` and `..`, relative to another one, and short for a reader.

use std::path::{Path, PathBuf};

/// Resolve `.` and `..` in the text of `path`, without asking the file system.
pub fn lexically_normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !matches!(normal.components().next_back(), Some(Component::Normal(_))) {
                    // `/..` is `/`, but a relative path may lead out of its start.
                    if !normal.has_root() {
                        normal.push("..");
                    }
                } else {
                    normal.pop();
                }
            }
            other => normal.push(other),
        }
    }
    if normal.as_os_str().is_empty() { PathBuf::from(".") } else { normal }
}

/// `text` below `directory`, with `..` resolved. With a link, `..` may be meant lexically or by the file system; the
/// lexical path is used if it exists.
pub fn resolved(directory: &Path, text: impl AsRef<Path>) -> PathBuf {
    let joined = directory.join(text);
    let normal = lexically_normal(&joined);
    if normal.exists() { normal } else { joined.canonicalize().unwrap_or(normal) }
}

/// The path of `directory` relative to `base`: `.`, `a/b`, `../c`. Both must be absolute and normal.
pub fn relative(directory: &Path, base: &Path) -> PathBuf {
    let shared =
        directory.components().zip(base.components()).take_while(|(one, other)| one == other).count();
    let up = base.components().skip(shared).map(|_| "..".into());
    let down = directory.components().skip(shared).map(|component| PathBuf::from(component.as_os_str()));
    let path: PathBuf = up.chain(down).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

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
    fn lexically_normal_resolves_dots_in_the_text() {
        for (given, want) in
            [("/a/./b/../c", "/a/c"), ("a/..", "."), ("../x", "../x"), ("/..", "/"), ("a/../../b", "../b")]
        {
            assert_eq!(lexically_normal(Path::new(given)), Path::new(want), "{given}");
        }
    }

    #[test]
    fn relative_paths_lead_from_base_to_directory() {
        for (directory, base, want) in [
            ("/a/b", "/a/b", "."),
            ("/a/b/c", "/a", "b/c"),
            ("/a/c", "/a/b", "../c"),
            ("/x", "/a/b", "../../x"),
        ] {
            assert_eq!(relative(Path::new(directory), Path::new(base)), Path::new(want));
        }
    }

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
