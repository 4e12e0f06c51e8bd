//! The shipped binaries of `dist/`, and the scripts that check, install and describe them.
//!
//! `dist/` is built with the last commit of a piece of work; `scripts/build-dist --check` says whether it is up to date.

mod binaries;
mod scripts;
