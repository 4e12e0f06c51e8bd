//! Callbacks about running transfers and builds.

/// What is being done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Downloaded from an index.
    Download,
    /// Built from source; sizes are unknown.
    Build,
    /// Sent to Dagster+.
    Upload,
}

/// Receives the progress of transfers and builds, from several threads at once. Every method does nothing by default.
///
/// For one `name`: `start`, any number of `advance`, `finish`. A second `start` means that the work starts again (a
/// retry), from zero bytes.
pub trait Progress: Send + Sync {
    /// Work on `name` starts. `size_bytes` is its whole size, if known.
    fn start(&self, _activity: Activity, _name: &str, _size_bytes: Option<u64>) {}
    /// More bytes are done.
    fn advance(&self, _name: &str, _bytes: u64) {}
    /// Work on `name` has ended, successfully or not.
    fn finish(&self, _name: &str) {}
}

/// Ignores all progress.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}
