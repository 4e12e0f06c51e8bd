//! Whole deploys through the program.

mod cancelled;
pub mod images;
mod interruptions;
mod laws;
mod verify;
mod verify_auto;
pub mod whole;
