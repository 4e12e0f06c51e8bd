//! Finds the intended name for a misspelt one: in a list, or among the files in a directory.

use std::path::{Path, PathBuf};

/// Entries of a directory that are compared.
const MOST_ENTRIES: usize = 10_000;

/// The most similar known name, if about one letter in four or less differs. `-`, `_` and case are ignored.
pub fn closest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |key: &str| key.to_lowercase().replace(['-', ' ', '_'], "");
    let distance = |known: &str| strsim::damerau_levenshtein(&plain(key), &plain(known));
    let (distance, known) = known.iter().map(|known| (distance(known), *known)).min()?;
    // One typo in a short name, and one more for each four letters.
    (distance <= known.len() / 4 + 1).then_some(known)
}

/// An existing path similar to the missing `path`: its first missing part is replaced by a similar name. `fits` checks
/// candidates.
pub fn closest_path(path: &Path, fits: fn(&Path) -> bool) -> Option<PathBuf> {
    // The topmost missing part is the misspelt one. Parts below it cannot exist.
    let missing = path.ancestors().take_while(|part| !part.exists()).last()?;
    let rest = path.strip_prefix(missing).ok()?;
    let parent = missing.parent()?;
    let name = missing.file_name()?.to_str()?;
    let parent_or_here = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(parent_or_here).ok()?.flatten().take(MOST_ENTRIES) {
        if let Ok(name) = entry.file_name().into_string()
            && fits(&with_rest(&parent.join(&name), rest))
        {
            names.push(name);
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    closest(name, &names).map(|near| with_rest(&parent.join(near), rest))
}

/// `join` with an empty path would add a slash.
fn with_rest(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_path_buf() } else { path.join(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_misspelt_part_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("project/src")).unwrap();
        for name in ["project/dagster_cloud.yaml", "project/src/x.py", "token.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for (given, want) in [
            ("project/dagster_clod.yaml", Some("project/dagster_cloud.yaml")),
            ("projct/dagster_cloud.yaml", Some("project/dagster_cloud.yaml")),
            ("tokn.txt", Some("token.txt")),
            ("projct", None),
            ("project/src/y/x.py", None),
            ("nothing_like_it", None),
        ] {
            let got = closest_path(&dir.path().join(given), Path::is_file);
            assert_eq!(got, want.map(|want| dir.path().join(want)), "{given}");
        }
        assert_eq!(closest_path(&dir.path().join("projct"), Path::is_dir), Some(dir.path().join("project")));
    }
}
