//! Local packages → the files that they put at the top of the source PEX.
//!
//! Each is built to a wheel by its own backend (`setup.py` by setuptools), never inside the user's tree; the wheel's
//! members are then taken as they are. Wheels of packages whose build looks at nothing but their files
//! ([`super::self_contained`]) are kept with the downloaded ones; `built/DIGEST` in the cache names them.

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
    let has_settings = !PackageSettings::for_package(settings, package.name.as_deref()).is_default();
    let read = match &package.build {
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
    // Built elsewhere in the cache, so that what a killed run leaves is found again.
    let building = tools.cache().scratch("building")?;
    let built = build(package, python, settings, building.path(), tools)?;
    if is_of(package, &built) && read.made(&built)? {
        return keep(&built, &read.key, tools).map(Some);
    }
    let fail = |source| BuildError::Temporary { directory: scratch.to_path_buf(), source };
    std::fs::create_dir_all(scratch).map_err(fail)?;
    let wheel = scratch.join(built.file_name().unwrap_or_default());
    std::fs::copy(&built, &wheel).map_err(fail)?;
    Ok(Some(wheel))
}

/// The wheel that is remembered, if it is there, has the digest that it had and is one of this package.
fn whole(package: &LocalPackage, tools: &Tools, key: &str) -> Option<PathBuf> {
    let built = BuiltWheel::recall(tools, key)?;
    let path = tools.cache().wheel_path(&built.sha256, &built.file_name);
    let is_whole = sha256_of_file(&path).ok()? == built.sha256;
    (is_whole && is_of(package, &path)).then_some(path)
}

/// Whether a wheel has the name that its package says it has.
fn is_of(package: &LocalPackage, wheel: &Path) -> bool {
    let file_name = wheel.file_name().unwrap_or_default().to_string_lossy();
    match (&package.name, file_name.parse::<WheelName>()) {
        (Some(name), Ok(wheel)) => wheel.name() == normalized_name(name),
        (None, Ok(_)) => true,
        (_, Err(_)) => false,
    }
}

/// Put a wheel with the others, and remember it.
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

/// The members of a wheel as they lie at the top of a source PEX.
///
/// `X.data/purelib`, `platlib` and `data` fold into the top as `pip install --target` has it; scripts and headers have
/// no use there and are left out; so is what differs from machine to machine ([`super::dist_info`]).
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
