//! A run of the program itself that is cancelled at a random moment, and its report.

use crate::support::pexpress_with_uv;
use crate::support::seed::Random;
use crate::support::standin::Standin;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A signal after this many calls of Dagster+ and its store, and this pause.
#[derive(Debug, Clone, Copy)]
pub struct Cancel {
    terminate: bool,
    calls: usize,
    pause: Duration,
}

/// How a run of the program ended.
pub struct Ended {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
    /// Calls of Dagster+ and its store that started after the last message.
    pub late: Vec<String>,
}

/// The last message, and the state of the code locations in it.
const STATES: [(&str, &str); 4] = [
    ("may or may not have been updated", "unknown"),
    ("had been updated but not seen to load", "loading"),
    ("had loaded", "loaded"),
    ("had failed to load", "failed_to_load"),
];

impl Cancel {
    pub fn draw(random: &mut Random) -> Cancel {
        Cancel {
            terminate: random.chance(50),
            calls: usize::try_from(random.below(16)).unwrap() + 1,
            pause: Duration::from_millis(random.below(60)),
        }
    }

    /// 128 and the signal's number.
    pub fn code(&self) -> u8 {
        if self.terminate { 143 } else { 130 }
    }
}

/// Run the program to its end, or to a signal.
pub fn run(
    arguments: &[&str],
    variables: BTreeMap<String, String>,
    project: &Path,
    cancel: Option<(Cancel, &Standin)>,
) -> Ended {
    let files = tempfile::tempdir().unwrap();
    let (out, err) = (files.path().join("stdout"), files.path().join("stderr"));
    let file = |path: &Path| std::fs::File::create(path).unwrap();
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut command: Command = pexpress_with_uv();
    command.args(arguments).envs(variables).current_dir(project).stdin(Stdio::null());
    let mut child = command.stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
    let mut late = Vec::new();
    if let Some((cancel, dagster)) = cancel {
        let mut is_there = || child.try_wait().unwrap().is_none();
        let pause = || std::thread::sleep(Duration::from_millis(5));
        while dagster.journal().calls().len() < cancel.calls && is_there() {
            pause();
        }
        std::thread::sleep(cancel.pause);
        if is_there() {
            let signal = if cancel.terminate { Signal::TERM } else { Signal::INT };
            kill_process(Pid::from_child(&child), signal).unwrap();
            while child.try_wait().unwrap().is_none() && !read(&err).contains("interrupted: ") {
                pause();
            }
            // Those on their way have arrived by then.
            std::thread::sleep(Duration::from_millis(500));
            let before = dagster.journal().calls().len();
            child.wait().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            late = dagster.journal().calls().split_off(before);
        }
    }
    let code = child.wait().unwrap().code().unwrap();
    let (stdout, stderr) = (read(&out), read(&err));
    // A run that was almost finished may finish.
    let late = if stderr.contains("interrupted: ") { late } else { Vec::new() };
    Ended { code: u8::try_from(code).unwrap(), stdout, stderr, late }
}

/// The last message of a cancelled run; `None` for others.
pub fn sentence(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.strip_prefix("interrupted: "))
}

/// Contradictions between the last message and the states, and reports without the message.
pub fn judge(sentence: &str, states: &BTreeMap<String, String>, reports: &[(&str, String)]) -> Vec<String> {
    let mut said = BTreeMap::new();
    for part in sentence.trim_end_matches("; `pexpress status` shows it").split("; ") {
        for (words, state) in STATES {
            let names = part.strip_suffix(words).into_iter().flat_map(|names| names.trim().split(", "));
            said.extend(names.map(|name| (name.to_string(), state.to_string())));
        }
    }
    let begun = |state: &str| STATES.iter().any(|(_, known)| *known == state);
    let wanted: BTreeMap<_, _> = states
        .iter()
        .filter(|(_, state)| begun(state))
        .map(|(name, state)| (name.clone(), state.clone()))
        .collect();
    let mut broken = Vec::new();
    if said != wanted {
        broken.push(format!("the log says `{sentence}`, the outputs {states:?}"));
    }
    let plain = |text: &str| text.replace(['\\', '`'], "");
    for (report, text) in reports {
        if !plain(text).contains(&plain(sentence)) {
            broken.push(format!("the {report} does not say `{sentence}`"));
        }
    }
    broken
}
