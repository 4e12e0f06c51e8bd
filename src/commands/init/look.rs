//! Gathers the facts of a repository for `init`. Reads files and git, and changes nothing.

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::builder::{doubtful, left_out};
use crate::cli::InitArgs;
use crate::context::git::WorkTree;
use crate::env_vars;
use crate::host::Host;
use crate::init::{
    Candidate, Facts, FoundLocation, FoundProject, MOVED_ENDING, TextFile, WORKFLOWS, ignores_dockerfiles,
    named_projects,
};
use crate::paths::{relative, shortened};
use crate::project::dockerfile::{self, RecipeError};
use crate::project::{self, Project, Reading, candidates, python_version};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The repository that a directory is in.
pub struct Repository {
    /// Its top.
    pub top: PathBuf,
    /// The directory.
    pub directory: PathBuf,
}

impl Repository {
    /// The repository of `directory`, or `directory` itself.
    pub fn find(directory: &Path) -> Repository {
        let top = directory.ancestors().find(|above| above.join(".git").exists()).unwrap_or(directory);
        Repository { top: top.to_path_buf(), directory: directory.to_path_buf() }
    }

    /// A path relative to the top, with `/`.
    fn name(&self, path: &Path) -> String {
        relative(path, &self.top).iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}

/// Look at everything.
pub fn facts(repository: &Repository, args: &InitArgs, host: &Host) -> Facts {
    let (workflows, unread) = workflows(repository);
    let ignores_dockerfiles = args.ignore_dockerfile || ignores_dockerfiles(&workflows);
    let reading = reading(repository, &workflows, host);
    let directories: BTreeSet<PathBuf> = reading
        .iter()
        .flat_map(|reading| &reading.locations)
        .map(|location| location.directory.clone())
        .collect();
    let found = if reading.is_none() { candidates::find(&repository.directory) } else { Vec::new() };
    let directories = if directories.is_empty() {
        found.iter().map(|found| found.directory.clone()).collect()
    } else {
        directories
    };
    let tree = WorkTree::at(&repository.top, host);
    let variable = |name: &str| host.var(name).map(|value| value.trim().to_string());
    // Nothing is written outside of the repository, whatever directory a project file names.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let top = real(&repository.top);
    let secrets: BTreeMap<String, Vec<String>> = directories
        .iter()
        .filter(|directory| real(directory).starts_with(&top))
        .map(|directory| (repository.name(directory), doubtful::secret_files(directory)))
        .filter(|(_, secrets)| !secrets.is_empty())
        .collect();
    let mut facts = Facts {
        action: args.action.clone(),
        workflow_name: args.workflow.clone(),
        project: reading.as_ref().map(|reading| found_project(reading, repository)),
        directory: repository.name(&repository.directory),
        own_files: own_files(&found, repository),
        candidates: found.into_iter().map(|found| candidate(found, repository)).collect(),
        python: python(
            &reading.as_ref().map_or(repository.directory.clone(), directory_of),
            &directories,
            repository,
        ),
        default_branch: default_branch(&tree),
        remote_host: tree.origin().map(|remote| remote.host),
        organization: args.organization.clone(),
        url: args.url.clone(),
        known_organization: variable(env_vars::DAGSTER_CLOUD_ORGANIZATION),
        known_url: variable(env_vars::DAGSTER_CLOUD_URL),
        deployment: args.deployment.clone(),
        replace: args.replace,
        docker: if ignores_dockerfiles { Vec::new() } else { docker(&directories, repository) },
        image_obstacles: match ignores_dockerfiles {
            true => Vec::new(),
            false => image_obstacles(&reading, &directories, repository),
        },
        ignores_dockerfiles,
        problems: unread
            .into_iter()
            .chain(reading.iter().flat_map(|reading| &reading.errors).map(|error| problem(error, repository)))
            .collect(),
        elsewhere: elsewhere(repository),
        workflows,
        secrets,
        present: BTreeMap::new(),
    };
    facts.present = present(&facts, repository);
    facts
}

/// The workflows, in order of their names, and what is wrong with the others.
fn workflows(repository: &Repository) -> (Vec<TextFile>, Vec<String>) {
    let entries = std::fs::read_dir(repository.top.join(WORKFLOWS)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml"))
        .collect();
    paths.sort();
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let name = repository.name(&path);
        match read_text(&path, TEXT_LIMIT_BYTES) {
            Ok(text) => files.push(TextFile { path: name, text }),
            Err(error) => problems.push(format!("{name} could not be read: {error}")),
        }
    }
    (files, problems)
}

/// Local actions and files of other CI systems that mention Dagster+'s tools.
fn elsewhere(repository: &Repository) -> Vec<String> {
    let local = std::fs::read_dir(repository.top.join(".github/actions")).into_iter().flatten().flatten();
    let local = local.flat_map(|entry| ["action.yml", "action.yaml"].map(|name| entry.path().join(name)));
    let others = [
        ".gitlab-ci.yml",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "Jenkinsfile",
        ".circleci/config.yml",
    ];
    let files = local.chain(others.map(|name| repository.top.join(name)));
    let mentions = |path: &PathBuf| {
        let text = read_text(path, TEXT_LIMIT_BYTES).unwrap_or_default();
        ["dagster-cloud-action", "dagster-cloud ci", "dagster-cloud serverless", "dg plus deploy"]
            .iter()
            .any(|name| text.contains(name))
    };
    let mut names: Vec<String> = files.filter(mentions).map(|path| repository.name(&path)).collect();
    names.sort();
    names
}

/// The project in the directory, or the one that old workflows deploy.
fn reading(repository: &Repository, workflows: &[TextFile], host: &Host) -> Option<Reading> {
    let named = named_projects(workflows).into_iter().map(|path| repository.top.join(path));
    let is_below = |path: &PathBuf| path.starts_with(&repository.directory);
    std::iter::once(repository.directory.clone())
        .chain(named.filter(is_below).filter(|path| path.exists()))
        .map(|path| Project::inspect(&path, host))
        .find(|reading| reading.file.is_file())
}

fn directory_of(reading: &Reading) -> PathBuf {
    reading.file.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn found_project(reading: &Reading, repository: &Repository) -> FoundProject {
    let location = |location: &project::Location| FoundLocation {
        name: location.name.clone(),
        directory: repository.name(&location.directory),
        registry: location
            .document
            .get("build")
            .and_then(|build| build.get("registry")?.as_str())
            .map(String::from),
    };
    FoundProject {
        file: repository.name(&reading.file),
        locations: reading.locations.iter().map(location).collect(),
    }
}

/// The `dagster_cloud.yaml` files in directories of candidates.
fn own_files(found: &[candidates::Candidate], repository: &Repository) -> Vec<String> {
    let files = found.iter().map(|found| found.directory.join("dagster_cloud.yaml"));
    let own: BTreeSet<String> =
        files.filter(|file| file.is_file()).map(|file| repository.name(&file)).collect();
    own.into_iter().collect()
}

fn candidate(found: candidates::Candidate, repository: &Repository) -> Candidate {
    Candidate {
        name: found.name,
        directory: repository.name(&found.directory),
        key: found.key,
        value: found.value,
        file: repository.name(&found.file),
        attribute: found.attribute,
    }
}

/// What the project says about Python, if it says something.
fn python(root: &Path, directories: &BTreeSet<PathBuf>, repository: &Repository) -> Option<(String, String)> {
    let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
    // A contradiction is reported by `check` and every build.
    let found = python_version::infer(root, &directories).ok()?;
    let origin = found.origin?;
    let prefix = repository.name(root);
    let origin = match prefix.as_str() {
        "." => origin,
        _ if origin.contains(" of ") => origin.replacen(" of ", &format!(" of {prefix}/"), 1),
        _ => format!("{prefix}/{origin}"),
    };
    Some((found.version.to_string(), origin))
}

/// The default branch of `origin`, or the checked-out one if it has a usual name.
fn default_branch(tree: &WorkTree) -> Option<String> {
    tree.default_branch()
        .or_else(|| tree.branch().filter(|name| ["main", "master", "trunk"].contains(&name.as_str())))
}

fn docker(directories: &BTreeSet<PathBuf>, repository: &Repository) -> Vec<String> {
    let warnings = directories.iter().flat_map(|directory| project::collect::only_with_docker(directory));
    let shown = |warning: project::Warning| match warning.place {
        Some(place) => {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}: {}", repository.name(&place.file), warning.message)
        }
        None => warning.message,
    };
    warnings.map(shown).collect()
}

/// Steps that `pexpress image` would stop at, and Dockerfiles that it cannot follow.
fn image_obstacles(
    reading: &Option<Reading>,
    directories: &BTreeSet<PathBuf>,
    repository: &Repository,
) -> Vec<String> {
    let locations = reading.iter().flat_map(|reading| &reading.locations);
    let named = match dockerfile::named(locations) {
        Ok(named) => named,
        Err(error) => return vec![error.to_string()],
    };
    let mut obstacles = Vec::new();
    let mut bases = BTreeSet::new();
    for directory in directories {
        let shown = |path: &Path| match repository.name(path).as_str() {
            "." => PathBuf::new(),
            name => PathBuf::from(name),
        };
        let file = named.get(directory).and_then(Option::as_deref).map(|file| (file, shown(file)));
        let file = file.as_ref().map(|(file, shown)| (*file, shown.as_path()));
        let facts = dockerfile::Facts::permissive();
        let read = dockerfile::Recipe::read(directory, &shown(directory), file, &facts);
        bases.extend(read.as_ref().ok().and_then(|recipe| Some(recipe.base.as_ref()?.reference.clone())));
        match read.and_then(|recipe| recipe.check()) {
            Ok(()) => {}
            Err(RecipeError::Needed { steps }) => obstacles.extend(
                steps.iter().map(|step| format!("{}:{}: `{}`", step.file.display(), step.line, step.text)),
            ),
            Err(error) => obstacles.push(error.to_string()),
        }
    }
    if bases.len() > 1 {
        obstacles.push(format!("the Dockerfiles start from {}", Vec::from_iter(bases).join(" and ")));
    }
    obstacles
}

fn problem(error: &project::ProjectError, repository: &Repository) -> String {
    use crate::error::Explain;
    let place = error.place().map(|place| {
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}: ", repository.name(&place.file))
    });
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    shortened(&format!("{}{error}{hint}", place.unwrap_or_default()), &repository.top)
}

/// The text of files that may be written or moved to.
fn present(facts: &Facts, repository: &Repository) -> BTreeMap<String, String> {
    let workflow = format!("{WORKFLOWS}/{}", facts.workflow_name);
    let below = |name: &str| match facts.directory.as_str() {
        "." => name.to_string(),
        directory => format!("{directory}/{name}"),
    };
    let ignored = facts.secrets.keys().map(|directory| match directory.as_str() {
        "." => left_out::PEXIGNORE.to_string(),
        directory => format!("{directory}/{}", left_out::PEXIGNORE),
    });
    let moved = facts.workflows.iter().map(|file| format!("{}{MOVED_ENDING}", file.path));
    let names = [workflow, below("dagster_cloud.yaml")].into_iter().chain(ignored).chain(moved);
    names
        .filter_map(|name| {
            let path = repository.top.join(&name);
            // What is there and cannot be read differs from what would be written.
            path.exists().then(|| (name, read_text(&path, TEXT_LIMIT_BYTES).unwrap_or_default()))
        })
        .collect()
}
