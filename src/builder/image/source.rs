//! The layer with the code location's own files: the build directory, its local packages, and what was asked for.

use super::bytecode::bytecode_places;
use super::editable::import_root;
use super::files::{Content, LayerFiles, ROOT};
use super::install::Install;
use super::place::{APP, DAGSTER, LOCAL};
use super::venv::Venv;
use super::{ImageError, Include};
use crate::builder::left_out::LeftOut;
use crate::builder::working_directory::{self, Shipped, Tree};
use crate::builder::{BuildError, Context, dist_info, source};
use crate::image::tar::Owner;
use crate::paths::relative;
use crate::plan::SourceJob;
use crate::project::LocalPackage;
use crate::wheel::Archive;
use crate::wheel::filename::normalized_name;
use std::path::{Path, PathBuf};

/// The file that makes the code importable. Source: "site – Site-specific configuration hook" of Python's
/// documentation; a virtual environment's site-packages is read.
const PTH: &str = "_pexpress.pth";

/// The code location's own files.
pub struct Source {
    /// The last layer of the image.
    pub files: LayerFiles,
    /// Local packages that are installed from their wheels, one layer each, with what they hold.
    pub wheels: Vec<(String, LayerFiles)>,
}

/// What decides about the source layer.
pub struct Sources<'a> {
    /// The environment.
    pub venv: Venv,
    /// Owner of the files below `/opt/dagster`.
    pub owner: Owner,
    /// Further files and directories.
    pub includes: &'a [Include],
    /// Whether distributions have bytecode.
    pub has_bytecode: bool,
}

impl Sources<'_> {
    /// Collect the files of a build directory. Wheels of local packages are built below `scratch`, and read when the
    /// layer is written.
    ///
    /// # Errors
    /// When a local package does not build, or a file cannot be read.
    pub fn of(&self, job: &SourceJob, scratch: &Path, context: &Context<'_>) -> Result<Source, BuildError> {
        let (tree, wheels) = source::files(job, scratch, context)?;
        let mut collecting = Collecting {
            sources: self,
            job,
            context,
            tree: &tree,
            roots: Vec::new(),
            made: Source { files: LayerFiles::default(), wheels: Vec::new() },
        };
        collecting.add_tree(&tree, APP)?;
        collecting.made.files.directory(APP.to_string(), self.owner);
        for (package, wheel) in job.local_packages.iter().zip(&wheels) {
            match wheel {
                Some(wheel) => collecting.package(package, wheel)?,
                // Code that is not a package is found as in the working directory.
                None if package.directory == job.directory => collecting.roots.push(APP.to_string()),
                None => {}
            }
        }
        if job.local_packages.iter().all(|package| package.directory != job.directory) {
            collecting.roots.push(APP.to_string());
        }
        for include in self.includes {
            collecting.include(include)?;
        }
        Ok(collecting.finish())
    }
}

struct Collecting<'a> {
    sources: &'a Sources<'a>,
    job: &'a SourceJob,
    context: &'a Context<'a>,
    tree: &'a Tree,
    /// Directories of the image that Python searches, relative to its root.
    roots: Vec<String>,
    made: Source,
}

impl Collecting<'_> {
    fn add_tree(&mut self, tree: &Tree, below: &str) -> Result<(), ImageError> {
        for (path, shipped) in &tree.files {
            self.add_file(format!("{below}/{path}"), shipped)?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: String, shipped: &Shipped) -> Result<(), ImageError> {
        let source = shipped.source.clone();
        let size = source.metadata().map(|data| data.len());
        let size_bytes = size.map_err(|error| ImageError::Read { path: source.clone(), source: error })?;
        // Only what is below /opt/dagster is the user's.
        let owner = if path.starts_with(&format!("{DAGSTER}/")) { self.sources.owner } else { ROOT };
        self.made.files.file(path, shipped.executable, owner, Content::File { path: source, size_bytes });
        Ok(())
    }

    /// Install a local package: as it lies in its directory if that is possible, otherwise from its wheel.
    fn package(&mut self, package: &LocalPackage, wheel: &Path) -> Result<(), BuildError> {
        let archive = Archive::open(wheel)?;
        let file_name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rules = LeftOut::read(&package.directory)?;
        let within = self.within(package);
        let own;
        let (tree, place) = match &within {
            Some(path) => {
                own = below(self.tree, path);
                (&own, if path.is_empty() { APP.to_string() } else { format!("{APP}/{path}") })
            }
            None => {
                own = working_directory::list(&package.directory, std::iter::empty())?;
                (&own, format!("{LOCAL}/{}", self.local_name(package)))
            }
        };
        let root = import_root(&archive, tree, &rules);
        let install = Install {
            file_name: &file_name,
            archive: &archive,
            extra: None,
            venv: self.sources.venv,
            replaced: dist_info::replaced(&archive)?,
            is_editable: root.is_ok(),
        };
        let files = install.files()?;
        let root = match root {
            Ok(root) => root,
            Err(why) => {
                self.add_wheel(&archive, &file_name, files, &why);
                return Ok(());
            }
        };
        self.made.files.extend(files);
        if within.is_none() {
            let tree = working_directory::list(&package.directory, std::iter::empty())?;
            self.add_tree(&tree, &place)?;
        }
        self.roots.push(if root.is_empty() { place } else { format!("{place}/{root}") });
        Ok(())
    }

    /// Install a package from its wheel, for the reason `why`.
    fn add_wheel(&mut self, archive: &Archive, file_name: &str, mut files: LayerFiles, why: &str) {
        // Its modules have no bytecode, and must not get that of a distribution.
        if self.sources.has_bytecode {
            let venv = self.sources.venv;
            let tag = format!("cpython-3{}", venv.python.minor());
            let places = bytecode_places(archive, &tag);
            places.iter().for_each(|pyc| files.removed(&format!("{}/{pyc}", venv.site_packages())));
        }
        let name = file_name.split('-').next().map(normalized_name).unwrap_or_default();
        self.context.tools.host().note_once(format!(
            "{name} is installed from its wheel and not as it lies in its directory: {why}"
        ));
        self.made.wheels.push((name, files));
    }

    /// The path of a package below the build directory, if it is there and shipped with it.
    fn within(&self, package: &LocalPackage) -> Option<String> {
        if package.directory == self.job.directory {
            return Some(String::new());
        }
        let (top, own) = (self.job.directory.canonicalize().ok()?, package.directory.canonicalize().ok()?);
        let path = own.strip_prefix(&top).ok()?.to_str()?.to_string();
        // A `.pexignore` may leave the directory out, and the package is required all the same.
        let start = format!("{path}/");
        self.tree.files.keys().any(|file| file.starts_with(&start)).then_some(path)
    }

    /// A name for the directory of a package from elsewhere.
    fn local_name(&self, package: &LocalPackage) -> String {
        let directory = || package.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = normalized_name(&package.name.clone().unwrap_or_else(directory));
        // Two packages of one name are not installed together, but two directories may have one name.
        let is_taken = |name: &str| {
            self.roots.iter().any(|root| {
                root == &format!("{LOCAL}/{name}") || root.starts_with(&format!("{LOCAL}/{name}/"))
            })
        };
        let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
        names.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
    }

    fn include(&mut self, include: &Include) -> Result<(), BuildError> {
        let place = include.place(&self.job.directory)?;
        let Include { source, .. } = include;
        let is_file = source.metadata().map(|data| data.is_file());
        match is_file.map_err(|error| ImageError::Read { path: source.clone(), source: error })? {
            true => {
                let shipped = Shipped { source: source.clone(), executable: is_executable(source) };
                Ok(self.add_file(place, &shipped)?)
            }
            false => {
                let tree = working_directory::list(source, std::iter::empty())?;
                Ok(self.add_tree(&tree, &place)?)
            }
        }
    }

    fn finish(mut self) -> Source {
        let lines: String = self.roots.iter().map(|root| format!("/{root}\n")).collect();
        if !lines.is_empty() {
            let path = format!("{}/{PTH}", self.sources.venv.site_packages());
            self.made.files.bytes(path, false, ROOT, lines.into_bytes());
        }
        self.made
    }
}

/// The files of a tree below a directory of it, with their paths there.
fn below(tree: &Tree, path: &str) -> Tree {
    let start = if path.is_empty() { String::new() } else { format!("{path}/") };
    let inside = |(file, shipped): (&String, &Shipped)| {
        Some((file.strip_prefix(&start)?.to_string(), shipped.clone()))
    };
    Tree { files: tree.files.iter().filter_map(inside).collect(), ..Tree::default() }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    false
}

impl Include {
    /// Check that it exists and has a place.
    ///
    /// # Errors
    /// When it cannot be read, and as for [`Include::place`].
    pub fn check(&self, build_directory: &Path) -> Result<(), ImageError> {
        let unreadable = |error| ImageError::Read { path: self.source.clone(), source: error };
        self.source.metadata().map_err(unreadable)?;
        self.place(build_directory).map(drop)
    }

    /// Where it goes, relative to the root of the image. Without a destination it keeps its place relative to the build
    /// directory, which is `/opt/dagster/app` in the image.
    ///
    /// # Errors
    /// When that place would be outside `/opt/dagster`, or the destination is not a path that can be written to.
    pub fn place(&self, build_directory: &Path) -> Result<String, ImageError> {
        let (given, text) = match &self.destination {
            Some(text) => (true, text.clone()),
            None => (false, relative(&self.source, build_directory).to_string_lossy().into_owned()),
        };
        let place = crate::paths::lexically_normal(&Path::new("/").join(APP).join(&text));
        let refuse =
            || ImageError::Include { path: self.source.clone(), place: place.clone(), is_given: given };
        let place_text = place.strip_prefix("/").ok().and_then(Path::to_str).unwrap_or_default();
        let is_ours = place.starts_with(PathBuf::from("/").join(DAGSTER)) && place_text != DAGSTER;
        let is_free = given && place_text.contains('/') && !place_text.starts_with("opt/venv");
        if is_ours || is_free { Ok(place_text.to_string()) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_included_directory_keeps_its_place_next_to_the_build_directory() {
        let place = |source: &str, destination: Option<&str>| {
            let include = Include { source: source.into(), destination: destination.map(String::from) };
            include.place(Path::new("/repo/location")).ok()
        };
        for (source, destination, want) in [
            ("/repo/dbt_project", None, Some("opt/dagster/dbt_project")),
            ("/repo/location/data", None, Some("opt/dagster/app/data")),
            ("/other/data", None, None),
            ("/repo", None, None),
            ("/other/data", Some("data"), Some("opt/dagster/app/data")),
            ("/other/data", Some("../data"), Some("opt/dagster/data")),
            ("/other/data", Some("/srv/data/"), Some("srv/data")),
            ("/other/data", Some("/srv"), None),
            ("/other/data", Some("/opt/venv/x"), None),
            ("/other/data", Some("../../../.."), None),
        ] {
            assert_eq!(place(source, destination).as_deref(), want, "{source} {destination:?}");
        }
    }
}
