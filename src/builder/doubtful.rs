//! Finds files that are probably shipped by mistake: secrets, Git LFS pointers, very large files.
//!
//! Every file of a source PEX is checked, including those of built packages. Only small files with certain names or
//! sizes are read.

use super::left_out::PEXIGNORE;
use super::secrets::{self, Suspicion};
use super::working_directory::{self, Shipped};
use crate::pex::{Content, SourceEntry};
use crate::wheel::{Reader, WheelError};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Larger files get a warning: each deploy uploads them, and each code server unpacks them.
const LARGE_BYTES: u64 = 100_000_000;
/// Only files up to this size are searched for secrets.
const MOST_READ_BYTES: u64 = 64 * 1024;
/// Size of a pointer. Source: Git LFS' specification, which allows less than 1024 bytes; the required lines have more
/// than 120.
const POINTER_BYTES: std::ops::Range<u64> = 100..1024;
/// First line of a pointer, without its line end. Source: the same.
const POINTER_START: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// Number of pointers that are named one by one.
const POINTERS_NAMED: usize = 3;

/// A file that will be shipped.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its path for messages.
    pub shown: String,
    /// The directory that it comes from. The `.pexignore` there could exclude it.
    pub directory: &'a Path,
    /// The file.
    pub entry: &'a SourceEntry,
}

/// Warnings about these files, one or two sentences each.
pub fn warnings<'a>(files: impl Iterator<Item = Candidate<'a>>, build_directory: &Path) -> Vec<String> {
    let mut pointers = Vec::new();
    let mut warnings = Vec::new();
    let mut seen = BTreeSet::new();
    let mut reader = None;
    for file in files {
        let size_bytes = size(file.entry);
        // Read only if the name or size makes it necessary.
        let mut text = || head(file.entry, &mut reader).unwrap_or_default();
        let is_secret = is_secret(&file.shown, size_bytes, &mut text);
        let is_pointer = POINTER_BYTES.contains(&size_bytes) && is_pointer(&text());
        let is_large = size_bytes > LARGE_BYTES;
        // A file of the project's own package is in the wheel and in the working directory; warn once.
        if !(is_secret || is_pointer || is_large) || !seen.insert((file.directory, file.shown.clone())) {
            continue;
        }
        let what = shown(&file, build_directory);
        let way_out = pexignore(file.directory, build_directory);
        if is_secret {
            warnings.push(format!(
                "{what} looks like it contains secrets and is shipped; add it to {way_out} to leave it out"
            ));
        }
        if is_large {
            warnings.push(format!(
                "{what} has {} MB and is sent with each deploy; keep it in a bucket and read it from there, or add it to {way_out} to leave it out",
                size_bytes / 1_000_000
            ));
        }
        if is_pointer {
            pointers.push(what);
        }
    }
    warnings.extend(pointer_warning(&pointers));
    warnings
}

/// The files of a directory that look like secrets and would be shipped, by their paths in it.
pub fn secret_files(directory: &Path) -> Vec<String> {
    let Ok(tree) = working_directory::list(directory, std::iter::empty()) else { return Vec::new() };
    let is_secret = |path: &String, file: &Shipped| {
        let size_bytes = file.source.metadata().map_or(0, |data| data.len());
        is_secret(path, size_bytes, &mut || start_of(&file.source).unwrap_or_default())
    };
    tree.files.iter().filter(|(path, file)| is_secret(path, file)).map(|(path, _)| path.clone()).collect()
}

/// Whether a file looks like it contains secrets. `text` is only read if its name or size makes it necessary.
fn is_secret(path: &str, size_bytes: u64, text: &mut impl FnMut() -> Vec<u8>) -> bool {
    match secrets::suspicion(path) {
        // Empty files with such names are common placeholders in repositories.
        _ if size_bytes == 0 => false,
        Suspicion::Name => true,
        Suspicion::None | Suspicion::Content(_) if size_bytes > MOST_READ_BYTES => false,
        Suspicion::None => !path.ends_with(".py") && secrets::is_private_key(&text()),
        Suspicion::Content(says) => {
            let text = text();
            secrets::is_private_key(&text) || says(&String::from_utf8_lossy(&text))
        }
    }
}

/// Whether a file is a Git LFS pointer. Git may have changed its line ends (`core.autocrlf`).
fn is_pointer(text: &[u8]) -> bool {
    let rest = text.strip_prefix(POINTER_START);
    rest.is_some_and(|rest| rest.starts_with(b"\n") || rest.starts_with(b"\r\n"))
}

fn pointer_warning(files: &[String]) -> Option<String> {
    let more = files.len().saturating_sub(POINTERS_NAMED);
    let mut named = files.iter().take(POINTERS_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        named = format!("{named} and {more} more");
    }
    let (are, they) =
        if files.len() == 1 { ("is a Git LFS pointer", "it") } else { ("are Git LFS pointers", "they") };
    (!files.is_empty()).then(|| {
        format!(
            "{named} {are} and not the content that {they} should have; set `lfs: true` for actions/checkout, or run `git lfs pull`"
        )
    })
}

/// The name of a file for messages, with its package if that is not the build directory.
fn shown(file: &Candidate<'_>, build_directory: &Path) -> String {
    match file.directory == build_directory {
        true => format!("`{}`", file.shown),
        false => format!("`{}` of the local package `{}`", file.shown, file.directory.display()),
    }
}

fn pexignore(directory: &Path, build_directory: &Path) -> String {
    match directory == build_directory {
        true => PEXIGNORE.to_string(),
        false => format!("`{}`", directory.join(PEXIGNORE).display()),
    }
}

fn size(entry: &SourceEntry) -> u64 {
    match &entry.content {
        Content::File(path) => path.metadata().map_or(0, |data| data.len()),
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Member { member, .. } => member.data.size_bytes,
    }
}

/// The start of a file. `None` when it cannot be read: writing the PEX reports that error.
fn head(entry: &SourceEntry, reader: &mut Option<(PathBuf, Reader)>) -> Option<Vec<u8>> {
    match &entry.content {
        Content::Bytes(bytes) => Some(bytes.clone()),
        Content::File(path) => start_of(path),
        Content::Member { wheel, member } => {
            if reader.as_ref().is_none_or(|(open, _)| open != wheel) {
                *reader = Some((wheel.clone(), Reader::open(wheel).ok()?));
            }
            let (_, reader) = reader.as_mut()?;
            let text: Result<Vec<u8>, WheelError> = reader.read(&member.name, &member.data, MOST_READ_BYTES);
            text.ok()
        }
    }
}

fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MOST_READ_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_look_like_secrets_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [(".env", "A=1"), (".env.example", "A="), ("a.py", "x"), ("empty.key", "")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(secret_files(dir.path()), [".env"]);
        std::fs::write(dir.path().join(PEXIGNORE), ".env\n").unwrap();
        assert_eq!(secret_files(dir.path()), [""; 0]);
    }

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let entries: Vec<SourceEntry> = files
            .iter()
            .map(|(name, text)| {
                let path = dir.path().join(name.replace('/', "-"));
                std::fs::write(&path, text).unwrap();
                SourceEntry { path: (*name).into(), executable: false, content: Content::File(path) }
            })
            .collect();
        let candidates = entries.iter().map(|entry| Candidate {
            shown: entry.path.clone(),
            directory: Path::new("/p"),
            entry,
        });
        warnings(candidates, Path::new("/p"))
    }

    #[test]
    fn secrets_are_named_once_and_empty_files_are_ignored() {
        assert!(messages(&[(".env", ""), ("x.txt", "x")]).is_empty());
        insta::assert_snapshot!(messages(&[("a/rsa.txt", "-----BEGIN RSA PRIVATE KEY-----\n")]).join("\n"), @"`a/rsa.txt` looks like it contains secrets and is shipped; add it to .pexignore to leave it out");
        assert!(messages(&[("a/b.yml", "-----BEGIN CERTIFICATE-----\n")]).is_empty());
    }

    #[test]
    fn pointers_are_named_and_counted() {
        let pointer = format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4640000\n",
            "0".repeat(64)
        );
        let files: Vec<(&str, &str)> =
            ["a", "b", "c", "d", "e"].iter().map(|name| (*name, pointer.as_str())).collect();
        insta::assert_snapshot!(messages(&files[..1]).join("\n"), @"`a` is a Git LFS pointer and not the content that it should have; set `lfs: true` for actions/checkout, or run `git lfs pull`");
        insta::assert_snapshot!(messages(&files).join("\n"), @"`a`, `b`, `c` and 2 more are Git LFS pointers and not the content that they should have; set `lfs: true` for actions/checkout, or run `git lfs pull`");
        assert!(messages(&[("a", &pointer[..90])]).is_empty());
        assert_eq!(messages(&[("a", &pointer.replace('\n', "\r\n"))]), messages(&files[..1]));
    }

    #[test]
    fn large_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        File::create(&path).unwrap().set_len(LARGE_BYTES + 20_000_000).unwrap();
        let entry = SourceEntry { path: "d/x".into(), executable: false, content: Content::File(path) };
        let candidate = Candidate { shown: "d/x".into(), directory: Path::new("/lib"), entry: &entry };
        insta::assert_snapshot!(warnings([candidate].into_iter(), Path::new("/p")).join("\n"), @"`d/x` of the local package `/lib` has 120 MB and is sent with each deploy; keep it in a bucket and read it from there, or add it to `/lib/.pexignore` to leave it out");
    }
}
