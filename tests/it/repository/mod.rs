//! This repository: the order of its rooms, and the binaries that it ships.

mod dist;
mod docs;
mod rooms;
