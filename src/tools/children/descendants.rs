//! Finds the descendants of processes in `/proc`. Source: the Linux manual, proc_pid_stat(5).

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};

/// The descendants of some processes at one moment.
pub struct Descendants(Vec<Descendant>);

struct Descendant {
    pid: i32,
    stat: Stat,
    /// Refers to this process even if its pid is reused; `None` if the kernel does not support it.
    handle: Option<OwnedFd>,
}

/// Identity and state of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    has_ended: bool,
    parent: i32,
    group: i32,
    /// In clock ticks since boot.
    started: u64,
}

impl Descendants {
    /// The descendants of `roots`. A process whose parent has ended is not found.
    pub fn find(roots: &[Pid]) -> Descendants {
        let processes = processes();
        let mut known: BTreeSet<i32> = roots.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
        let mut found = BTreeSet::new();
        loop {
            let next: Vec<i32> = processes
                .iter()
                .filter(|(pid, stat)| known.contains(&stat.parent) && !known.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if next.is_empty() {
                break;
            }
            known.extend(&next);
            found.extend(next);
        }
        Descendants(found.into_iter().filter_map(|pid| Descendant::open(pid, processes[&pid])).collect())
    }

    /// Signal those that are in none of these process groups, which are signalled as groups.
    pub fn signal_outside(&self, groups: &[Pid], signal: Signal) {
        let is_outside =
            |one: &&Descendant| !groups.iter().any(|group| group.as_raw_nonzero().get() == one.stat.group);
        for handle in self.0.iter().filter(is_outside).filter_map(|one| one.handle.as_ref()) {
            // It may have ended already, which is fine.
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    /// Whether any of them still runs.
    pub fn are_there(&self) -> bool {
        self.0.iter().any(Descendant::is_there)
    }
}

impl Descendant {
    /// `None` if it has ended meanwhile.
    fn open(pid: i32, stat: Stat) -> Option<Descendant> {
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok();
        let one = Descendant { pid, stat, handle };
        // Checked after opening, so that the handle surely is for the process that was found.
        one.is_there().then_some(one)
    }

    fn is_there(&self) -> bool {
        read_stat(self.pid).is_some_and(|now| !now.has_ended && now.started == self.stat.started)
    }
}

/// All visible processes.
fn processes() -> BTreeMap<i32, Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(|pid| Some((pid, read_stat(pid)?))).collect()
}

fn read_stat(pid: i32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `PID (NAME) STATE PARENT GROUP …`; the 22nd field is the start time. The name may contain anything, even `)`.
fn parse(stat: &str) -> Option<Stat> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(fields.next()?, "Z" | "X");
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Stat { has_ended, parent, group, started: fields.nth(16)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let rest = "7 9 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 2924544 200";
        for (state, has_ended) in [("S", false), ("Z", true)] {
            let got = parse(&format!("12 (a) S 1) {state} {rest}")).unwrap();
            assert_eq!(got, Stat { has_ended, parent: 7, group: 9, started: 4242 });
        }
        assert_eq!(parse("12 (a"), None);
    }
}
