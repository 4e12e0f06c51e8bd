//! Children on Unix: process groups, and signals.

use crate::threads::lock;
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use super::descendants::Descendants;

/// How often to check whether children have ended.
const LOOK: Duration = Duration::from_millis(5);
/// How long to wait for killed processes to end.
const AFTER_KILL: Duration = Duration::from_millis(500);

/// Running children. Each is in the list until it is reaped, which happens under the lock.
pub struct Children {
    state: Mutex<State>,
}

struct State {
    is_ending: bool,
    running: Vec<Leader>,
}

/// A child that was not reaped, so its pid is not reused.
#[derive(Debug, Clone, Copy)]
struct Leader {
    pid: Pid,
    /// Whether it leads a process group.
    has_group: bool,
}

impl Children {
    pub const fn new() -> Children {
        Children { state: Mutex::new(State { is_ending: false, running: Vec::new() }) }
    }

    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.spawn_in(!has_terminal(), command)
    }

    /// Start a child as leader of a process group, or in the group of this process.
    fn spawn_in(&self, has_group: bool, command: &mut Command) -> io::Result<Child> {
        if has_group {
            command.process_group(0);
        }
        // The lock is held while the child starts, so that it never runs without being in the list.
        let mut state = self.unless_ending();
        let child = command.spawn()?;
        state.running.push(Leader { pid: Pid::from_child(&child), has_group });
        Ok(child)
    }

    pub fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_child(child);
        let ended = loop {
            // Waits without reaping: only under the lock may the pid become free.
            match has_ended(pid, WaitIdOptions::empty()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                ended => break ended,
            }
        };
        let mut state = self.unless_ending();
        ended?;
        let status = child.wait();
        state.running.retain(|leader| leader.pid != pid);
        status
    }

    pub fn wait_for(&self, child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let pid = Pid::from_child(child);
        let began = Instant::now();
        while began.elapsed() < limit {
            if has_ended(pid, WaitIdOptions::NOHANG)? {
                return self.wait(child).map(Some);
            }
            std::thread::sleep(LOOK);
        }
        {
            // Under the lock, and not reaped, so the pid is still the child's.
            let state = self.unless_ending();
            let leaders = state.running.iter().filter(|leader| leader.pid == pid).copied().collect();
            Family::with_descendants(leaders).signal(Signal::KILL);
        }
        self.wait(child).map(|_| None)
    }

    /// End the running children, which have `grace` to end by themselves. No more are started from here on.
    pub fn end(&self, grace: Duration) {
        let leaders = {
            let mut state = lock(&self.state);
            state.is_ending = true;
            state.running.clone()
        };
        if leaders.is_empty() {
            return;
        }
        let family = Family::with_descendants(leaders);
        family.signal(Signal::TERM);
        family.wait(grace);
        // Even if all known processes have ended: a group may have new members by now.
        family.signal(Signal::KILL);
        family.wait(AFTER_KILL);
        family.reap();
    }

    /// The state. Blocks for ever if children are being ended, as this thread then has nothing more to do.
    fn unless_ending(&self) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        if !state.is_ending {
            return state;
        }
        drop(state);
        loop {
            std::thread::park();
        }
    }
}

/// Whether this process has a terminal.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether a child has ended, without reaping it. Waits for the end unless `how` has `NOHANG`.
fn has_ended(pid: Pid, how: WaitIdOptions) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how;
    Ok(process::waitid(WaitId::Pid(pid), options)?.is_some())
}

/// Children and their known descendants.
struct Family {
    leaders: Vec<Leader>,
    #[cfg(target_os = "linux")]
    descendants: Descendants,
}

impl Family {
    fn with_descendants(leaders: Vec<Leader>) -> Family {
        Family {
            #[cfg(target_os = "linux")]
            descendants: Descendants::find(&leaders.iter().map(|leader| leader.pid).collect::<Vec<_>>()),
            leaders,
        }
    }

    fn signal(&self, signal: Signal) {
        for leader in &self.leaders {
            // It may have ended already, which is fine.
            let _ = match leader.has_group {
                true => process::kill_process_group(leader.pid, signal),
                false => process::kill_process(leader.pid, signal),
            };
        }
        #[cfg(target_os = "linux")]
        {
            let groups: Vec<Pid> =
                self.leaders.iter().filter(|leader| leader.has_group).map(|leader| leader.pid).collect();
            self.descendants.signal_outside(&groups, signal);
        }
    }

    /// Reap the children: in many containers nothing else does, and they would stay as zombies.
    fn reap(&self) {
        for leader in &self.leaders {
            // A process that even SIGKILL did not end is left to the system.
            let _ = process::waitid(WaitId::Pid(leader.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }

    fn wait(&self, most: Duration) {
        let began = Instant::now();
        while self.is_there() && began.elapsed() < most {
            std::thread::sleep(LOOK);
        }
    }

    fn is_there(&self) -> bool {
        // An error means that it is no longer our child.
        let runs = |leader: &Leader| !has_ended(leader.pid, WaitIdOptions::NOHANG).unwrap_or(true);
        #[cfg(target_os = "linux")]
        if self.descendants.are_there() {
            return true;
        }
        self.leaders.iter().any(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// Start `script`, and wait for its first line.
    fn start(children: &Children, has_group: bool, script: &str) -> (Child, String) {
        use std::io::{BufRead, BufReader};
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = children.spawn_in(has_group, &mut command).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (child, line.trim().to_string())
    }

    /// Whether the process is gone soon. A killed process needs a moment to vanish on a busy machine.
    fn ends(pid: &str) -> bool {
        let began = Instant::now();
        while runs(pid) && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        !runs(pid)
    }

    fn runs(pid: &str) -> bool {
        let status = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
        let state = String::from_utf8(status.stdout).unwrap();
        !state.trim().is_empty() && !state.starts_with('Z')
    }

    #[test]
    fn running_children_and_their_descendants_are_ended() {
        let children = Children::new();
        for script in [
            "echo $$; exec sleep 60",
            "trap '' TERM; echo $$; while :; do sleep 1; done",
            "sleep 60 & echo $!; wait",
            "(trap '' TERM; exec sleep 60) & echo $!; exit",
        ] {
            let children = Children::new();
            let (_child, pid) = start(&children, true, script);
            assert!(runs(&pid), "{script}");
            children.end(Duration::from_millis(200));
            assert!(ends(&pid), "{script}");
        }
        let began = Instant::now();
        let (_child, _) = start(&children, true, "echo x; exec sleep 60");
        children.end(Duration::from_secs(30));
        assert!(began.elapsed() < Duration::from_secs(10), "who ends at once is not waited for");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_descendant_in_a_session_of_its_own_is_ended_in_a_terminal_too() {
        let children = Children::new();
        let (_child, pid) = start(&children, false, "setsid sh -c 'echo $$; exec sleep 60' & wait");
        assert!(runs(&pid));
        children.end(Duration::from_millis(200));
        assert!(ends(&pid));
    }

    #[test]
    fn a_reaped_child_is_not_signalled() {
        let children = Children::new();
        let (mut child, _) = start(&children, true, "echo x; exit 3");
        assert_eq!(children.wait(&mut child).unwrap().code(), Some(3));
        assert!(lock(&children.state).running.is_empty());
        children.end(Duration::from_secs(30));
    }
}
