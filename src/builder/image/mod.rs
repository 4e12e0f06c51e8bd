//! Exact distributions and a source tree → the layers of an image.

pub mod bytecode;
