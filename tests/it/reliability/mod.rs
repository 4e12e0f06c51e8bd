//! The promises of docs/reliability.md under kills, faults, and full or broken machines.

mod cache;
mod cancelling;
mod children;
mod image_kills;
mod kills;
mod machines;
mod registry_secrets;
mod schedules;
mod secrets;
mod small_runs;
