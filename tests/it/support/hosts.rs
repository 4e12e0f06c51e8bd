//! Hosts with only the variables of a test, without output and without waiting.

use pexpress::host::{Clock, Host};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

struct NoWaiting;

impl Clock for NoWaiting {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
    fn sleep(&self, _: Duration) {}
}

/// A host with these variables in `dir`.
pub fn host_with(dir: &Path, vars: &[(&str, &str)]) -> Host {
    let env = vars.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Host::for_test(env, dir, Box::new(std::io::sink()), Box::new(std::io::sink()), Arc::new(NoWaiting))
}
