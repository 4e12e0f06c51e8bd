//! Images of code locations: what is in them, that equal inputs give equal bytes, and what other tools read.

pub mod base;
mod build;
mod bytecode;
mod consumers;
mod contract;
mod dockerfile;
mod push;
mod reuse;
mod sbom;
mod verify;
