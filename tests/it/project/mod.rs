//! Projects and their files, read as their own tools read them.

mod bad_input;
mod check;
mod collect;
mod dg_oracle;
mod python_version;
mod workspace_oracle;
mod yaml_oracle;
