//! From requirements and lock files to exact distributions.

mod build_settings;
mod compiled;
mod fetch;
mod local_packages;
mod locked_releases;
mod poetry_lock;
mod recipes;
pub mod releases;
mod resolving;
mod uv_project;
