//! Whole deploys through the program.

mod built_images;
mod built_images_apart;
mod cancelled;
mod defs_state;
pub mod images;
mod interruptions;
mod laws;
mod verify;
mod verify_auto;
pub mod whole;
