//! A clock that records pauses and does not wait, and a host that has it.

use pexpress::host::{Clock, Host};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// A clock that stands still at 1994-11-06 08:49:37 GMT.
#[derive(Default)]
pub struct RecordingClock(Mutex<Vec<Duration>>);

impl RecordingClock {
    /// The pauses so far, in seconds.
    pub fn slept(&self) -> Vec<f64> {
        self.0.lock().unwrap().iter().map(Duration::as_secs_f64).collect()
    }
}

impl Clock for RecordingClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }
    fn sleep(&self, time: Duration) {
        self.0.lock().unwrap().push(time);
    }
}

/// What a host wrote to stderr.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    /// The text so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A host in `dir`, with its cache in `dir/cache`, just these variables, a recording clock, and ears.
pub fn host_in(dir: &Path, env: &[(&str, &str)]) -> (Host, Arc<RecordingClock>, Heard) {
    let mut variables: std::collections::BTreeMap<_, _> =
        env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    variables.insert("PEXPRESS_CACHE_DIR".into(), dir.join("cache").into());
    let clock = Arc::new(RecordingClock::default());
    let heard = Heard::default();
    let host =
        Host::for_test(variables, dir, Box::new(std::io::sink()), Box::new(heard.clone()), clock.clone());
    (host, clock, heard)
}
