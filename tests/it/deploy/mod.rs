//! Whole deploys through the program.

mod cancelled;
mod interruptions;
mod laws;
mod verify;
mod verify_auto;
pub mod whole;
