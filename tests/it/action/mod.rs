//! The action: its step, what it says, and what it leaves.

mod built_images;
mod built_images_events;
mod built_images_runs;
mod commit;
mod image_records;
mod images;
pub mod recipes;
pub mod records;
mod requests;
mod runs;
mod step;
mod verbs;
mod wrapper;
mod yml;
