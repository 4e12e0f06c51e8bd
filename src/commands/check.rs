//! `check`: the code locations that a build or deploy would work on, or all that is wrong with their files.
//!
//! The JSON document has `file`, `locations`, `errors` and `warnings`, whatever the outcome; the errors are told on
//! stderr as well.

use super::Error;
use crate::build::left_out;
use crate::cli::{CheckArgs, Format};
use crate::error::{Explain, Place, error_text};
use crate::host::Host;
use crate::project::{Location, Project, ProjectError, Reading, Warning, build_directory};
use crate::render::Exit;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Run the command: exit code 0, or that of the first error.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(args: &CheckArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let mut reading = Project::inspect(&args.file, host);
    reading.examine(host);
    reading.warnings.extend(left_out::code(&reading.locations));
    for warning in &reading.warnings {
        host.say(&warning_text(warning));
    }
    for error in &reading.errors {
        host.say(&error_text(error, host.color()));
    }
    let text = match format {
        Format::Json => format!("{:#}", document(&reading)),
        Format::Text => table(&reading),
    };
    if !text.is_empty() {
        host.data(&text).map_err(Error::Stdout)?;
    }
    Ok(Exit(reading.errors.first().map_or(0, |error| error.fault().exit_code())))
}

fn warning_text(warning: &Warning) -> String {
    match &warning.place {
        Some(place) => format!("warning: {}\n  at: {place}", warning.message),
        None => format!("warning: {}", warning.message),
    }
}

fn document(reading: &Reading) -> Value {
    let root = root(reading);
    let locations = reading.locations.iter().map(|location| {
        json!({
            "name": location.name,
            "directory": build_directory::relative(&location.directory, root),
            "file": location.place.file,
            "line": location.place.line,
            "document": location.document,
        })
    });
    json!({
        "file": reading.file,
        "locations": locations.collect::<Vec<_>>(),
        "errors": reading.errors.iter().map(error_json).collect::<Vec<_>>(),
        "warnings": reading.warnings.iter().map(|warning| {
            Value::Object(with_place(&warning.message, warning.place.as_ref()))
        }).collect::<Vec<_>>(),
    })
}

fn root(reading: &Reading) -> &Path {
    reading.file.parent().unwrap_or(&reading.file)
}

fn error_json(error: &ProjectError) -> Value {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
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
fn table(reading: &Reading) -> String {
    let rows: Vec<[String; 3]> = reading
        .locations
        .iter()
        .map(|location| {
            let directory = build_directory::relative(&location.directory, root(reading));
            [location.name.clone(), directory.display().to_string(), code_source(location)]
        })
        .collect();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let (name_width, directory_width) = (width(0).unwrap_or(0).max(8), width(1).unwrap_or(0).max(9));
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("{:name_width$}  {:directory_width$}  CODE\n", "LOCATION", "DIRECTORY");
    for [name, directory, code] in rows {
        text += format!("{name:name_width$}  {directory:directory_width$}  {code}").trim_end();
        text.push('\n');
    }
    text
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
