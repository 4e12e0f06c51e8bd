//! Images of code locations: what is in them, that equal inputs give equal bytes, and what other tools read.

pub mod base;
mod bases;
pub mod build;
mod bytecode;
mod collisions;
mod consumers;
mod contract;
mod dockerfile;
mod platforms;
pub mod push;
mod reuse;
mod sbom;
pub mod verify;
mod verify_container;
