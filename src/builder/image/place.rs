//! Where things are in the image, relative to its root.

/// The virtual environment.
pub const VENV: &str = "opt/venv";
/// The build directory of the code location, and the working directory of the image. Source: the vendor's own images
/// use it (dagster-cloud-cli 1.13.27).
pub const APP: &str = "opt/dagster/app";
/// Everything of the code location.
pub const DAGSTER: &str = "opt/dagster";
/// Local packages from outside the build directory.
pub const LOCAL: &str = "opt/dagster/local";
