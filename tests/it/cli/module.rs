//! `pexpress -m MODULE ARGS`: the module has our arguments, stdin, environment, exit code and signals.

use crate::support::fake_uv::FakeUv;
use crate::support::said::messages;
use crate::support::{Running, pexpress, run};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A uv with environments that are links to the Python on `PATH`.
const LINKS_PYTHON: &str = r#"
case "$1" in
venv) for last; do :; done; mkdir -p "$last/bin"; ln -s "$(command -v python3)" "$last/bin/python";;
python) command -v python3;;
esac"#;

/// The program with a cache in `dir`, a fake uv, and the modules written to `dir` importable.
fn program(dir: &Path, script: &str) -> (Command, FakeUv) {
    let uv = FakeUv::new(dir, script);
    let mut command = pexpress();
    command
        .env("PEXPRESS_UV", uv.program())
        .env("PEXPRESS_CACHE_DIR", dir.join("cache"))
        .env("PYTHONPATH", dir);
    (command, uv)
}

fn environments(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("cache/environments")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn arguments_stdin_environment_and_exit_code_pass_through() {
    let dir = tempfile::tempdir().unwrap();
    let code = "import os, sys\nprint(sys.argv[1:], sys.stdin.read(), os.environ['DAGSTER_CLOUD_API_TOKEN'])\nsys.exit(7)\n";
    std::fs::write(dir.path().join("pass_through.py"), code).unwrap();
    let (mut command, _) = program(dir.path(), LINKS_PYTHON);
    command.env("DAGSTER_CLOUD_API_TOKEN", "token").stdin(Stdio::piped()).stdout(Stdio::piped());
    let words = ["-m", "pass_through", "two words", "--version", "-m", "", "--", "ü'\"$x"];
    let mut child = command.args(words).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from stdin").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "['two words', '--version', '-m', '', '--', 'ü\\'\"$x'] from stdin token\n"
    );
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn signals_reach_the_module() {
    let dir = tempfile::tempdir().unwrap();
    // `print` is not reentrant: a handler that prints may interrupt another `print`.
    let code = "import os, signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'caught\\n'))\nos.write(1, b'ready\\n')\nwhile True: time.sleep(1)\n";
    std::fs::write(dir.path().join("waits.py"), code).unwrap();
    let (mut command, _) = program(dir.path(), LINKS_PYTHON);
    let mut child = Running(command.args(["-m", "waits"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    child.signal(Signal::USR1);
    assert_eq!(lines.next().unwrap().unwrap(), "caught");
    child.signal(Signal::TERM);
    assert_eq!(child.0.wait().unwrap().signal(), Some(15));
}

#[test]
fn the_environment_is_made_once_and_again_when_its_python_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.py"), "").unwrap();
    let run_empty = || {
        let (mut command, uv) = program(dir.path(), LINKS_PYTHON);
        run(command.args(["-m", "empty"]));
        uv.calls().iter().filter(|call| call.starts_with("venv")).count()
    };
    assert_eq!([run_empty(), run_empty()], [1, 1]);
    let environments = environments(dir.path());
    assert_eq!(environments.len(), 1, "{environments:?}");
    let python = dir.path().join("cache/environments").join(&environments[0]).join("bin/python");
    std::fs::remove_file(&python).unwrap();
    std::os::unix::fs::symlink("/nowhere/python", &python).unwrap();
    assert_eq!(run_empty(), 2);
}

#[test]
fn runs_at_once_share_one_environment() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.py"), "").unwrap();
    // Neither run installs before both have started, so both build.
    let waits = format!(
        "{LINKS_PYTHON}\nif [ \"$1\" = pip ]; then touch \"$FAKE_UV_DIR/began.$$\"; \
         until [ \"$(ls \"$FAKE_UV_DIR\" | grep -c began)\" -ge 2 ]; do sleep 0.05; done; fi"
    );
    let children: Vec<_> = (0..2)
        .map(|_| program(dir.path(), &waits).0.args(["-m", "empty"]).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(environments(dir.path()).len(), 1);
}

#[test]
fn a_failed_install_leaves_nothing_and_shows_uvs_text() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!("{LINKS_PYTHON}\n[ \"$1\" = pip ] && {{ echo 'error: no space' >&2; exit 2; }}\nexit 0");
    let output = program(dir.path(), &script).0.args(["-m", "dagster"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    insta::assert_snapshot!(messages(&stderr), @r#"
    error: could not create the environment `dagster-1.13.27`
      caused by: could not install packages for `[TMP]/cache/environments/.partial/environment/bin/python`
      caused by: `uv pip install` exited with status 2
      caused by: error: no space
    "#);

    assert_eq!(environments(dir.path()), [""; 0]);
}

#[test]
#[ignore = "a package index"]
fn dagsters_own_programs_also_run_under_their_older_name() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("builder.pex");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pexpress"), &link).unwrap();
    let version = pexpress::tools::environment::DAGSTER_VERSION;
    for (module, expected) in [
        ("dagster", format!("python -m dagster, version {version}\n")),
        ("dagster_cloud_cli.entrypoint", format!("Dagster Cloud version: {version}\n")),
    ] {
        let mut command = pexpress();
        let program = command.args(["-m", module, "--version"]);
        assert_eq!(String::from_utf8(run(program).stdout).unwrap(), expected);
        let mut command = Command::new(&link);
        let cache = crate::support::kept_cache();
        let program = command.args(["-m", module, "--version"]).env("PEXPRESS_CACHE_DIR", cache);
        assert_eq!(String::from_utf8(run(program).stdout).unwrap(), expected);
    }
}
