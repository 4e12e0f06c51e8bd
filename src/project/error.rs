//! Errors in a `dagster_cloud.yaml`, or in the files of a dg project or workspace.

use super::CollectError;
use super::python_version::PythonVersionError;
use crate::error::{Explain, Fault, Place};
use crate::near_names::closest_path;
use crate::paths::relative;
use crate::yaml::YamlError;
use std::path::{Path, PathBuf};

/// One error.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A path does not exist.
    #[error("{}", not_found(path, *setting))]
    NotFound {
        /// The missing path.
        path: PathBuf,
        /// The input with the path, if it is an input.
        setting: Option<&'static str>,
        /// An existing path with a similar name.
        near: Option<PathBuf>,
    },
    /// The workspace of a GitHub job is empty.
    #[error("the workspace `{}` is empty, so there is nothing to deploy", .0.display())]
    EmptyWorkspace(PathBuf),
    /// A directory without any file that lists code locations.
    #[error(
        "`{}` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]",
        directory.display()
    )]
    NoProject {
        /// Absolute path.
        directory: PathBuf,
        /// What to name instead.
        hint: String,
    },
    /// A pyproject.toml without dg settings.
    #[error("`{}` has no code locations: it has no [tool.dg]", .0.display())]
    NoDgSettings(PathBuf),
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
    /// Not TOML, an invalid value in it, or an error in requirements.
    #[error(transparent)]
    Collect(Box<CollectError>),
    /// Code locations need different versions of Python.
    #[error(transparent)]
    Python(Box<PythonVersionError>),
    /// The file is empty.
    #[error("the file is empty")]
    Empty {
        /// The file.
        place: Place,
    },
    /// An unknown key.
    #[error("unknown key `{key}` in {owner}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Its parent.
        owner: String,
        /// Which key may be meant.
        hint: String,
        /// Where.
        place: Place,
    },
    /// The file is a single code location, not a list of them.
    #[error("the file is a code location itself, and has no `locations`")]
    OneLocation {
        /// Where it begins.
        place: Place,
    },
    /// A required key is missing.
    #[error("{owner} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The parent without it.
        owner: String,
        /// What to write.
        hint: String,
        /// Where.
        place: Place,
    },
    /// A value has a wrong type.
    #[error("{what} must be {want}, not {got}")]
    WrongType {
        /// The key and its parent.
        what: String,
        /// The expected type.
        want: &'static str,
        /// The actual value.
        got: String,
        /// What to do, if known.
        hint: Option<String>,
        /// Where.
        place: Place,
    },
    /// A text with only white space.
    #[error("{what} is blank")]
    Blank {
        /// The key and its parent.
        what: String,
        /// Where.
        place: Place,
    },
    /// A name that would steer a terminal, or end a line.
    #[error("{what} has control characters")]
    Control {
        /// The key and its parent.
        what: String,
        /// Where.
        place: Place,
    },
    /// Two locations with one name.
    #[error("two code locations are named `{name}`; the first is {first}")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where the other is: `on line 3`, or a file.
        first: String,
        /// Where.
        place: Place,
    },
    /// `code_source` does not have exactly one key.
    #[error(
        "`code_source` of {owner} needs exactly one of package_name, module_name, python_file, autoload_defs_module_name, and has {given}"
    )]
    CodeSource {
        /// Which location.
        owner: String,
        /// `none`, or the keys that it has.
        given: String,
        /// Where.
        place: Place,
    },
    /// The build directory does not exist, or is not a directory.
    #[error("the build directory of {owner}, `{}`, {problem}", directory.display())]
    BuildDirectory {
        /// Which location.
        owner: String,
        /// The resolved path.
        directory: PathBuf,
        /// `does not exist`, or `is a file`.
        problem: &'static str,
        /// Where.
        place: Place,
    },
    /// A value cannot be merged with the one in `defaults`.
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
        /// Where they belong.
        place: Place,
    },
    /// A dg workspace lists a directory that is not a dg project.
    #[error("the workspace's project `{}` {problem}", directory.display())]
    WorkspaceProject {
        /// The resolved directory.
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
            ProjectError::NoDgSettings(file) => {
                let near_yaml = ["dagster_cloud.yaml", "dagster_cloud.yml"].map(|name| file.with_file_name(name));
                Some(match near_yaml.into_iter().find(|file| file.is_file()) {
                    Some(file) => format!("there is a `{}`: use that", file.display()),
                    None => "if it is a dg project, add the tables [tool.dg] with `directory_type = \"project\"` and [tool.dg.project] with `root_module = \"NAME\"`; otherwise use a dagster_cloud.yaml".into(),
                })
            }
            ProjectError::EmptyWorkspace(_) => {
                Some("add a step with `uses: actions/checkout` before this one".to_string())
            }
            ProjectError::NotFound { near: Some(near), .. } => {
                Some(format!("did you mean `{}`?", near.display()))
            }
            ProjectError::NotFound { setting: Some("working_directory"), .. } => {
                Some("`working_directory` is relative to the workspace, where actions/checkout puts the repository".to_string())
            }
            ProjectError::NotFound { setting: Some(_), .. } => {
                Some("`dagster_cloud_file` is relative to `working_directory`, or else to the workspace".to_string())
            }
            ProjectError::Yaml { error, .. } => error.hint.clone(),
            ProjectError::Empty { .. } => Some("list your code locations under `locations:`".to_string()),
            ProjectError::NoProject { hint, .. }
            | ProjectError::UnknownKey { hint, .. }
            | ProjectError::MissingKey { hint, .. } => Some(hint.clone()),
            ProjectError::OneLocation { .. } => Some(
                "put it under `locations:`, as an entry of a list: `- location_name: …`".to_string(),
            ),
            ProjectError::WrongType { hint, .. } => hint.clone(),
            ProjectError::Blank { .. } => Some("give it a name".to_string()),
            ProjectError::Control { .. } => Some("give it a name of letters, digits and signs".to_string()),
            ProjectError::DuplicateName { .. } => Some("rename one of them".to_string()),
            ProjectError::CodeSource { given, .. } if given == "none" => Some(
                "set the one that says where your definitions are, such as `module_name: my_project.definitions`".into(),
            ),
            ProjectError::CodeSource { .. } => {
                Some("keep the one that says where your definitions are".to_string())
            }
            ProjectError::BuildDirectory { directory, place, .. } => Some(directory_hint(directory, place)),
            ProjectError::Defaults { .. } => Some("use the same type for both".to_string()),
            ProjectError::WorkspaceProject { .. } => {
                Some("`path` is relative to the workspace; correct it, or remove the entry".to_string())
            }
            ProjectError::Collect(error) => error.hint(),
            ProjectError::Python(error) => error.hint(),
            ProjectError::NoWorkspaceProjects { .. } => {
                Some("add `[[workspace.projects]]` with the `path` of each".to_string())
            }
            ProjectError::NotFound { .. } => {
                Some("name a dagster_cloud.yaml, or the directory of a dg project or workspace".to_string())
            }
            ProjectError::Read { .. } => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ProjectError::NotFound { .. }
            | ProjectError::NoProject { .. }
            | ProjectError::EmptyWorkspace(_) => None,
            ProjectError::NoDgSettings(file) => Some(Place { file: file.clone(), line: None, column: None }),
            ProjectError::Read { file, .. } => Some(Place { file: file.clone(), line: None, column: None }),
            ProjectError::Yaml { error, file } => Some(Place {
                file: file.clone(),
                line: Some(error.mark.line),
                column: Some(error.mark.column),
            }),
            ProjectError::Collect(error) => error.place(),
            ProjectError::Python(error) => error.place(),
            ProjectError::Empty { place }
            | ProjectError::OneLocation { place }
            | ProjectError::UnknownKey { place, .. }
            | ProjectError::MissingKey { place, .. }
            | ProjectError::WrongType { place, .. }
            | ProjectError::Blank { place, .. }
            | ProjectError::Control { place, .. }
            | ProjectError::DuplicateName { place, .. }
            | ProjectError::CodeSource { place, .. }
            | ProjectError::BuildDirectory { place, .. }
            | ProjectError::Defaults { place, .. }
            | ProjectError::NoWorkspaceProjects { place }
            | ProjectError::WorkspaceProject { place, .. } => Some(place.clone()),
        }
    }
}

fn not_found(path: &Path, setting: Option<&str>) -> String {
    match setting {
        Some(name) => format!("the input `{name}` leads to `{}`, which does not exist", path.display()),
        None => format!("`{}` does not exist", path.display()),
    }
}

/// The hint for a missing build directory.
fn directory_hint(directory: &Path, place: &Place) -> String {
    let rule = "`build.directory` is relative to the directory of the file it is in";
    let base = place.file.parent().unwrap_or(Path::new(""));
    let given = relative(directory, base);
    if base.ends_with(&given) && !directory.exists() {
        return format!("{rule}, and that is `{}` already: write `directory: .`", given.display());
    }
    match closest_path(directory, Path::is_dir) {
        Some(near) => format!("did you mean `{}`? {rule}", relative(&near, base).display()),
        None => rule.to_string(),
    }
}

/// All errors; never empty.
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
