//! `status`: the code locations of a deployment, their state, and the PEX files or images they run.

use super::Error;
use crate::cli::{Format, StatusArgs};
use crate::context::Context;
use crate::dagster::Client;
use crate::dagster::operations::LoadState;
use crate::deployment::args::BranchArgs;
use crate::deployment::{self, Branch, Choice, DeploymentError, Destination};
use crate::hex::short_hash;
use crate::host::Host;
use crate::render::Exit;
use crate::report::LocationState;
use crate::report::table::Table;
use crate::target::PythonVersion;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Run the command: exit code 0 if the deployment could be read, whatever the state of its code locations.
///
/// # Errors
/// Those of [`read`], or if stdout cannot be written.
pub fn run(args: &StatusArgs, format: Format, host: &Host) -> Result<Exit, Error> {
    let status = read(args, host)?;
    let text = match format {
        Format::Json => format!(
            "{:#}",
            json!({"deployment": status.deployment, "url": status.url, "locations": status.locations})
        ),
        Format::Text => status.table(host.data_columns()),
    };
    host.note(format!("{} ({})", status.deployment, status.url));
    if status.locations.is_empty() {
        host.note(NO_LOCATIONS);
    }
    host.data(&text).map_err(Error::Stdout)?;
    Ok(Exit(0))
}

/// In place of a table without rows.
pub const NO_LOCATIONS: &str = "There are no code locations";

/// A deployment and its code locations.
pub struct Status {
    /// Its name.
    pub deployment: String,
    /// Its page.
    pub url: String,
    /// What is shown about each code location.
    pub locations: Vec<Value>,
}

impl Status {
    /// A line for each code location, at most `columns` wide.
    pub fn table(&self, columns: Option<usize>) -> String {
        table(&self.locations).text(columns)
    }
}

/// Read the state of a deployment.
///
/// # Errors
/// If a setting is missing, or Dagster+ refuses.
pub fn read(args: &StatusArgs, host: &Host) -> Result<Status, Error> {
    let context = Context::read(&args.dagster, host.cwd(), host)?;
    let client = deployment::client(&context, host, PythonVersion::DEFAULT);
    let (client, states) = match args.branch {
        true => deployment::of_branch(&branch(&context, host)?, &client, Client::workspace)?,
        false => deployment::existing(&context, &client, Client::workspace)?,
    };
    // It only adds details: the states are worth showing without them.
    let entries = client.workspace_entries().unwrap_or_else(|error| {
        host.say(&format!("warning: {error}"));
        BTreeMap::new()
    });
    let locations = states.iter().map(|state| location(state, entries.get(&state.name))).collect();
    let deployment = client.deployment().unwrap_or_default().to_string();
    Ok(Status { deployment, url: client.locations_page(), locations })
}

/// The branch that is checked out, or the event's.
fn branch(context: &Context, host: &Host) -> Result<Branch, Error> {
    let args = BranchArgs { deployment_for_branch: true, ..BranchArgs::default() };
    match deployment::decide(context, None, &args, false, host)? {
        Choice::Deploy(Destination::Branch(branch)) | Choice::Close(branch) => {
            host.note(format!("The branch deployment of the branch {}:", branch.data.branch_name));
            Ok(*branch)
        }
        Choice::Deploy(Destination::Named { .. }) | Choice::Nothing(_) => {
            Err(DeploymentError::NoBranch { why: "this run is not for a pull request or a branch" }.into())
        }
    }
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

/// `code location  state  commit  source PEX  deps PEX  image`, a line for each; the image of those without PEX files.
fn table(locations: &[Value]) -> Table<6> {
    let header = ["code location", "state", "commit", "source PEX", "deps PEX", "image"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
    let row = |location: &Value| {
        let files = location["pex_files"].as_array();
        let hash = |kind: &str| {
            let file = files?.iter().filter_map(Value::as_str).find(|file| file.starts_with(kind))?;
            Some(short_hash(file).to_string())
        };
        let image = if files.is_some() { String::new() } else { text(&location["image"]) };
        [
            text(&location["name"]),
            text(&location["state"]).replace('_', " "),
            short_hash(&text(&location["commit_hash"])).to_string(),
            hash("source-").unwrap_or_default(),
            hash("deps-").unwrap_or_default(),
            image,
        ]
        .map(|cell| if cell.is_empty() { "-".to_string() } else { cell })
    };
    let mut rows = vec![header.map(String::from)];
    rows.extend(locations.iter().map(row));
    Table { spare: &[4], ..Table::of_texts(rows) }
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
            "pex_metadata": {"pex_tag": "files=deps-0a.pex:source-0b.pex"},
            "git_metadata": {"commit_hash": "0123456789abcdef"},
        });
        let rows = [
            location(&state("one", true, None), Some(&metadata.to_string())),
            location(&state("three", false, None), None),
            location(&state("bad", true, Some("ImportError")), None),
        ];
        // The same words as in a deploy and its JSON.
        assert_eq!(rows[2]["state"], "failed_to_load");
        insta::assert_snapshot!(table(&rows).text(None), @r"
        code location  state           commit    source PEX  deps PEX
        one            loaded          01234567  0b          0a
        three          loading         -         -           -
        bad            failed to load  -         -           -
        ");
    }
}
