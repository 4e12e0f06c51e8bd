//! Comments, deployments, statuses and events at GitHub.

mod comment;
mod deployments;
mod events;
mod hostile;
mod refusals;
