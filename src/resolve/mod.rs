//! Requirements → the exact wheels and source distributions, by uv's resolver or by a lock file.

mod advice;
mod behind;
mod error;
mod foreseen;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod libraries;
pub mod machine;
mod markers;
mod memo;
mod mentioned;
mod offered;
mod old_picks;
mod pylock;
mod releases;
mod select;
mod settle;
#[cfg(test)]
pub mod testing;
mod written;

pub use behind::{Behind, behind};
pub use error::ResolveError;
pub use foreseen::{Refusal, foresee};
pub use old_picks::{Allowed, OldPick, old_picks};
pub use written::dependencies_file;

use crate::error::{Explain, Fault};
use crate::hex::hex;
use crate::project::{LockContent, Requirements, ResolveSettings};
use crate::target::Target;
use crate::tools::uv_compile::{CompileRequest, IndexSettings, NamedIndex};
use crate::tools::{Tools, Uv, UvError};
use memo::Memo;
use mentioned::Mentioned;
use pylock::Pylock;
use select::Choice;
use serde::{Deserialize, Serialize};
use settle::Settling;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The exact distributions of a deps PEX.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// Sorted by name; one per name.
    pub distributions: Vec<Distribution>,
}

/// One distribution at one version, and where to get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Normalised name.
    pub name: String,
    /// Version, if known before it is built.
    pub version: Option<String>,
    /// Its file.
    pub artifact: Artifact,
}

/// The file of a distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Artifact {
    /// A wheel at a URL or path.
    Wheel(Download),
    /// A source archive at a URL or path; built by uv with the target Python.
    Sdist {
        /// The archive.
        #[serde(flatten)]
        download: Download,
        /// Directory of the package in it, if not the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A commit of a Git repository, built the same way.
    Git {
        /// Repository URL.
        url: String,
        /// Full commit id.
        commit: String,
        /// Directory in it, if not the top.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Download {
    /// File name from the index.
    pub file_name: String,
    /// `https:`, `http:` or `file:` URL.
    pub url: String,
    /// Lower-case hex SHA-256; `None` only for a URL that the user wrote without one.
    pub sha256: Option<String>,
    /// Size, if the index has it.
    pub size_bytes: Option<u64>,
}

/// Find the exact files for the requirement set of `directory`: from its lock file if that covers everything, otherwise
/// with uv.
///
/// # Errors
/// When no set of versions satisfies the requirements, a package has no file for the target, or Dagster's packages are
/// missing or of different releases.
pub fn run(
    requirements: &Requirements,
    directory: &Path,
    target: Target,
    tools: &Tools,
) -> Result<Resolution, ResolveError> {
    let first = match &requirements.lock {
        Some(lock) if let LockContent::Pylock { text, complete: true } = &lock.content => {
            choose(text, &lock.file, requirements, target)
        }
        lock => find(&request(requirements, target), requirements, target, tools).map_err(|error| {
            match (lock, error) {
                // With a lock the remedy is to lock again, which uv's own message does not know.
                (Some(lock), ResolveError::Uv(source)) if source.fault() == Fault::Project => {
                    let mentioned = source.process().map(|error| Mentioned::in_error(error, requirements));
                    let mentioned = mentioned.unwrap_or_default();
                    ResolveError::Lock {
                        file: lock.file.clone(),
                        remedy: lock.remedy.clone(),
                        mentioned,
                        source,
                    }
                }
                (_, error) => error,
            }
        }),
    };
    let settled = Settling { requirements, directory, target, tools }.settle(first);
    settled.map_err(|error| match error {
        ResolveError::Uv(UvError::Project { source, .. }) => {
            ResolveError::Unsolvable { mentioned: Mentioned::in_error(&source, requirements), source }
        }
        error => error,
    })
}

/// The exact files that a lock file has decided, as far as it alone tells: [`run`] may still correct or refuse them.
/// `None` if uv has to be asked.
pub fn decided(requirements: &Requirements, target: Target) -> Option<Resolution> {
    let lock = requirements.lock.as_ref()?;
    match &lock.content {
        LockContent::Pylock { text, complete: true } => choose(text, &lock.file, requirements, target).ok(),
        LockContent::Pylock { .. } | LockContent::Constraints => None,
    }
}

/// uv's answer as exact files.
fn find(
    request: &CompileRequest,
    requirements: &Requirements,
    target: Target,
    tools: &Tools,
) -> Result<Resolution, ResolveError> {
    let text = compile(request, tools.uv()?, tools)?;
    choose(&text, Path::new("/uv/pylock.toml"), requirements, target)
}

/// The files in a lock.
fn choose(
    text: &str,
    file: &Path,
    requirements: &Requirements,
    target: Target,
) -> Result<Resolution, ResolveError> {
    let choice = Choice {
        target,
        lock: file,
        no_binary: &requirements.settings.no_binary,
        only_binary: &requirements.settings.only_binary,
        hashes: &requirements.hashes,
    };
    choice.all(&Pylock::parse(text, file)?)
}

/// uv's answer, or its last one while that is valid.
///
/// # Errors
/// Those of uv.
fn compile(request: &CompileRequest, uv: &Uv, tools: &Tools) -> Result<String, UvError> {
    let memo = Memo::for_request(request, uv, tools);
    if let Some(text) = memo.as_ref().and_then(|memo| memo.recall(tools.host())) {
        tools.host().detail("resolved less than ten minutes ago; reusing uv's answer");
        return Ok(text);
    }
    let text = uv.compile(request)?;
    if let Some(Err(error)) = memo.map(|memo| memo.keep(&text)) {
        // Harmless: the next run asks uv again.
        tools.host().detail(error.to_string());
    }
    Ok(text)
}

/// The requirement set as a request to uv.
fn request(requirements: &Requirements, target: Target) -> CompileRequest {
    let settings: ResolveSettings = requirements.settings.clone();
    let lines = requirements.lines.iter().map(|line| (line.name.is_some(), line.text.clone()));
    let local = requirements.local_distributions.iter().map(|file| (file.name.is_some(), file.line()));
    // uv reads URLs and paths without a name only from a requirements file.
    let (named, unnamed): (Vec<_>, Vec<_>) = lines.chain(local).partition(|(is_named, _)| *is_named);
    let texts = |lines: Vec<(bool, String)>| lines.into_iter().map(|(_, text)| text).collect();
    let index = index_settings(&settings);
    CompileRequest {
        requirements: texts(named),
        unnamed: texts(unnamed),
        target,
        python: None,
        constraints: settings.constraints,
        overrides: settings.overrides,
        build_constraints: settings.build_constraints,
        excludes: settings.excludes,
        index,
        index_pins: settings.index_pins,
        no_binary: settings.no_binary,
        only_binary: settings.only_binary,
        prerelease: settings.prerelease,
        exclude_newer: settings.exclude_newer,
        resolution: settings.resolution,
        no_dependencies: false,
        refresh: false,
        uv: settings.uv,
    }
}

/// The package sources as a request to uv.
pub fn index_settings(settings: &ResolveSettings) -> IndexSettings {
    let index = |index: &crate::project::Index| NamedIndex {
        name: index.name.clone(),
        url: index.url.clone(),
        explicit: index.explicit,
    };
    IndexSettings {
        default_index: settings.default_index.clone(),
        default_index_name: settings.default_index_name.clone(),
        indexes: settings.indexes.iter().map(index).collect(),
        find_links: settings.find_links.clone(),
        no_index: settings.no_index,
        index_strategy: settings.index_strategy.clone(),
    }
}

impl Resolution {
    /// Version of a distribution in it, by normalised name.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        self.distributions.iter().find(|distribution| distribution.name == name)?.version.as_deref()
    }

    /// A name for this exact set of files and target: lower-case hex SHA-256 of all digests.
    ///
    /// Equal for equal content from any index or mirror. Wheels built from source count by their source.
    pub fn digest(&self, target: Target) -> String {
        let mut digest = Sha256::new();
        // Part of every deps cache entry's name: raise the number when the text below changes.
        digest.update(format!("pexpress resolution 1\n{} {}\n", target.python, target.platform));
        for Distribution { name, version, artifact } in &self.distributions {
            let content = match artifact {
                Artifact::Wheel(download) => format!("wheel {}", content_of(download)),
                Artifact::Sdist { download, subdirectory } => {
                    format!("sdist {} {subdirectory:?}", content_of(download))
                }
                Artifact::Git { url, commit, subdirectory } => format!("git {url} {commit} {subdirectory:?}"),
            };
            digest.update(format!("{name} {} {content}\n", version.as_deref().unwrap_or_default()));
        }
        hex(digest.finalize())
    }
}

fn content_of(download: &Download) -> String {
    download
        .sha256
        .as_ref()
        .map_or_else(|| format!("at {}", download.url), |digest| format!("sha256 {digest}"))
}

#[cfg(test)]
mod tests {
    use super::testing::resolution_with;
    use super::*;
    use crate::project::{LocalDistribution, RequirementLine};

    #[test]
    fn requirements_without_a_name_are_passed_to_uv_unchanged() {
        let line = |text: &str, name: Option<&str>| RequirementLine {
            text: text.into(),
            name: name.map(String::from),
            is_link: name.is_none(),
            places: Vec::new(),
        };
        let file = |path: &str, name: Option<&str>| LocalDistribution {
            path: path.into(),
            name: name.map(String::from),
            extras: vec!["x".into()],
        };
        let requirements = Requirements {
            lines: vec![line("six>=1 ; os_name == 'a@b'", Some("six")), line("git+https://h/r@v1", None)],
            local_distributions: vec![file("/w/a-1.whl", Some("a")), file("/w/b.zip", None)],
            ..Requirements::default()
        };
        let request = request(&requirements, Target::serverless("3.11".parse().unwrap()));
        assert_eq!(request.requirements, ["six>=1 ; os_name == 'a@b'", "a[x] @ file:///w/a-1.whl"]);
        assert_eq!(request.unnamed, ["git+https://h/r@v1", "/w/b.zip[x]"]);
    }

    #[test]
    fn the_digest_follows_content_and_target_not_the_address() {
        let target = Target::serverless("3.11".parse().unwrap());
        let plain = resolution_with("a 1");
        let mut mirrored = resolution_with("a 1");
        let mut changed = resolution_with("a 1");
        let Artifact::Wheel(download) = &mut mirrored.distributions[0].artifact else { panic!() };
        download.url = "https://mirror.example/a".into();
        let Artifact::Wheel(download) = &mut changed.distributions[0].artifact else { panic!() };
        download.sha256 = Some("01".into());
        assert_eq!(plain.digest(target), mirrored.digest(target));
        assert_ne!(plain.digest(target), changed.digest(target));
        assert_ne!(plain.digest(target), plain.digest(Target::serverless("3.12".parse().unwrap())));
    }
}
