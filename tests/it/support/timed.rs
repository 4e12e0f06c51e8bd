//! How long slow tests take.

use std::io::Write;
use std::time::Instant;

/// Prints at its end how long the test of this thread took; `scripts/test` lists these lines.
pub struct Timed(Instant);

/// Begin to measure.
pub fn timed() -> Timed {
    Timed(Instant::now())
}

impl Drop for Timed {
    fn drop(&mut self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a part of a test");
        let line = format!("took {} s: {name}\n", self.0.elapsed().as_secs());
        // Straight to stderr, which libtest does not capture. With a closed stderr there is no reader.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
