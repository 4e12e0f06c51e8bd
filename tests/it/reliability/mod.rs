//! What docs/reliability.md promises under kills, faults, and machines that are full or broken.

mod cache;
mod cancelling;
mod children;
mod kills;
mod machines;
mod schedules;
mod secrets;
mod small_runs;
