//! The plan → PEX files in the output directory.

pub mod self_contained;
pub mod working_directory;
