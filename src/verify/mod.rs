//! PEX files → the definitions of the code locations in them, loaded as by the Dagster+ agent.
//!
//! Each file is unpacked by the pex tools of its own runtime, with the agent's command line. The location is then
//! loaded by its own dagster, in the environment that the agent would make. Source: `dagster_cloud` 1.13.27,
//! `pex/grpc/server/registry.py`. Environments of deps PEXes are cached, because equal names mean equal content.

mod advice;
pub mod environment;
mod excuse;
pub mod image;
mod rules;
pub mod traceback;

pub use excuse::{Excuse, for_want_of_secrets};
pub use rules::{Rules, VerifyWhen, unfit};

use crate::builder::BuildError;
use crate::builder::manifest::{Entry, Manifest, Origin};
use crate::cache::CacheError;
use crate::child_env::Purpose;
use crate::display::Display;
use crate::error::{Explain, Fault, Place};
use crate::host::Host;
use crate::image::LayoutError;
use crate::project::{Location, code_source};
use crate::scratch::Scratch;
use crate::target::PythonVersion;
use crate::tools::{self, Process, ProcessError, Tools};
use advice::Cause;
use environment::Environment;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The program that loads a code location and lists its definitions.
const LOAD: &str = concat!(include_str!("not_here.py"), "\n", include_str!("load.py"));

/// The result for one code location.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Name of the code location.
    pub name: String,
    /// Its definitions, or why it does not load.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// It does not load here, which may be because of this machine and is tolerated.
    #[serde(rename = "tolerated", skip_serializing_if = "std::ops::Not::not")]
    pub is_tolerated: bool,
}

impl Verified {
    /// The result of loading. `lenient` tolerates failures that may be because of this machine.
    pub fn new(name: &str, outcome: Outcome, lenient: bool) -> Verified {
        let is_tolerated = lenient && matches!(outcome, Outcome::Failed { not_here: Some(_), .. });
        Verified { name: name.to_string(), outcome, is_tolerated }
    }

    /// Why it does not load, as `error: …` with place, traceback and next step.
    pub fn failure(&self) -> Option<Failure> {
        let Outcome::Failed { traceback, place, hint, .. } = &self.outcome else { return None };
        let line = self.outcome.error_line().unwrap_or_default();
        let title = format!("the code location `{}` does not load here: {line}", self.name);
        let at = place.as_ref().map(|place| format!("\n  at: {place}")).unwrap_or_default();
        let traceback = traceback.trim_end().replace('\n', "\n    ");
        let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let text = format!("error: {title}{at}\n    {traceback}{hint}");
        Some(Failure { title, text, place: place.clone() })
    }

    /// Whether it loads, or its failure is tolerated.
    pub fn passes(&self) -> bool {
        self.is_tolerated || matches!(self.outcome, Outcome::Loaded { .. })
    }
}

/// Why a code location does not load here, for people.
#[derive(Debug)]
pub struct Failure {
    /// In one line.
    pub title: String,
    /// The whole text.
    pub text: String,
    /// Where in the user's files.
    pub place: Option<Place>,
}

/// The result of loading.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It loads.
    Loaded {
        /// Version of the dagster that loaded it.
        dagster: String,
        /// Version of the dagster-cloud that its runs import.
        dagster_cloud: String,
        /// Its repositories by name; usually one, called `__repository__`.
        repositories: BTreeMap<String, Definitions>,
    },
    /// It does not.
    Failed {
        /// Type and message of the innermost exception.
        error: String,
        /// The whole Python traceback.
        traceback: String,
        /// Why it may load elsewhere: a variable that is not set here, a server that cannot be reached from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_here: Option<String>,
        /// The installed distribution that failed, with its version.
        #[serde(default, skip_serializing)]
        library: Option<String>,
        /// The last line of the user's own files.
        #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// What to do next.
        #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Outcome {
    /// The same with the user's files instead of their copies, the line to look at, and the next step.
    fn explained(mut self, entry: &Entry, host: &Host) -> Outcome {
        if let Outcome::Failed { error, traceback, not_here, library, place, hint } = &mut self {
            let texts = std::iter::once(error.as_str()).chain(traceback::parts(traceback));
            *place = traceback::last_place(texts, &entry.origin);
            *error = traceback::with_user_files(error, &entry.origin);
            *traceback = traceback::with_user_files(traceback, &entry.origin);
            let ended = Ended {
                line: traceback::error_line(error),
                place: place.as_ref(),
                not_here: not_here.as_deref(),
                library: library.as_deref(),
            };
            *hint = next_step(ended, &entry.location(), &entry.origin, host);
        }
        self
    }

    /// Why it does not load, in one line: `KeyError: 'X'`.
    pub fn error_line(&self) -> Option<&str> {
        match self {
            Outcome::Failed { error, .. } => Some(traceback::error_line(error)),
            Outcome::Loaded { .. } => None,
        }
    }
}

/// How loading a code location failed, here or in Dagster+.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The line that names the exception.
    pub line: &'a str,
    /// The last line of the user's own files.
    pub place: Option<&'a Place>,
    /// What is missing on this machine.
    pub not_here: Option<&'a str>,
    /// The installed distribution that failed.
    pub library: Option<&'a str>,
}

/// The next step.
pub fn next_step(ended: Ended<'_>, location: &Location, origin: &Origin, host: &Host) -> Option<String> {
    let module = ended.line.strip_prefix("ModuleNotFoundError: No module named '");
    let module = module.and_then(|rest| rest.split('\'').next());
    // Without a line of the user's, the code location itself names a module that does not exist.
    if module.is_some()
        && ended.place.is_none()
        && let Some(warning) = code_source::look(std::slice::from_ref(location)).pop()
    {
        return Some(warning.message);
    }
    let project = module.and_then(|module| code_source::imported(location, module));
    let shown = ended.place.map(Place::to_string);
    let dependencies = origin.dependencies.as_ref().map(|file| file.display().to_string());
    advice::hint(&Cause {
        error: ended.line,
        not_here: ended.not_here,
        place: shown.as_deref(),
        library: ended.library,
        project: project.as_deref(),
        dependencies: dependencies.as_deref(),
        in_step: host.names_inputs(),
    })
}

/// Sorted names of the definitions of a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Definitions {
    /// Asset keys, parts joined by `/`.
    pub assets: Vec<String>,
    /// Jobs, without the implicit ones.
    pub jobs: Vec<String>,
    /// Schedules.
    pub schedules: Vec<String>,
    /// Sensors.
    pub sensors: Vec<String>,
}

/// Verifying failed, not the code location.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum VerifyError {
    #[error(transparent)]
    Tools(#[from] tools::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("could not unpack `{file}` as the Dagster+ agent would")]
    Unpack {
        file: PathBuf,
        #[source]
        source: ProcessError,
    },
    #[error("`{file}` is damaged")]
    Damaged {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{file}` was built for {platform}, and its packages cannot be loaded on this machine")]
    OtherPlatform { file: String, platform: String },
    #[error("the process that loads the code location `{location}` ended without a result")]
    NoResult {
        location: String,
        #[source]
        source: ProcessError,
    },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Layer(#[from] image::UnpackError),
    #[error("the image layout `{directory}` cannot be loaded: {reason}")]
    Image { directory: PathBuf, reason: String },
    #[error("`{directory}` holds no image layout")]
    NoImage { directory: PathBuf },
    #[error("an image can be started here by root on Linux, or by podman or docker, and neither is there")]
    NoContainer,
    #[error("`{program}` could not take the image")]
    Engine {
        program: PathBuf,
        #[source]
        source: ProcessError,
    },
    #[error("could not {action} `{path}`")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl VerifyError {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            VerifyError::Tools(error) => Some(error),
            VerifyError::Cache(error) => Some(error),
            VerifyError::Build(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for VerifyError {
    fn fault(&self) -> Fault {
        match self {
            VerifyError::NoResult { .. } => Fault::Project,
            VerifyError::Layout(_) | VerifyError::Layer(_) | VerifyError::Image { .. } => Fault::Project,
            VerifyError::NoImage { .. } | VerifyError::NoContainer => Fault::Usage,
            _ => self.inner().map_or(Fault::Tool, Explain::fault),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            VerifyError::OtherPlatform { .. } => {
                Some("run it on Linux with the same processor, for example on the runner".into())
            }
            VerifyError::NoResult { .. } => Some(
                "importing it ends the Python process; look for os._exit or a crash in a compiled module"
                    .into(),
            ),
            VerifyError::Damaged { .. } => Some(
                "build the code locations again with `pexpress deploy`; every run writes its files again"
                    .into(),
            ),
            VerifyError::Layout(error) => error.hint(),
            VerifyError::Layer(_) | VerifyError::Image { .. } => {
                Some("write the layout again with `pexpress image`".into())
            }
            VerifyError::NoContainer => Some(
                "run it with sudo, install podman or docker, or leave out --verify=container to load the environment of the image"
                    .into(),
            ),
            VerifyError::Engine { .. } => Some(
                "check that it works for this user, for example with `docker info`; or run this with sudo".into(),
            ),
            VerifyError::Unpack { .. } => Some("the file may be damaged; build it again".into()),
            _ => self.inner().and_then(Explain::hint),
        }
    }
    fn place(&self) -> Option<Place> {
        self.inner().and_then(Explain::place)
    }
}

/// Load every code location of a manifest, and call `done` for each when it is. `lenient` tolerates failures that may be
/// because of this machine.
///
/// # Errors
/// When a file cannot be unpacked or Python cannot be run. A location that does not load is an [`Outcome`].
pub fn run(
    manifest: &Manifest,
    out_dir: &Path,
    tools: &Tools,
    display: &Display,
    lenient: bool,
    done: &dyn Fn(&Verified),
) -> Result<Vec<Verified>, VerifyError> {
    let python = manifest.python()?;
    check_platform(manifest, python)?;
    let temp_dir = tools.host().temp_dir();
    let scratch = Scratch::shared(&temp_dir).map_err(|source| VerifyError::File {
        action: "create",
        path: temp_dir,
        source,
    })?;
    let mut sources: BTreeMap<&str, Environment> = BTreeMap::new();
    let mut verified = Vec::new();
    // Before anything is unpacked: a damaged file could fail in a way that looks like the user's fault.
    check_whole(manifest, out_dir)?;
    for entry in &manifest.locations {
        let phase = display.phase(format!("Loading the code location {}", entry.name));
        // Code locations of one build directory share a source PEX.
        if !sources.contains_key(entry.source_pex.as_str()) {
            let directory = scratch.path().join(&entry.source_pex);
            let unpacked = Environment::unpack(&out_dir.join(&entry.source_pex), &directory, python, tools)?;
            sources.insert(&entry.source_pex, unpacked);
        }
        let source = &sources[entry.source_pex.as_str()];
        let deps = environment::kept(&out_dir.join(&entry.deps_pex), python, tools)?;
        let outcome = load(entry, source, &deps, scratch.path(), tools)?;
        drop(phase);
        let location = Verified::new(&entry.name, outcome, lenient);
        done(&location);
        verified.push(location);
    }
    Ok(verified)
}

/// Compare every member of the files with its CRC-32: the cached environment may have been unpacked before a file was
/// damaged.
fn check_whole(manifest: &Manifest, out_dir: &Path) -> Result<(), VerifyError> {
    let names: BTreeSet<&String> =
        manifest.locations.iter().flat_map(|entry| [&entry.source_pex, &entry.deps_pex]).collect();
    for name in names {
        let file = out_dir.join(name);
        let read = || -> std::io::Result<()> {
            let mut archive = zip::ZipArchive::new(BufReader::new(File::open(&file)?))?;
            for index in 0..archive.len() {
                std::io::copy(&mut archive.by_index(index)?, &mut std::io::sink())?;
            }
            Ok(())
        };
        read().map_err(|source| VerifyError::Damaged { file: file.clone(), source })?;
    }
    Ok(())
}

/// Compiled packages load only on their own platform.
fn check_platform(manifest: &Manifest, python: PythonVersion) -> Result<(), VerifyError> {
    let here = cfg!(target_os = "linux") && manifest.platform.ends_with(std::env::consts::ARCH);
    if here {
        return Ok(());
    }
    let file = manifest.locations.first().map(|entry| entry.deps_pex.clone()).unwrap_or_default();
    let platform = format!("{} and Python {python}", manifest.platform);
    Err(VerifyError::OtherPlatform { file, platform })
}

fn load(
    entry: &Entry,
    source: &Environment,
    deps: &Environment,
    scratch: &Path,
    tools: &Tools,
) -> Result<Outcome, VerifyError> {
    // The answer goes to a file: the user's code may print anything to stdout and stderr.
    let answer = scratch.join("answer.json");
    // The answer of the previous code location must not be taken for this one's.
    if let Err(source) = std::fs::remove_file(&answer)
        && source.kind() != std::io::ErrorKind::NotFound
    {
        return Err(VerifyError::File { action: "remove", path: answer, source });
    }
    let document = serde_json::Value::Object(entry.document.clone()).to_string();
    let process = Process::new(tools.host(), Purpose::Code, source.directory.join("pex"))
        .args(["-c", LOAD])
        .arg(&answer)
        .arg(document)
        .env("PYTHONPATH", environment::joined([&source.site_packages, &deps.site_packages]))
        .env("PATH", environment::search_path([source, deps], tools.host()))
        // Bytecode written now is used for the next code location.
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .cwd(&source.site_packages.join("working_directory/root"));
    answer_of(process, Some(&answer), entry, tools.host())
}

/// Run a process that loads a code location, and read what it writes to `answer`, or to stdout.
fn answer_of(
    process: Process,
    answer: Option<&Path>,
    entry: &Entry,
    host: &Host,
) -> Result<Outcome, VerifyError> {
    let no_result = |source| VerifyError::NoResult { location: entry.name.clone(), source };
    let output = process.output(host).map_err(no_result)?;
    let text = match answer {
        Some(answer) => std::fs::read_to_string(answer).ok(),
        None => String::from_utf8(output.stdout.clone()).ok(),
    };
    match text.and_then(|text| serde_json::from_str(&text).ok()) {
        Some(outcome) => Ok(Outcome::explained(outcome, entry, host)),
        None => Err(no_result(output.into_error())),
    }
}
