//! What goes into a source PEX from local packages and from the working directory, with the real build backends.

use crate::support::pex_file::members;
use crate::support::{files_named, json, pexpress_with_uv, project_tree, run};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Build the source PEX of `dir/app`. Returns the content of its members by path, and the messages.
fn built(dir: &Path, out: &str) -> (BTreeMap<String, Vec<u8>>, String) {
    let out = dir.join(out);
    // Other runs' files of the same name would hide what this one did.
    let _ = std::fs::remove_dir_all(&out);
    let output = run(pexpress_with_uv()
        .arg("source")
        .arg(dir.join("app"))
        .arg(&out)
        .args(["--python-version", "3.11"]));
    let file = files_named(&out, "source-").remove(0);
    let members = members(&file).into_iter().map(|(name, member)| (name, member.content)).collect();
    (members, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn pyproject(backend: &str, requires: &str, more: &str) -> String {
    format!(
        "[build-system]\nrequires = ['{requires}']\nbuild-backend = '{backend}'\n[project]\nname = 'app'\ndependencies = ['dagster', 'dagster-cloud']\n{more}\n"
    )
}

const HATCHLING: (&str, &str) = ("hatchling.build", "hatchling");
const SETUPTOOLS: (&str, &str) = ("setuptools.build_meta", "setuptools");

/// Users changed a file, and the old one was deployed and reported as unchanged.
#[test]
#[ignore = "pex and build backends come from a package index"]
fn the_current_files_of_a_package_are_shipped() {
    for ((backend, requires), more, changed, member) in [
        (HATCHLING, "version = '1'", "app/src/app/__init__.py", "app/__init__.py"),
        (
            HATCHLING,
            "version = '1'\n[tool.hatch.build.targets.wheel.force-include]\n'./../shared' = 'shared'",
            "shared/x.py",
            "shared/x.py",
        ),
        (
            HATCHLING,
            "version = '1'\n[tool.hatch.build.targets.wheel.force-include]\n'node_modules/x' = 'app/static'",
            "app/node_modules/x/x.py",
            "app/static/x.py",
        ),
        (
            SETUPTOOLS,
            "version = '1'\n[tool.setuptools.packages.find]\nwhere = ['src', '../more']",
            "more/two/__init__.py",
            "two/__init__.py",
        ),
        (
            SETUPTOOLS,
            "version = '1'\n[tool.setuptools]\npackages = ['app']\npackage-dir = {app = 'x/../../more/two'}",
            "more/two/__init__.py",
            "app/__init__.py",
        ),
        (("pdm.backend", "pdm-backend"), "version = '1'", "app/src/app/.cache/x.py", "app/.cache/x.py"),
        (("uv_build", "uv_build"), "version = '1'", "app/src/app/data.txt", "app/data.txt"),
        (
            ("flit_core.buildapi", "flit_core"),
            "version = '1'\ndescription = 'x'",
            "app/src/app/data.txt",
            "app/data.txt",
        ),
        (("poetry.core.masonry.api", "poetry-core"), "version = '1'", "app/src/app/data.txt", "app/data.txt"),
    ] {
        let dir = project_tree(&[
            ("app/pyproject.toml", &pyproject(backend, requires, more)),
            ("app/.pexignore", "src/\n"),
            ("app/src/app/__init__.py", ""),
            ("app/x/y.txt", ""),
            ("more/two/__init__.py", ""),
        ]);
        let shipped = ["first\n", "second\n"].map(|text| {
            std::fs::create_dir_all(dir.path().join(changed).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(changed), format!("# {text}")).unwrap();
            let (members, _) = built(dir.path(), "out");
            let content = members.get(member).unwrap_or_else(|| panic!("{member}: {:?}", members.keys()));
            String::from_utf8_lossy(content).into_owned()
        });
        assert!(
            shipped[0].contains("first") && shipped[1].contains("second"),
            "{backend} {more}: {shipped:?}"
        );
    }
}

#[test]
#[ignore = "pex and build backends come from a package index"]
fn an_unchanged_package_is_not_built_again() {
    let (backend, requires) = HATCHLING;
    let dir = project_tree(&[
        ("app/pyproject.toml", &pyproject(backend, requires, "version = '1'")),
        ("app/app/__init__.py", "A = 1\n"),
    ]);
    let said = [(), ()].map(|()| {
        let mut command = pexpress_with_uv();
        command.args(["-v", "source"]).arg(dir.path().join("app")).arg(dir.path().join("out"));
        let output = run(command.args(["--python-version", "3.11"]));
        String::from_utf8_lossy(&output.stderr).contains("needs no build")
    });
    assert_eq!(said, [false, true]);
}

fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in directory.read_dir().unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path().display().to_string());
    }
    found
}

#[test]
#[ignore = "pex and build backends come from a package index"]
fn a_build_leaves_the_tree_clean_and_two_checkouts_have_one_name() {
    for (backend, requires, more) in [
        (
            "pdm.backend",
            "pdm-backend",
            "dependencies = ['dagster', 'dagster-cloud', 'lib @ file:///${PROJECT_ROOT}/../lib']",
        ),
        (
            "hatchling.build",
            "hatchling",
            "dependencies = ['dagster', 'dagster-cloud', 'lib @ {root:parent:uri}/lib']\n[tool.hatch.metadata]\nallow-direct-references = true",
        ),
        ("setuptools.build_meta", "setuptools", "dependencies = ['dagster', 'dagster-cloud']"),
        ("flit_core.buildapi", "flit_core", "dependencies = ['dagster', 'dagster-cloud']\ndescription = 'x'"),
        ("poetry.core.masonry.api", "poetry-core", "dependencies = ['dagster', 'dagster-cloud']"),
    ] {
        let text = format!(
            "[build-system]\nrequires = ['{requires}']\nbuild-backend = '{backend}'\n[project]\nname = 'app'\nversion = '1'\n{more}\n"
        );
        let lib = "[build-system]\nrequires = ['pdm-backend']\nbuild-backend = 'pdm.backend'\n[project]\nname = 'lib'\nversion = '1'\n";
        let checkout = || {
            project_tree(&[
                ("app/pyproject.toml", &text),
                ("app/app/__init__.py", ""),
                ("lib/pyproject.toml", lib),
                ("lib/lib/__init__.py", ""),
            ])
        };
        let (one, other) = (checkout(), checkout());
        let names = [&one, &other].map(|dir| {
            let before = files(dir.path());
            built(dir.path(), "../out");
            assert_eq!(files(dir.path()), before, "{backend}");
            files_named(&dir.path().join("../out"), "source-").remove(0).file_name().unwrap().to_owned()
        });
        assert_eq!(names[0], names[1], "{backend}");
    }
}

/// A package's `.env` was at the top of the source PEX, and naming it in `.pexignore` ended only the warning.
#[test]
#[ignore = "pex and build backends come from a package index"]
fn secrets_of_built_packages_are_named_or_left_out() {
    let lib = pyproject("hatchling.build", "hatchling", "version = '1'").replace("'app'", "'lib'");
    let dir = project_tree(&[
        ("app/requirements.txt", "dagster\ndagster-cloud\n../lib\n"),
        ("app/gha-creds-0123456789abcdef.json", "{\"type\": \"service_account\"}"),
        ("lib/pyproject.toml", &lib),
        ("lib/src/lib/__init__.py", ""),
        ("lib/src/lib/.env", "PASSWORD=x"),
        ("lib/src/lib/gha-creds-0123456789abcdef.json", "{}"),
        ("lib/src/lib/bigquery.json", "{\"type\": \"service_account\"}"),
    ]);
    let warnings = |said: &str| {
        let lines = said.lines().filter(|line| line.contains("secrets"));
        let lines = lines.map(|line| line.replace(&dir.path().display().to_string(), "[DIR]"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let (members, said) = built(dir.path(), "out");
    assert!(members.contains_key("lib/.env") && !members.keys().any(|name| name.contains("gha-creds")));
    insta::assert_snapshot!(warnings(&said), @"
    warning: `lib/.env` of the local package `[DIR]/lib` looks like it contains secrets and is shipped; add it to `[DIR]/lib/.pexignore` to leave it out
    warning: `lib/bigquery.json` of the local package `[DIR]/lib` looks like it contains secrets and is shipped; add it to `[DIR]/lib/.pexignore` to leave it out
    ");
    for file in ["lib/.pexignore", "app/.pexignore"] {
        std::fs::write(dir.path().join(file), ".env\nbigquery.json\n").unwrap();
        let (members, said) = built(dir.path(), "out");
        assert!(!members.contains_key("lib/.env") && members.contains_key("lib/__init__.py"), "{file}");
        assert_eq!(warnings(&said), "", "{file}");
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
}

#[test]
#[ignore = "pex comes from a package index"]
fn earlier_output_is_left_out_and_nothing_else() {
    let dir = project_tree(&[
        ("app/requirements.txt", "dagster\ndagster-cloud\n"),
        ("app/defs.py", ""),
        ("app/target/manifest.json", "{}"),
    ]);
    let mut names = BTreeSet::new();
    for out in ["app/out", "app/out/again", "app/target", "app", "elsewhere"] {
        let out = dir.path().join(out);
        run(pexpress_with_uv()
            .arg("source")
            .arg(dir.path().join("app"))
            .arg(&out)
            .args(["--python-version", "3.11"]));
        let file = files_named(&out, "source-").remove(0);
        names.insert(file.file_name().unwrap().to_owned());
        let shipped: Vec<String> = members(&file)
            .into_keys()
            .filter_map(|name| Some(name.strip_prefix("working_directory/root/")?.to_string()))
            .collect();
        assert_eq!(shipped, ["defs.py", "requirements.txt", "target/manifest.json"], "{out:?}");
    }
    assert_eq!(names.len(), 1);
    let hidden =
        ["out", "target", "."].map(|out| dir.path().join("app").join(out).join(".gitignore").exists());
    assert_eq!(hidden, [true, false, false]);
}

/// Silent problems are in the log, and in the document that becomes the report.
#[test]
#[ignore = "pex comes from a package index"]
fn silent_problems_are_reported() {
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4640000\n", "0".repeat(64));
    let dir = project_tree(&[
        (".gitmodules", "[submodule \"x\"]\n\tpath = app/dbt\n"),
        ("app/requirements.txt", "dagster\ndagster-cloud\n"),
        ("app/defs.py", ""),
        ("app/model.bin", &pointer),
        ("app/dagster_cloud.py", ""),
        ("app/dagster_cloud_post_install.sh", ""),
    ]);
    symlink("defs.py", dir.path().join("app/types.py")).unwrap();
    let mut command = pexpress_with_uv();
    command.arg("source").arg(dir.path().join("app")).arg(dir.path().join("out"));
    let output = run(command.args(["--python-version", "3.11", "--format", "json"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warnings: Vec<String> = json(&output)["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|warning| warning.as_str().unwrap().to_string())
        .collect();
    assert!(warnings.iter().all(|warning| said.contains(warning)), "{said}");
    insta::assert_snapshot!(warnings.join("\n").replace(&dir.path().display().to_string(), "[DIR]"), @"
    dagster_cloud_post_install.sh: this script is not run, because PEX files hold Python packages only: list those in the project's requirements, and for anything else use a base image (--base-image-tag, input `base_image_tag`)
    `[DIR]/app/dbt` is empty: it is a submodule ([DIR]/.gitmodules) that was not checked out; set `submodules: true` for actions/checkout, or run `git submodule update --init`
    `dagster_cloud.py` hides the module `dagster_cloud` of dagster-cloud: every import of `dagster_cloud` gets this file; rename it
    `model.bin` is a Git LFS pointer and not the content that it should have; set `lfs: true` for actions/checkout, or run `git lfs pull`
    `types.py` hides Python's own module `types`: every import of `types` gets this file; rename it
    ");
}
