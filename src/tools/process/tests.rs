use super::*;
use crate::tools::testing::host;

fn shell(script: &str) -> Result<Output, ProcessError> {
    let (host, _, _) = host(&[("PATH", "/usr/bin:/bin")]);
    Process::new(&host, Purpose::Code, "sh").args(["-c", script]).run(&host)
}

#[test]
fn the_middle_of_a_long_explanation_is_left_out() {
    let lines = |count: usize| (0..count).map(|at| format!("line {at}\n")).collect::<String>();
    let long = format!("No solution found\n{}So it is.", lines(10_000));
    let shown = Said(long).to_string();
    assert_eq!(shown.lines().count(), SHOWN_LINES);
    assert!(shown.starts_with("No solution found\nline 0\n") && shown.ends_with("line 9999\nSo it is."));
    assert!(shown.contains("line 8\n… 9963 lines left out; --verbose shows them all"), "{shown}");
    for whole in [format!("No solution found\n{}", lines(39)), lines(10_000)] {
        assert_eq!(Said(whole.clone()).to_string(), whole);
    }
}

#[test]
fn large_output_on_both_streams_does_not_deadlock() {
    let script = "i=0; while [ $i -lt 300 ]; do printf '%1024s' x; printf '%1024s' y >&2; i=$((i+1)); done";
    let output = shell(script).unwrap();
    assert_eq!(output.stdout.len(), 300 * 1024);
    assert_eq!(output.stderr.len(), 300 * 1024);
}

#[test]
fn a_failure_has_the_status_and_the_end_of_stderr() {
    let error = shell("echo out; echo 'went wrong' >&2; exit 7").unwrap_err();
    assert_eq!(error.to_string(), "`sh` exited with status 7");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "went wrong");
    let error = shell("kill -15 $$").unwrap_err();
    assert_eq!(error.to_string(), "`sh` was ended by signal 15");
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn a_missing_program_is_named() {
    let (host, _, _) = host(&[]);
    let error = Process::new(&host, Purpose::Code, "/nowhere/uv").run(&host).unwrap_err();
    assert_eq!(error.to_string(), "could not start `/nowhere/uv`");
}

#[test]
fn a_child_reads_its_stdin_and_ends_in_time_or_is_killed() {
    let (host, _, _) = host(&[("PATH", "/usr/bin:/bin")]);
    let process =
        |script: &str| Process::new(&host, Purpose::Code, "sh").args(["-c", script]).stdin(b"given");
    let output = process("cat; sleep 0.1").limit(Duration::from_secs(30)).run(&host).unwrap();
    assert_eq!(output.stdout, b"given");
    let error = process("sleep 60 & sleep 60").limit(Duration::from_millis(200)).run(&host).unwrap_err();
    assert_eq!(error.to_string(), "`sh` did not end within 0 s");
}

#[test]
fn a_daemon_left_behind_does_not_hold_us() {
    let output = shell("sleep 30 & echo $!").unwrap();
    let pid = String::from_utf8(output.stdout).unwrap();
    let alive = shell(&format!("kill {pid}"));
    assert!(alive.is_ok(), "we waited for the daemon");
}

#[test]
fn secrets_are_not_handed_to_children() {
    let (host, _, _) = host(&[("PATH", "/usr/bin:/bin"), ("DAGSTER_CLOUD_API_TOKEN", "t"), ("A", "b")]);
    let output = Process::new(&host, Purpose::Code, "sh")
        .args(["-c", "echo $A$DAGSTER_CLOUD_API_TOKEN"])
        .run(&host)
        .unwrap();
    assert_eq!(output.stdout, b"b\n");
}

#[test]
fn verbose_shows_lines_as_prefixed_text() {
    let (host, _, stderr) = host(&[("PATH", "/usr/bin:/bin"), ("RUNNER_DEBUG", "1")]);
    let host = host.with_log(crate::host::LogSettings::default());
    Process::new(&host, Purpose::Code, "sh")
        .args(["-c", "printf '::error::x\\nlast' >&2"])
        .run(&host)
        .unwrap();
    assert_eq!(stderr.text(), "  sh: | ::error::x\n  sh: last\n");
}
