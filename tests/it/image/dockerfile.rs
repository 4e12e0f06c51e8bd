//! Dockerfiles in the build directory: never run, and never ignored in silence.

use super::base::Base;
use super::build::{BACKEND, Layout, command, image, project, refused};
use crate::support::run;
use crate::support::said::plain;
use std::path::Path;

fn with_dockerfile(dir: &Path, text: &str) {
    project(dir);
    Base::official("3.11").write(&dir.join("base"));
    std::fs::write(dir.join("shop/Dockerfile"), text).unwrap();
}

const USUAL: &str = "FROM python:3.11-slim\nWORKDIR /opt/dagster/app\nCOPY . .\nRUN pip install -e . dagster-cloud\n\
    ENV ONE=1 TWO=2\nLABEL team=data\nCMD [\"dagster\", \"dev\"]\n";

#[test]
fn variables_and_labels_are_in_the_image_and_the_rest_is_said() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(dir.path(), USUAL);
    std::fs::write(dir.path().join("shop/.dockerignore"), "data\n").unwrap();
    let more = ["--base-image", "oci:base", "--image-env", "TWO=given"];
    let output = run(&mut command(dir.path(), &more));
    let said = plain(&String::from_utf8(output.stderr).unwrap());
    let about: Vec<&str> =
        said.lines().filter(|line| line.contains("ockerfile") || line.contains("ocker")).collect();
    assert_eq!(
        about,
        [
            "shop/.dockerignore is not used: .pexignore says what is left out",
            "shop/Dockerfile is read, not run; used: 2 variables, 1 label; --base-image takes the place of its base",
            "  shop/Dockerfile:7: CMD [\"dagster\", \"dev\"]: agents say what to start",
        ]
    );
    let config = Layout::open(&dir.path().join("out/shop")).config();
    let env: Vec<&str> =
        config["config"]["Env"].as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
    assert!(env.contains(&"ONE=1") && env.contains(&"TWO=given"), "{env:?}");
    assert_eq!(config["config"]["Labels"]["team"], "data");
}

#[test]
fn a_step_that_needs_docker_stops_the_build_unless_the_file_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(
        dir.path(),
        "FROM python:3.11-slim\nRUN apt-get update && apt-get install -y git\nRUN pip install boto3 large\n",
    );
    std::fs::write(dir.path().join("shop/dagster_cloud_post_install.sh"), "#!/bin/sh\ndbt deps\n").unwrap();
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base", "--quiet"]), @r"
    error: these steps cannot be done without Docker:
      shop/Dockerfile:2: RUN apt-get install -y git
        put it into a base image of your own: a Dockerfile with FROM and this step, built when it changes
      shop/Dockerfile:3: RUN pip install boto3 large
        the project does not require this: add to requirements.txt or pyproject.toml `boto3`
      shop/dagster_cloud_post_install.sh:2: dbt deps
        run it before pexpress, in a step of its own: the files that it makes in the build directory are copied
      at: shop/Dockerfile:2
    hint: make these changes, or build without these steps with --ignore-dockerfile
    ");
    assert!(!dir.path().join("out").exists());
    image(dir.path(), &["--base-image", "oci:base", "--ignore-dockerfile"]);
    assert!(dir.path().join("out/shop/index.json").exists());
}

/// `docker build --file shop/Dockerfile .`, as in repositories with several code locations.
#[test]
fn files_of_a_context_above_the_build_directory_can_be_included() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(
        dir.path(),
        "FROM python:3.11-slim\nCOPY dbt/ /opt/dagster/dbt/\nCOPY limits.txt /srv/\nCOPY shop/ /opt/dagster/app/\n",
    );
    std::fs::create_dir(dir.path().join("dbt")).unwrap();
    std::fs::write(dir.path().join("dbt/project.yml"), "name: x\n").unwrap();
    std::fs::write(dir.path().join("limits.txt"), "1\n").unwrap();
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base", "--quiet"]), @r"
    error: these steps cannot be done without Docker:
      shop/Dockerfile:2: COPY dbt/ /opt/dagster/dbt/
        it is outside the build directory: --image-include dbt:/opt/dagster/dbt adds it
      shop/Dockerfile:3: COPY limits.txt /srv/
        it is outside the build directory: --image-include limits.txt:/srv/limits.txt adds it
      at: shop/Dockerfile:2
    hint: make these changes, or build without these steps with --ignore-dockerfile
    ");
    let include =
        ["--image-include", "dbt:/opt/dagster/dbt", "--image-include", "limits.txt:/srv/limits.txt"];
    image(dir.path(), &[&["--base-image", "oci:base"][..], &include].concat());
    let files = Layout::open(&dir.path().join("out/shop")).files();
    for (path, text) in [("opt/dagster/dbt/project.yml", "name: x\n"), ("srv/limits.txt", "1\n")] {
        assert_eq!(files[path].text(), text, "{path}");
    }
}

/// The last two lines were never named, and a flag with the place in the earlier stage let the build pass.
#[test]
fn what_the_last_stage_copies_from_an_earlier_one_is_named_with_its_final_place() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(
        dir.path(),
        "FROM python:3.11-slim AS builder\nCOPY extra /b/extra\nCOPY shop /b/shop\nFROM python:3.11-slim\nWORKDIR /app\n\
         COPY --from=builder /b/shop /app\nCOPY --from=builder /b/extra /opt/extra\nCOPY --from=builder /b/shop/dbt /opt/dbt\n\
         COPY --from=builder /b/shop/made /opt/made\n",
    );
    for name in ["extra", "shop/dbt"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("one.txt"), "1\n").unwrap();
    }
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base", "--quiet"]), @r"
    error: these steps cannot be done without Docker:
      shop/Dockerfile:7: COPY --from=builder /b/extra /opt/extra
        it is outside the build directory: --image-include extra:/opt/extra adds it
      shop/Dockerfile:8: COPY --from=builder /b/shop/dbt /opt/dbt
        --image-include shop/dbt:/opt/dbt adds it there
      shop/Dockerfile:9: COPY --from=builder /b/shop/made /opt/made
        files that another stage makes: put them into a base image of your own
      at: shop/Dockerfile:7
    hint: make these changes, or build without these steps with --ignore-dockerfile
    ");
    let path = dir.path().join("shop/Dockerfile");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("COPY --from=builder /b/shop/made /opt/made\n", "")).unwrap();
    let include = ["--image-include", "extra:/opt/extra", "--image-include", "shop/dbt:/opt/dbt"];
    image(dir.path(), &[&["--base-image", "oci:base"][..], &include].concat());
    let files = Layout::open(&dir.path().join("out/shop")).files();
    for path in ["opt/extra/one.txt", "opt/dbt/one.txt"] {
        assert_eq!(files[path].text(), "1\n", "{path}");
    }
}

/// As in mitodl/ol-data-platform. Another Dockerfile was read, or none.
#[test]
fn the_dockerfile_that_an_entry_names_is_read() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(dir.path(), "FROM python:3.11-slim\nRUN apt-get install -y git\n");
    let yaml = dir.path().join("dagster_cloud.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap();
    let named = |file: &str| {
        let entry = format!("{{directory: shop, dockerfile: {file}}}");
        std::fs::write(&yaml, text.replace("{directory: shop}", &entry)).unwrap();
    };
    // Relative to the file that names it, and to the build directory.
    std::fs::write(
        dir.path().join("Image.dockerfile"),
        "FROM python:3.11-slim\nENV ONE=1\nCOPY shop /opt/dagster/app\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("shop/Inner.dockerfile"), "FROM python:3.11-slim\nENV ONE=2\n").unwrap();
    for (file, said, want) in [
        ("Image.dockerfile", "Image.dockerfile", "ONE=1"),
        ("Inner.dockerfile", "shop/Inner.dockerfile", "ONE=2"),
    ] {
        named(file);
        let output = run(&mut command(dir.path(), &["--base-image", "oci:base"]));
        let stderr = plain(&String::from_utf8(output.stderr).unwrap());
        assert!(stderr.contains(&format!("{said} is read, not run; used: 1 variable;")), "{stderr}");
        let config = Layout::open(&dir.path().join("out/shop")).config();
        assert!(config["config"]["Env"].as_array().unwrap().iter().any(|one| one == want), "{config}");
    }
    named("gone/Dockerfile");
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base", "--quiet"]), @r"
    error: `shop/gone/Dockerfile`, the Dockerfile of `shop`, does not exist
      at: dagster_cloud.yaml:2:5
    hint: correct `dockerfile`: it is relative to the build directory or to one above it, up to the top of the repository
    ");
    named("Image.dockerfile");
    let one = std::fs::read_to_string(&yaml).unwrap();
    let second =
        "  - location_name: second\n    code_source: {module_name: shop}\n    build: {directory: shop}\n";
    std::fs::write(&yaml, one + second).unwrap();
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:base", "--quiet"]), @r"
    error: code locations of the build directory `shop` have different Dockerfiles:
      shop: Image.dockerfile
      second: none is named
    hint: build each with --location, or give each a `build.directory` of its own
    ");
}

/// Its package is installed anyway, and the message said to include it once more.
#[test]
fn a_copied_path_dependency_needs_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(
        dir.path(),
        "FROM python:3.11-slim\nWORKDIR /app\nCOPY lib /deps/lib\nCOPY lib/src/lib /deps/more\nCOPY shop .\n",
    );
    for (name, text) in [
        (
            "lib/pyproject.toml",
            "[project]\nname = 'lib'\nversion = '1'\n[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        ),
        ("lib/backend.py", &BACKEND.replace("shop", "lib")),
        ("lib/src/lib/__init__.py", "def main(): print('lib')\n"),
    ] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let path = dir.path().join("shop/pyproject.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("'large']", "'large', 'lib']");
    std::fs::write(&path, text + "[tool.uv.sources]\nlib = {path = '../lib', editable = true}\n").unwrap();
    let output = run(&mut command(dir.path(), &["--base-image", "oci:base"]));
    let said = plain(&String::from_utf8(output.stderr).unwrap());
    assert!(!said.contains("COPY lib"), "{said}");
    let files = Layout::open(&dir.path().join("out/shop")).files();
    assert!(files.contains_key("opt/dagster/local/lib/src/lib/__init__.py"), "{:?}", files.keys());
}

#[test]
fn the_base_is_taken_from_the_dockerfile() {
    let dir = tempfile::tempdir().unwrap();
    with_dockerfile(dir.path(), "ARG NAME=Not/A/Name\nFROM $NAME\n");
    insta::assert_snapshot!(refused(dir.path(), &["--quiet"]), @r"
    error: `shop/Dockerfile` names a base image that cannot be used
      at: shop/Dockerfile:2
      caused by: invalid image reference `Not/A/Name`: a repository has lower-case letters and digits, with `/`, `.`, `_` or `-` between them
    hint: correct it, or give the base with --base-image
    ");
    let yaml = dir.path().join("dagster_cloud.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap();
    let second =
        "  - location_name: second\n    code_source: {module_name: shop}\n    build: {directory: second}\n";
    std::fs::write(&yaml, text + second).unwrap();
    std::fs::create_dir(dir.path().join("second")).unwrap();
    std::fs::write(dir.path().join("second/Dockerfile"), "FROM python:3.12\n").unwrap();
    insta::assert_snapshot!(refused(dir.path(), &["--quiet"]), @r"
    error: the Dockerfiles name different base images:
      second/Dockerfile:1: python:3.12
      shop/Dockerfile:2: Not/A/Name
      at: second/Dockerfile:1
    hint: give one for all with --base-image, or build each with --location
    ");
}
