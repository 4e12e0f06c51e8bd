//! What `deploy`, `deps` and `source` have in common: flags → stages.

use super::Error;
use crate::builder::Context;
use crate::cli::BuildArgs;
use crate::display::Display;
use crate::host::Host;
use crate::paths::lexically_normal;
use crate::paths::relative;
use crate::plan::requirements_hash;
use crate::project::{self, CollectOptions, LockUse, Requirements, TargetPython, Warning, Workspaces};
use crate::resolve::Resolution;
use crate::target::{Platform, PythonVersion, Target};
use crate::tools::Tools;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What decided on a Python version that nothing asks for.
const DEFAULT_ORIGIN: &str = "the default";

/// Python and platform of what is built, of the Python version that the project asks for and whether it is the default.
pub type ChooseTarget<'a> = dyn FnMut(PythonVersion, bool) -> Result<(PythonVersion, Platform), Error> + 'a;

/// The platform in the arguments; default: that of Dagster+ Serverless.
pub fn serverless(args: &BuildArgs, python: PythonVersion) -> Platform {
    args.platform.unwrap_or(python.serverless_platform())
}

/// The surroundings of one run that builds.
pub struct Building<'a> {
    /// Environment and streams.
    pub host: &'a Host,
    /// uv and Pythons.
    pub tools: Tools,
    /// Progress on a terminal.
    pub display: Display,
    /// Target of everything built.
    pub target: Target,
    /// What decided on the Python version: the command line, a file, or nothing.
    pub python_origin: String,
    /// What the user should know about that choice; already printed.
    pub warnings: Vec<Warning>,
    /// Messages name files relative to it.
    root: PathBuf,
    options: CollectOptions,
}

impl<'a> Building<'a> {
    /// Read the flags. What they leave open, the project in `root` with these build directories decides.
    ///
    /// # Errors
    /// If the Python version cannot be determined.
    pub fn new(
        args: &BuildArgs,
        root: &Path,
        directories: &[&Path],
        host: &'a Host,
    ) -> Result<Building<'a>, Error> {
        Building::with_target(args, root, directories, host, &mut |python, _| {
            Ok((python, serverless(args, python)))
        })
    }

    /// The same for a target that `choose` names.
    ///
    /// # Errors
    /// If the Python version cannot be determined, and those of `choose`.
    pub fn with_target(
        args: &BuildArgs,
        root: &Path,
        directories: &[&Path],
        host: &'a Host,
        choose: &mut ChooseTarget<'_>,
    ) -> Result<Building<'a>, Error> {
        let (python, python_origin, warnings) = python(args, root, directories)?;
        warnings.iter().for_each(|warning| host.warn(&warning.message));
        let (python, platform) = choose(python, python_origin == DEFAULT_ORIGIN)?;
        let target = Target { python, platform };
        let lock_use = match (args.locked, args.no_locked) {
            (true, _) => LockUse::Required,
            (_, true) => LockUse::Ignored,
            _ => LockUse::Automatic,
        };
        let options = CollectOptions {
            target,
            lock_use,
            extras: args.extras.clone(),
            all_extras: args.all_extras,
            groups: args.groups.clone(),
            reads_dockerfiles: args.reads_dockerfiles,
            workspaces: Workspaces::default(),
        };
        let (tools, display, root) = (Tools::new(host), Display::new(host), root.to_path_buf());
        Ok(Building { host, tools, display, target, python_origin, warnings, root, options })
    }

    /// The same for a single directory; the log says which Python it is where a file decided.
    ///
    /// # Errors
    /// If the Python version cannot be determined.
    pub fn of_directory(args: &BuildArgs, directory: &Path, host: &'a Host) -> Result<Building<'a>, Error> {
        let building = Building::new(args, directory, &[directory], host)?;
        if args.python_version.is_none() && building.python_origin.starts_with("from ") {
            host.note(format!("Building for Python {} ({})", building.target.python, building.python_origin));
        }
        Ok(building)
    }

    /// Collect the requirements of one build directory, and print its warnings.
    ///
    /// # Errors
    /// When a file in it cannot be used.
    pub fn collect(&self, directory: &Path) -> Result<Requirements, Error> {
        self.collect_for(directory, false)
    }

    /// The same. If it is only built into images, nothing is said about what PEX files cannot do.
    ///
    /// # Errors
    /// When a file in it cannot be used.
    pub fn collect_for(&self, directory: &Path, images: bool) -> Result<Requirements, Error> {
        let reads_dockerfiles = self.options.reads_dockerfiles || images;
        let options = CollectOptions { reads_dockerfiles, ..self.options.clone() };
        let phase = self.display.phase(format!("Collecting the requirements of {}", directory.display()));
        let requirements = project::collect(directory, &options, &self.tools, self.host)?;
        // Collecting is over, so its progress line must not stay below the warnings.
        drop(phase);
        for warning in &requirements.warnings {
            self.host.warn(warning_line(warning, &self.root));
        }
        Ok(requirements)
    }

    /// What build jobs share, for an output directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn context<'b>(&'b self, out_dir: &'b Path) -> Result<Context<'b>, Error> {
        Ok(Context::new(self.target, out_dir, &self.tools, &self.display)?)
    }
}

/// The target Python, what decided on it, and what the user should know about it.
fn python(
    args: &BuildArgs,
    root: &Path,
    directories: &[&Path],
) -> Result<(PythonVersion, String, Vec<Warning>), Error> {
    if let Some(version) = args.python_version {
        return Ok((version, "as requested".into(), Vec::new()));
    }
    let TargetPython { version, origin, warnings } = project::python_version::infer(root, directories)?;
    let origin = origin.map_or_else(|| DEFAULT_ORIGIN.into(), |file| format!("from {file}"));
    Ok((version, origin, warnings))
}

/// The requirements of a build directory, as JSON. `resolution` is absent until they are resolved.
#[derive(Debug, Serialize)]
pub struct RequirementsDocument {
    /// Directories built into the source PEX besides the build directory itself, relative to it.
    pub local_packages: Vec<String>,
    /// Third-party requirements, a PEP 508 line each; with a lock file its exact pins.
    pub requirements: Vec<String>,
    /// Name of the requirement set.
    pub requirements_hash: String,
    /// Wheels and sdists named by path, relative to the build directory.
    pub local_distributions: Vec<String>,
    /// The lock file that decided, relative to the build directory.
    pub lock: Option<String>,
    /// Target Python.
    pub python_version: PythonVersion,
    /// Target platform.
    pub platform: String,
    /// What the user should know, each with its file and line where it has them.
    pub warnings: Vec<String>,
    /// Extras and dependency groups that exist and were not requested.
    pub left_out: Vec<String>,
    /// The exact distributions.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Why they are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RequirementsDocument {
    /// Describe the requirements of a build directory.
    pub fn new(directory: &Path, requirements: &Requirements, target: Target) -> RequirementsDocument {
        let here = lexically_normal(directory);
        let local = requirements.local_packages.iter().map(|package| &package.directory);
        let local = local.filter(|package| **package != here).map(|package| text(package, &here));
        RequirementsDocument {
            local_packages: local.collect(),
            requirements: requirements.texts(),
            requirements_hash: requirements_hash(requirements, &here, target),
            local_distributions: requirements
                .local_distributions
                .iter()
                .map(|file| text(&file.path, &here))
                .collect(),
            lock: requirements.lock.as_ref().map(|lock| text(&lock.file, &here)),
            python_version: target.python,
            platform: target.platform.to_string(),
            warnings: requirements.warnings.iter().map(|warning| warning_line(warning, &here)).collect(),
            left_out: requirements.left_out.clone(),
            resolution: None,
            error: None,
        }
    }
}

/// `FILE:LINE: MESSAGE`, the file relative to the build directory.
pub(super) fn warning_line(warning: &project::Warning, directory: &Path) -> String {
    let Some(place) = &warning.place else { return warning.message.clone() };
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", text(&place.file, directory), warning.message)
}

/// A path relative to the build directory, with `/` between names.
fn text(path: &Path, directory: &Path) -> String {
    relative(path, directory).to_string_lossy().replace('\\', "/")
}
