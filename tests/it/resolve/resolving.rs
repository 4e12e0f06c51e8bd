//! When uv is asked, and when its last answer is reused.

use crate::support::fake_uv::FakeUv;
use crate::support::{json, pexpress, project_tree, run};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Answers every resolution with the two packages that a code location needs.
const SCRIPT: &str = "cat <<'END'
lock-version = '1.0'
created-by = 'uv'
[[packages]]
name = 'dagster'
version = '1.0'
wheels = [{ url = 'https://e.example/dagster-1.0-py3-none-any.whl', hashes = { sha256 = '0000000000000000000000000000000000000000000000000000000000000000' } }]
[[packages]]
name = 'dagster-cloud'
version = '1.0'
wheels = [{ url = 'https://e.example/dagster_cloud-1.0-py3-none-any.whl', hashes = { sha256 = '0000000000000000000000000000000000000000000000000000000000000000' } }]
END";

struct Scene {
    project: tempfile::TempDir,
    home: tempfile::TempDir,
    uv: FakeUv,
}

impl Scene {
    fn new(requirements: &str) -> Scene {
        let home = tempfile::tempdir().unwrap();
        let uv = FakeUv::new(home.path(), SCRIPT);
        Scene { project: project_tree(&[("requirements.txt", requirements)]), home, uv }
    }

    fn command(&self) -> Command {
        let mut command = pexpress();
        for (name, _) in std::env::vars_os() {
            if ["UV_", "PIP_", "XDG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
            .args(["deps", "--dry-run", "--format", "json", "--python-version", "3.11"])
            .arg(self.project.path());
        command
            .env("PEXPRESS_UV", self.uv.program())
            .env("PEXPRESS_CACHE_DIR", self.home.path().join("cache"));
        // No settings of the machine's own.
        command.env("HOME", self.home.path()).env("PIP_CONFIG_FILE", "/dev/null");
        command
    }

    /// How often uv has resolved after one more run, without the check whether dagster is far behind.
    fn resolved_after(&self, command: &mut Command) -> usize {
        let answer = json(&run(command));
        assert_eq!(answer["distributions"].as_array().map(Vec::len), Some(2), "{answer}");
        self.uv
            .calls()
            .iter()
            .filter(|call| call.starts_with("pip compile") && !call.contains("--no-deps"))
            .count()
    }

    fn answers(&self) -> std::path::PathBuf {
        self.home.path().join("cache/resolutions")
    }
}

fn age(directory: &Path, by: Duration) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }
}

#[test]
fn an_answer_of_the_public_index_holds_for_ten_minutes() {
    let scene = Scene::new("dagster\ndagster-cloud\n");
    assert_eq!(scene.resolved_after(&mut scene.command()), 1);
    assert_eq!(scene.resolved_after(&mut scene.command()), 1);
    age(&scene.answers(), Duration::from_secs(599));
    assert_eq!(scene.resolved_after(&mut scene.command()), 1);
    age(&scene.answers(), Duration::from_secs(601));
    assert_eq!(scene.resolved_after(&mut scene.command()), 2);
}

#[test]
fn other_requirements_another_target_and_damage_are_another_question() {
    let scene = Scene::new("dagster\ndagster-cloud\n");
    assert_eq!(scene.resolved_after(&mut scene.command()), 1);
    assert_eq!(scene.resolved_after(scene.command().args(["--platform", "manylinux_2_28_x86_64"])), 2);
    std::fs::write(scene.project.path().join("requirements.txt"), "dagster>1\ndagster-cloud\n").unwrap();
    assert_eq!(scene.resolved_after(&mut scene.command()), 3);
    assert_eq!(scene.resolved_after(&mut scene.command()), 3);
    for entry in std::fs::read_dir(scene.answers()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap().replace("1.0", "2.0");
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(scene.resolved_after(&mut scene.command()), 4);
}

#[test]
fn with_any_other_source_uv_is_asked_each_time() {
    let scene = Scene::new("dagster\ndagster-cloud\n");
    for (name, value) in [
        ("UV_INDEX", "https://private.example/simple"),
        ("UV_DEFAULT_INDEX", "https://private.example/simple"),
        ("UV_REFRESH", "1"),
        ("PIP_INDEX_URL", "https://private.example/simple"),
        ("PIP_EXTRA_INDEX_URL", "https://private.example/simple"),
    ] {
        let before = scene.resolved_after(scene.command().env(name, value));
        assert_eq!(scene.resolved_after(scene.command().env(name, value)), before + 1, "{name}");
    }
    for line in [
        "--extra-index-url https://private.example/simple",
        "six @ https://e.example/six.tar.gz",
        "--find-links .",
    ] {
        let scene = Scene::new(&format!("dagster\ndagster-cloud\n{line}\n"));
        assert_eq!(scene.resolved_after(&mut scene.command()), 1, "{line}");
        assert_eq!(scene.resolved_after(&mut scene.command()), 2, "{line}");
    }
    let settings = scene.home.path().join(".config/uv");
    std::fs::create_dir_all(&settings).unwrap();
    std::fs::write(settings.join("uv.toml"), "").unwrap();
    let before = scene.resolved_after(&mut scene.command());
    assert_eq!(scene.resolved_after(&mut scene.command()), before + 1);
}
