//! What is asked of GitHub. A failure here never fails a deployment: callers warn and go on without.

pub mod commit;
