//! Finds the file in a package's directory that a file of its wheel comes from.
//!
//! A backend may put a file anywhere: below another directory (`src/`, `code/python/`), or under another name
//! (hatchling's `force-include`). So files are compared by the ends of their paths and by content.

use flate2::Crc;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// More files are not listed.
const MOST_FILES: usize = 100_000;

/// Size and CRC-32 of a file, as stored in a wheel.
pub type Fingerprint = (u64, u32);

/// The files of a directory.
#[derive(Debug)]
pub struct PackageFiles {
    directory: std::path::PathBuf,
    /// Paths with `/`, and sizes.
    files: Vec<(String, u64)>,
}

/// A file that a wheel's file may come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path in the package's directory, with `/`.
    pub path: String,
    /// Number of leading directories that are the package or above it.
    pub exempt: usize,
}

impl PackageFiles {
    /// List the files below a directory, without directories for which `is_skipped` returns true.
    pub fn list(directory: &Path, is_skipped: impl Fn(&str) -> bool) -> PackageFiles {
        let mut files = Vec::new();
        let mut open = vec![String::new()];
        while let Some(prefix) = open.pop() {
            let entries = fs::read_dir(directory.join(&prefix)).into_iter().flatten().flatten();
            for entry in entries.take(MOST_FILES.saturating_sub(files.len())) {
                let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                    continue;
                };
                let path = format!("{prefix}{name}");
                if kind.is_dir() && !is_skipped(&name) {
                    open.push(format!("{path}/"));
                } else if let Ok(metadata) = fs::metadata(entry.path())
                    && metadata.is_file()
                {
                    files.push((path, metadata.len()));
                }
            }
        }
        // The shortest path first: a nested copy is the less likely source.
        files.sort_by_key(|(path, _)| (path.matches('/').count(), path.clone()));
        PackageFiles { directory: directory.to_path_buf(), files }
    }

    /// The files that a wheel's file may come from, best guesses only; its own path if none is similar.
    ///
    /// A file with a path that ends with the member's and with the same content is the only answer. Otherwise all files
    /// with the same content are, or else the first with a fitting path: backends change some files.
    pub fn sources(&self, member: &str, content: Option<Fingerprint>) -> Vec<Source> {
        let length = common_end(member, member);
        let fitting = self.files.iter().filter(|(path, _)| common_end(path, member) == length);
        if let Some((path, _)) = fitting.clone().find(|(path, size)| self.is_same(path, *size, content)) {
            return vec![fits(path, member)];
        }
        let same: Vec<_> =
            self.files.iter().filter(|(path, size)| self.is_same(path, *size, content)).collect();
        let longest = same.iter().map(|(path, _)| common_end(path, member)).max();
        let best = same.iter().filter(|(path, _)| Some(common_end(path, member)) == longest);
        let best: Vec<Source> =
            best.map(|(path, _)| Source { path: path.clone(), exempt: self.packages(path) }).collect();
        match best.is_empty() {
            false => best,
            true => vec![fits(fitting.clone().next().map_or(member, |(path, _)| path), member)],
        }
    }

    /// Whether a file has this content. Empty files never count: they are all equal.
    fn is_same(&self, path: &str, size: u64, content: Option<Fingerprint>) -> bool {
        content.is_some_and(|(wanted, crc)| {
            // Empty files are all the same, so their content says nothing. The size is compared first, as it needs no
            // reading.
            size > 0 && size == wanted && crc32(&self.directory.join(path)) == Some(crc)
        })
    }

    /// The number of directories up to and including the outermost Python package that contains a file; 0 if there is
    /// none.
    fn packages(&self, path: &str) -> usize {
        let directories = path.match_indices('/').map(|(at, _)| &path[..at]);
        let is_package = |directory: &str| self.directory.join(directory).join("__init__.py").is_file();
        directories.enumerate().find(|(_, directory)| is_package(directory)).map_or(0, |(above, _)| above + 1)
    }
}

/// A source with a path that ends with the member's: the member's first directory is the package.
fn fits(path: &str, member: &str) -> Source {
    let above = path.matches('/').count() - member.matches('/').count();
    Source { path: path.to_string(), exempt: above + usize::from(member.contains('/')) }
}

/// The number of path components that two paths have in common at their ends.
fn common_end(one: &str, other: &str) -> usize {
    one.rsplit('/').zip(other.rsplit('/')).take_while(|(one, other)| one == other).count()
}

/// Of the file's content, as archives have it; `None` if the file cannot be read.
pub(super) fn crc32(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    let (mut crc, mut buffer) = (Crc::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(crc.sum()),
            count => crc.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::builder::left_out::{LeftOut, PEXIGNORE};
    use std::fs;

    /// Earlier, only the member's own path and one directory deeper were checked.
    #[test]
    fn excluded_files_are_found_wherever_the_backend_put_them() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("code/python/shop/__init__.py", ""),
            ("code/python/shop/conf.yaml", "pw: x"),
            ("code/python/shop/same.yaml", "shared"),
            ("data/prod.yaml", "pw: hunter2"),
            ("data/empty", ""),
            ("tests/same.yaml", "shared"),
            ("lib/src/__init__.py", "A = 1"),
            ("lib/src/a.csv", "1,2"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for (patterns, member, text, want) in [
            ("code/python/shop/conf.yaml", "shop/conf.yaml", "pw: x", true),
            ("code/", "shop/conf.yaml", "pw: x", false),
            ("data/prod.yaml", "shop/prod.yaml", "pw: hunter2", true),
            ("data/prod.yaml", "shop/renamed.yaml", "pw: hunter2", true),
            ("data/", "shop/renamed.yaml", "pw: hunter2", true),
            ("data/prod.yaml", "shop/prod.yaml", "other", false),
            ("data/", "shop/empty", "", false),
            ("tests/", "shop/same.yaml", "shared", false),
            ("lib/", "renamed/__init__.py", "A = 1", false),
            ("lib/", "renamed/a.csv", "1,2", false),
            ("*.csv", "renamed/b.txt", "1,2", true),
        ] {
            fs::write(dir.path().join(PEXIGNORE), patterns).unwrap();
            let rules = LeftOut::read(dir.path()).unwrap();
            let mut crc = flate2::Crc::new();
            crc.update(text.as_bytes());
            let content = Some((text.len() as u64, crc.sum()));
            assert_eq!(rules.in_package(member, content), want, "{patterns} {member}");
        }
    }
}
