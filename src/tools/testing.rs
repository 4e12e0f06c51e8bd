//! For unit tests of this module: a host with readable streams and a stopped clock.

use crate::host::{Clock, Host};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// A stream that keeps what is written to it.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn sleep(&self, _: Duration) {}
}

/// A host with these variables in the root directory, and its stdout and stderr.
pub fn host(vars: &[(&str, &str)]) -> (Host, Captured, Captured) {
    let (stdout, stderr) = (Captured::default(), Captured::default());
    let env = vars.iter().map(|(name, value)| (name.into(), value.into())).collect();
    let host = Host::for_test(
        env,
        Path::new("/"),
        Box::new(stdout.clone()),
        Box::new(stderr.clone()),
        Arc::new(StoppedClock),
    );
    (host, stdout, stderr)
}
