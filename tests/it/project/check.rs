//! `pexpress check`: its output, and the message for each mistake.

use crate::support::hosts::host_with;
use crate::support::{json, pexpress, project_tree};
use pexpress::error::Explain;
use pexpress::project::Project;
use serde_json::json;

/// Message, line, column and hint of each error.
type FoundError = (String, usize, usize, String);

fn errors_of(files: &[(&str, &str)]) -> Vec<FoundError> {
    let tree = project_tree(files);
    let reading = Project::inspect(tree.path(), &host_with(tree.path(), &[]));
    let root = tree.path().display().to_string();
    let found = reading.errors.iter().map(|error| {
        let place = error.place();
        let count = |number: Option<usize>| number.unwrap_or(0);
        (
            error.to_string().replace(&root, "ROOT"),
            count(place.as_ref().and_then(|place| place.line)),
            count(place.as_ref().and_then(|place| place.column)),
            error.hint().unwrap_or_default(),
        )
    });
    found.collect()
}

fn assert_found(files: &[(&str, &str)], want: &[(&str, usize, usize, &str)]) {
    let found = errors_of(files);
    let found: Vec<_> = found
        .iter()
        .map(|(text, line, column, hint)| (text.as_str(), *line, *column, hint.as_str()))
        .collect();
    assert_eq!(found, want, "{files:?}");
}

#[test]
fn each_mistake_in_a_dagster_cloud_yaml_is_reported_with_place_and_fix() {
    const RELATIVE: &str = "`build.directory` is relative to the directory of the file it is in";
    for (text, want) in [
        ("", ("the file is empty", 0, 0, "list your code locations under `locations:`")),
        ("# locations:\n", ("the file is empty", 0, 0, "list your code locations under `locations:`")),
        ("- a\n", ("the file must be a mapping with `locations`, not a list", 1, 1, "")),
        ("defaults: {}\n", ("the file has no `locations`", 1, 1, "list your code locations under it")),
        (
            "locations: []\n",
            ("`locations` must be a list of at least one code location, not an empty list", 1, 12, ""),
        ),
        (
            "locations:\n",
            ("`locations` must be a list of at least one code location, not nothing", 1, 10, ""),
        ),
        (
            "location: []\nlocations: [{location_name: a}]\n",
            ("unknown key `location` in the file", 1, 1, "did you mean `locations`?"),
        ),
        (
            "locations:\n- code_source: {package_name: p}\n",
            ("code location 1 has no `location_name`", 2, 3, "give it a unique name"),
        ),
        (
            "locations:\n- location_name: ' '\n",
            ("`location_name` of code location 1 is blank", 2, 18, "give it a name"),
        ),
        (
            "locations:\n- location_name: no\n",
            (
                "`location_name` of code location 1 must be text, not the boolean false",
                2,
                18,
                "without quotes `no` is the boolean false in YAML 1.1; write \"no\"",
            ),
        ),
        (
            "locations:\n- {location_name: a}\n- {location_name: a}\n",
            ("two code locations are named `a`; the first is on line 2", 3, 19, "rename one of them"),
        ),
        (
            "locations:\n- {location_name: a, package_name: p}\n",
            (
                "unknown key `package_name` in code location `a`",
                2,
                22,
                "`package_name` belongs under `code_source`",
            ),
        ),
        (
            "locations:\n- {location_name: a, on: p}\n",
            (
                "unknown key `on` in code location `a`",
                2,
                22,
                "without quotes `on` is the boolean true in YAML 1.1; write \"on\"",
            ),
        ),
        (
            "locations:\n- {location_name: a, code_source: {module: m}}\n",
            (
                "unknown key `module` in `code_source` of code location `a`",
                2,
                36,
                "did you mean `module_name`?",
            ),
        ),
        (
            "locations:\n- {location_name: a, python_module: m}\n",
            (
                "unknown key `python_module` in code location `a`",
                2,
                22,
                "write `module_name` under `code_source`",
            ),
        ),
        (
            "locations:\n- {location_name: a, code_source: {}}\n",
            (
                "`code_source` of code location `a` needs exactly one of package_name, module_name, python_file, autoload_defs_module_name, and has none",
                2,
                35,
                "set the one that says where your definitions are, such as `module_name: my_project.definitions`",
            ),
        ),
        (
            "locations:\n- {location_name: a, python_version: '3.12'}\n",
            (
                "unknown key `python_version` in code location `a`",
                2,
                22,
                "it is set with --python-version, or by a `.python-version` next to this file",
            ),
        ),
        (
            "locations:\n  location_name: a\n",
            (
                "`locations` must be a list of code locations, not a mapping",
                2,
                3,
                "put `- ` before the first key of each code location: `- location_name: …`",
            ),
        ),
        (
            "locations:\n- {location_name: a, build: ./src}\n",
            (
                "`build` of code location `a` must be a mapping, not text",
                2,
                29,
                "write `build: {directory: ./src}`",
            ),
        ),
        (
            "location_name: a\ncode_source: {module_name: m}\nbuild: {directory: x}\n",
            (
                "the file is a code location itself, and has no `locations`",
                1,
                1,
                "put it under `locations:`, as an entry of a list: `- location_name: …`",
            ),
        ),
        (
            "locations:\n- location_name: a\n  code_source:\n    package_name: p\n    module_name: m\n",
            (
                "`code_source` of code location `a` needs exactly one of package_name, module_name, python_file, autoload_defs_module_name, and has package_name and module_name",
                4,
                5,
                "keep the one that says where your definitions are",
            ),
        ),
        (
            "locations:\n- location_name: a\n  build: {directory: nope/../gone}\n",
            ("the build directory of code location `a`, `ROOT/gone`, does not exist", 3, 22, RELATIVE),
        ),
        (
            "locations:\n- location_name: a\n  build: {directory: dagster_cloud.yaml}\n",
            (
                "the build directory of code location `a`, `ROOT/dagster_cloud.yaml`, is a file",
                3,
                22,
                RELATIVE,
            ),
        ),
        (
            "defaults: {build: {directory: gone}}\nlocations: [{location_name: a}]\n",
            ("the build directory of code location `a`, `ROOT/gone`, does not exist", 1, 31, RELATIVE),
        ),
        (
            "defaults: {container_context: {k8s: {labels: {a: b}}}}\nlocations:\n- location_name: a\n  container_context:\n    k8s:\n      labels: [a]\n",
            (
                "`container_context.k8s.labels` of code location `a` is a list here and a mapping in `defaults`",
                6,
                15,
                "use the same type for both",
            ),
        ),
        (
            "locations:\n- location_name: a\n  location_name: b\n",
            (
                "the key `location_name` occurs twice; first on line 2",
                3,
                3,
                "keep one of them: the first would be lost",
            ),
        ),
        (
            "locations:\n\t- location_name: a\n",
            ("a tab character where YAML allows only spaces", 2, 1, "replace it with spaces"),
        ),
        (
            "locations:\n{% for x in y %}\n",
            (
                "this is not valid YAML: unexpected character: `%'",
                2,
                2,
                "this looks like a template; render it first",
            ),
        ),
    ] {
        assert_found(&[("dagster_cloud.yaml", text)], &[want]);
    }
}

#[test]
fn a_key_with_a_near_name_does_not_hide_that_the_right_one_is_missing() {
    let found = errors_of(&[("dagster_cloud.yaml", "locations:\n- {name: a}\n")]);
    let found: Vec<_> = found.iter().map(|found| (found.0.as_str(), found.3.as_str())).collect();
    assert_eq!(
        found,
        [
            ("code location 1 has no `location_name`", "give it a unique name"),
            ("unknown key `name` in code location 1", "did you mean `location_name`?"),
        ]
    );
}

#[test]
fn a_missing_build_directory_has_a_suggestion() {
    let yaml =
        |directory: &str| format!("locations:\n- location_name: a\n  build: {{directory: {directory}}}\n");
    let rule = "`build.directory` is relative to the directory of the file it is in";
    for (directory, hint) in [
        ("./dagster", format!("{rule}, and that is `dagster` already: write `directory: .`")),
        ("./srcs", format!("did you mean `src`? {rule}")),
        ("./nothing_like_it", rule.to_string()),
    ] {
        let tree = project_tree(&[("dagster/dagster_cloud.yaml", &yaml(directory)), ("dagster/src/x", "")]);
        let at = tree.path().join("dagster");
        let reading = Project::inspect(&at, &host_with(&at, &[]));
        let hints: Vec<_> = reading.errors.iter().filter_map(Explain::hint).collect();
        assert_eq!(hints, [hint], "{directory}");
    }
}

#[test]
fn a_project_in_another_directory_is_found() {
    let tree = project_tree(&[
        ("qs/dagster_cloud.yaml", "locations: [{location_name: a}]"),
        ("qs/pyproject.toml", "[project]\nname = 'a'\n"),
        ("qs/src/x", ""),
        ("other/pyproject.toml", "[project]\nname = 'a'\n"),
        ("two/a/dagster_cloud.yaml", ""),
        ("two/b/deep/dagster_cloud.yml", ""),
        ("two/.venv/dagster_cloud.yaml", ""),
        ("two/node_modules/x/dagster_cloud.yaml", ""),
        ("empty/x", ""),
    ]);
    let root = tree.path().display().to_string();
    let said = |path: &str| {
        let output = pexpress().arg("check").arg(path).current_dir(tree.path()).output().unwrap();
        String::from_utf8_lossy(&output.stderr).replace(&root, "ROOT")
    };
    insta::assert_snapshot!(said("qs/dagster_clod.yaml"), @r#"
        error: `qs/dagster_clod.yaml` does not exist
        hint: did you mean `qs/dagster_cloud.yaml`?
        "#);
    insta::assert_snapshot!(said("qz/dagster_cloud.yaml"), @r#"
        error: `qz/dagster_cloud.yaml` does not exist
        hint: did you mean `qs/dagster_cloud.yaml`?
        "#);
    // A name that is similar to no other, next to the only possible file.
    insta::assert_snapshot!(said("qs/nowhere.yaml"), @r#"
        error: `qs/nowhere.yaml` does not exist
        hint: did you mean `qs/dagster_cloud.yaml`?
        "#);
    insta::assert_snapshot!(said("two/nowhere.yaml"), @r#"
    error: `two/nowhere.yaml` does not exist
    hint: name a dagster_cloud.yaml, or the directory of a dg project or workspace
    "#);
    insta::assert_snapshot!(said("qs/pyproject.toml"), @r#"
        error: `qs/pyproject.toml` has no code locations: it has no [tool.dg]
          at: qs/pyproject.toml
        hint: there is a `qs/dagster_cloud.yaml`: use that
        "#);
    insta::assert_snapshot!(said("other/pyproject.toml"), @r#"
        error: `other/pyproject.toml` has no code locations: it has no [tool.dg]
          at: other/pyproject.toml
        hint: if it is a dg project, add the tables [tool.dg] with `directory_type = "project"` and [tool.dg.project] with `root_module = "NAME"`; otherwise use a dagster_cloud.yaml
        "#);
    insta::assert_snapshot!(said("two"), @r#"
        error: `two` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]
        hint: there are `two/a/dagster_cloud.yaml`, `two/b/deep/dagster_cloud.yml`: use one of them
        "#);
    insta::assert_snapshot!(said("empty"), @r#"
        error: `empty` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]
        hint: use the path of the file, or of its directory; `pexpress init` writes one
        "#);
    let output = pexpress().args(["verify", "qss"]).current_dir(tree.path()).output().unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr).replace(&root, "ROOT"), @r#"
        error: the directory `qss` does not exist
        hint: did you mean `qs`?
        "#);
}

#[test]
fn the_input_that_leads_nowhere_is_named() {
    let tree = project_tree(&[
        ("project/dagster_cloud.yaml", "locations: [{location_name: a}]"),
        ("empty/.keep", ""),
    ]);
    std::fs::remove_file(tree.path().join("empty/.keep")).unwrap();
    let root = tree.path().display().to_string();
    let said = |inputs: &[(&str, &str)], workspace: &str| {
        let workspace = tree.path().join(workspace);
        let mut command = pexpress();
        command.arg("action").env("INPUT_COMMAND", "check").envs(inputs.iter().copied());
        command.env("GITHUB_WORKSPACE", &workspace).current_dir(&workspace);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr).replace(&root, "ROOT");
        let lines = stderr.lines().filter(|line| line.starts_with("error:") || line.starts_with("hint:"));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said(&[("INPUT_DAGSTER_CLOUD_FILE", "project/dagster_clod.yaml")], ""), @r#"
        error: the input `dagster_cloud_file` leads to `project/dagster_clod.yaml`, which does not exist
        hint: did you mean `project/dagster_cloud.yaml`?
        "#);
    insta::assert_snapshot!(said(&[("INPUT_WORKING_DIRECTORY", "projct")], ""), @r#"
        error: the input `working_directory` leads to `projct`, which does not exist
        hint: did you mean `project`?
        "#);
    let both = [("INPUT_WORKING_DIRECTORY", "projct"), ("INPUT_DAGSTER_CLOUD_FILE", "dagster_cloud.yaml")];
    insta::assert_snapshot!(said(&both, ""), @r#"
        error: the input `working_directory` leads to `projct/dagster_cloud.yaml`, which does not exist
        hint: did you mean `project/dagster_cloud.yaml`?
        "#);
    insta::assert_snapshot!(said(&[], ""), @r"
    error: `ROOT` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]
    hint: there is a `project/dagster_cloud.yaml`: use that with the input `dagster_cloud_file`
    ");
    insta::assert_snapshot!(said(&[], "empty"), @r"
    error: the workspace `ROOT/empty` is empty, so there is nothing to deploy
    hint: add a step with `uses: actions/checkout` before this one
    ");
}

#[test]
fn errors_in_requirements_that_do_not_depend_on_flags_are_found() {
    let yaml = "locations:\n- location_name: a\n  code_source: {module_name: app}\n";
    let said = |files: &[(&str, &str)]| {
        let files = [&[("dagster_cloud.yaml", yaml), ("app.py", "")], files].concat();
        checked(&files).0
    };
    let project = |text: &str| {
        format!("[project]\nname = \"app\"\ndependencies = [\"dagster\", \"dagster-cloud\"]\n{text}")
    };
    insta::assert_snapshot!(said(&[("requirements.txt", "dagster=>1\n")]), @r#"
    error: `dagster=>1` is not a requirement: no such comparison operator "=>", must be one of ~= == != <= >= < > ===
      at: ROOT/requirements.txt:1
    hint: write `dagster>=1`
    "#);
    insta::assert_snapshot!(said(&[("requirements.txt", "dagster\n./nolib\n")]), @r"
    warning: `./nolib` names a path that does not exist: `ROOT/nolib`; correct the path: it is relative to the directory of the project that asks for it
      at: ROOT/requirements.txt:2
    ");
    insta::assert_snapshot!(said(&[("requirements.txt", "dagster\n-r nofile.txt\n")]), @r"
    warning: `-r nofile.txt` names a path that does not exist: `ROOT/nofile.txt`; correct the path: it is relative to the file that names it
      at: ROOT/requirements.txt:2
    ");
    insta::assert_snapshot!(said(&[]), @r"
    error: `ROOT` has no requirements.txt, setup.py or pyproject.toml
      at: ROOT/dagster_cloud.yaml:2:3
    hint: add one that names dagster and dagster-cloud, or set `build.directory` to the directory that has it
    ");
    insta::assert_snapshot!(said(&[("pyproject.toml", &project("requires-python = \">=3.11,<3.10\"\n"))]), @r#"
    error: `requires-python = ">=3.11,<3.10"` allows no version of Python at all
      at: ROOT/pyproject.toml:4:19
    hint: its limits exclude each other: correct one of them
    "#);
    insta::assert_snapshot!(said(&[("pyproject.toml", &project("requires-python = \">=3.15\"\n"))]), @r#"
    error: `requires-python = ">=3.15"` allows none of the versions of Python that Dagster+ runs
      at: ROOT/pyproject.toml:4:19
    hint: Dagster+ runs Python 3.8 to 3.14: widen it
    "#);
    let both = project("requires-python = \">=3.12\"\n[tool.poetry.dependencies]\npython = \"~3.11\"\n");
    insta::assert_snapshot!(said(&[("pyproject.toml", &both)]), @r#"
    warning: `requires-python = ">=3.12"` and Poetry's `python = "~3.11"` have no version of Python in common; the former is used
      at: ROOT/pyproject.toml:6:10
    "#);
    // Errors that a flag, a variable or a run of setup.py may change are left to the build.
    let poetry = project("requires-python = \">=3.10\"\n[tool.poetry.dependencies]\npython = \"^3.11\"\n");
    let dynamic = "[project]\nname = \"app\"\ndynamic = [\"dependencies\"]\n[build-system]\nrequires = [\"x\"]\nbuild-backend = \"x\"\n";
    for files in [
        &[("requirements.txt", "-r https://127.0.0.1:9/requirements.txt\n./${LIB}/x\n-r ${DIR}/r.txt\n")][..],
        &[("requirements.txt", "dagster-cloud\n./nolib ; sys_platform == 'win32'\n")],
        &[("setup.py", "raise SystemExit('not run')\n")],
        &[("pyproject.toml", &poetry)],
        // They are in the Docker image.
        &[(
            "dagster_cloud.yaml",
            "locations:\n- location_name: a\n  image: i\n  code_source: {module_name: app}\n",
        )],
        &[("pyproject.toml", dynamic)],
        &[
            ("requirements.txt", "dagster-cloud\n./lib\n"),
            ("lib/pyproject.toml", &project("requires-python = \">=3.13\"\n")),
        ],
    ] {
        assert_eq!(said(files), "", "{files:?}");
    }
    let registry =
        "locations:\n- location_name: a\n  build: {registry: r}\n  code_source: {module_name: app}\n";
    insta::assert_snapshot!(said(&[("dagster_cloud.yaml", registry)]), @r"
    error: `ROOT` has no requirements.txt, setup.py or pyproject.toml
      at: ROOT/dagster_cloud.yaml:2:3
    hint: add one that names dagster and dagster-cloud, or set `build.directory` to the directory that has it
    a → an image in docker.io/library/r: `build.registry` is set
    ");
}

#[test]
fn all_errors_of_a_file_are_reported_at_once() {
    let text = "locations:\n- {location_name: a, imge: x}\n- {location_name: b, code_source: {}}\n- {location_name: c}\n- {location_name: c}\nextra: 1\n";
    let lines: Vec<usize> =
        errors_of(&[("dagster_cloud.yaml", text)]).into_iter().map(|found| found.1).collect();
    assert_eq!(lines, [2, 3, 5, 6]);
}

/// The mistake is on the line before the one where the parser stops.
#[test]
fn yaml_mistakes_are_reported_at_their_own_line() {
    let said = |text: &str| checked(&[("dagster_cloud.yaml", text)]).0;
    insta::assert_snapshot!(said("locations:\n- location_name:main\n  code_source: {module_name: a}\n"), @r"
    error: this is not valid YAML: mapping values are not allowed in this context
      at: ROOT/dagster_cloud.yaml:2:16
    hint: put a space after the colon: `location_name: main`
    ");
    let text = "locations:\n  - location_name: a\n    code_source: {module_name: m}\n - location_name: b\n";
    insta::assert_snapshot!(said(text), @r"
    error: this is not valid YAML: while parsing a block mapping, did not find expected key
      at: ROOT/dagster_cloud.yaml:4:2
    hint: the `- ` on line 4 is indented by 1, and the `- ` on line 2 by 2: indent both the same
    ");
}

#[test]
fn a_missing_path_in_a_subdirectory_is_found_above() {
    let tree = project_tree(&[
        ("dagster_cloud.yaml", "locations: []"),
        ("src/x", ""),
        ("p/pyproject.toml", "[project]\nname = 'p'\n"),
    ]);
    let said = |directory: &str, file: &str| {
        let mut command = pexpress();
        let output = command.args(["check", file]).current_dir(tree.path().join(directory)).output().unwrap();
        String::from_utf8_lossy(&output.stderr).replace(&tree.path().display().to_string(), "ROOT")
    };
    insta::assert_snapshot!(said("src", "dagster_cloud.yaml"), @r#"
        error: `dagster_cloud.yaml` does not exist
        hint: did you mean `ROOT/dagster_cloud.yaml`?
        "#);
    insta::assert_snapshot!(said("p", "pyproject.toml"), @r#"
        error: `pyproject.toml` has no code locations: it has no [tool.dg]
          at: pyproject.toml
        hint: if it is a dg project, add the tables [tool.dg] with `directory_type = "project"` and [tool.dg.project] with `root_module = "NAME"`; otherwise use a dagster_cloud.yaml
        "#);
}

#[test]
fn a_template_is_recognised() {
    let found = errors_of(&[("dagster_cloud.yaml", "locations:\n- location_name: {{ name }}\n")]);
    assert!(found.iter().any(|found| found.3 == "is this a template? render it first"), "{found:?}");
}

#[test]
fn each_mistake_in_a_dg_project_is_reported_with_place_and_fix() {
    let project = "directory_type = 'project'\n[project]\nroot_module = 'p'\n";
    let workspace = "directory_type = 'workspace'\n[[workspace.projects]]\npath = 'a'\n";
    let remedy = "`path` is relative to the workspace; correct it, or remove the entry";
    for (files, want) in [
        (
            vec![("x", "")],
            (
                "`ROOT` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]",
                0,
                0,
                "use the path of the file, or of its directory; `pexpress init` writes one",
            ),
        ),
        (
            vec![("dg.toml", "")],
            (
                "the file has no `directory_type`",
                1,
                1,
                "write directory_type = \"project\" or directory_type = \"workspace\"",
            ),
        ),
        (
            vec![("dg.toml", "directory_type = 'x'")],
            ("`directory_type`: must be \"project\" or \"workspace\", not 'x'", 1, 18, ""),
        ),
        (
            vec![("dg.toml", "directory_type = \"projcet\"")],
            (
                "`directory_type`: must be \"project\" or \"workspace\", not \"projcet\"; did you mean \"project\"?",
                1,
                18,
                "",
            ),
        ),
        (
            vec![(
                "pyproject.toml",
                "[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nrootmodule = 'p'\n",
            )],
            ("unknown key `rootmodule` in `tool.dg.project`", 4, 14, "did you mean `root_module`?"),
        ),
        (
            vec![("dg.toml", "directory_type = 'workspace'\n")],
            (
                "the dg workspace lists no projects",
                1,
                1,
                "add `[[workspace.projects]]` with the `path` of each",
            ),
        ),
        (vec![("dg.toml", workspace)], ("the workspace's project `ROOT/a` does not exist", 3, 8, remedy)),
        (
            vec![("dg.toml", workspace), ("a", "")],
            ("the workspace's project `ROOT/a` is a file", 3, 8, remedy),
        ),
        (
            vec![("dg.toml", workspace), ("a/pyproject.toml", "")],
            (
                "the workspace's project `ROOT/a` has no dg.toml and no pyproject.toml with [tool.dg]",
                3,
                8,
                remedy,
            ),
        ),
        (
            vec![("dg.toml", workspace), ("a/dg.toml", workspace)],
            ("the workspace's project `ROOT/a` is a workspace itself, not a project", 3, 8, remedy),
        ),
        (
            vec![("dg.toml", project), ("build.yaml", "registry: r\ndirectory: gone")],
            (
                "the build directory of code location `p`, `ROOT/gone`, does not exist",
                2,
                12,
                "`build.directory` is relative to the directory of the file it is in",
            ),
        ),
    ] {
        let named = project.replace("'p'\n", "'p'\ncode_location_name = 'p'\n");
        let files: Vec<_> = files
            .into_iter()
            .map(|(name, text)| (name, if text == project { named.as_str() } else { text }))
            .collect();
        let found = errors_of(&files);
        let found: Vec<_> =
            found.iter().map(|found| (found.0.as_str(), found.1, found.2, found.3.as_str())).collect();
        assert!(found.contains(&want), "{files:?}: {found:?}");
    }
}

#[test]
fn two_dg_projects_of_one_name_are_refused() {
    let workspace =
        "directory_type = 'workspace'\n[workspace]\nprojects = [{path = 'x/a'}, {path = 'y/a'}]\n";
    let project = "directory_type = 'project'\n[project]\nroot_module = 'p'\n";
    assert_found(
        &[("dg.toml", workspace), ("x/a/dg.toml", project), ("y/a/dg.toml", project)],
        &[(
            "two code locations are named `a`; the first is that of ROOT/x/a/dg.toml",
            2,
            1,
            "rename one of them",
        )],
    );
}

#[test]
fn the_json_document_has_locations_and_errors_whatever_the_outcome() {
    let text = "defaults: {image: i}\nlocations:\n- location_name: a\n  code_source: {package_name: p}\n  build: {directory: ./sub/}\n- location_name: b\n  imge: x\n";
    let tree = project_tree(&[("dagster_cloud.yaml", text), ("sub/x", "")]);
    let output = pexpress().args(["check", "--format", "json"]).arg(tree.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let file = tree.path().join("dagster_cloud.yaml");
    assert_eq!(
        json(&output),
        json!({
            "file": file,
            "locations": [{
                "name": "a",
                "directory": "sub",
                "file": file,
                "line": 3,
                "strategy": null,
                "document": {
                    "location_name": "a",
                    "code_source": {"package_name": "p"},
                    "build": {"directory": "./sub/"},
                    "image": "i",
                },
            }],
            "errors": [{
                "message": "unknown key `imge` in code location `b`",
                "file": file,
                "line": 7,
                "column": 3,
                "hint": "did you mean `image`?",
            }],
            "warnings": [],
        })
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: unknown key `imge` in code location `b`\n"), "{stderr}");
}

/// Nobody learned before a deploy that a code location would become an image.
#[test]
fn code_locations_that_become_images_are_named_with_the_reason() {
    let text = "locations:\n- location_name: a\n  code_source: {module_name: m}\n  build: {registry: r.example/acme/a}\n- location_name: b\n  code_source: {module_name: m}\n";
    let tree = project_tree(&[
        ("dagster_cloud.yaml", text),
        ("m.py", ""),
        ("requirements.txt", "dagster\ndagster-cloud\n"),
    ]);
    let check = |args: &[&str]| pexpress().arg("check").args(args).arg(tree.path()).output().unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&check(&[]).stderr), @"a → an image in r.example/acme/a: `build.registry` is set");
    let document = json(&check(&["--format", "json"]));
    let strategies = document["locations"].as_array().unwrap().iter().map(|one| &one["strategy"]);
    // Without a registry, Dagster+ decides.
    assert_eq!(strategies.collect::<Vec<_>>(), [&json!("image"), &json!(null)]);
    let action = |name: &str, value: &str| {
        let mut command = pexpress();
        command.arg("action").env("INPUT_COMMAND", "check").env(name, value);
        let output = command.env("GITHUB_WORKSPACE", tree.path()).current_dir(tree.path()).output().unwrap();
        String::from_utf8_lossy(&output.stderr)
            .lines()
            .filter(|line| line.contains('→'))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(action("INPUT_IMAGE_REGISTRY", "r.example/all"), @"a, b → an image in r.example/all: an image registry is given");
    insta::assert_snapshot!(action("INPUT_STRATEGY", "image"), @r"
    a → an image in r.example/acme/a: as asked for
    b → an image, in a registry that the deploy asks Dagster+ for: as asked for
    ");

    std::fs::write(tree.path().join("dagster_cloud.yaml"), text.replace("acme/a", "acme/a:tag")).unwrap();
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).replace(&tree.path().display().to_string(), "ROOT");
    insta::assert_snapshot!(said, @r"
    error: `build.registry` of `a` is not a repository: invalid image reference `r.example/acme/a:tag`: HOST/REPOSITORY is wanted, without a tag or digest
      at: ROOT/dagster_cloud.yaml:2:3
    hint: write it as HOST/REPOSITORY, without a tag
    ");
}

#[test]
fn doubtful_values_have_a_warning() {
    let text =
        "locations:\n- location_name: a\n  container_context: {k8s: {at: 1:30, mode: 0755, 'on': 7}}\n";
    let tree = project_tree(&[("dagster_cloud.yaml", text), ("requirements.txt", "dagster-cloud\n")]);
    let output = pexpress().args(["check", "--format", "json"]).arg(tree.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let warnings = json(&output)["warnings"].clone();
    let messages: Vec<_> =
        warnings.as_array().unwrap().iter().map(|warning| warning["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "code location `a` has no `code_source`, so Dagster+ cannot know what to load",
            "`1:30` is the number 90 in YAML 1.1; quote it if text is meant",
            "`0755` is the number 493 in YAML 1.1; quote it if text is meant",
        ]
    );
}

#[test]
fn the_text_is_a_table_of_the_locations() {
    let text = "locations:\n- {location_name: a, code_source: {package_name: p}}\n- {location_name: longer-name, code_source: {python_file: defs.py}, build: {directory: sub}}\n";
    let tree = project_tree(&[("dagster_cloud.yaml", text), ("sub/x", "")]);
    let output = pexpress().arg("check").arg(tree.path().join("dagster_cloud.yaml")).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "LOCATION     DIRECTORY  CODE\n\
         a            .          package_name: p\n\
         longer-name  sub        python_file: defs.py\n"
    );
}

/// stderr, exit code and stdout of `check`, with the directory as `ROOT`.
fn checked(files: &[(&str, &str)]) -> (String, Option<i32>, String) {
    let tree = project_tree(files);
    let output = pexpress().arg("check").arg(tree.path()).output().unwrap();
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&tree.path().display().to_string(), "ROOT");
    (text(&output.stderr), output.status.code(), text(&output.stdout))
}

#[test]
fn the_file_above_a_subdirectory_is_named() {
    let tree = project_tree(&[("dagster_cloud.yaml", "locations: []"), ("a/b/x", "")]);
    let output = pexpress().arg("check").arg(tree.path().join("a/b")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&tree.path().display().to_string(), "ROOT");
    insta::assert_snapshot!(stderr, @r"
    error: `ROOT/a/b` has no code locations: no dagster_cloud.yaml (or .yml), no dg.toml, no pyproject.toml with [tool.dg]
    hint: there is a `ROOT/dagster_cloud.yaml`: use that
    ");
}

#[test]
fn a_wrong_command_line_has_a_document_too() {
    let output = pexpress().args(["check", "--format", "json", "--nope"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        json(&output)["error"],
        json!({
            "message": "unexpected argument '--nope' found",
            "causes": [],
            "hint": "`pexpress --help` lists commands and flags",
            "file": null,
            "line": null,
            "column": null,
            "exit_code": 2,
        })
    );
    let text = pexpress().args(["check", "--nope"]).output().unwrap();
    assert!(text.stdout.is_empty());
}

#[test]
fn one_build_names_all_directories_without_files() {
    let text = "locations:\n- {location_name: a, code_source: {package_name: a}, build: {directory: x}}\n\
        - {location_name: b, code_source: {package_name: b}, build: {directory: y}}\n";
    let tree = project_tree(&[("dagster_cloud.yaml", text), ("x/x", ""), ("y/y", "")]);
    let output = pexpress().args(["deploy", ".", "out"]).current_dir(tree.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    for directory in ["`x` has no requirements.txt", "`y` has no requirements.txt"] {
        assert!(stderr.contains(directory), "{stderr}");
    }
}

/// The requirements of the project were not used, without a word, in mitodl/ol-data-platform.
#[test]
fn a_build_directory_above_a_dg_project_with_requirements_is_a_warning() {
    let project = "[project]\nname = 'a'\nversion = '1'\ndependencies = ['dagster', 'dagster-cloud']\n[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 'a'\n";
    let tree = project_tree(&[
        (
            "pyproject.toml",
            "[project]\nname = 'all'\nversion = '1'\ndependencies = ['dagster', 'dagster-cloud']\n",
        ),
        ("projects/a/pyproject.toml", project),
        ("projects/a/src/a/definitions.py", ""),
        ("projects/a/src/a/__init__.py", ""),
        ("projects/a/build.yaml", "directory: ../..\ndockerfile: projects/a/Dockerfile\n"),
    ]);
    let said = || {
        let output = pexpress().arg("check").arg(tree.path().join("projects/a")).output().unwrap();
        String::from_utf8_lossy(&output.stderr).replace(&tree.path().display().to_string(), "ROOT")
    };
    let with_directory = said();
    let warning = with_directory.find("warning: code location").map(|at| &with_directory[at..]);
    insta::assert_snapshot!(warning.unwrap_or_default(), @r"
    warning: code location `a` is built from `directory: ../..`, with the requirements there and not those of its project; to build the project, leave `directory` out: what a Dockerfile copies is looked for in the directories above too
      at: ROOT/projects/a/build.yaml:1:12
    ");
    std::fs::write(tree.path().join("projects/a/build.yaml"), "dockerfile: projects/a/Dockerfile\n").unwrap();
    assert!(!said().contains("`directory:"), "{}", said());
}

#[test]
fn an_unknown_key_of_build_yaml_is_a_warning() {
    let project = "directory_type = 'project'\n[project]\nroot_module = 'p'\ncode_location_name = 'p'\n";
    let (stderr, code, stdout) = checked(&[
        ("dg.toml", project),
        ("build.yaml", "directory: .\ndockerfil: Dockerfile\n"),
        ("setup.py", ""),
    ]);
    insta::assert_snapshot!(stderr, @r"
    warning: unknown key `dockerfil` in `build.yaml`, which is ignored (did you mean `dockerfile`?)
      at: ROOT/build.yaml:2:1
    ");
    assert_eq!(
        (code, stdout.lines().last()),
        (Some(0), Some("p         .          module_name: p.definitions"))
    );
}

#[test]
fn missing_code_has_a_warning_at_its_line() {
    let text = "locations:\n\
        - location_name: module\n  code_source:\n    module_name: app.defintions\n\
        - location_name: file\n  code_source: {python_file: defz.py}\n\
        - location_name: directory\n  working_directory: srcs\n  code_source: {python_file: other.py}\n\
        - location_name: attribute\n  code_source: {python_file: defs.py}\n  attribute: main\n\
        - location_name: good\n  code_source: {module_name: app.definitions}\n";
    let (stderr, code, _) = checked(&[
        ("dagster_cloud.yaml", text),
        ("requirements.txt", "dagster\ndagster-cloud\n"),
        ("app/__init__.py", ""),
        ("app/definitions.py", "defs = 1\n"),
        ("defs.py", "defs = 1\n"),
        ("src/other.py", ""),
    ]);
    insta::assert_snapshot!(stderr, @r"
    warning: `module_name: app.defintions` of code location `module`: there is no module `defintions` in `app`; did you mean `app.definitions`?
      at: ROOT/dagster_cloud.yaml:4:18
    warning: `python_file: defz.py` of code location `file`: it is not in the build directory; did you mean `defs.py`?
      at: ROOT/dagster_cloud.yaml:6:30
    warning: `working_directory: srcs` of code location `directory`: it is not in the build directory; did you mean `src`?
      at: ROOT/dagster_cloud.yaml:8:22
    warning: `attribute: main` of code location `attribute`: `defs.py` does not define it
      at: ROOT/dagster_cloud.yaml:12:14
    ");
    assert_eq!(code, Some(0));
}

#[test]
fn code_left_out_by_a_pexignore_has_a_warning_at_the_pattern() {
    let yaml = "locations:\n- location_name: a\n  code_source: {module_name: app.defs}\n";
    let (stderr, code, _) = checked(&[
        ("dagster_cloud.yaml", yaml),
        ("requirements.txt", "dagster-cloud\n"),
        ("app/__init__.py", ""),
        ("app/defs.py", ""),
        (".pexignore", "tests/\n/app/*.py\n"),
    ]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(stderr, @r"
    warning: `module_name: app.defs` of code location `a`: `/app/*.py` in .pexignore leaves out `app/defs.py`; remove or narrow it
      at: ROOT/.pexignore:2
    ");
}

#[test]
fn a_pyproject_that_is_not_toml_and_pythons_that_contradict_are_errors() {
    let yaml = "locations:\n- location_name: a\n  code_source: {package_name: a}\n  build: {directory: a}\n\
        - location_name: b\n  code_source: {package_name: b}\n  build: {directory: b}\n";
    let (stderr, code, _) = checked(&[
        ("dagster_cloud.yaml", yaml),
        ("a/pyproject.toml", "[project\n"),
        ("a/a/__init__.py", ""),
        ("b/requirements.txt", "dagster-cloud\n"),
        ("b/b/__init__.py", ""),
    ]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr, @r"
    error: not valid TOML: unclosed table, expected `]`
      at: ROOT/a/pyproject.toml:1:9
    ");

    let project = |range: &str| {
        format!(
            "[project]\nname = \"a\"\nrequires-python = \"{range}\"\ndependencies = [\"dagster-cloud\"]\n"
        )
    };
    let (new, old) = (project(">=3.12"), project("<3.11"));
    let (stderr, code, _) = checked(&[
        ("dagster_cloud.yaml", yaml),
        ("a/pyproject.toml", &new),
        ("a/a/__init__.py", ""),
        ("b/pyproject.toml", &old),
        ("b/b/__init__.py", ""),
    ]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr, @r#"
    error: the files disagree about the Python to build for: a/pyproject.toml says requires-python = ">=3.12", and b/pyproject.toml says requires-python = "<3.11"
      at: ROOT/b/pyproject.toml:3:19
    hint: deploy them in separate runs with --location
    "#);
}

/// `check` passed for projects that every build refuses.
#[test]
fn requirements_that_every_build_refuses_are_errors_and_others_warnings() {
    let yaml = "locations:\n- location_name: a\n  code_source: {module_name: app}\n";
    let said = |files: &[(&str, &str)]| {
        let (stderr, code, _) = checked(&[&[("dagster_cloud.yaml", yaml), ("app.py", "")], files].concat());
        format!("{}\n{stderr}", code.unwrap())
    };
    let project = |lists: &str| format!("[project]\nname = \"p\"\nversion = \"1\"\n{lists}\n");
    insta::assert_snapshot!(said(&[("requirements.txt", "dagster==1.13.27\n")]), @r"
    1
    error: dagster-cloud is not among the requirements of `ROOT`
      at: ROOT/requirements.txt
    hint: add `dagster-cloud==1.13.27` to ROOT/requirements.txt (if the index has it; a build looks for the newest release that all of Dagster's packages have)
    ");
    insta::assert_snapshot!(said(&[("requirements.txt", "pandas\n")]), @r"
    0
    warning: dagster and dagster-cloud are not among the requirements of `ROOT`; unless another requirement brings it, a build fails: add `dagster` and `dagster-cloud` to ROOT/requirements.txt
      at: ROOT/requirements.txt
    ");
    insta::assert_snapshot!(said(&[("requirements.txt", "dagster==1.13.27\ndagster-cloud==1.12.0\n")]), @r"
    1
    error: no release of Dagster's packages fits `dagster==1.13.27` and `dagster-cloud==1.12.0`
      at: ROOT/requirements.txt:2
    hint: pin all of them to one release; the newest that all have could not be looked up here
    ");
    // As `create-dagster` writes it, with its lock.
    let fresh = project(
        "dependencies = [\"dagster==1.13.27\"]\n[dependency-groups]\ndev = [\"dagster-webserver\", \"dagster-dg-cli\"]",
    );
    insta::assert_snapshot!(said(&[("pyproject.toml", &fresh)]), @r"
    1
    error: dagster-cloud is not among the requirements of `ROOT`
      at: ROOT/pyproject.toml
    hint: add `dagster-cloud==1.13.27` to ROOT/pyproject.toml (if the index has it; a build looks for the newest release that all of Dagster's packages have)
    ");
    let grouped = project("dependencies = [\"dagster\"]\n[dependency-groups]\norch = [\"dagster-cloud\"]");
    insta::assert_snapshot!(said(&[("pyproject.toml", &grouped)]), @r"
    0
    warning: dagster-cloud is not among the requirements of `ROOT`; build with --group orch: that dependency group has `dagster-cloud`
      at: ROOT/pyproject.toml
    ");
    // An up-to-date lock has the dependencies of all packages.
    let both = project("dependencies = [\"dagster\", \"pandas\"]");
    let lock = "version = 1\n[[package]]\nname = \"dagster\"\nversion = \"1.13.27\"\n[[package]]\nname = \"pandas\"\nversion = \"2.3\"\n";
    insta::assert_snapshot!(said(&[("pyproject.toml", &both), ("uv.lock", lock)]), @r"
    1
    error: dagster-cloud is not among the requirements of `ROOT`
      at: ROOT/pyproject.toml
    hint: add `dagster-cloud==1.13.27` to ROOT/pyproject.toml (if the index has it; a build looks for the newest release that all of Dagster's packages have); then run `uv lock`
    ");
    let newer = project("dependencies = [\"dagster-cloud>=1.14\", \"new\"]");
    let lock = "version = 1\n[[package]]\nname = \"dagster-cloud\"\nversion = \"1.13.27\"\n";
    insta::assert_snapshot!(said(&[("pyproject.toml", &newer), ("uv.lock", lock)]), @r"
    0
    warning: the lock file is out of date (it has `dagster-cloud` 1.13.27, which `dagster-cloud>=1.14` (pyproject.toml:4) excludes; `new` (pyproject.toml:4) is not in it); run `uv lock`. What it does not decide is resolved again
      at: ROOT/uv.lock
    ");
    insta::assert_snapshot!(said(&[("pyproject.toml", &newer), ("uv.lock", "version = 1\n<<<<<<< HEAD\n")]), @r"
    1
    error: the lock file cannot be used: a merge conflict begins here
      at: ROOT/uv.lock:2
    hint: regenerate it with `uv lock`, or build with --no-locked
    ");
    insta::assert_snapshot!(said(&[("pyproject.toml", "[project]\ndependencies = [\"dagster-cloud\"]\n")]), @r"
    0
    warning: [project] has no `name`: its dependencies are taken, but no tool can build it
      at: ROOT/pyproject.toml:1:1
    ");
    for quiet in [
        &[("requirements.txt", "dagster-cloud\n")][..],
        // A variable, a server or a script may provide it.
        &[("requirements.txt", "dagster\n${MORE}\n")],
        &[("requirements.txt", "dagster\n-r https://127.0.0.1:9/more.txt\n")],
        &[("requirements.txt", "dagster\n"), ("setup.py", "setup(install_requires=read())\n")],
        // Only one of them applies to a platform.
        &[(
            "requirements.txt",
            "dagster-cloud\ndagster==1.12.0 ; python_version < '3.9'\ndagster-aws==0.29.27 ; python_version > '3.9'\n",
        )],
        // Several versions in a lock are left to uv.
        &[
            ("pyproject.toml", &project("dependencies = [\"dagster-cloud\", \"numpy>=2\"]")),
            (
                "uv.lock",
                "version = 1\n[[package]]\nname = \"numpy\"\nversion = \"1.26\"\n[[package]]\nname = \"numpy\"\nversion = \"2.3\"\n[[package]]\nname = \"dagster-cloud\"\nversion = \"1.13.27\"\n",
            ),
        ],
    ] {
        assert_eq!(said(quiet), "0\n", "{quiet:?}");
    }
}

/// dagster-io/hooli-data-eng-pipelines passed, and every build refused it.
#[test]
fn a_code_location_to_build_without_requirements_is_an_error_also_if_it_becomes_an_image() {
    let said = |keys: &str| {
        let yaml = format!("locations:\n- {{location_name: a, code_source: {{package_name: a}}, {keys}}}\n");
        let (stderr, code, _) =
            checked(&[("dagster_cloud.yaml", &yaml), ("a/src/a/__init__.py", ""), ("a/pyproject.toml", "")]);
        format!("{}\n{stderr}", code.unwrap())
    };
    insta::assert_snapshot!(said("build: {directory: a/src, registry: r.example/a}"), @r"
    1
    error: `ROOT/a/src` has no requirements.txt, setup.py or pyproject.toml
      at: ROOT/dagster_cloud.yaml:2:3
    hint: `pyproject.toml` is one directory up: write `directory: ./a` below `build` of the code location
    a → an image in r.example/a: `build.registry` is set
    ");
    // Nothing is built where agents run it as it is.
    assert_eq!(said("build: {directory: a/src}, image: 'r.example/a:1'"), "0\n");
}

/// It warned of what PEX files lack where an input says that all become images.
#[test]
fn what_pex_files_lack_is_not_said_of_images() {
    let tree = project_tree(&[
        ("dagster_cloud.yaml", "locations: [{location_name: a, code_source: {module_name: a}}]"),
        ("requirements.txt", "dagster\ndagster-cloud\n"),
        ("a.py", ""),
        ("Dockerfile", "FROM python:3.12\nRUN apt-get install -y git\n"),
    ]);
    let said = |command: &str, inputs: &[(&str, &str)]| {
        let mut ran = pexpress();
        ran.arg("action").env("INPUT_COMMAND", command).envs(inputs.iter().copied());
        ran.env("GITHUB_WORKSPACE", tree.path()).current_dir(tree.path());
        String::from_utf8(ran.output().unwrap().stderr).unwrap()
    };
    let registry = ("INPUT_IMAGE_REGISTRY", "r.example/acme/app");
    let ignores = ("INPUT_IGNORE_DOCKERFILE", "true");
    for command in ["check", "plan"] {
        assert!(said(command, &[]).contains("will not be there for PEX files"), "{}", said(command, &[]));
        for image in [registry, ("INPUT_STRATEGY", "image")] {
            let text = said(command, &[image, ignores]);
            assert!(!text.contains("PEX"), "{command} {image:?}: {text}");
        }
    }
}

/// The summary and annotations of a check only had the error, and a missing module was `read`.
#[test]
fn the_actions_check_reports_errors_warnings_and_code_locations_together() {
    let check = |yaml: &str| {
        let tree = project_tree(&[
            ("dagster_cloud.yaml", yaml),
            ("one/requirements.txt", "dagster-cloud\n"),
            ("one/one.py", ""),
            ("two/requirements.txt", "dagster-cloud\n"),
        ]);
        let (summary, output) = (tree.path().join("summary.md"), tree.path().join("output"));
        let mut command = pexpress();
        command.arg("action").env("INPUT_COMMAND", "check").env("GITHUB_ACTIONS", "true");
        command.env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_OUTPUT", &output);
        command.env("GITHUB_WORKSPACE", tree.path()).current_dir(tree.path());
        let ran = command.output().unwrap();
        let log = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        let summary = std::fs::read_to_string(summary).unwrap();
        let summary = summary.split("<sub>").next().unwrap().trim_end().to_string();
        let root = tree.path().display().to_string();
        (log.replace(&root, "ROOT"), summary.replace(&root, "ROOT"))
    };
    let two = "locations:\n- {location_name: one, code_source: {module_name: one}, build: {directory: one}}\n- {location_name: two, code_source: {module_name: two}, build: {directory: two}}\n";
    let (log, summary) = check(two);
    insta::assert_snapshot!(log, @r"
    LOCATION  DIRECTORY  CODE
    one       one        module_name: one
    two       two        module_name: two
    ::warning title=pexpress,file=dagster_cloud.yaml,line=3,col=51::`module_name: two` of code location `two`: the project has no `two`, and no dependency has that name
    ");
    insta::assert_snapshot!(summary, @r"
    ### ⚠️ Read 2 code locations, with warnings

    | | Code location | State |
    |---|---|---|
    | ✅ | `one` | read |
    | ⚠️ | `two` | read, with a warning |

    ⚠️ 1 warning

    - `dagster_cloud.yaml:3`: \`module\_name: two\` of code location \`two\`: the project has no \`two\`, and no dependency has that name
    ");
    let (log, summary) = check(&format!("{two}- {{location_name: three, imge: x}}\n"));
    insta::assert_snapshot!(log, @r#"
        LOCATION  DIRECTORY  CODE
        one       one        module_name: one
        two       two        module_name: two
        ::error title=pexpress,file=dagster_cloud.yaml,line=4,col=26::unknown key `imge` in code location `three`%0A  at: dagster_cloud.yaml:4:26%0Ahint: did you mean `image`?
        ::warning title=pexpress,file=dagster_cloud.yaml,line=3,col=51::`module_name: two` of code location `two`: the project has no `two`, and no dependency has that name
        "#);
    insta::assert_snapshot!(summary, @r#"
        ### ❌ Check failed

        | | Code location | State |
        |---|---|---|
        | ✅ | `one` | read |
        | ⚠️ | `two` | read, with a warning |

        ```text
        error: unknown key `imge` in code location `three`
          at: dagster_cloud.yaml:4:26
        hint: did you mean `image`?
        ```

        ⚠️ 1 warning

        - `dagster_cloud.yaml:3`: \`module\_name: two\` of code location \`two\`: the project has no \`two\`, and no dependency has that name
        "#);
}
