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
}
