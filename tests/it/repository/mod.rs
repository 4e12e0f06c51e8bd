//! This repository: the order of its rooms, and the binaries that it ships.

mod circles;
mod dist;
mod docs;
mod rooms;
