//! `check`: the code locations that a build or deploy would work on, or all that is wrong with their files.
//!
//! The JSON document always has `file`, `locations`, `errors` and `warnings`; the errors are printed to stderr as well.
//! `strategy` of a code location is null where only Dagster+ knows whether it gets PEX files or an image.

use super::image::dockerfile;
use super::{Error, deploy, here};
use crate::builder::left_out;
use crate::cli::{BuildArgs, CheckArgs, Format, ImageOptions};
use crate::deployment::args::{PublishArgs, Strategy};
use crate::error::{Explain, Place, error_text};
use crate::host::Host;
use crate::paths::relative;
use crate::plan::strategy::{Decision, Way};
use crate::project::{Location, Project, Reading, Warning};
use crate::render::Exit;
use crate::report::table::Table;
use crate::report::{self, Ended, Problem, Purpose, Report, Run};
use crate::resolve::{self, Refusal};
use crate::update;
use serde_json::{Map, Value, json};
use std::path::Path;

/// What was read, with all errors and warnings.
pub struct Checked {
    /// The code locations, and the file that names them.
    reading: Reading,
    /// How each is deployed, as far as no answer of Dagster+ is needed; empty if settings are wrong.
    ways: Vec<(Location, Decision)>,
    errors: Vec<Box<dyn Explain>>,
    warnings: Vec<Warning>,
}

/// Run the command: exit code 0, or that of the first error.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &CheckArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let project = here::project(args.file.as_deref(), host);
    let (publish, build) = (PublishArgs::default(), BuildArgs::default());
    let checked = Checked::read(&project, &publish, (&ImageOptions::default(), &build), host);
    checked.say(host);
    checked.say_ways(host);
    let text = match format {
        Format::Json => format!("{:#}", document(&checked)),
        Format::Text => checked.table(host.data_columns()),
    };
    if !text.is_empty() {
        host.data(&text).map_err(Error::Stdout)?;
    }
    Ok(checked.exit())
}

impl Checked {
    /// Read the project that `file` names. `publish` has the settings that decide how code locations are deployed.
    pub fn read(
        file: &Path,
        publish: &PublishArgs,
        (options, build): (&ImageOptions, &BuildArgs),
        host: &Host,
    ) -> Checked {
        let mut reading = Project::inspect(file, host);
        let images = deploy::image_directories(&reading.locations, publish);
        reading.examine(&images, host);
        let mut warnings = std::mem::take(&mut reading.warnings);
        warnings.extend(left_out::code(&reading.locations));
        let errors = std::mem::take(&mut reading.errors);
        let mut errors: Vec<Box<dyn Explain>> =
            errors.into_iter().map(|error| Box::new(error) as Box<dyn Explain>).collect();
        // A base image may have what the requirements lack.
        for (directory, foreseen) in reading.foreseen.iter().filter(|(place, _)| !images.contains(*place)) {
            match resolve::foresee(foreseen, directory) {
                Some(Refusal { error, unless: None }) => errors.push(Box::new(error)),
                Some(Refusal { error, unless: Some(unless) }) => {
                    let hint = error.hint().unwrap_or_default();
                    let message = format!("{error}; {unless}{hint}");
                    warnings.push(Warning { message, place: error.place() });
                }
                None => {}
            }
        }
        let decisions = update::offline(&reading.locations, publish);
        let decisions = decisions.map_err(|error| errors.push(Box::new(error))).unwrap_or_default();
        let ways: Vec<(Location, Decision)> = reading.locations.iter().cloned().zip(decisions).collect();
        let images = ways.iter().filter(|(_, decision)| matches!(decision.way, Way::Image(_)));
        let images: Vec<&Location> = images.map(|(location, _)| location).collect();
        let asked = |directory: &Path| {
            let foreseen = reading.foreseen.get(directory)?;
            // With a lock, a build knows what its packages require too.
            Some((&foreseen.requirements, foreseen.is_whole && foreseen.lock.is_none()))
        };
        let settings = (options, build, publish.strategy == Strategy::Image);
        let refused = dockerfile::refused(settings, &images, &asked, host);
        errors.extend(refused.into_iter().map(|error| Box::new(error) as Box<dyn Explain>));
        Checked { reading, ways, errors, warnings }
    }

    /// Say which code locations are deployed as images, and why.
    pub fn say_ways(&self, host: &Host) {
        deploy::say_foreseen(&self.ways, host);
    }

    /// Print all errors and warnings.
    pub fn say(&self, host: &Host) {
        self.say_warnings(host);
        self.errors.iter().for_each(|error| host.say(&error_text(&**error, host.color())));
    }

    /// Print all warnings.
    pub fn say_warnings(&self, host: &Host) {
        self.warnings.iter().for_each(|warning| host.say(&warning_text(warning)));
    }

    /// Name, build directory and code source, a line a location, for a terminal with this many columns; empty without
    /// locations.
    pub fn table(&self, columns: Option<usize>) -> String {
        table(&self.reading, columns)
    }

    /// 0, or the code of the first error.
    pub fn exit(&self) -> Exit {
        Exit(self.errors.first().map_or(0, |error| error.fault().exit_code()))
    }

    /// The same as a report of a run that goes no further.
    pub fn report(&self) -> Report {
        let run = Run {
            purpose: Purpose::Check,
            project_file: self.reading.file.clone(),
            locations: self.reading.locations.clone(),
            warnings: self.warnings.clone(),
            ..Run::default()
        };
        let problems: Vec<_> = self.errors.iter().map(|error| Problem::from_error(&**error)).collect();
        let ended = if problems.is_empty() { Ended::Success } else { Ended::Failure(problems) };
        report::of_run(&run, &ended, 0.0)
    }
}

fn warning_text(warning: &Warning) -> String {
    match &warning.place {
        Some(place) => format!("warning: {}\n  at: {place}", warning.message),
        None => format!("warning: {}", warning.message),
    }
}

fn document(checked: &Checked) -> Value {
    let reading = &checked.reading;
    let root = root(reading);
    let way = |name: &str| checked.ways.iter().find(|(location, _)| location.name == name);
    let locations = reading.locations.iter().map(|location| {
        let strategy = way(&location.name).and_then(|(_, decision)| decision.settled());
        json!({
            "name": location.name,
            "directory": relative(&location.directory, root),
            "file": location.place.file,
            "line": location.place.line,
            "strategy": strategy,
            "document": location.document,
        })
    });
    json!({
        "file": reading.file,
        "locations": locations.collect::<Vec<_>>(),
        "errors": checked.errors.iter().map(|error| error_json(&**error)).collect::<Vec<_>>(),
        "warnings": checked.warnings.iter().map(|warning| {
            Value::Object(with_place(&warning.message, warning.place.as_ref()))
        }).collect::<Vec<_>>(),
    })
}

fn root(reading: &Reading) -> &Path {
    reading.file.parent().unwrap_or(&reading.file)
}

fn error_json(error: &dyn Explain) -> Value {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        message += &format!(": {next}");
        cause = next.source();
    }
    let mut object = with_place(&message, error.place().as_ref());
    object.insert("hint".to_string(), error.hint().into());
    Value::Object(object)
}

fn with_place(message: &str, place: Option<&Place>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("message".to_string(), message.into());
    object.insert("file".to_string(), place.map(|place| place.file.display().to_string()).into());
    object.insert("line".to_string(), place.and_then(|place| place.line).into());
    object.insert("column".to_string(), place.and_then(|place| place.column).into());
    object
}

/// Name, build directory and code source, a line a location.
fn table(reading: &Reading, columns: Option<usize>) -> String {
    if reading.locations.is_empty() {
        return String::new();
    }
    let mut rows = vec![["LOCATION", "DIRECTORY", "CODE"].map(String::from)];
    rows.extend(reading.locations.iter().map(|location| {
        let directory = relative(&location.directory, root(reading));
        [location.name.clone(), directory.display().to_string(), code_source(location)]
    }));
    Table::of_texts(rows).text(columns)
}

fn code_source(location: &Location) -> String {
    let sources = location.document.get("code_source").and_then(Value::as_object);
    let given = sources
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.as_str().is_some_and(|text| !text.is_empty()));
    given
        .map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(", ")
}
