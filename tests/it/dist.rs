//! The shipped binaries of `dist/`, and the scripts that check, install and describe them.
//!
//! A checkout may have no `dist/` while it is being worked on; then what needs it says so and is left out.

mod binaries;
mod scripts;
