//! What can be wrong with a `dagster_cloud.yaml`, or with the files of a dg project or workspace.

use super::CollectError;
use crate::error::{Explain, Fault, Place};
use crate::yaml::YamlError;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No such path.
    #[error("`{}` does not exist", .0.display())]
    NotFound(PathBuf),
    /// A directory without any of the files that name code locations.
    #[error(
        "`{}` names no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]",
        .0.display()
    )]
    NoProject(PathBuf),
    /// The file cannot be read.
    #[error("could not read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not YAML.
    #[error("{error}")]
    Yaml {
        /// What and where.
        error: YamlError,
        /// The file.
        file: PathBuf,
    },
    /// Not TOML, or a value in it is not as it has to be.
    #[error(transparent)]
    Toml(Box<CollectError>),
    /// Nothing in it.
    #[error("the file is empty")]
    Empty {
        /// The file.
        place: Place,
    },
    /// A key that means nothing there.
    #[error("unknown key `{key}` in {owner}")]
    UnknownKey {
        /// The key.
        key: String,
        /// What it is in.
        owner: String,
        /// What may be meant.
        hint: String,
        /// Where.
        place: Place,
    },
    /// A key that has to be there.
    #[error("{owner} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What lacks it.
        owner: String,
        /// What to write.
        hint: String,
        /// Where.
        place: Place,
    },
    /// A value of a type that its key does not take.
    #[error("{what} must be {want}, not {got}")]
    WrongType {
        /// The key and what it is in.
        what: String,
        /// What it must be.
        want: &'static str,
        /// What it is.
        got: String,
        /// What to do, if more can be said.
        hint: Option<String>,
        /// Where.
        place: Place,
    },
    /// Text of which nothing is left without white space.
    #[error("{what} is blank")]
    Blank {
        /// The key and what it is in.
        what: String,
        /// Where.
        place: Place,
    },
    /// Two locations of one name.
    #[error("two code locations are called `{name}`; the first is {first}")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where the other is: `on line 3`, or a file.
        first: String,
        /// Where.
        place: Place,
    },
    /// None or several of the keys that say where the code is.
    #[error(
        "`code_source` of {owner} needs exactly one of package_name, module_name, python_file, autoload_defs_module_name, and has {given}"
    )]
    CodeSource {
        /// Which location.
        owner: String,
        /// `none`, or those it has.
        given: String,
        /// Where.
        place: Place,
    },
    /// The directory to build from is missing, or no directory.
    #[error("the build directory of {owner}, `{}`, {problem}", directory.display())]
    BuildDirectory {
        /// Which location.
        owner: String,
        /// The path, resolved.
        directory: PathBuf,
        /// `does not exist`, or `is a file`.
        problem: &'static str,
        /// Where.
        place: Place,
    },
    /// A value that does not fit the one in `defaults`.
    #[error("`{key}` of {owner} {problem}")]
    Defaults {
        /// Dotted path of the value.
        key: String,
        /// Which location.
        owner: String,
        /// What does not fit.
        problem: String,
        /// Where.
        place: Place,
    },
    /// A dg workspace without projects.
    #[error("the dg workspace lists no projects")]
    NoWorkspaceProjects {
        /// Where they should be.
        place: Place,
    },
    /// A dg workspace lists a directory that is no dg project.
    #[error("the workspace's project `{}` {problem}", directory.display())]
    WorkspaceProject {
        /// The directory, resolved.
        directory: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// Where it is listed.
        place: Place,
    },
}

impl Explain for ProjectError {
    fn fault(&self) -> Fault {
        match self {
            ProjectError::Read { .. } => Fault::Tool,
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ProjectError::NoProject(directory) => Some(match file_above(directory) {
                Some(file) => format!("there is a `{}`: name that", file.display()),
                None => "name the file, or the directory that it is in".to_string(),
            }),
            ProjectError::Yaml { error, .. } => error.hint.clone(),
            ProjectError::Empty { .. } => Some("list your code locations under `locations:`".to_string()),
            ProjectError::UnknownKey { hint, .. } | ProjectError::MissingKey { hint, .. } => {
                Some(hint.clone())
            }
            ProjectError::WrongType { hint, .. } => hint.clone(),
            ProjectError::Blank { .. } => Some("give it a name".to_string()),
            ProjectError::DuplicateName { .. } => Some("rename one of them".to_string()),
            ProjectError::CodeSource { .. } => {
                Some("keep the one that says where your definitions are".to_string())
            }
            ProjectError::BuildDirectory { .. } => {
                Some("`build.directory` is relative to the directory of the file it is in".to_string())
            }
            ProjectError::Defaults { .. } => Some("make both of one kind".to_string()),
            ProjectError::WorkspaceProject { .. } => {
                Some("`path` is relative to the workspace; correct it, or remove the entry".to_string())
            }
            ProjectError::Toml(error) => error.hint(),
            ProjectError::NoWorkspaceProjects { .. } => {
                Some("add `[[workspace.projects]]` with the `path` of each".to_string())
            }
            ProjectError::NotFound(_) | ProjectError::Read { .. } => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ProjectError::NotFound(_) | ProjectError::NoProject(_) => None,
            ProjectError::Read { file, .. } => Some(Place { file: file.clone(), line: None, column: None }),
            ProjectError::Yaml { error, file } => Some(Place {
                file: file.clone(),
                line: Some(error.mark.line),
                column: Some(error.mark.column),
            }),
            ProjectError::Toml(error) => error.place(),
            ProjectError::Empty { place }
            | ProjectError::UnknownKey { place, .. }
            | ProjectError::MissingKey { place, .. }
            | ProjectError::WrongType { place, .. }
            | ProjectError::Blank { place, .. }
            | ProjectError::DuplicateName { place, .. }
            | ProjectError::CodeSource { place, .. }
            | ProjectError::BuildDirectory { place, .. }
            | ProjectError::Defaults { place, .. }
            | ProjectError::NoWorkspaceProjects { place }
            | ProjectError::WorkspaceProject { place, .. } => Some(place.clone()),
        }
    }
}

/// The nearest file above `directory` that names code locations, within its repository.
fn file_above(directory: &Path) -> Option<PathBuf> {
    const NAMES: [&str; 3] = ["dagster_cloud.yaml", "dagster_cloud.yml", "dg.toml"];
    for above in directory.ancestors().skip(1).take(4) {
        if let Some(file) = NAMES.iter().map(|name| above.join(name)).find(|file| file.is_file()) {
            return Some(file);
        }
        if above.join(".git").exists() {
            break;
        }
    }
    None
}

/// All that is wrong; never empty.
#[derive(Debug)]
pub struct ProjectErrors(Vec<ProjectError>);

impl ProjectErrors {
    /// `None` when there are none.
    pub fn new(errors: Vec<ProjectError>) -> Option<ProjectErrors> {
        (!errors.is_empty()).then_some(ProjectErrors(errors))
    }

    /// Each, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ProjectError> {
        self.0.iter()
    }

    fn only(&self) -> Option<&ProjectError> {
        match self.0.as_slice() {
            [error] => Some(error),
            _ => None,
        }
    }
}

impl std::fmt::Display for ProjectErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(error) = self.only() {
            return write!(f, "{error}");
        }
        write!(f, "the project has {} errors", self.0.len())?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
            if let Some(place) = error.place() {
                write!(f, " ({place})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ProjectErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.only()?.source()
    }
}

impl Explain for ProjectErrors {
    fn fault(&self) -> Fault {
        self.0.first().map_or(Fault::Project, Explain::fault)
    }
    fn hint(&self) -> Option<String> {
        match self.only() {
            Some(error) => error.hint(),
            None => Some("`pexpress check` lists each with a hint".to_string()),
        }
    }
    fn place(&self) -> Option<Place> {
        self.only()?.place()
    }
}
