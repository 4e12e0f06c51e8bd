//! Progress on a terminal: a bar for each transfer, a spinner for each phase. Elsewhere the same facts are written as
//! lines.

use crate::hex::short_name;
use crate::host::Host;
use crate::net::{Activity, Progress};
use crate::threads::lock;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

const TRANSFER: &str = "  {msg:24!} {wide_bar:.cyan/dim} {bytes:>10}/{total_bytes:10}";
const SPINNER: &str = "  {spinner:.cyan} {wide_msg}";

/// Shows transfers and phases of one run.
pub struct Display {
    bars: MultiProgress,
    transfers: Mutex<HashMap<String, ProgressBar>>,
}

impl Display {
    /// A display on the terminal of `host`, which shows nothing if stderr is not a terminal.
    pub fn new(host: &Host) -> Display {
        Display { bars: host.bars().clone(), transfers: Mutex::default() }
    }

    /// Show `what` until the returned phase is dropped.
    pub fn phase(&self, what: impl Into<String>) -> Phase {
        let bar =
            self.bars.add(ProgressBar::new_spinner().with_style(style(SPINNER)).with_message(what.into()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Phase(bar)
    }
}

/// A phase that is shown until it is dropped.
pub struct Phase(ProgressBar);

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Template errors can only come from the constants above, which a test checks.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Display {
    fn start(&self, activity: Activity, name: &str, size_bytes: Option<u64>) {
        let bar = match size_bytes {
            Some(size) => ProgressBar::new(size).with_style(style(TRANSFER)).with_message(shown(name)),
            None => ProgressBar::new_spinner().with_style(style(SPINNER)).with_message(format!(
                "{} {}",
                verb(activity),
                shown(name)
            )),
        };
        let bar = self.bars.add(bar);
        let mut transfers = lock(&self.transfers);
        if let Some(before) = transfers.insert(name.to_string(), bar) {
            before.finish_and_clear();
        }
    }

    fn advance(&self, name: &str, bytes: u64) {
        if let Some(bar) = lock(&self.transfers).get(name) {
            bar.inc(bytes);
        }
    }

    fn finish(&self, name: &str) {
        if let Some(bar) = lock(&self.transfers).remove(name) {
            bar.finish_and_clear();
        }
    }
}

/// A PEX file by the first digits of its hash, so that its bar has room on a narrow terminal.
fn shown(name: &str) -> String {
    let is_pex = name.ends_with(".pex") && !name.contains('/');
    if is_pex { short_name(name) } else { name.to_string() }
}

fn verb(activity: Activity) -> &'static str {
    match activity {
        Activity::Download => "Downloading",
        Activity::Build => "Building",
        Activity::Upload => "Uploading",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [TRANSFER, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
