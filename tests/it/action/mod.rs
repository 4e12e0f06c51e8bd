//! The action: its step, what it says, and what it leaves.

mod commit;
mod built_images;
mod images;
mod recipes;
mod records;
mod requests;
mod runs;
mod step;
mod verbs;
mod wrapper;
mod yml;
