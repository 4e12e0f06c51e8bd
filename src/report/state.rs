//! The states of a code location.

use crate::update::{Outcome, UpdateError, Updated};
use serde::{Deserialize, Serialize};

/// The state of a code location, in checks, builds and deploys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocationState {
    /// The run has not reached it yet.
    #[default]
    Pending,
    /// The run ended before reaching it.
    NotReached,
    /// It is as it was before.
    NotDeployed,
    /// Its files are stored.
    Published,
    /// Its files are not stored.
    NotPublished,
    /// Dagster+ refused the update.
    NotUpdated,
    /// Dagster+ took the update, and the run did not wait for the load.
    Updated,
    /// It runs the new files.
    Loaded,
    /// It runs these files already, and was not updated.
    Unchanged,
    /// It was updated and does not load.
    FailedToLoad,
    /// It was updated and had not loaded when the time was up.
    Loading,
    /// It was updated, and no agent was running to load it.
    NoAgent,
    /// It was updated, and then another run updated or removed it.
    Overtaken,
    /// Whether it was updated, or whether it then loaded, could not be seen.
    Unknown,
    /// It was only checked.
    Read,
    /// It was only checked, and has a warning.
    Doubtful,
    /// It was only checked, and has an error.
    Wrong,
    /// It was built, as requested.
    Built,
    /// It was built and loads here.
    Verified,
    /// It could not be built.
    NotBuilt,
    /// It was built and does not load here.
    NotLoaded,
}

use LocationState::{
    Built, Doubtful, FailedToLoad, Loaded, Loading, NoAgent, NotBuilt, NotDeployed, NotLoaded, NotPublished,
    NotReached, NotUpdated, Overtaken, Pending, Published, Read, Unchanged, Unknown, Updated as Taken,
    Verified, Wrong,
};

impl LocationState {
    /// The state for the outcome of an update.
    pub fn from_outcome(outcome: &Outcome) -> LocationState {
        match &outcome.result {
            Ok(Updated::Published) => Published,
            Ok(Updated::Unchanged) => Unchanged,
            Ok(Updated::Loaded) => Loaded,
            Ok(Updated::NotAwaited) => Taken,
            Err(
                UpdateError::NotPublished { .. }
                | UpdateError::NotPushed { .. }
                | UpdateError::NoImage { .. },
            ) => NotPublished,
            Err(UpdateError::Refused { .. }) => NotUpdated,
            Err(UpdateError::Load { .. }) => FailedToLoad,
            Err(UpdateError::LoadTimeout { .. }) => Loading,
            Err(UpdateError::NoAgent { .. }) => NoAgent,
            Err(UpdateError::Overtaken { .. }) => Overtaken,
            Err(UpdateError::Uncertain { .. } | UpdateError::Unseen { .. }) => Unknown,
        }
    }

    /// In words: `failed to load`.
    pub fn words(self) -> &'static str {
        match self {
            Pending => "pending",
            NotReached | NotDeployed => "not deployed",
            Published => "published",
            NotPublished => "not published",
            NotUpdated => "not updated",
            Taken => "updated",
            Loaded => "loaded",
            Unchanged => "unchanged",
            FailedToLoad => "failed to load",
            Loading => "loading",
            NoAgent => "no agent",
            Overtaken => "overtaken",
            Unknown => "unknown",
            Read => "read",
            Doubtful => "read, with a warning",
            Wrong => "has an error",
            Built => "built",
            Verified => "built, loads",
            NotBuilt => "failed",
            NotLoaded => "does not load here",
        }
    }

    /// As in JSON: `failed_to_load`. For states at Dagster+.
    pub fn name(self) -> String {
        self.words().replace(' ', "_")
    }

    /// Whether it is a state at Dagster+ that the run saw or decided: `state` in JSON.
    pub fn is_at_dagster(self) -> bool {
        !matches!(self, Pending | NotReached | Read | Doubtful | Wrong) && !self.is_of_build()
    }

    /// Whether JSON leaves it out.
    pub(super) fn is_untold(&self) -> bool {
        !self.is_at_dagster()
    }

    /// Whether it is about building and loading here.
    pub fn is_of_build(self) -> bool {
        matches!(self, Built | Verified | NotBuilt | NotLoaded)
    }

    /// Whether Dagster+ took an update.
    pub fn is_updated(self) -> bool {
        matches!(self, Taken | Loaded | FailedToLoad | Loading | NoAgent | Overtaken | Unknown)
    }

    /// Whether it is as requested; `None` while that is open.
    pub fn is_good(self) -> Option<bool> {
        match self {
            Pending => None,
            Loaded | Taken | Unchanged | Published | Read | Doubtful | Built | Verified => Some(true),
            _ => Some(false),
        }
    }

    /// An emoji for the state.
    pub fn sign(self) -> &'static str {
        match (self, self.is_good()) {
            (Unchanged, _) => "➖",
            (Doubtful | Loading | Unknown | NoAgent, _) => "⚠️",
            (_, None) => "⏳",
            (_, Some(true)) => "✅",
            (_, Some(false)) => "❌",
        }
    }
}

/// What became of the version of a code location that ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreviousVersion {
    /// It still serves: nothing was updated.
    Running,
    /// The agent stopped it. It stops the servers of the version before also when the new one does not load. Source:
    /// `DagsterCloudUserCodeLauncher._reconcile` of dagster-cloud 1.13.27.
    Stopped,
}

impl PreviousVersion {
    /// The previous version of a code location that had loaded before the run and is now in this state; `None` if
    /// there is nothing to say about it.
    pub fn after(state: LocationState) -> Option<PreviousVersion> {
        match state {
            NotReached | NotDeployed | NotPublished | NotUpdated | NotBuilt | NotLoaded => {
                Some(PreviousVersion::Running)
            }
            FailedToLoad => Some(PreviousVersion::Stopped),
            _ => None,
        }
    }

    /// In words: `the previous version still runs`.
    pub fn words(self) -> &'static str {
        match self {
            PreviousVersion::Running => "the previous version still runs",
            PreviousVersion::Stopped => "the previous version was stopped",
        }
    }
}

/// A state in the data of a comment, which other versions of this program read and write as well: `{"at": "loaded"}`
/// for runs that deploy, `"built"` for others.
pub(super) mod wire {
    use super::{LocationState, NotDeployed, NotReached, Pending};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Wire {
        At(LocationState),
        #[serde(untagged)]
        Here(LocationState),
    }

    pub fn serialize<S: Serializer>(state: &LocationState, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match *state {
            NotReached => Wire::At(NotDeployed),
            state if state.is_at_dagster() || state == Pending => Wire::At(state),
            state => Wire::Here(state),
        };
        wire.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LocationState, D::Error> {
        Wire::deserialize(deserializer).map(|(Wire::At(state) | Wire::Here(state))| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Carried {
        #[serde(with = "wire")]
        s: LocationState,
    }

    #[test]
    fn a_state_is_carried_in_comments_as_older_versions_write_it() {
        for (state, want) in [
            (Loaded, json!({"s": {"at": "loaded"}})),
            (Pending, json!({"s": {"at": "pending"}})),
            (FailedToLoad, json!({"s": {"at": "failed_to_load"}})),
            (Built, json!({"s": "built"})),
            (NotLoaded, json!({"s": "not_loaded"})),
            (Wrong, json!({"s": "wrong"})),
        ] {
            assert_eq!(json!(Carried { s: state }), want);
            assert_eq!(serde_json::from_value::<Carried>(want).unwrap(), Carried { s: state });
        }
        assert_eq!(json!(Carried { s: NotReached }), json!({"s": {"at": "not_deployed"}}));
    }
}
