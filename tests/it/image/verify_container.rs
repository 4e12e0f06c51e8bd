//! `pexpress verify --verify=container` by podman or docker, as a stand-in that checks each argument.

use super::verify::built;
use crate::support::environments::{helper_version, not_run, python};
use crate::support::said::plain;
use crate::support::{pexpress_with_uv, run, write_executable};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Takes an image as both programs do, and answers with `answer.json` next to it; without that, it runs the code with a
/// Python of this machine. Whatever is unexpected ends it.
const ENGINE: &str = r#"
import gzip, hashlib, json, os, pathlib, subprocess, sys, tarfile
here = pathlib.Path(__file__).resolve().parent
arguments = sys.argv[1:]
with open(here / "log", "a") as log:
    log.write(json.dumps([os.path.basename(__file__)] + [one if len(one) < 200 else "CODE" for one in arguments]) + "\n")
assert not [name for name in os.environ if "TOKEN" in name], os.environ
assert os.environ.get("DOCKER_HOST") == "unix:///run/other.sock"
tag = here / "tag"
if arguments[0] == "load":
    assert arguments[1] == "--input" and len(arguments) == 3, arguments
    (here / "image.tar").write_bytes(open(arguments[2], "rb").read())
    with tarfile.open(arguments[2]) as archive:
        [image] = json.load(archive.extractfile("manifest.json"))
        config = archive.extractfile(image["Config"]).read()
        assert hashlib.sha256(config).hexdigest() + ".json" == image["Config"]
        layers = [gzip.open(archive.extractfile(name)).read() for name in image["Layers"]]
        found = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        assert found == json.loads(config)["rootfs"]["diff_ids"], found
        [name] = image["RepoTags"]
        assert name.startswith("localhost/pexpress-verify:")
        tag.write_text(name)
        print("Loaded image: " + name)
elif arguments[0] == "run":
    assert arguments[1:4] == ["--rm", "--pull=never", "--env=LOAD_ROOT=/opt/dagster/"], arguments
    assert arguments[4] == tag.read_text()
    assert arguments[5:7] == ["/opt/venv/bin/python", "-c"] and arguments[8] == "/dev/fd/9" and len(arguments) == 10
    json.loads(arguments[9])
    print("this is printed by the container's runtime", file=sys.stderr)
    answer = here / "answer.json"
    if answer.exists():
        print(answer.read_text())
    else:
        code = "print('user code prints')\n"
        sys.exit(subprocess.call([sys.executable, "-S", "-c", arguments[7] + code, *arguments[8:]]))
else:
    assert arguments == ["rmi", tag.read_text()], arguments
    tag.unlink()
"#;

struct Scene {
    dir: tempfile::TempDir,
    bin: PathBuf,
}

impl Scene {
    /// A built image, and a search path with nothing but this program.
    fn new(program: &str) -> Scene {
        let dir = built();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        // The one in `PATH` may be a shell script in front of it.
        let asked =
            run(Command::new(python(helper_version())).args(["-c", "import sys; print(sys.executable)"]));
        let python = String::from_utf8(asked.stdout).unwrap();
        write_executable(&bin.join(program), &format!("#!{}{ENGINE}", python.trim()));
        Scene { dir, bin }
    }

    fn verify(&self) -> Output {
        let mut command = pexpress_with_uv();
        command.current_dir(self.dir.path()).args([
            "verify",
            "out",
            "--verify=container",
            "--format",
            "json",
        ]);
        command.env("PATH", &self.bin).env("DOCKER_HOST", "unix:///run/other.sock");
        command.env("MY_TOKEN", "x").output().unwrap()
    }

    fn log(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.bin.join("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn podman_or_docker_start_the_image_and_remove_it() {
    for program in ["podman", "docker"] {
        let scene = Scene::new(program);
        let nothing = json!({"assets": ["one"], "jobs": [], "schedules": [], "sensors": []});
        let answer = json!({"dagster": "1.13.27", "dagster_cloud": "1.13.27", "repositories": {"__repository__": nothing}});
        std::fs::write(scene.bin.join("answer.json"), answer.to_string()).unwrap();
        let output = scene.verify();
        assert!(output.status.success(), "{program}: {}", said(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["locations"][0]["repositories"], answer["repositories"]);
        let log = scene.log();
        let verbs: Vec<(&str, &str)> = log.iter().map(|line| (line[0].as_str(), line[1].as_str())).collect();
        assert_eq!(verbs, [(program, "load"), (program, "run"), (program, "rmi")]);
        assert!(!Path::new(&log[0][3]).exists(), "the file is removed");
        if Command::new("skopeo").arg("--version").output().is_err() {
            return not_run("skopeo is not here");
        }
        let archive = format!("docker-archive:{}", scene.bin.join("image.tar").display());
        let copy = format!("oci:{}:x", scene.dir.path().join("copy").display());
        run(Command::new("skopeo").args(["copy", "--quiet", &archive, &copy]));
    }
}

/// What the code location prints must not be taken for the answer. There is no dagster in this Python.
#[test]
fn the_answer_comes_back_on_standard_output() {
    let scene = Scene::new("podman");
    let output = scene.verify();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = document["locations"][0]["error"].as_str().unwrap();
    assert!(error.contains("dagster"), "{error}");
    assert_eq!(scene.log().last().unwrap()[1], "rmi");
}

#[test]
fn without_any_of_them_the_error_names_what_is_missing() {
    let scene = Scene::new("neither");
    let output = scene.verify();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(plain(&said(&output)), @r#"
    error: an image can be started here by root on Linux, or by podman or docker, and neither is there
    hint: run it with sudo, install podman or docker, or leave out --verify=container to load the environment of the image
    "#);
}

#[test]
fn a_daemon_that_does_not_answer_is_named() {
    let scene = Scene::new("other");
    write_executable(
        &scene.bin.join("docker"),
        "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n",
    );
    let output = scene.verify();
    assert_eq!(output.status.code(), Some(4));
    let said = plain(&said(&output));
    assert!(
        said.contains("docker` could not take the image")
            && said.contains("Cannot connect to the Docker daemon"),
        "{said}"
    );
}
