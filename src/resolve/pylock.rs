//! Reads `pylock.toml` documents: uv's answers, exports of `uv.lock`, and the user's own lock files.
//!
//! Source: PEP 751 and its living text, the PyPA specification "pylock.toml". Only the keys needed to choose files are
//! read. Unknown keys are ignored; an unknown major version is an error.

use super::{Download, ResolveError};
use crate::cache;
use crate::paths::lexically_normal;
use crate::wheel::WheelName;
use crate::wheel::filename::normalized_name;
use pep440_rs::Version;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

/// The parts of a lock that we read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pylock {
    lock_version: String,
    /// Python versions that the lock is for.
    pub requires_python: Option<String>,
    /// Packages. Several with one name are for different environments.
    #[serde(default)]
    pub packages: Vec<Package>,
}

/// One package of a lock.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Normalised name.
    pub name: String,
    /// Version; `None` for sources without a version before they are built.
    pub version: Option<String>,
    /// Environments that it is for.
    pub marker: Option<String>,
    /// Python versions that it is for.
    pub requires_python: Option<String>,
    /// A commit of a repository.
    pub vcs: Option<Vcs>,
    /// A local directory. Only its presence matters here.
    pub directory: Option<toml::Value>,
    /// A file given by URL or path.
    pub archive: Option<File>,
    /// The source distribution on an index.
    pub sdist: Option<File>,
    /// The wheels on an index.
    #[serde(default)]
    pub wheels: Vec<File>,
}

/// A commit of a repository.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vcs {
    /// `git`, `hg` …
    pub r#type: String,
    /// Repository address.
    pub url: Option<String>,
    /// Repository in a local directory.
    pub path: Option<String>,
    /// Full commit id.
    pub commit_id: String,
    /// Directory of the package in the repository.
    pub subdirectory: Option<String>,
}

/// A wheel or source archive.
#[derive(Debug, Deserialize)]
pub struct File {
    /// File name, if it is not the last part of the URL.
    pub name: Option<String>,
    /// Address.
    pub url: Option<String>,
    /// Path relative to the lock file.
    pub path: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Lower-case algorithm name → hex digest.
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
    /// Directory of the package in a source archive.
    pub subdirectory: Option<String>,
}

impl Pylock {
    /// Read a document. `origin` is its name in errors.
    ///
    /// # Errors
    /// When it is not a TOML file of this form, or has a lock version other than 1.
    pub fn parse(text: &str, origin: &Path) -> Result<Pylock, ResolveError> {
        let lock: Pylock = toml::from_str(text).map_err(|source| ResolveError::Pylock {
            file: origin.to_path_buf(),
            source: Box::new(source),
        })?;
        // PEP 751: a minor version only adds keys, which readers may ignore.
        let major = lock.lock_version.split('.').next().unwrap_or_default();
        if major != "1" {
            return Err(ResolveError::PylockVersion {
                file: origin.to_path_buf(),
                version: lock.lock_version,
            });
        }
        lock.packages.iter().try_for_each(|package| package.check_files(origin))?;
        Ok(lock)
    }
}

impl Package {
    /// File names and digests become paths in the cache, so refuse those that would lead out of it.
    fn check_files(&self, origin: &Path) -> Result<(), ResolveError> {
        let files = self.archive.iter().chain(&self.sdist).chain(&self.wheels);
        for Download { file_name, sha256, .. } in files.filter_map(|file| file.download(Path::new("/"))) {
            let refuse = |problem: &str| ResolveError::BadFile {
                file: origin.to_path_buf(),
                name: self.name.clone(),
                problem: problem.to_string(),
            };
            if !cache::is_file_name(&file_name) {
                return Err(refuse(&format!(
                    "called `{}`, which is not a file name",
                    file_name.escape_debug()
                )));
            }
            if sha256.is_some_and(|digest| !cache::is_sha256(&digest)) {
                return Err(refuse(&format!(
                    "`{file_name}` with a SHA-256 that is not 64 hexadecimal digits"
                )));
            }
            if let Ok(wheel) = file_name.parse::<WheelName>()
                && !self.is_of(&wheel)
            {
                let whole = self.version.as_deref().unwrap_or_default();
                return Err(refuse(&format!(
                    "that is of another package or version: `{file_name}`, and it is {whole}"
                )));
            }
        }
        Ok(())
    }

    /// Whether a wheel has the name and version of the package. The version of the package may lack the local part.
    fn is_of(&self, wheel: &WheelName) -> bool {
        let version = self.version.as_deref().and_then(|version| Version::from_str(version).ok());
        let own = wheel.version();
        wheel.name() == normalized_name(&self.name)
            && version.is_none_or(|version| *own == version || own.clone().without_local() == version)
    }
}

impl File {
    /// The file name in the URL if it names the same wheel as `name`: `uv export` writes `github3_py-…` for a file that
    /// the index calls `github3.py-…`, and a file must have the same name with and without a lock.
    fn file_name(&self, url: &str) -> Option<String> {
        let from_url = file_name_in(url);
        let key = |name: &str| {
            let wheel: WheelName = name.parse().ok()?;
            let tags: Vec<String> = wheel.tags().map(|tag| format!("{tag:?}")).collect();
            Some((wheel.name(), wheel.version().clone(), tags))
        };
        let is_same = |name: &String| {
            let given = self.name.as_deref().and_then(key);
            given.is_some() && given == key(name)
        };
        from_url.clone().filter(is_same).or_else(|| self.name.clone()).or(from_url)
    }

    /// The file to download, with paths relative to `base` (the directory of the lock).
    ///
    /// `None` when it has neither a name nor a URL.
    pub fn download(&self, base: &Path) -> Option<Download> {
        let url = match (&self.url, &self.path) {
            // PEP 751 allows both. The URL works on every machine, a path may not.
            (Some(url), _) => url.clone(),
            (None, Some(path)) => file_url(&lexically_normal(&base.join(path))),
            (None, None) => return None,
        };
        let file_name = self.file_name(&url)?;
        let sha256 = self.hashes.get("sha256").map(|digest| digest.to_ascii_lowercase());
        Some(Download { file_name, url, sha256, size_bytes: self.size })
    }
}

/// A `file:` URL for an absolute path.
fn file_url(path: &Path) -> String {
    url::Url::from_file_path(path).map_or_else(|()| path.to_string_lossy().into_owned(), String::from)
}

/// The decoded last path segment of a URL.
fn file_name_in(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let segment = url.path_segments()?.next_back()?;
    let name = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?.into_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_come_from_name_then_address() {
        let file = |name: Option<&str>, url: &str| File {
            name: name.map(String::from),
            url: Some(url.into()),
            path: None,
            size: None,
            hashes: BTreeMap::new(),
            subdirectory: None,
        };
        for (name, url, want) in [
            (
                None,
                "https://e.example/a/b%2B1-1.0-py3-none-any.whl#sha256=0",
                Some("b+1-1.0-py3-none-any.whl"),
            ),
            (Some("n.whl"), "https://e.example/x", Some("n.whl")),
            (
                Some("github3_py-4.0-py3-none-any.whl"),
                "https://e.example/github3.py-4.0-py3-none-any.whl",
                Some("github3.py-4.0-py3-none-any.whl"),
            ),
            (
                Some("a-1-py3-none-any.whl"),
                "https://e.example/b-1-py3-none-any.whl",
                Some("a-1-py3-none-any.whl"),
            ),
            (None, "https://e.example/", None),
        ] {
            let got = file(name, url).download(Path::new("/p")).map(|download| download.file_name);
            assert_eq!(got.as_deref(), want, "{url}");
        }
    }

    #[test]
    fn a_wheel_is_of_the_package_and_version_that_lists_it() {
        let digest = "ab".repeat(32);
        for (name, version, file, is_right) in [
            ("six", "1.17.0", "six-1.17.0-py2.py3-none-any.whl", true),
            ("zope-event", "5.0", "zope.event-5.0.0-py3-none-any.whl", true),
            ("torch", "2.3.1", "torch-2.3.1+cpu-cp311-cp311-linux_x86_64.whl", true),
            ("torch", "2.3.1+cpu", "torch-2.3.1+cpu-cp311-cp311-linux_x86_64.whl", true),
            ("six", "1.17.0", "six-1.16.0-py2.py3-none-any.whl", false),
            ("torch", "2.3.1+cu121", "torch-2.3.1+cpu-cp311-cp311-linux_x86_64.whl", false),
            ("six", "1.17.0", "seven-1.17.0-py2.py3-none-any.whl", false),
        ] {
            let text = format!(
                "lock-version = '1.0'\n[[packages]]\nname = '{name}'\nversion = '{version}'\n\
                 wheels = [{{ name = '{file}', url = 'https://e.example/{file}', hashes = {{ sha256 = '{digest}' }} }}]"
            );
            let read = Pylock::parse(&text, Path::new("pylock.toml"));
            assert_eq!(read.is_ok(), is_right, "{name} {version} {file}: {read:?}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_lock() {
        let text = format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\narchive = {{ path = '../w/a b.whl', hashes = {{ sha256 = '{}' }} }}",
            "AB".repeat(32)
        );
        let lock = Pylock::parse(&text, Path::new("/p/pylock.toml")).unwrap();
        let download = lock.packages[0].archive.as_ref().unwrap().download(Path::new("/p/q")).unwrap();
        assert_eq!(
            (download.url.as_str(), download.file_name.as_str()),
            ("file:///p/w/a%20b.whl", "a b.whl")
        );
        assert_eq!(download.sha256, Some("ab".repeat(32)));
    }

    #[test]
    fn names_and_digests_that_would_lead_out_of_the_cache_are_refused() {
        for file in [
            "name = '../../x.whl', url = 'https://e.example/x.whl'",
            "name = '/etc/x.whl', url = 'https://e.example/x.whl'",
            "name = '..', url = 'https://e.example/x.whl'",
            "url = 'https://e.example/a%2F..%2F..%2Fx.tar.gz'",
            "url = 'https://e.example/x.whl', hashes = { sha256 = '../../../../home/me/thesis' }",
            "url = 'https://e.example/x.whl', hashes = { sha256 = 'aé' }",
        ] {
            for field in ["archive = {FILE}", "sdist = {FILE}", "wheels = [{FILE}]"] {
                let field = field.replace("FILE", file);
                let text = format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\n{field}");
                let message = Pylock::parse(&text, Path::new("/p/pylock.toml")).unwrap_err().to_string();
                assert!(message.starts_with("`/p/pylock.toml` lists a file of `a`"), "{message}");
            }
        }
    }

    #[test]
    fn another_major_version_is_refused() {
        let error = Pylock::parse("lock-version = '2.0'", Path::new("pylock.toml")).unwrap_err();
        assert!(error.to_string().contains("`2.0`"), "{error}");
    }
}
