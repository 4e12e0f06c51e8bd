//! What is said about one step.

/// What is said about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) becomes: String,
    pub(super) is_needed: bool,
}

impl Said {
    /// The image would lack something.
    pub(super) fn needed(becomes: impl Into<String>) -> Said {
        Said { becomes: becomes.into(), is_needed: true }
    }

    /// Nothing is missing.
    pub(super) fn told(becomes: impl Into<String>) -> Said {
        Said { becomes: becomes.into(), is_needed: false }
    }

    /// All in one, those that are needed if one is.
    pub(super) fn combined(mut said: Vec<Said>) -> Option<Said> {
        let is_needed = said.iter().any(|one| one.is_needed);
        said.retain(|one| one.is_needed == is_needed);
        said.dedup();
        let becomes = said.iter().map(|one| one.becomes.as_str()).collect::<Vec<_>>().join("; ");
        (!said.is_empty()).then_some(Said { becomes, is_needed })
    }
}
