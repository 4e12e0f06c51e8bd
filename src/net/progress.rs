//! What a transfer tells of itself while it runs.

/// What is being done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Fetched from an index.
    Download,
    /// Built from source; sizes are unknown.
    Build,
    /// Sent to Dagster+.
    Upload,
}

/// Hears how transfers and builds go on, from several threads at once. Every method does nothing by default.
///
/// For one `name`: `start`, any number of `advance`, `finish`. A second `start` means that the work begins anew (a
/// retry), from zero bytes.
pub trait Progress: Send + Sync {
    /// Work on `name` begins; `size_bytes` is its whole size, where known.
    fn start(&self, _activity: Activity, _name: &str, _size_bytes: Option<u64>) {}
    /// So many further bytes are done.
    fn advance(&self, _name: &str, _bytes: u64) {}
    /// Work on `name` has ended, well or not.
    fn finish(&self, _name: &str) {}
}

/// Tells nobody.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}
