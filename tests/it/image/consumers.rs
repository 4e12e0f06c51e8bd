//! What others make of our images: the agents' own code starts them, and other tools read them.

use super::build::Layout;
use crate::support::environments::{environment, is_here, not_run, python};
use crate::support::timed::timed;
use crate::support::{kept_dir, pexpress_with_uv, quickstart, repository, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A base image with the Python of this machine, made once.
fn base(version: &str) -> PathBuf {
    let dir = kept_dir("bases").join(format!("python-{version}"));
    if !dir.join("index.json").exists() {
        let script = repository().join("tests/consumer/make_base.py");
        run(Command::new(python(version)).arg(script).arg(&dir));
    }
    dir
}

/// Build the quickstart for this Python into `out/quickstart`.
pub fn build(version: &str, out: &Path, more: &[&str]) -> Value {
    let project = quickstart();
    let base = format!("oci:{}", base(version).display());
    let mut command = pexpress_with_uv();
    command.arg("image").arg(project).arg(out).args(["--base-image", &base, "--format", "json"]).args(more);
    serde_json::from_slice(&run(command.args(["--python-version", version])).stdout).unwrap()
}

fn is_installed(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing: Vec<&str> = tools.iter().copied().filter(|tool| !is_there(tool)).collect();
    if !missing.is_empty() {
        not_run(&format!("{} is not here", missing.join(", ")));
    }
    missing.is_empty()
}

pub fn is_root() -> bool {
    let is_root = String::from_utf8_lossy(&run(Command::new("id").arg("-u")).stdout).trim() == "0";
    if !is_root {
        not_run("a root directory is changed by root alone");
    }
    is_root
}

fn the_agent_starts_the_quickstart_on(version: &str) {
    if !is_here(version) || !is_installed(&["umoci", "unshare"]) || !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let built = build(version, dir.path(), &[]);
    let layout = dir.path().join("quickstart");
    let tag =
        Layout::open(&layout).index()["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap()
            .to_string();
    let bundle = dir.path().join("bundle");
    run(Command::new("umoci")
        .arg("unpack")
        .arg("--image")
        .arg(format!("{}:{tag}", layout.display()))
        .arg(&bundle));
    let image = format!("registry.example.com/shop@{}", built["locations"][0]["digest"].as_str().unwrap());
    let document = json!({
        "location_name": "quickstart", "image": image, "code_source": {"module_name": "quickstart.definitions"},
    });
    let write = |name: &str, value: &Value| {
        let path = dir.path().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let (config, document) =
        (write("config.json", &Layout::open(&layout).config()), write("document.json", &document));
    let agent = environment(version, &["dagster-cloud"]);
    // Any user can run it.
    for uid in ["0", "54321"] {
        let answer = dir.path().join("answer.json");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--"]).arg(agent.join("bin/python"));
        command.arg(repository().join("tests/consumer/run_image.py")).arg(bundle.join("rootfs"));
        let output = command.args([&config, &document, &answer]).arg(uid).output().unwrap();
        let text = std::fs::read(&answer)
            .unwrap_or_else(|_| panic!("no answer: {}", String::from_utf8_lossy(&output.stderr)));
        let answer: Value = serde_json::from_slice(&text).unwrap();
        let expected = json!({
            "repositories": crate::pex::agent::quickstart_definitions()["repositories"],
            "executable": "/opt/venv/bin/python",
            "image": image,
        });
        assert_eq!(answer, expected);
    }
}

#[test]
#[ignore = "minutes, root, and a package index"]
fn the_agent_starts_the_quickstart_on_python_3_10() {
    let _timed = timed();
    the_agent_starts_the_quickstart_on("3.10");
}

#[test]
#[ignore = "minutes, root, and a package index"]
fn the_agent_starts_the_quickstart_on_python_3_11() {
    let _timed = timed();
    the_agent_starts_the_quickstart_on("3.11");
}

#[test]
#[ignore = "minutes, root, and a package index"]
fn the_agent_starts_the_quickstart_on_python_3_12() {
    let _timed = timed();
    the_agent_starts_the_quickstart_on("3.12");
}

#[test]
#[ignore = "minutes, root, and a package index"]
fn the_agent_starts_the_quickstart_on_python_3_13() {
    let _timed = timed();
    the_agent_starts_the_quickstart_on("3.13");
}

#[test]
#[ignore = "a minute, and a package index"]
fn other_tools_read_what_we_write() {
    let version = "3.11";
    if !is_here(version) || !is_installed(&["skopeo", "umoci", "gzip", "pigz", "tar"]) {
        return;
    }
    let _timed = timed();
    let dir = tempfile::tempdir().unwrap();
    build(version, dir.path(), &["--no-image-bytecode"]);
    let layout = dir.path().join("quickstart");
    let source = format!("oci:{}", layout.display());
    let inspected = run(Command::new("skopeo").args(["inspect", "--config", &source]));
    let config: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(config["config"]["WorkingDir"], "/opt/dagster/app");
    // It inflates every layer, and compares it with its diff_id.
    let archive = format!("docker-archive:{}", dir.path().join("archive.tar").display());
    run(Command::new("skopeo").args(["copy", "--quiet", &source, &archive]));
    let copy = dir.path().join("copy");
    run(Command::new("skopeo").args(["copy", "--quiet", &source, &format!("oci:{}:x", copy.display())]));
    assert_eq!(Layout::open(&copy).manifest()["layers"], Layout::open(&layout).manifest()["layers"]);
    for layer in Layout::open(&layout).manifest()["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let blob = layout.join("blobs/sha256").join(&digest[7..]);
        for (tool, arguments) in [("gzip", "-t"), ("pigz", "-t")] {
            let file = std::fs::File::open(&blob).unwrap();
            run(Command::new(tool).arg(arguments).stdin(file));
        }
        run(Command::new("tar").arg("-tzf").arg(&blob));
    }
}
