//! What a Dockerfile in a build directory asks for, and what becomes of it without Docker.
//!
//! Its base image, variables and labels are taken over. Steps that install what the project requires or copy the build
//! directory are done by pexpress itself. Everything else is named with its line, and with what to do instead: nothing
//! is dropped in silence. The same holds for the two install scripts of Dagster+ Serverless. Source of what is usual:
//! the Dockerfile templates of dagster-cloud-cli 1.13.27 and dagster-dg-cli 1.13.27.

mod copied;
mod followed;
mod installed;
mod judge;
mod said;
mod stages;

use crate::bounded_file;
use crate::error::{Explain, Fault, Place};
use crate::image::dockerfile::{Dockerfile, DockerfileError};
use crate::image::reference::ReferenceError;
use crate::project::Location;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Names of the file, in the order in which they are looked for: Docker's, and podman's.
const NAMES: [&str; 2] = ["Dockerfile", "Containerfile"];
/// Run by the image of Dagster+ Serverless before and after packages are installed.
const SCRIPTS: [&str; 2] = ["dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh"];
/// Larger ones are refused.
const LIMIT_BYTES: u64 = 1 << 20;

/// Where a copied file goes in an image of pexpress, and the working directory.
pub const APP: &str = "/opt/dagster/app";

/// The Dockerfile and the scripts of a build directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// The Dockerfile.
    pub file: Option<PathBuf>,
    /// What its last stage starts from.
    pub base: Option<Base>,
    /// Variables that the image sets, less those that only say how packages are installed.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Steps that need something else than an install, and steps to know about.
    pub steps: Vec<Step>,
}

/// A base image in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The reference, variables replaced.
    pub reference: String,
    /// `linux/amd64`, if it names one.
    pub platform: Option<String>,
    /// Line of the `FROM`.
    pub line: usize,
}

/// A step with what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The file that it is in.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// The step in one line, shortened.
    pub text: String,
    /// What becomes of it, or what to do instead.
    pub becomes: String,
    /// Whether the image would lack something without it.
    pub is_needed: bool,
}

/// A file or directory that a Dockerfile copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As `--image-include` takes it.
    pub path: String,
    /// Whether it is a file.
    pub is_file: bool,
    /// Whether it is the build directory, or in it.
    pub is_inside: bool,
    /// Whether it is a package that the project requires by its path, or in one.
    pub is_installed: bool,
}

/// What is known about the project that the Dockerfile belongs to.
pub struct Facts<'a> {
    /// What a relative path is, which may have wildcards. Docker's context may be a directory above the build directory.
    pub find: &'a dyn Fn(&str) -> Option<Found>,
    /// Whether `--image-include` puts something at a path of the image.
    pub adds: &'a dyn Fn(&str) -> bool,
    /// Whether the project requires a distribution, by its normalised name.
    pub requires: &'a dyn Fn(&str) -> bool,
    /// Whether extras or dependency groups are asked for.
    pub chooses: bool,
}

impl Found {
    /// A directory in the build directory.
    pub fn inside(path: &str) -> Found {
        Found { path: path.to_string(), is_file: false, is_inside: true, is_installed: false }
    }
}

impl Facts<'_> {
    /// Where nothing is known yet: everything is there and required.
    pub fn permissive() -> Facts<'static> {
        Facts { find: &|path| Some(Found::inside(path)), adds: &|_| true, requires: &|_| true, chooses: true }
    }
}

/// A Dockerfile or a script cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It cannot be read.
    #[error("could not read `{file}`")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `build.dockerfile` names no file.
    #[error("`{file}`, the Dockerfile of `{location}`, does not exist")]
    NoFile {
        /// The file.
        file: PathBuf,
        /// The code location.
        location: String,
        /// Where it is.
        place: Place,
    },
    /// One build directory makes one image.
    #[error("code locations of the build directory `{directory}` have different Dockerfiles:{}", named.iter().map(|(name, file)| format!("\n  {name}: {}", file.as_ref().map_or("none is named".into(), |file| format!("{}", file.display())))).collect::<String>())]
    Different {
        /// The build directory.
        directory: PathBuf,
        /// Code location and file.
        named: Vec<(String, Option<PathBuf>)>,
    },
    /// It is not a Dockerfile.
    #[error("`{file}` is not a valid Dockerfile")]
    Dockerfile {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: DockerfileError,
    },
    /// The base is not the name of an image.
    #[error("`{file}` names a base image that cannot be used")]
    Reference {
        /// The file.
        file: PathBuf,
        /// Line of the `FROM`.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// One run builds over one base.
    #[error("the Dockerfiles name different base images:{}", bases.iter().map(|(file, line, base)| format!("\n  {}:{line}: {base}", file.display())).collect::<String>())]
    Bases {
        /// File, line and base.
        bases: Vec<(PathBuf, usize, String)>,
    },
    /// Steps would be missing in the image.
    #[error("these steps cannot be done without Docker:{}", lines(steps))]
    Needed {
        /// At least one.
        steps: Vec<Step>,
    },
}

/// How many steps a message shows.
const SHOWN_STEPS: usize = 20;

fn lines(steps: &[Step]) -> String {
    let shown = steps.iter().take(SHOWN_STEPS).map(|step| {
        let file = step.file.display();
        format!("\n  {file}:{}: {}\n    {}", step.line, step.text, step.becomes)
    });
    let more = steps.len().saturating_sub(SHOWN_STEPS);
    let rest = if more > 0 { format!("\n  … {more} more") } else { String::new() };
    shown.collect::<String>() + &rest
}

impl Explain for RecipeError {
    fn fault(&self) -> Fault {
        match self {
            RecipeError::Read { .. } => Fault::Tool,
            _ => Fault::Project,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            RecipeError::Read { .. } => None,
            RecipeError::Dockerfile { .. } => {
                Some("correct it, or pass --ignore-dockerfile to build without it".into())
            }
            RecipeError::Reference { .. } => Some("correct it, or give the base with --base-image".into()),
            RecipeError::NoFile { .. } => Some(
                "correct `dockerfile`: it is relative to the build directory or to one above it, up to the top of the repository"
                    .into(),
            ),
            RecipeError::Different { .. } => {
                Some("build each with --location, or give each a `build.directory` of its own".into())
            }
            RecipeError::Bases { .. } => {
                Some("give one for all with --base-image, or build each with --location".into())
            }
            RecipeError::Needed { .. } => {
                Some("make these changes, or build without these steps with --ignore-dockerfile".into())
            }
        }
    }
    fn place(&self) -> Option<Place> {
        let (file, line) = match self {
            RecipeError::NoFile { place, .. } => return Some(place.clone()),
            RecipeError::Different { .. } => return None,
            RecipeError::Read { file, .. } => (file, None),
            RecipeError::Dockerfile { file, source } => (file, Some(source.line)),
            RecipeError::Reference { file, line, .. } => (file, Some(*line)),
            RecipeError::Bases { bases } => {
                let (file, line, _) = bases.first()?;
                (file, Some(*line))
            }
            RecipeError::Needed { steps } => {
                let first = steps.first()?;
                (&first.file, Some(first.line))
            }
        };
        Some(Place { file: file.clone(), line, column: None })
    }
}

impl Recipe {
    /// Read the Dockerfile and the scripts of a build directory. `shown` is how messages name it. `named` is another
    /// Dockerfile than the usual ones, and how messages name that.
    ///
    /// # Errors
    /// When a file cannot be read or is not a Dockerfile.
    pub fn read(
        directory: &Path,
        shown: &Path,
        named: Option<(&Path, &Path)>,
        facts: &Facts<'_>,
    ) -> Result<Recipe, RecipeError> {
        let mut recipe = Recipe::default();
        let usual = NAMES.map(|name| (directory.join(name), shown.join(name)));
        let files = match named {
            Some((file, shown)) => vec![(file.to_path_buf(), shown.to_path_buf())],
            None => usual.to_vec(),
        };
        for (path, file) in files {
            let Some(text) = text_of(&path, &file)? else { continue };
            recipe = Recipe::of_dockerfile(&text, &file, facts)?;
            break;
        }
        for name in SCRIPTS {
            let file = shown.join(name);
            if let Some(text) = text_of(&directory.join(name), &file)? {
                recipe.steps.extend(judge::script(&text, &file, facts));
            }
        }
        Ok(recipe)
    }

    /// What becomes of the text of a Dockerfile.
    ///
    /// # Errors
    /// When it is not one.
    pub fn of_dockerfile(text: &str, file: &Path, facts: &Facts<'_>) -> Result<Recipe, RecipeError> {
        let dockerfile = Dockerfile::parse(text)
            .map_err(|source| RecipeError::Dockerfile { file: file.to_path_buf(), source })?;
        Ok(Recipe { file: Some(file.to_path_buf()), ..judge::judge(&dockerfile, file, facts) })
    }

    /// The steps that the image would lack.
    ///
    /// # Errors
    /// When there are any.
    pub fn check(&self) -> Result<(), RecipeError> {
        let steps: Vec<Step> = self.steps.iter().filter(|step| step.is_needed).cloned().collect();
        if steps.is_empty() { Ok(()) } else { Err(RecipeError::Needed { steps }) }
    }
}

/// The build directories of these code locations, each with the Dockerfile that its entry names, if one does.
///
/// # Errors
/// When one does not exist, or a build directory has several.
pub fn named<'l>(
    locations: impl IntoIterator<Item = &'l Location>,
) -> Result<BTreeMap<PathBuf, Option<PathBuf>>, RecipeError> {
    let mut directories: BTreeMap<PathBuf, Vec<(String, Option<PathBuf>)>> = BTreeMap::new();
    for location in locations {
        let file = location.dockerfile();
        if let Some(file) = file.clone().filter(|file| !file.is_file()) {
            let (location, place) = (location.name.clone(), location.place.clone());
            return Err(RecipeError::NoFile { file, location, place });
        }
        directories.entry(location.directory.clone()).or_default().push((location.name.clone(), file));
    }
    let of_directory = |(directory, named): (PathBuf, Vec<(String, Option<PathBuf>)>)| {
        let first = named.first().and_then(|(_, file)| file.clone());
        match named.iter().all(|(_, file)| *file == first) {
            true => Ok((directory, first)),
            false => Err(RecipeError::Different { directory, named }),
        }
    };
    directories.into_iter().map(of_directory).collect()
}

/// The text of a file; `None` if the file does not exist.
fn text_of(path: &Path, shown: &Path) -> Result<Option<String>, RecipeError> {
    match bounded_file::read(path, LIMIT_BYTES) {
        Ok(content) => Ok(Some(String::from_utf8_lossy(&content).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RecipeError::Read { file: shown.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests;
