//! Calls to Dagster+: queries, uploads, updates, and other clients of the same registry.

mod answers;
mod branch_deployments;
mod calls;
mod credentials;
mod image_registry;
mod launch;
mod other_client;
mod prune;
mod publish;
mod redeploy;
mod side_by_side;
mod strictness;
mod update;
