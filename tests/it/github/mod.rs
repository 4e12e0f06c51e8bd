//! Comments, deployments, statuses and events at GitHub.

mod comment;
mod deployments;
mod description;
mod events;
mod hostile;
mod refusals;
