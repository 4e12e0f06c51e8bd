//! The plan → PEX files in the output directory.

pub mod fetch;
mod from_source;
pub mod git_source;
pub mod self_contained;
pub mod working_directory;
