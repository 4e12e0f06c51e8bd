//! Local packages → the files that they put at the top of the source PEX.
//!
//! Each is built to a wheel by its own backend (`setup.py` by setuptools), never inside the user's tree; the wheel's
//! members are then taken as they are. Wheels of packages whose build looks at nothing but their files are kept
//! ([`super::self_contained`]).

use super::BuildError;
use super::self_contained;
use crate::cache::CacheError;
use crate::pex::{Content, SourceEntry};
use crate::project::{LocalPackage, PackageBuild, ResolveSettings};
use crate::resolve;
use crate::target::PythonVersion;
use crate::tools::{BuildRequest, Tools};
use crate::wheel::{Archive, Member};
use std::path::{Path, PathBuf};

/// Where kept wheels are, below the cache directory.
const KEPT: &str = "local-packages";

/// Build one local package; `None` if it has nothing to build.
///
/// `scratch` receives a wheel that is not kept. The wheel's path stays valid as long as the longer-lived of the two.
///
/// # Errors
/// When the backend fails or its requirements cannot be had.
pub fn wheel(
    package: &LocalPackage,
    python: PythonVersion,
    settings: &ResolveSettings,
    scratch: &Path,
    tools: &Tools,
) -> Result<Option<PathBuf>, BuildError> {
    let kept = match &package.build {
        PackageBuild::None => return Ok(None),
        PackageBuild::SetupPy { .. } => None,
        PackageBuild::Backend { backend } => self_contained::digest(&package.directory, backend, python)
            .map_err(|source| BuildError::Read { path: package.directory.clone(), source })?,
    };
    let Some(digest) = kept else {
        return build(package, python, settings, scratch, tools).map(Some);
    };
    let directory = tools.cache().root().join(KEPT).join(digest);
    if let Some(wheel) = complete_wheel(&directory) {
        tools.host().detail(format!("`{}` is unchanged since it was built", package.directory.display()));
        return Ok(Some(wheel));
    }
    // Built elsewhere in the cache, so that what a killed run leaves is found again.
    let building = tools.cache().scratch("building")?;
    let built = build(package, python, settings, building.path(), tools)?;
    let wheel = directory.join(built.file_name().unwrap_or_default());
    let renamed = std::fs::create_dir_all(&directory).and_then(|()| std::fs::rename(&built, &wheel));
    renamed.map_err(|source| CacheError { action: "write", path: wheel.clone(), source })?;
    Ok(Some(wheel))
}

fn build(
    package: &LocalPackage,
    python: PythonVersion,
    settings: &ResolveSettings,
    out_dir: &Path,
    tools: &Tools,
) -> Result<PathBuf, BuildError> {
    let interpreter = tools.python(python)?;
    let request = BuildRequest {
        source: &package.directory,
        out_dir,
        python: &interpreter,
        config_settings: &[],
        build_constraints: &settings.build_constraints,
        index: &resolve::index_settings(settings),
    };
    let built = tools.uv()?.build_wheel(&request);
    built.map_err(|source| BuildError::LocalPackage {
        directory: package.directory.clone(),
        source: Box::new(source),
    })
}

/// The one wheel in a directory of kept wheels, if it can be read.
fn complete_wheel(directory: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let wheel = entries.find(|path| path.extension().is_some_and(|extension| extension == "whl"))?;
    Archive::open(&wheel).is_ok().then_some(wheel)
}

/// The members of a wheel as they lie at the top of a source PEX.
///
/// `X.data/purelib`, `platlib` and `data` fold into the top as `pip install --target` has it; scripts and headers have
/// no use there and are left out.
///
/// # Errors
/// When the wheel cannot be read.
pub fn entries(wheel: &Path) -> Result<Vec<SourceEntry>, BuildError> {
    let archive = Archive::open(wheel)?;
    let dist_info = archive.members().iter().find_map(|member| member.name.split_once(".dist-info/"));
    let data_directory = dist_info.map(|(stem, _)| format!("{stem}.data/")).unwrap_or_default();
    let entry = |member: &Member| {
        let path = match member.name.strip_prefix(&data_directory).filter(|_| !data_directory.is_empty()) {
            Some(rest) => match rest.split_once('/')? {
                ("purelib" | "platlib" | "data", path) => path.to_string(),
                _ => return None,
            },
            None => member.name.clone(),
        };
        (!crate::pex::is_bytecode(&path)).then(|| SourceEntry {
            path: path.clone(),
            executable: member.executable,
            content: Content::Member { wheel: wheel.to_path_buf(), member: member.clone() },
        })
    };
    Ok(archive.members().iter().filter_map(entry).collect())
}
