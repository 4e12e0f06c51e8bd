//! `init` on repositories of every style (`tests/fixtures/init/`), and that it changes nothing that it should not.
//!
//! `PEXPRESS_WRITE_DOCS=1 cargo test --test it cli::init` writes what is wanted. `.ci/run` lints the wanted workflows.

use crate::support::{json, pexpress, project_tree, repository};
use pexpress::init::CHECKOUT;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NEW: &str = ".github/workflows/dagster-plus.yml";
const WORKFLOWS: &str = ".github/workflows";

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn init(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let (code, stdout, stderr) = run(pexpress().arg("init").args(args).current_dir(directory));
    // Binaries that are published know their owner.
    let is_said = |line: &&str| !line.contains("OWNER stands for");
    (code, stdout.split_inclusive('\n').filter(is_said).collect(), stderr)
}

#[test]
fn an_action_without_an_owner_is_named() {
    let dir = project_tree(&[("definitions.py", "defs = Definitions()\n")]);
    let command = &mut pexpress();
    let (_, stdout, _) =
        run(command.args(["init", "--action", "OWNER/x@v1", "--check"]).current_dir(dir.path()));
    assert!(stdout.contains("in `uses: OWNER/x@v1`, OWNER stands for the owner of the action"), "{stdout}");
}

/// Two workflows of one concurrency group cancel each other in pull requests.
#[test]
fn each_workflow_has_its_own_name_and_group() {
    let dir = project_tree(&[
        ("a/jobs/definitions.py", "defs = Definitions()\n"),
        ("a/setup.py", ""),
        ("a/dagster_cloud.yaml", "locations:\n- {location_name: own, code_source: {module_name: jobs}}\n"),
        ("b/jobs/definitions.py", "defs = Definitions()\n"),
        ("b/setup.py", ""),
    ]);
    git_init(dir.path(), "main");
    let heads: Vec<String> = ["dagster-plus.yml", "a.yml", "b.yml"]
        .into_iter()
        .map(|file| {
            let (code, stdout, stderr) = init(
                dir.path(),
                &[&file[..1], "--organization", "acme", "--workflow", file]
                    [usize::from(file.starts_with('d'))..],
            );
            assert_eq!(code, 0, "{stderr}");
            assert_eq!(
                stdout.contains("a/dagster_cloud.yaml is there too"),
                file.starts_with('d'),
                "{stdout}"
            );
            let text = std::fs::read_to_string(dir.path().join(WORKFLOWS).join(file)).unwrap();
            let is_own = |line: &&str| ["name: ", "  group: "].iter().any(|key| line.starts_with(key));
            text.lines().filter(is_own).collect::<Vec<_>>().join("\n")
        })
        .collect();
    insta::assert_snapshot!(heads.join("\n"), @r#"
    name: Dagster+
      group: dagster-${{ github.event.pull_request.number || github.ref }}
    name: Dagster+ (a)
      group: dagster-a-${{ github.event.pull_request.number || github.ref }}
    name: Dagster+ (b)
      group: dagster-b-${{ github.event.pull_request.number || github.ref }}
    "#);
    let project = std::fs::read_to_string(dir.path().join("dagster_cloud.yaml")).unwrap();
    let names: Vec<&str> = project.lines().filter(|line| line.contains("location_name")).collect();
    assert_eq!(names, ["  - location_name: a", "  - location_name: b"]);
}

/// Overwriting the workflow would lose what it has from the old ones.
#[test]
fn what_was_taken_over_is_not_to_be_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/classic"), dir.path());
    git_init(dir.path(), "main");
    init(dir.path(), &["--replace"]);
    let (code, _, stderr) = init(dir.path(), &["--organization", "acme"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(stderr, @r#"
    error: `.github/workflows/dagster-plus.yml` exists and differs; nothing was written
    hint: it has what an earlier run took over from the old workflows, which are not read any more: change it by hand; --check shows the difference
    "#);
}

/// A project file can name any directory.
#[test]
fn nothing_is_written_outside_of_the_repository() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    let locations = ["in", "../out"].map(|directory| {
        let name = directory.trim_start_matches("../");
        format!(
            "  - location_name: {name}\n    code_source: {{package_name: p}}\n    build: {{directory: {directory}}}\n"
        )
    });
    write("repo/dagster_cloud.yaml", &format!("locations:\n{}", locations.concat()));
    ["repo/in", "out"].iter().for_each(|name| write(&format!("{name}/.env"), "A=1\n"));
    git_init(&dir.path().join("repo"), "main");
    let (code, _, stderr) = init(&dir.path().join("repo"), &["--organization", "acme"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(dir.path().join("repo/in/.pexignore").exists());
    assert!(!dir.path().join("out/.pexignore").exists());
}

fn git_init(directory: &Path, branch: &str) {
    let status = Command::new("git").args(["init", "-q", "-b", branch]).arg(directory).status();
    assert!(status.unwrap().success());
}

fn fixtures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/fixtures/init")).unwrap();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    paths.sort();
    paths
}

/// Copy a fixture, its workflows to where GitHub has them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match name.as_str() {
            "want.yml" | "want.txt" => {}
            "workflows" => copy(&entry.path(), &to.join(WORKFLOWS)),
            _ if entry.path().is_dir() => copy(&entry.path(), &to.join(name)),
            _ => {
                std::fs::copy(entry.path(), to.join(name)).unwrap();
            }
        }
    }
}

/// All files below a directory, without git's.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with(".git") => {}
                true => waiting.push(path),
                false => {
                    let name = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
                    found.insert(name, std::fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    found
}

#[test]
fn workflows_of_every_style_become_one() {
    for fixture in fixtures() {
        let name = fixture.file_name().unwrap().to_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture, dir.path());
        git_init(dir.path(), "main");
        let (code, stdout, stderr) = init(dir.path(), &["--replace"]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}: {stdout}");
        let workflow = std::fs::read_to_string(dir.path().join(NEW)).unwrap();
        if std::env::var_os("PEXPRESS_WRITE_DOCS").is_some() {
            std::fs::write(fixture.join("want.yml"), &workflow).unwrap();
            std::fs::write(fixture.join("want.txt"), &stdout).unwrap();
        }
        let want = |file: &str| std::fs::read_to_string(fixture.join(file)).unwrap_or_default();
        assert!(workflow == want("want.yml"), "{name}/want.yml is not:\n{workflow}");
        assert!(stdout == want("want.txt"), "{name}/want.txt is not:\n{stdout}");
        // A second run finds its own workflow and nothing to do.
        let (_, again, _) = init(dir.path(), &["--overwrite"]);
        assert!(!again.contains("deployed twice"), "{name}: {again}");
    }
}

#[test]
fn the_new_workflow_uses_inputs_of_the_action() {
    let action: serde_json::Value =
        serde_yaml::from_str(&std::fs::read_to_string(repository().join("action.yml")).unwrap()).unwrap();
    let mut uses = 0;
    for fixture in fixtures() {
        let text = std::fs::read_to_string(fixture.join("want.yml")).unwrap();
        let workflow: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        for step in workflow["jobs"]["deploy"]["steps"].as_array().unwrap() {
            if step["uses"] != pexpress::init::ACTION {
                continue;
            }
            uses += 1;
            for input in step["with"].as_object().unwrap().keys() {
                assert!(action["inputs"].get(input).is_some(), "{}: no input `{input}`", fixture.display());
            }
        }
    }
    assert_eq!(uses, fixtures().len());
}

#[test]
fn the_checkout_is_pinned_as_in_the_examples() {
    let example = std::fs::read_to_string(repository().join("examples/workflows/deploy.yml")).unwrap();
    assert!(example.contains(&format!("- uses: {CHECKOUT}\n")), "{example}");
}

#[test]
fn a_check_writes_nothing_and_shows_everything() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/classic"), dir.path());
    git_init(dir.path(), "main");
    let before = files(dir.path());
    let (code, stdout, _) = init(dir.path(), &["--check", "--replace"]);
    assert_eq!(code, 1);
    assert_eq!(files(dir.path()), before);
    assert!(
        stdout.starts_with("--- /dev/null\n+++ b/.github/workflows/dagster-plus.yml\n@@ -0,0 +1,"),
        "{stdout}"
    );
    assert!(stdout.contains(
        "would move .github/workflows/deploy.yml to .github/workflows/deploy.yml.before-pexpress\n"
    ));
    // The diff is one that git applies.
    let patch = dir.path().join("patch");
    std::fs::write(&patch, stdout.split("would write").next().unwrap()).unwrap();
    let applied = Command::new("git").args(["apply", "patch"]).current_dir(dir.path()).status().unwrap();
    assert!(applied.success());
    std::fs::remove_file(patch).unwrap();
    let (code, stdout, _) = init(dir.path(), &["--check"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("unchanged .github/workflows/dagster-plus.yml\n"), "{stdout}");
}

#[test]
fn without_replace_the_old_workflows_stay_and_the_reader_is_warned() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/classic"), dir.path());
    git_init(dir.path(), "main");
    let before = files(dir.path());
    let (code, stdout, _) = init(dir.path(), &[]);
    assert_eq!(code, 0);
    let after = files(dir.path());
    assert!(before.iter().all(|(name, text)| after[name] == *text));
    assert_eq!(after.len(), before.len() + 1);
    assert!(stdout.contains("with both workflows each commit is deployed twice"), "{stdout}");
    let (code, ..) = init(dir.path(), &["--replace"]);
    assert_eq!(code, 0, "the same workflow is there already");
    let moved = files(dir.path());
    assert_eq!(moved.get(".github/workflows/deploy.yml"), None);
    assert_eq!(moved[".github/workflows/deploy.yml.before-pexpress"], before[".github/workflows/deploy.yml"]);
}

#[test]
fn what_is_there_is_not_overwritten() {
    let dir = project_tree(&[
        ("dagster_cloud.yaml", "locations:\n- {location_name: a, code_source: {module_name: a}}\n"),
        (NEW, "# mine\n"),
    ]);
    git_init(dir.path(), "main");
    let before = files(dir.path());
    let (code, stdout, stderr) = init(dir.path(), &["--organization", "acme"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    insta::assert_snapshot!(stderr, @"
    error: `.github/workflows/dagster-plus.yml` exists and differs; nothing was written
    hint: --check shows the difference, and --overwrite writes over it
    ");
    assert_eq!(files(dir.path()), before);
    let (code, stdout, _) = init(dir.path(), &["--organization", "acme", "--overwrite"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("overwrote .github/workflows/dagster-plus.yml\n"), "{stdout}");
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/new"), dir.path());
    git_init(dir.path(), "main");
    // The directory for the workflow cannot be created.
    std::fs::write(dir.path().join(".github"), "a file\n").unwrap();
    let before = files(dir.path());
    let (code, stdout, stderr) = init(dir.path(), &["--organization", "acme"]);
    assert_eq!((code, stdout.as_str()), (4, ""), "{stderr}");
    assert!(stderr.contains("nothing was changed"), "{stderr}");
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_repository_without_definitions_is_refused() {
    let dir = project_tree(&[("README.md", "")]);
    let (code, _, stderr) = init(dir.path(), &[]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(stderr.replace(dir.path().to_str().unwrap(), "DIR"), @"
    error: `DIR` has no dagster_cloud.yaml, no dg project, and no Python file with Dagster definitions
    hint: name the directory of the project, or write a dagster_cloud.yaml that names the module
    ");
}

/// Users got a note about steps of a Dockerfile that their workflow ignores, and lost the input by `--overwrite`.
#[test]
fn a_dockerfile_that_a_workflow_ignores_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/hybrid-ecr"), dir.path());
    git_init(dir.path(), "main");
    std::fs::write(
        dir.path().join("sales/Dockerfile"),
        "FROM python:3.12-slim\nRUN apt-get install -y git\n",
    )
    .unwrap();
    let written = |args: &[&str]| {
        let (code, stdout, stderr) = init(dir.path(), args);
        assert_eq!(code, 0, "{stderr}");
        (stdout, std::fs::read_to_string(dir.path().join(NEW)).unwrap())
    };
    let (stdout, text) = written(&[]);
    assert!(stdout.contains("not these steps: sales/Dockerfile:2"), "{stdout}");
    assert!(!text.contains("image_registry"), "{text}");
    let (stdout, text) = written(&["--ignore-dockerfile", "--overwrite"]);
    assert!(!stdout.contains("still built with Docker"), "{stdout}");
    assert!(text.contains("image_registry: ") && text.contains("ignore_dockerfile: 'true'\n"), "{text}");
    assert_eq!(written(&["--overwrite"]).1, text, "the workflow says it by now");
}

#[test]
fn json_has_what_became_of_each_line() {
    let dir = tempfile::tempdir().unwrap();
    copy(&repository().join("tests/fixtures/init/hybrid-actions"), dir.path());
    git_init(dir.path(), "main");
    let output =
        pexpress().args(["init", "--check", "--format", "json"]).current_dir(dir.path()).output().unwrap();
    let document = json(&output);
    assert_eq!(document["files"][0]["path"], NEW);
    assert_eq!(document["files"][0]["action"], "create");
    assert_eq!(document["written"], false);
    let lines = document["lines"].as_array().unwrap();
    let login = lines.iter().find(|line| line["what"] == "step \"Log in\"").unwrap();
    assert_eq!((&login["outcome"], &login["line"]), (&"dropped".into(), &22.into()));
}

#[test]
fn a_directory_below_the_top_is_its_own_project() {
    let dir = project_tree(&[
        (
            "services/a/dagster_cloud.yaml",
            "locations:\n- {location_name: a, code_source: {module_name: a}}\n",
        ),
        (
            "services/b/dagster_cloud.yaml",
            "locations:\n- {location_name: b, code_source: {module_name: b}}\n",
        ),
    ]);
    git_init(dir.path(), "main");
    let (code, stdout, stderr) =
        init(&dir.path().join("services/b"), &["--organization", "acme", "--workflow", "b.yml"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("wrote .github/workflows/b.yml\n"), "{stdout}");
    let text = std::fs::read_to_string(dir.path().join(".github/workflows/b.yml")).unwrap();
    assert!(text.contains("dagster_cloud_file: services/b/dagster_cloud.yaml\n"), "{text}");
}

#[test]
fn the_first_steps_show_what_is_printed() {
    let dir = project_tree(&[(
        "dagster_cloud.yaml",
        "locations:\n- {location_name: a, code_source: {module_name: a}}\n",
    )]);
    git_init(dir.path(), "main");
    let (code, stdout, _) = init(dir.path(), &["--organization", "acme"]);
    assert_eq!(code, 0);
    let document = std::fs::read_to_string(repository().join("docs/first-steps.md")).unwrap();
    assert!(document.contains(&format!("$ pexpress init --organization acme\n{stdout}")), "{stdout}");
}
