//! Local packages → their files at the top of the source PEX.
//!
//! Each is built to a wheel by its own backend (`setup.py` by setuptools), never inside the user's directory. The
//! wheel's members are then copied. If a build reads only the package's own files ([`super::self_contained`]), its
//! wheel is stored with the downloaded ones, and `built/DIGEST` in the cache names it.

use super::BuildError;
use super::built_wheel::BuiltWheel;
use super::dist_info;
use super::package_settings::PackageSettings;
use super::self_contained;
use crate::cache::CacheError;
use crate::net::download::sha256_of_file;
use crate::pex::{Content, SourceEntry};
use crate::project::{LocalPackage, PackageBuild, ResolveSettings};
use crate::resolve;
use crate::target::PythonVersion;
use crate::tools::{BuildRequest, Tools};
use crate::wheel::filename::normalized_name;
use crate::wheel::{Archive, Member, WheelName};
use std::path::{Path, PathBuf};

/// Build one local package; `None` if it has nothing to build.
///
/// A wheel that is not cached goes to `scratch`. So the returned path is valid as long as `scratch`.
///
/// # Errors
/// When the backend fails or its requirements cannot be installed.
pub fn wheel(
    package: &LocalPackage,
    python: PythonVersion,
    settings: &ResolveSettings,
    scratch: &Path,
    tools: &Tools,
) -> Result<Option<PathBuf>, BuildError> {
    let has_settings = !PackageSettings::for_package(settings, package.name.as_deref()).is_default();
    let read = match &package.build {
        // Build settings may name files and variables outside the package.
        PackageBuild::Backend { .. } if has_settings => None,
        PackageBuild::None => return Ok(None),
        PackageBuild::SetupPy { .. } => None,
        PackageBuild::Backend { backend } => self_contained::read(package, backend, python, settings, tools),
    };
    let Some(read) = read else {
        return build(package, python, settings, scratch, tools).map(Some);
    };
    if let Some(wheel) = whole(package, tools, &read.key) {
        tools.host().detail(format!("`{}` is unchanged since it was built", package.directory.display()));
        return Ok(Some(wheel));
    }
    // Built inside the cache, where leftovers of killed runs are swept, and on the same file system for the rename.
    let building = tools.cache().scratch("building")?;
    let built = build(package, python, settings, building.path(), tools)?;
    // A wheel with a file that was not read must not be reused: a change of that file would go unnoticed.
    if is_of(package, &built) && read.made(&built)? {
        return keep(&built, &read.key, tools).map(Some);
    }
    let fail = |source| BuildError::Temporary { directory: scratch.to_path_buf(), source };
    std::fs::create_dir_all(scratch).map_err(fail)?;
    let wheel = scratch.join(built.file_name().unwrap_or_default());
    // The build directory in the cache is removed at the end of this function.
    std::fs::copy(&built, &wheel).map_err(fail)?;
    Ok(Some(wheel))
}

/// The recorded wheel, if it exists, is undamaged and belongs to this package.
fn whole(package: &LocalPackage, tools: &Tools, key: &str) -> Option<PathBuf> {
    let built = BuiltWheel::recall(tools, key)?;
    let path = tools.cache().wheel_path(&built.sha256, &built.file_name);
    let is_whole = sha256_of_file(&path).ok()? == built.sha256;
    (is_whole && is_of(package, &path)).then_some(path)
}

/// Whether a wheel has the name of its package.
fn is_of(package: &LocalPackage, wheel: &Path) -> bool {
    let file_name = wheel.file_name().unwrap_or_default().to_string_lossy();
    match (&package.name, file_name.parse::<WheelName>()) {
        (Some(name), Ok(wheel)) => wheel.name() == normalized_name(name),
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    }
}

/// Store a wheel with the others, and record it.
fn keep(wheel: &Path, key: &str, tools: &Tools) -> Result<PathBuf, BuildError> {
    let fail = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| CacheError { action, path, source }
    };
    let file_name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256 = sha256_of_file(wheel).map_err(fail("read", wheel))?;
    let path = tools.cache().wheel_path(&sha256, &file_name);
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fail("create", directory))?;
    std::fs::rename(wheel, &path).map_err(fail("rename", &path))?;
    BuiltWheel { file_name, sha256 }.keep(tools, key);
    Ok(path)
}

fn build(
    package: &LocalPackage,
    python: PythonVersion,
    settings: &ResolveSettings,
    out_dir: &Path,
    tools: &Tools,
) -> Result<PathBuf, BuildError> {
    let interpreter = tools.python(python)?;
    let failed =
        |source| BuildError::LocalPackage { directory: package.directory.clone(), source: Box::new(source) };
    let uv = tools.uv()?;
    let own = PackageSettings::for_package(settings, package.name.as_deref());
    let scratch = tools.cache().scratch("building")?;
    let visible = own.visible(&interpreter, None, settings, scratch.path(), uv).map_err(failed)?;
    let request = BuildRequest {
        source: &package.directory,
        out_dir,
        python: &interpreter,
        config_settings: &own.config_settings,
        variables: &own.variables,
        visible: &visible,
        build_constraints: &settings.build_constraints,
        index: &resolve::index_settings(settings),
    };
    uv.build_wheel(&request).map_err(failed)
}

/// The members of a wheel, with their paths at the top of a source PEX.
///
/// `X.data/purelib`, `platlib` and `data` go to the top, as with `pip install --target`. Scripts and headers have no
/// use there and are left out, as is everything that differs between machines ([`super::dist_info`]).
///
/// # Errors
/// When the wheel cannot be read.
pub fn entries(wheel: &Path) -> Result<Vec<SourceEntry>, BuildError> {
    let archive = Archive::open(wheel)?;
    let mut replaced = dist_info::replaced(&archive)?;
    let dist_info = archive.members().iter().find_map(|member| member.name.split_once(".dist-info/"));
    let data_directory = dist_info.map(|(stem, _)| format!("{stem}.data/")).unwrap_or_default();
    let mut entry = |member: &Member| {
        let own = Content::Member { wheel: wheel.to_path_buf(), member: member.clone() };
        let content = match replaced.remove(&member.name) {
            None => own,
            Some(content) => Content::Bytes(content?),
        };
        let path = match member.name.strip_prefix(&data_directory).filter(|_| !data_directory.is_empty()) {
            Some(rest) => match rest.split_once('/')? {
                // Scripts and headers are not needed at run time.
                ("purelib" | "platlib" | "data", path) => path.to_string(),
                _ => return None,
            },
            None => member.name.clone(),
        };
        let is_shipped = !crate::pex::is_bytecode(&path);
        is_shipped.then_some(SourceEntry { path, executable: member.executable, content })
    };
    Ok(archive.members().iter().filter_map(&mut entry).collect())
}
