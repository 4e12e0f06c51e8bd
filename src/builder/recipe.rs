//! Recipes: how a backend made the wheel of a local package, so that its next wheel can be put together without it.
//!
//! A recipe says which files of the package are in the wheel, and has the texts of its `.dist-info`. It is stored under
//! the key of everything that these depend on ([`super::self_contained`]), in the cache and in the registry. Then a
//! change of code needs no backend: the files are read from the tree, and `RECORD` gets their digests.
//!
//! What a recipe gives is compared with the wheel before it is stored; if anything but order and compression differs,
//! no recipe is stored.

use super::package_files::Fingerprint;
use super::self_contained::SelfContained;
use super::{BuildError, dist_info};
use crate::cache::{is_file_name, is_sha256, write_atomically};
use crate::hex::hex;
use crate::pex::{WheelContent, WheelFile, is_bytecode, write_wheel};
use crate::wheel::archive::path_fault;
use crate::wheel::filename::normalized_name;
use crate::wheel::{Archive, Member, WheelError};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wheel with longer texts in its `.dist-info` has no recipe. Also the size of a recipe that is stored.
const MOST_BYTES: u64 = 512 << 10;
/// How far clocks of machines may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// Files that backends write into `.dist-info` themselves, from pyproject.toml and the files that it names.
const GENERATED: [&str; 7] = [
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "top_level.txt",
    "namespace_packages.txt",
    "zip-safe",
];

/// End of the file name of a wheel that is not compiled.
pub(super) const ANY: &str = "-none-any.whl";

/// How a wheel was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// When, in seconds since the epoch.
    built_at: u64,
    /// File name of the wheel.
    file_name: String,
    /// The files of the package in it.
    files: Vec<Copied>,
    /// The files in its `.dist-info`: path and text.
    texts: BTreeMap<String, String>,
}

/// A file of a wheel that is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Copied {
    /// Its path in the wheel.
    path: String,
    /// What its path in the package has before that: `src/`, or nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    below: String,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
}

/// A recipe as it is stored.
#[derive(Serialize, Deserialize)]
struct Document {
    recipe: Recipe,
    /// SHA-256 of the key and the recipe.
    digest: String,
}

/// A file of a wheel that a recipe gives.
struct Given<'a> {
    path: &'a str,
    executable: bool,
    digest: [u8; 32],
    content: Content<'a>,
}

enum Content<'a> {
    /// A copy of this file of the package.
    Of(String, Fingerprint),
    Text(Cow<'a, str>),
}

impl Given<'_> {
    fn to_write(&self, directory: &Path) -> WheelFile<'_> {
        let content = match &self.content {
            Content::Of(source, (size_bytes, crc32)) => {
                WheelContent::File { path: directory.join(source), size_bytes: *size_bytes, crc32: *crc32 }
            }
            Content::Text(text) => WheelContent::Text(text),
        };
        WheelFile { path: self.path, executable: self.executable, content }
    }
}

impl Recipe {
    /// The recipe of a wheel that was just built from a package; `None` if one of its files is not a copy of a file that
    /// was read, or may be a copy of another one.
    ///
    /// # Errors
    /// When the wheel cannot be read.
    pub(super) fn of(
        wheel: &Path,
        package: &SelfContained,
        now: SystemTime,
    ) -> Result<Option<Recipe>, WheelError> {
        let members = members(wheel)?;
        let sources = package.files.by_content();
        let Ok(built_at) = now.duration_since(UNIX_EPOCH) else { return Ok(None) };
        let file_name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (built_at, mut files, mut texts) = (built_at.as_secs(), Vec::new(), BTreeMap::new());
        for Seen { path, executable, digest, text } in &members {
            let fits = |own: &&str| below(own, copied_as(path)).is_some();
            let fits: Vec<&str> = sources.get(digest).into_iter().flatten().copied().filter(fits).collect();
            // Files in it would not be at their own paths.
            if path.split('/').next().is_some_and(|top| top.ends_with(".data")) {
                return Ok(None);
            }
            if path.contains(".dist-info/") {
                let is_copy = !fits.is_empty() && !package.is_free(copied_as(path), false);
                let text = text.as_ref().filter(|_| (is_copy || is_generated(path)) && !executable);
                let Some(text) = text else { return Ok(None) };
                texts.insert(path.clone(), text.clone());
                continue;
            }
            let source = match fits.as_slice() {
                [only] => *only,
                // Equal now, but which one was copied will matter when they differ.
                [first, ..] if !fits.iter().any(|own| package.is_free(own, *executable)) => *first,
                _ => return Ok(None),
            };
            let below = below(source, path).unwrap_or_default().to_string();
            files.push(Copied { path: path.clone(), below, executable: *executable });
        }
        let recipe = Recipe { built_at, file_name, files, texts };
        Ok(recipe.gives(&members, package).then_some(recipe))
    }

    /// Whether it gives these members of a wheel, and `RECORD` has a row like those of [`row`] for each copy.
    fn gives(&self, members: &[Seen], package: &SelfContained) -> bool {
        let Some(given) = self.given(package) else { return false };
        let given: BTreeMap<_, _> =
            given.iter().map(|file| (file.path, (file.executable, file.digest))).collect();
        let wanted =
            members.iter().map(|seen| (seen.path.as_str(), (seen.executable, seen.digest))).collect();
        let record = self.texts.iter().find(|(path, _)| path.ends_with(".dist-info/RECORD"));
        let mut rows = record.iter().flat_map(|(_, text)| text.lines()).map(row_path);
        let copied: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        given == wanted
            && (!package.is_shared || rows.all(|path| path.contains(".dist-info/") || copied.contains(path)))
    }

    /// Put together the wheel of a package as it is now, in `out_dir`; `None` if the recipe is not one of this package.
    ///
    /// # Errors
    /// When a file changed since the package was read, or the wheel cannot be written.
    pub(super) fn wheel(
        &self,
        package: &SelfContained,
        out_dir: &Path,
    ) -> Result<Option<PathBuf>, BuildError> {
        let Some(mut given) = self.given(package) else { return Ok(None) };
        given.sort_by_key(|file| file.path);
        let files: Vec<WheelFile<'_>> = given.iter().map(|file| file.to_write(&package.directory)).collect();
        let path = out_dir.join(&self.file_name);
        std::fs::create_dir_all(out_dir)
            .map_err(|source| BuildError::OutDir { directory: out_dir.to_path_buf(), source })?;
        write_atomically(&path, |file| write_wheel(file, &files).map(drop).map_err(BuildError::from))?;
        Ok(Some(path))
    }

    fn given(&self, package: &SelfContained) -> Option<Vec<Given<'_>>> {
        let (mut given, mut rows) = (Vec::new(), BTreeMap::new());
        for Copied { path, below, executable } in &self.files {
            let source = format!("{below}{path}");
            let seen = package.files.get(&source)?;
            rows.insert(path.as_str(), row(path, &seen.digest, seen.fingerprint.0));
            let content = Content::Of(source, seen.fingerprint);
            given.push(Given { path, executable: *executable, digest: seen.digest, content });
        }
        let directory = self.texts.keys().next()?.split_once('/')?.0;
        for (path, text) in &self.texts {
            path.strip_prefix(directory)?.strip_prefix('/')?;
            let text = match path.ends_with("/RECORD") {
                true => Cow::Owned(with_rows(text, &rows)),
                false => Cow::Borrowed(text.as_str()),
            };
            let digest = Sha256::digest(text.as_bytes()).into();
            given.push(Given { path, executable: false, digest, content: Content::Text(text) });
        }
        let is_plain = |file: &Given<'_>| path_fault(file.path).is_none() && !is_bytecode(file.path);
        let paths: BTreeSet<&str> = given.iter().map(|file| file.path).collect();
        let is_whole = is_dist_info_of(directory, package.name.as_deref())
            && is_file_name(&self.file_name)
            && is_file_of(&self.file_name, directory)
            && self.file_name.ends_with(ANY)
            && paths.len() == given.len()
            && given.iter().all(is_plain);
        is_whole.then_some(given)
    }

    /// The recipe in this text, or why it cannot be used.
    ///
    /// # Errors
    /// When it is damaged, belongs to another key, or is older than `max_age`.
    pub fn read(text: &str, key: &str, now: SystemTime, max_age: Duration) -> Result<Recipe, String> {
        let document = serde_json::from_str::<Document>(text).ok();
        let recipe = document
            .filter(|document| is_sha256(&document.digest) && document.digest == document.recipe.digest(key))
            .map(|document| document.recipe)
            .ok_or("it is not a recipe of this package")?;
        let built_at =
            UNIX_EPOCH.checked_add(Duration::from_secs(recipe.built_at)).ok_or("it has no time")?;
        match now.duration_since(built_at) {
            Ok(age) if age > max_age || max_age.is_zero() => {
                Err("it is so old that the build backend may have a new release (--resolve-max-age)".into())
            }
            Err(ahead) if ahead.duration() > CLOCK_SKEW => Err("it is from the future".into()),
            _ => Ok(recipe),
        }
    }

    /// Its text under a key, for [`Recipe::read`]; `None` if that is too long.
    pub fn text(&self, key: &str) -> Option<String> {
        let document = Document { digest: self.digest(key), recipe: self.clone() };
        serde_json::to_string(&document).ok().filter(|text| text.len() as u64 <= MOST_BYTES)
    }

    fn digest(&self, key: &str) -> String {
        // Lists, maps and strings can always be written as JSON.
        let recipe = serde_json::to_string(self).unwrap_or_default();
        hex(Sha256::digest(format!("{key}\n{recipe}\n")))
    }
}

/// The path that a file in `.dist-info` was copied from, or at least its end; other paths stay as they are.
fn copied_as(path: &str) -> &str {
    match path.split_once(".dist-info/") {
        // Licence files are directly there, or in `licenses/` (PEP 639).
        Some((_, inside)) => inside.strip_prefix("licenses/").unwrap_or(inside),
        None => path,
    }
}

fn is_generated(path: &str) -> bool {
    path.split_once(".dist-info/").is_some_and(|(_, inside)| GENERATED.contains(&inside))
}

/// What `path` has before `end`, if it ends so: nothing, or directories with a `/`.
fn below<'p>(path: &'p str, end: &str) -> Option<&'p str> {
    path.strip_suffix(end).filter(|below| below.is_empty() || below.ends_with('/'))
}

/// Whether a directory is `NAME-VERSION.dist-info` of a package.
fn is_dist_info_of(directory: &str, name: Option<&str>) -> bool {
    let stem = directory.strip_suffix(".dist-info").and_then(|stem| stem.split_once('-'));
    stem.is_some_and(|(own, _)| name.is_none_or(|name| normalized_name(own) == normalized_name(name)))
}

/// Whether a wheel's file name has the name and version of its `.dist-info` directory.
fn is_file_of(file_name: &str, directory: &str) -> bool {
    let stem = directory.strip_suffix(".dist-info").and_then(|stem| stem.split_once('-'));
    let mut parts = file_name.split('-');
    let own = parts.next().zip(parts.next());
    own.zip(stem).is_some_and(|((name, version), (other, of_other))| {
        normalized_name(name) == normalized_name(other) && version == of_other
    })
}

/// A row of `RECORD`, without line end. Source: "Recording installed projects" (PyPA).
fn row(path: &str, digest: &[u8], size_bytes: u64) -> String {
    format!("{path},sha256={},{size_bytes}", BASE64_URL_SAFE_NO_PAD.encode(digest))
}

fn row_path(row: &str) -> &str {
    row.split(',').next().unwrap_or(row)
}

/// A `RECORD` with the rows of files that are copied replaced.
fn with_rows(record: &str, rows: &BTreeMap<&str, String>) -> String {
    let replaced = |line: &str| {
        let row = line.trim_end_matches(['\n', '\r']);
        rows.get(row_path(row)).map_or_else(|| line.to_string(), |new| format!("{new}{}", &line[row.len()..]))
    };
    record.split_inclusive('\n').map(replaced).collect()
}

/// A member of a wheel.
struct Seen {
    path: String,
    executable: bool,
    digest: [u8; 32],
    /// If it is one, and short.
    text: Option<String>,
}

/// The members of a wheel that are shipped, as they are shipped ([`dist_info`]).
fn members(wheel: &Path) -> Result<Vec<Seen>, WheelError> {
    let archive = Archive::open(wheel)?;
    let mut replaced = dist_info::replaced(&archive)?;
    let mut reader = archive.reader()?;
    let mut members = Vec::new();
    for Member { name, executable, data } in
        archive.members().iter().filter(|member| !is_bytecode(&member.name))
    {
        let (mut bytes, mut digest) = (Vec::new(), Sha256::new());
        let mut take = |piece: &[u8]| {
            digest.update(piece);
            let rest = usize::try_from(MOST_BYTES + 1).unwrap_or(0).saturating_sub(bytes.len());
            bytes.extend_from_slice(&piece[..piece.len().min(rest)]);
        };
        match replaced.remove(name) {
            Some(None) => continue,
            Some(Some(text)) => take(&text),
            None => reader.content::<WheelError>(name, data, |piece| {
                take(piece);
                Ok(())
            })?,
        }
        let digest = digest.finalize().into();
        let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MOST_BYTES);
        members.push(Seen { path: name.clone(), executable: *executable, digest, text });
    }
    Ok(members)
}
