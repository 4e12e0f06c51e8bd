//! Source distributions and Git commits → wheels, built by uv with the target Python and stored in the cache.
//!
//! A built wheel is found again by its inputs: the archive's SHA-256 or the commit, the Python version, the type of
//! this machine and the build settings. `built/KEY` in the cache names the wheel, which is stored with the downloaded
//! ones.
//!
//! A wheel with compiled parts gets the tag `linux_ARCH`, which does not name the glibc it needs. It is used for the
//! target if Python and processor fit and [`super::compiled`] accepts its files.

use super::built_wheel::BuiltWheel;
use super::compiled;
use super::fetch_error::FetchError;
use super::fetch_job::{FetchedWheel, Job, check_identity, shown};
use super::git_source;
use super::package_settings::PackageSettings;
use crate::child_env::Purpose;
use crate::hex::hex;
use crate::net::download::{Stored, Wanted};
use crate::net::{Activity, Credentials, Silent};
use crate::resolve::{self, Artifact, Distribution, Download};
use crate::target::PythonVersion;
use crate::threads::lock;
use crate::tools::{BuildRequest, Process, Tools};
use crate::wheel::filename::normalized_name;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// Unpacks the archive `argv[1]` into the directory `argv[2]`, and refuses members outside of it. Where Python has no
/// extraction filter (before 3.8.17, 3.9.17, 3.10.12 and 3.11.4), links and special files are refused too.
const UNPACK: &str = "\
import os, shutil, sys, tarfile
archive, into = sys.argv[1:]
options = {}
if not archive.endswith('.zip'):
    if hasattr(tarfile, 'data_filter'):
        options = {'filter': 'data'}
    else:
        with tarfile.open(archive) as members:
            for member in members:
                inside = (os.path.normpath(os.path.join('/top', member.name)) + '/').startswith('/top/')
                if not inside or not (member.isreg() or member.isdir()):
                    sys.exit('it has the member %r, which this Python cannot unpack safely' % member.name)
shutil.unpack_archive(archive, into, **options)
";

/// A build that takes longer is reported while it runs.
const SLOW: Duration = Duration::from_secs(10);

/// Do `work`, and call `report` if it is not done after [`SLOW`].
fn and_when_slow<T>(report: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(SLOW) == Err(RecvTimeoutError::Timeout) {
                report();
            }
        });
        let result = work();
        // Wakes the thread at once, so that a fast build does not wait for its timeout.
        drop(done);
        result
    })
}

/// The message about a slow build, with the reason why no wheel is used.
fn slow_text(source: &Source<'_>, job: &Job<'_>) -> String {
    let name = &source.distribution.name;
    let refused = job.settings.no_binary.iter().any(|one| one == ":all:" || normalized_name(one) == *name);
    let why = match &source.distribution.artifact {
        Artifact::Git { .. } => "it comes from a repository".to_string(),
        _ if refused => "no-binary excludes its wheels".to_string(),
        _ => format!(
            "it has no wheel for Python {} on {}; a version with a wheel needs no build",
            job.target.python, job.target.platform
        ),
    };
    format!("Still building {name} from {} after {} seconds: {why}", shown(source.archive), SLOW.as_secs())
}

/// Builds wheels. Threads may share it; two that need the same wheel wait for one build.
pub(super) struct SourceBuilder<'a> {
    tools: &'a Tools,
    /// A lock for each key, held during the build.
    building: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

/// The source of a build.
struct Source<'s> {
    distribution: &'s Distribution,
    /// Its name in messages: file name or repository.
    archive: &'s str,
    /// Identifies its content: digest or commit.
    content: String,
    subdirectory: Option<&'s str>,
}

impl<'a> SourceBuilder<'a> {
    pub(super) fn new(tools: &'a Tools) -> SourceBuilder<'a> {
        SourceBuilder { tools, building: Mutex::default() }
    }

    /// The wheel of a source archive.
    pub(super) fn sdist(
        &self,
        job: &Job<'_>,
        distribution: &Distribution,
        download: &Download,
        subdirectory: Option<&str>,
    ) -> Result<FetchedWheel, FetchError> {
        // With a known digest, a wheel that was built before is found without downloading the archive.
        let known = download.sha256.as_deref().map(|digest| format!("sdist {}", digest.to_ascii_lowercase()));
        let source = |content| Source { distribution, archive: &download.file_name, content, subdirectory };
        if let Some(known) = known {
            let source = source(known);
            return self.built(job, &source, |scratch| {
                let archive = job.download(distribution, download)?;
                self.tree_of_archive(job.target.python, &archive.path, &source, scratch)
            });
        }
        let archive = job.download(distribution, download)?;
        let source = source(format!("sdist {}", archive.sha256));
        self.built(job, &source, |scratch| {
            self.tree_of_archive(job.target.python, &archive.path, &source, scratch)
        })
    }

    /// The wheel of a Git commit.
    pub(super) fn git(
        &self,
        job: &Job<'_>,
        distribution: &Distribution,
        url: &str,
        commit: &str,
        subdirectory: Option<&str>,
    ) -> Result<FetchedWheel, FetchError> {
        let source = Source { distribution, archive: url, content: format!("git {commit}"), subdirectory };
        self.built(job, &source, |scratch| {
            let tree = scratch.join("tree");
            git_source::check_out(self.tools.host(), url, commit, &tree).map_err(|error| {
                FetchError::Git { name: distribution.name.clone(), source: Box::new(error) }
            })?;
            source.directory(&tree)
        })
    }

    /// The wheel of `source` from the cache, or built from the tree or archive that `prepare` returns.
    fn built(
        &self,
        job: &Job<'_>,
        source: &Source<'_>,
        prepare: impl FnOnce(&Path) -> Result<PathBuf, FetchError>,
    ) -> Result<FetchedWheel, FetchError> {
        let key = key(source, job);
        let alone = Arc::clone(lock(&self.building).entry(key.clone()).or_default());
        let _alone = lock(&alone);
        if let Some(built) = BuiltWheel::recall(self.tools, &key)
            && let Some(stored) = job.downloader.find(&built.file_name, &built.sha256)?
        {
            return runnable(job, job.wheel(stored, &built.file_name, Some(source.archive))?);
        }
        job.progress.start(Activity::Build, &source.distribution.name, None);
        let slow = || self.tools.host().note(slow_text(source, job));
        let built = and_when_slow(slow, || self.build(job, source, prepare));
        job.progress.finish(&source.distribution.name);
        let (file_name, stored) = built?;
        let wheel = job.wheel(stored, &file_name, Some(source.archive))?;
        BuiltWheel { file_name, sha256: wheel.sha256.clone() }.keep(self.tools, &key);
        runnable(job, wheel)
    }

    fn build(
        &self,
        job: &Job<'_>,
        source: &Source<'_>,
        prepare: impl FnOnce(&Path) -> Result<PathBuf, FetchError>,
    ) -> Result<(String, Stored), FetchError> {
        let scratch = self.tools.cache().scratch("building")?;
        let tree = prepare(scratch.path())?;
        let python = self.tools.python(job.target.python)?;
        let failed = |error| FetchError::Build {
            name: source.distribution.name.clone(),
            archive: shown(source.archive),
            source: Box::new(error),
        };
        let uv = self.tools.uv()?;
        let own = PackageSettings::for_package(job.settings, Some(&source.distribution.name));
        let visible = own
            .visible(&python, Some(job.resolution), job.settings, &scratch.path().join("visible"), uv)
            .map_err(failed)?;
        let request = BuildRequest {
            source: &tree,
            out_dir: &scratch.path().join("wheel"),
            python: &python,
            config_settings: &own.config_settings,
            variables: &own.variables,
            visible: &visible,
            build_constraints: &job.settings.build_constraints,
            index: &resolve::index_settings(job.settings),
        };
        let wheel = uv.build_wheel(&request).map_err(failed)?;
        let file_name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check_identity(source.distribution, &file_name, source.archive)?;
        self.tools.host().detail(format!("built `{file_name}` from `{}`", shown(source.archive)));
        Ok((file_name.clone(), keep(job, &wheel, &file_name)?))
    }

    /// The archive itself, which uv unpacks; or for a package in a subdirectory, the unpacked subdirectory.
    fn tree_of_archive(
        &self,
        python: PythonVersion,
        archive: &Path,
        source: &Source<'_>,
        scratch: &Path,
    ) -> Result<PathBuf, FetchError> {
        if source.subdirectory.is_none() {
            return Ok(archive.to_path_buf());
        }
        let tree = scratch.join("tree");
        let host = self.tools.host();
        Process::new(host, Purpose::Own, self.tools.python(python)?)
            // `-I`: neither the working directory nor PYTHONPATH may add modules to this script.
            .args(["-I", "-c", UNPACK])
            .arg(archive)
            .arg(&tree)
            .run(host)
            .map_err(|error| FetchError::Unpack {
                archive: shown(source.archive),
                source: Box::new(error),
            })?;
        source.directory(&only_directory(&tree).unwrap_or(tree))
    }
}

/// A wheel that was built here, after checking its compiled files. A wheel from the cache is checked too: it may have
/// been built for another target.
fn runnable(job: &Job<'_>, wheel: FetchedWheel) -> Result<FetchedWheel, FetchError> {
    compiled::check(&wheel.path, &wheel.file_name, job.target)?;
    Ok(wheel)
}

impl Source<'_> {
    /// The directory of the package in an unpacked tree.
    fn directory(&self, tree: &Path) -> Result<PathBuf, FetchError> {
        let Some(subdirectory) = self.subdirectory else { return Ok(tree.to_path_buf()) };
        let missing = || FetchError::Subdirectory {
            name: self.distribution.name.clone(),
            archive: shown(self.archive),
            subdirectory: subdirectory.to_string(),
        };
        // Compare real paths: a link in the archive could lead out of the tree.
        let top = tree.canonicalize().map_err(|_| missing())?;
        let inside = top.join(subdirectory).canonicalize().map_err(|_| missing())?;
        if inside.is_dir() && inside.starts_with(&top) { Ok(inside) } else { Err(missing()) }
    }
}

/// The only entry of a directory, if it is a directory: source archives have one at the top.
fn only_directory(tree: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(tree).ok()?.flatten();
    let only = entries.next()?.path();
    (entries.next().is_none() && only.is_dir()).then_some(only)
}

/// Cache key of the wheel that would be built.
fn key(source: &Source<'_>, job: &Job<'_>) -> String {
    let machine = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let own = PackageSettings::for_package(job.settings, Some(&source.distribution.name));
    // Raise the number when the same inputs would make another wheel.
    let mut text = format!("pexpress build 1\n{}\n{}\n{machine}\n", source.content, job.target.python);
    for part in [
        source.subdirectory.map(String::from).into_iter().collect::<Vec<_>>(),
        job.settings.build_constraints.clone(),
        own.config_settings.clone(),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{part:?}");
    }
    if !own.is_default() {
        let _ = writeln!(text, "{}", own.key(job.resolution));
    }
    hex(Sha256::digest(text))
}

/// Store a built wheel with the downloaded ones.
fn keep(job: &Job<'_>, wheel: &Path, file_name: &str) -> Result<Stored, FetchError> {
    let url = Url::from_file_path(wheel).map(String::from).unwrap_or_default();
    let wanted = Wanted { file_name, url: &url, sha256: None, size_bytes: None };
    Ok(job.downloader.get(&wanted, &Credentials::default(), &Silent)?)
}
