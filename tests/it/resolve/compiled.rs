//! A source distribution with a compiled part, built by the real uv with the real C compiler of this machine.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use crate::support::environments::is_here;
use crate::support::small_project::write_wheels;
use crate::support::{pexpress_with_uv, project_tree, run};
use std::path::Path;
use std::process::{Command, Output};

/// Compiles one function that calls glibc's `pthread_create`, which is `GLIBC_2.34` since that release.
const BACKEND: &str = r#"
import subprocess, sysconfig, zipfile
def build_wheel(out, config_settings=None, metadata_directory=None):
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "native.so", "native.c"], check=True)
    tag = "py3-none-" + sysconfig.get_platform().replace("-", "_")
    name = "native-1-" + tag + ".whl"
    info = "native-1.dist-info/"
    with zipfile.ZipFile(out + "/" + name, "w") as wheel:
        wheel.write("native.so", "native/native.so")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: native\nVersion: 1\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: " + tag + "\n")
        wheel.writestr(info + "RECORD", "")
    return name
"#;
const CODE: &str = "#include <pthread.h>\n\
    int start(void *(*work)(void *)) { pthread_t thread; return pthread_create(&thread, 0, work, 0); }\n";
const PYPROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n\
    [project]\nname = 'native'\nversion = '1'\n";

/// `native-1.tar.gz` in `dir`.
fn write_sdist(dir: &Path) {
    let source = project_tree(&[
        ("native-1/backend.py", BACKEND),
        ("native-1/native.c", CODE),
        ("native-1/pyproject.toml", PYPROJECT),
        ("native-1/PKG-INFO", "Metadata-Version: 2.2\nName: native\nVersion: 1\n"),
    ]);
    run(Command::new("tar")
        .args(["-czf"])
        .arg(dir.join("native-1.tar.gz"))
        .arg("-C")
        .arg(source.path())
        .arg("native-1"));
}

fn build(project: &Path, cache: &Path, platform: &str) -> Output {
    pexpress_with_uv()
        .args(["deps", ".", "out", "--python-version", "3.11", "--platform", platform])
        .env("PEXPRESS_CACHE_DIR", cache)
        .current_dir(project)
        .output()
        .unwrap()
}

#[test]
#[ignore = "needs a package index, a C compiler and glibc 2.34 or newer"]
fn a_library_that_needs_a_newer_glibc_is_refused_with_a_real_compiler() {
    if !is_here("3.11") {
        return;
    }
    let requirements = "--no-index\n--find-links wheels\ndagster\ndagster-cloud\nnative\n";
    let project = project_tree(&[("requirements.txt", requirements)]);
    write_wheels(project.path(), 0);
    write_sdist(&project.path().join("wheels"));
    let cache = tempfile::tempdir().unwrap();
    let arch = std::env::consts::ARCH;
    let fits = build(project.path(), cache.path(), &format!("manylinux_2_40_{arch}"));
    assert!(fits.status.success(), "{}", String::from_utf8_lossy(&fits.stderr));
    // The wheel is in the cache now; for another target it is checked again.
    let refused = build(project.path(), cache.path(), &format!("manylinux_2_17_{arch}"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in [
        "native-1-py3-none-linux",
        "`native/native.so`",
        "needs GLIBC_2.34 of libc.so.6",
        "glibc 2.17 or older",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let other = if arch == "x86_64" { "aarch64" } else { "x86_64" };
    let refused = build(project.path(), cache.path(), &format!("manylinux_2_36_{other}"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("does not run on Python 3.11"), "{said}");
}
