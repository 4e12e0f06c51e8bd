//! Whether an update is ours: what Dagster+ stores for a code location, compared with what it was updated to.
//!
//! Checked after a lost answer, and again at the end of a wait, because another client may deploy at the same time. The
//! last look of a wait mostly shows it already.
//! Callers have nothing else left to do, so failures are retried for about two minutes.

use super::{Before, Outcome, Update, UpdateError, running};
use crate::dagster::together::Metadata;
use crate::dagster::{Client, DagsterError};
use crate::net::retry::{self, Again, Backoff};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// After this many refusals of a token or deployment, over some seconds, there are no more attempts.
const MOST_REFUSALS: u32 = 5;

/// The code locations that the server now shows as in these documents, and did not before: their update took effect,
/// although no answer said so. `None` if the server cannot tell.
pub(super) fn taken(client: &Client, updates: &[Update], before: &Before) -> Option<BTreeSet<String>> {
    if before.same_documents {
        return None;
    }
    let now = match metadata(client, before) {
        Ok(now) => now?,
        Err(error) => {
            client.host().detail(error.to_string());
            return None;
        }
    };
    let is_taken = |update: &&Update| {
        let Some(text) = now.get(&update.name) else { return false };
        let Ok(value) = serde_json::from_str::<Value>(text) else { return false };
        let known = before.metadata.as_ref();
        let changed = known.is_some_and(|before| before.get(&update.name) != Some(text));
        // The files alone may be from an earlier run with the same code.
        runs(&value, update) == Some(true) && (changed || running::is_made_by(&value, &update.document))
    };
    Some(updates.iter().filter(is_taken).map(|update| update.name.clone()).collect())
}

/// Correct the outcomes of code locations that are no longer as they were updated. `stored` is what the server stored
/// for each at the last look, if that look showed it.
pub(super) fn run(
    client: &Client,
    updates: &[Update],
    before: &Before,
    stored: Option<Metadata>,
    outcomes: &mut [Outcome],
) {
    let seen = |outcome: &Outcome| {
        matches!(outcome.result, Ok(_) | Err(UpdateError::Load { .. } | UpdateError::LoadTimeout { .. }))
    };
    if !outcomes.iter().any(seen) {
        return;
    }
    let now = match stored.map_or_else(|| metadata(client, before), |stored| Ok(Some(stored))) {
        Ok(Some(now)) => now,
        Ok(None) => return,
        Err(source) => {
            let source = Arc::new(source);
            for outcome in outcomes.iter_mut().filter(|outcome| seen(outcome)) {
                let (location, source) = (outcome.name.clone(), Arc::clone(&source));
                outcome.result = Err(UpdateError::Unseen { location, source });
            }
            return;
        }
    };
    for outcome in outcomes.iter_mut().filter(|outcome| seen(outcome)) {
        let Some(update) = updates.iter().find(|update| update.name == outcome.name) else { continue };
        let location = outcome.name.clone();
        let Some(text) = now.get(&outcome.name) else {
            outcome.result = Err(UpdateError::Overtaken { location, now: None });
            continue;
        };
        let value = serde_json::from_str::<Value>(text).unwrap_or_default();
        if runs(&value, update) == Some(false) {
            let (tag, image) = (&value["pex_metadata"]["pex_tag"], &value["image"]);
            let now = tag.as_str().filter(|tag| !tag.is_empty()).or(image.as_str()).unwrap_or_default();
            outcome.result = Err(UpdateError::Overtaken { location, now: Some(now.into()) });
        }
    }
}

/// Whether a code location with this metadata runs the PEX files of an update, or its image; `None` if the metadata does
/// not say.
pub(super) fn runs(metadata: &Value, update: &Update) -> Option<bool> {
    let files = |value: &Value| running::files(value).into_iter().collect::<BTreeSet<_>>();
    let wanted = files(&Value::Object(update.document.clone()));
    let key = if wanted.is_empty() { "image" } else { "pex_metadata" };
    metadata.get(key)?;
    let image = update.document.get("image");
    match wanted.is_empty() {
        false => Some(files(metadata) == wanted),
        true => image.map(|image| metadata["image"] == *image && files(metadata).is_empty()),
    }
}

/// What each code location was last updated to; `None` if the server does not report it.
fn metadata(client: &Client, before: &Before) -> Result<Option<Metadata>, DagsterError> {
    let asked = retry::run(&Backoff::PATIENT, client.host().clock.as_ref(), |number| {
        match client.workspace_entries() {
            // The server could not answer before the update either, so a retry would not help.
            Err(DagsterError::GraphQl { .. } | DagsterError::Unexpected { .. })
                if before.metadata.is_none() =>
            {
                Ok(None)
            }
            Err(error) if error.is_refusal() && number >= MOST_REFUSALS => Err(Again::No(error)),
            Err(error) => Err(Again::After { error, retry_after: None }),
            Ok(entries) => Ok(Some(entries)),
        }
    });
    asked.map_err(|failed| failed.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_update_is_seen_by_its_files_or_by_its_image() {
        let tag = "files=deps-a.pex:source-b.pex";
        let of_files = json!({"pex_metadata": {"pex_tag": tag}, "image": "base:1"});
        let of_image = json!({"image": "one:1"});
        let unlike = json!({"pex_metadata": {"pex_tag": "files=deps-a.pex:source-c.pex"}, "image": "base:1"});
        for (document, metadata, want) in [
            (&of_files, of_files.clone(), Some(true)),
            (&of_files, unlike, Some(false)),
            (&of_files, json!({"image": "base:1"}), None),
            (&of_files, json!({"pex_metadata": null, "image": "one:1"}), Some(false)),
            (&of_image, json!({"pex_metadata": null, "image": "one:1"}), Some(true)),
            (&of_image, json!({"image": "one:2"}), Some(false)),
            (&of_image, json!({"pex_metadata": {"pex_tag": tag}, "image": "one:1"}), Some(false)),
            (&of_image, json!({}), None),
        ] {
            let Value::Object(document) = document.clone() else { panic!() };
            let update = Update { name: "one".into(), document };
            assert_eq!(runs(&metadata, &update), want, "{metadata}");
        }
    }
}
