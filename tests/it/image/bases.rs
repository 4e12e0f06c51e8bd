//! Bases that are not the official images: without a shell, with Python at other places, with another C library.

use super::base::Base;
use super::build::{Layout, command, image, project, refused};
use crate::support::small_project::write_wheel_of;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// A project that also needs `native`, which has a wheel for each of these platforms, with its name as content.
fn project_with_wheels(dir: &Path, platforms: &[&str]) {
    project(dir);
    for platform in platforms {
        let wheels = dir.join("wheels");
        write_wheel_of(&wheels, "native", "1", &[("code.txt", platform)]);
        let file = format!("native-1-py3-none-{platform}.whl");
        std::fs::rename(wheels.join("native-1-py3-none-any.whl"), wheels.join(file)).unwrap();
    }
    let path = dir.join("shop/pyproject.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("'large']", "'large', 'native']")).unwrap();
}

/// What is known of an image: where its Python is, its wheel of `native`, and its config.
struct Made {
    python: String,
    home: String,
    wheel: String,
    config: Value,
    paths: Vec<String>,
}

fn made(dir: &Path, base: Base) -> Made {
    base.write(&dir.join("base"));
    image(dir, &["--base-image", "oci:base"]);
    let layout = Layout::open(&dir.join("out/shop"));
    let files = layout.files();
    let home = files["opt/venv/pyvenv.cfg"].text();
    Made {
        python: files["opt/venv/bin/python"].target.clone().unwrap(),
        home: home.lines().find_map(|line| line.strip_prefix("home = ")).unwrap().to_string(),
        wheel: files["opt/venv/lib/python3.11/site-packages/native/code.txt"].text(),
        config: layout.config()["config"].clone(),
        paths: files.into_keys().collect(),
    }
}

fn base(config: Value, files: &[(&'static str, &'static str)]) -> Base {
    Base { config, files: files.to_vec(), ..Base::official("3.11") }
}

const GLIBC_36: &str = "GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\n";
const GLIBC_34: &str = "GNU C Library (GNU libc) stable release version 2.34.\n";

#[test]
fn a_distroless_base_needs_no_shell_and_keeps_its_user() {
    let dir = tempfile::tempdir().unwrap();
    project_with_wheels(dir.path(), &["manylinux_2_36_x86_64", "manylinux_2_17_x86_64"]);
    let config = json!({
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "LANG=C.UTF-8"],
        "Entrypoint": ["/usr/bin/python3.11"], "User": "65532", "WorkingDir": "/home/nonroot",
    });
    let files = [
        ("etc/os-release", "ID=debian\n"),
        ("lib/x86_64-linux-gnu/libc.so.6", GLIBC_36),
        ("usr/bin/python3.11", ""),
        ("usr/bin/python3 -> python3.11", ""),
        ("usr/lib/python3.11/os.py", ""),
    ];
    let made = made(dir.path(), base(config, &files));
    assert_eq!((made.python.as_str(), made.home.as_str()), ("/usr/bin/python3.11", "/usr/bin"));
    assert_eq!(made.wheel, "manylinux_2_36_x86_64");
    assert_eq!(
        (&made.config["User"], &made.config["WorkingDir"]),
        (&json!("65532"), &json!("/opt/dagster/app"))
    );
    assert_eq!((made.config.get("Entrypoint"), made.config.get("Cmd")), (None, None));
    assert!(
        made.config["Env"]
            .as_array()
            .unwrap()
            .contains(&json!("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"))
    );
    let ours = ["opt/venv/", "opt/dagster/", "usr/local/bin/dagster"];
    assert!(
        made.paths.iter().all(|path| ours.iter().any(|start| path.starts_with(start))),
        "{:#?}",
        made.paths
    );
}

#[test]
fn the_python_of_a_ubi_base_is_that_below_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    project_with_wheels(dir.path(), &["manylinux_2_36_x86_64", "manylinux_2_34_x86_64"]);
    let config = json!({
        "Env": ["PATH=/opt/app-root/src/.local/bin/:/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/bin:/usr/bin", "PYTHON_VERSION=3.11"],
        "Entrypoint": ["container-entrypoint"], "Cmd": ["/bin/bash", "-c", "usage"], "User": "1001",
    });
    let files = [
        ("bin -> usr/bin", ""),
        ("lib64 -> usr/lib64", ""),
        ("opt/app-root/bin/python3.11 -> /usr/bin/python3.11", ""),
        ("opt/app-root/pyvenv.cfg", "home = /usr/bin\n"),
        ("usr/bin/python3.11", ""),
        ("usr/bin/python3.9", ""),
        ("usr/lib64/libc.so.6", GLIBC_34),
    ];
    let made = made(dir.path(), base(config, &files));
    assert_eq!((made.python.as_str(), made.home.as_str()), ("/usr/bin/python3.11", "/usr/bin"));
    assert_eq!(made.wheel, "manylinux_2_34_x86_64", "of glibc 2.34");
    assert_eq!(made.config["User"], "1001");
}

#[test]
fn an_alpine_base_gets_wheels_for_musl_or_says_so() {
    let config = || json!({"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.11.9"]});
    let files = [("lib/ld-musl-x86_64.so.1", ""), ("usr/local/bin/python3.11", ""), ("bin/busybox", "")];
    let dir = tempfile::tempdir().unwrap();
    project_with_wheels(dir.path(), &["manylinux_2_17_x86_64", "musllinux_1_2_x86_64"]);
    let found = made(dir.path(), base(config(), &files));
    assert_eq!(
        (found.python.as_str(), found.wheel.as_str()),
        ("/usr/local/bin/python3.11", "musllinux_1_2_x86_64")
    );
    let dir = tempfile::tempdir().unwrap();
    project_with_wheels(dir.path(), &["manylinux_2_17_x86_64"]);
    base(config(), &files).write(&dir.path().join("base"));
    let output = command(dir.path(), &["--base-image", "oci:base"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("native") && said.contains("musl"), "{said}");
}

#[test]
fn a_python_in_an_odd_place_is_found_and_that_on_path_comes_first() {
    for (path, files, want) in [
        ("/usr/bin:/bin", &["opt/python/bin/python3.11"][..], "/opt/python/bin/python3.11"),
        (
            "/opt/conda/bin:/usr/bin",
            &["usr/bin/python3.11", "opt/conda/bin/python3.11"],
            "/opt/conda/bin/python3.11",
        ),
        ("/usr/bin", &["opt/conda/bin/python3.11", "usr/bin/python3.12"], "/opt/conda/bin/python3.11"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        project_with_wheels(dir.path(), &["manylinux_2_17_x86_64"]);
        let mut all = vec![("lib/libc.so.6", GLIBC_36)];
        all.extend(files.iter().map(|file| (*file, "")));
        let made = made(dir.path(), base(json!({"Env": [format!("PATH={path}")]}), &all));
        assert_eq!(made.python, want);
    }
    // A name without a version says nothing about it.
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    base(json!({}), &[("lib/libc.so.6", GLIBC_36), ("usr/bin/python3", "")]).write(&dir.path().join("base"));
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base"]), @r#"
    error: no Python was found in the base image `oci:base`
    hint: say where it is with --image-python, for example /usr/bin/python3.12, or use a base image with Python
    "#);
    image(dir.path(), &["--base-image", "oci:base", "--image-python", "/usr/bin/python3"]);
}

#[test]
fn layers_of_zstandard_are_read_and_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let write = |base: Base| Base { is_zstd: true, ..base }.write(&dir.path().join("base"));
    write(base(json!({}), &[("lib/libc.so.6", GLIBC_36), ("usr/bin/python3.11", "")]));
    image(dir.path(), &["--base-image", "oci:base"]);
    let manifest = Layout::open(&dir.path().join("out/shop")).manifest();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    // The layer itself is a real one.
    let layer = manifest["layers"][0]["digest"].as_str().unwrap()[7..].to_string();
    let file = std::fs::File::open(dir.path().join("out/shop/blobs/sha256").join(layer)).unwrap();
    if let Ok(mut zstd) = Command::new("zstd").args(["-dc"]).stdin(file).stdout(Stdio::piped()).spawn() {
        let mut archive = Vec::new();
        zstd.stdout.take().unwrap().read_to_end(&mut archive).unwrap();
        assert!(zstd.wait().unwrap().success() && archive.starts_with(b"lib/libc.so.6"));
    }
}
