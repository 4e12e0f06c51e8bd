//! `status`: the code locations of a deployment, their state, and the PEX files they run.

use super::Error;
use crate::cli::{Format, StatusArgs};
use crate::context::Context;
use crate::dagster::Client;
use crate::dagster::operations::LoadState;
use crate::deployment;
use crate::host::Host;
use crate::render::Exit;
use crate::report::LocationState;
use crate::target::PythonVersion;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Run the command: exit code 0 if the deployment could be read, whatever the state of its code locations.
///
/// # Errors
/// If a setting is missing, Dagster+ refuses, or stdout cannot be written.
pub fn run(args: &StatusArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let context = Context::read(&args.dagster, host.cwd(), host)?;
    let client = deployment::client(&context, host, PythonVersion::DEFAULT);
    let (client, states) = deployment::existing(&context, &client, Client::workspace)?;
    // It only adds details: the states are worth showing without them.
    let entries = client.workspace_entries().unwrap_or_else(|error| {
        host.say(&format!("warning: {error}"));
        BTreeMap::new()
    });
    let locations: Vec<_> = states.iter().map(|state| location(state, entries.get(&state.name))).collect();
    let text = match format {
        Format::Json => format!(
            "{:#}",
            json!({"deployment": client.deployment(), "url": client.locations_page(), "locations": locations})
        ),
        Format::Text => table(&locations),
    };
    host.note(format!("{} ({})", client.deployment().unwrap_or_default(), client.locations_page()));
    host.data(&text).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

/// What is shown about one code location. The metadata is the server's JSON of the last update.
fn location(state: &LoadState, metadata: Option<&String>) -> Value {
    let metadata: Value = metadata
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| Value::Object(Map::new()));
    let pex = &metadata["pex_metadata"];
    let files =
        pex["pex_tag"].as_str().map(|tag| tag.trim_start_matches("files=").split(':').collect::<Vec<_>>());
    json!({
        "name": state.name,
        "state": match (state.loaded, &state.failure) {
            _ if state.unclear => LocationState::Unknown,
            (false, _) => LocationState::Loading,
            (true, None) => LocationState::Loaded,
            (true, Some(_)) => LocationState::FailedToLoad,
        }
        .name(),
        "error": state.failure,
        "updated_seconds": state.stamp.as_ref().map(|stamp| stamp.updated_seconds),
        "pex_tag": pex["pex_tag"],
        "pex_files": files,
        "python_version": pex["python_version"],
        "image": metadata["image"],
        "commit_hash": metadata["git_metadata"]["commit_hash"],
    })
}

/// A line for each code location: name, state, commit, PEX files.
fn table(locations: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
    let rows: Vec<[String; 4]> = locations
        .iter()
        .map(|location| {
            let files =
                location["pex_files"].as_array().map(|files| files.iter().map(text).collect::<Vec<_>>());
            let files = files.map_or_else(|| text(&location["image"]), |files| files.join(" "));
            // Long enough to be unique in large repositories, and the line still fits a terminal.
            let commit: String = text(&location["commit_hash"]).chars().take(12).collect();
            [text(&location["name"]), text(&location["state"]).replace('_', " "), commit, files]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, state, commit) = (width(0), width(1), width(2));
    let line =
        |row: &[String; 4]| format!("{:name$}  {:state$}  {:commit$}  {}\n", row[0], row[1], row[2], row[3]);
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dagster::operations::PythonFailure;

    #[test]
    fn a_table_shows_what_each_code_location_runs() {
        let state = |name: &str, loaded, failure: Option<&str>| LoadState {
            name: name.into(),
            loaded,
            unclear: false,
            failure: failure.map(|message| PythonFailure {
                message: message.into(),
                stack: Vec::new(),
                chain: Vec::new(),
            }),
            stamp: None,
        };
        let metadata = json!({
            "pex_metadata": {"pex_tag": "files=deps-a.pex:source-b.pex"},
            "git_metadata": {"commit_hash": "0123456789abcdef"},
        });
        let rows = [
            location(&state("one", true, None), Some(&metadata.to_string())),
            location(&state("three", false, None), None),
            location(&state("bad", true, Some("ImportError")), None),
        ];
        // The same words as in a deploy and its JSON.
        assert_eq!(rows[2]["state"], "failed_to_load");
        assert_eq!(
            table(&rows),
            "one    loaded          0123456789ab  deps-a.pex source-b.pex\nthree  loading         -             -\nbad    failed to load  -             -\n"
        );
    }
}
