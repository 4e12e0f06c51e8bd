//! Whole deploys through the program.

mod built_images;
mod built_images_apart;
mod built_images_platforms;
mod cancelled;
mod defs_state;
mod early_layers;
mod image_records;
pub mod images;
mod interruptions;
mod known_layers;
mod laws;
mod named_images;
mod verify;
mod verify_auto;
pub mod whole;
