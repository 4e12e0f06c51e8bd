//! This repository: the order of its modules, and its binaries.

mod circles;
mod dist;
mod docs;
mod rooms;
