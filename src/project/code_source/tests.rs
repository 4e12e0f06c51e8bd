use super::*;
use crate::error::Place;
use serde_json::{Map, Value, json};

/// The warning about one code location with these keys, in a build directory with these files.
fn warning(files: &[(&str, &str)], keys: Value) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let document: Map<String, Value> = keys.as_object().unwrap().clone();
    let place = Place { file: "dagster_cloud.yaml".into(), line: Some(2), column: None };
    let directory = dir.path().to_path_buf();
    let location =
        Location { name: "a".into(), directory, document, dg: None, place, places: BTreeMap::new() };
    let mut warnings = look(&[location]).into_iter().map(|warning| warning.message);
    let first = warnings.next();
    assert_eq!(warnings.next(), None);
    first
}

fn module(name: &str) -> Value {
    json!({"code_source": {"module_name": name}})
}

const INIT: (&str, &str) = ("app/__init__.py", "");
const DEFINITIONS: (&str, &str) = ("app/definitions.py", "defs = 1\n");
const HATCHLING: &str = "[project]\nname = \"app\"\ndependencies = [\"dagster\", \"dagster-cloud\"]\n[build-system]\nbuild-backend = \"hatchling.build\"\n";
const SETUP: &str = "from setuptools import setup, find_packages\nsetup(name='app', packages=find_packages(), install_requires=['dagster'])\n";

fn hatchling(more: &str) -> String {
    format!("{HATCHLING}{more}")
}

#[test]
fn a_missing_module_is_named_with_a_similar_one() {
    let near = |name: &str, missing: &str, meant: &str| {
        Some(format!(
            "`module_name: {name}` of code location `a`: there is no module `{missing}` in `app`; did you mean `{meant}`?"
        ))
    };
    let slip = near("app.defintions", "defintions", "app.definitions");
    for (files, name, want) in [
        (vec![INIT, DEFINITIONS, ("pyproject.toml", HATCHLING)], "app.defintions", slip.clone()),
        (vec![INIT, DEFINITIONS, ("setup.py", SETUP)], "app.defintions", slip.clone()),
        (vec![INIT, DEFINITIONS, ("requirements.txt", "dagster\n")], "app.defintions", slip.clone()),
        // A namespace package of the project. Another distribution may add to it, but hardly a misspelt module.
        (vec![DEFINITIONS, ("requirements.txt", "dagster\n")], "app.defintions", slip),
        (
            vec![("src/app/__init__.py", ""), ("src/app/definitions.py", ""), ("setup.py", &SETUP.replace("find_packages()", "find_packages('src'), package_dir={'': 'src'}"))],
            "app.defintions",
            Some("`module_name: app.defintions` of code location `a`: there is no module `defintions` in `src/app`; did you mean `app.definitions`?".into()),
        ),
        (
            vec![INIT, DEFINITIONS, ("pyproject.toml", HATCHLING)],
            "app.jobs",
            Some("`module_name: app.jobs` of code location `a`: there is no module `jobs` in `app`".into()),
        ),
        (
            vec![INIT, ("app/etl/__init__.py", ""), ("app/etl/defs.py", ""), ("pyproject.toml", HATCHLING)],
            "app.elt.defs",
            near("app.elt.defs", "elt", "app.etl.defs"),
        ),
        (
            vec![("app.py", "defs = 1"), ("requirements.txt", "dagster\n")],
            "app.definitions",
            Some("`module_name: app.definitions` of code location `a`: `app.py` is a module and not a package, so it cannot contain `definitions`".into()),
        ),
        (
            vec![INIT, DEFINITIONS, ("requirements.txt", "dagster\npandas>=2\n")],
            "ap.definitions",
            Some("`module_name: ap.definitions` of code location `a`: the project has no `ap`, and no dependency has that name; did you mean `app.definitions`?".into()),
        ),
        (
            vec![INIT, DEFINITIONS, ("pyproject.toml", HATCHLING)],
            "warehouse",
            Some("`module_name: warehouse` of code location `a`: the project has no `warehouse`, and no dependency has that name".into()),
        ),
    ] {
        assert_eq!(warning(&files, module(name)), want, "{name} in {files:?}");
    }
}

#[test]
fn a_module_that_exists_in_any_layout_has_no_warning() {
    for (files, name) in [
        (vec![INIT, DEFINITIONS, ("setup.py", SETUP)], "app.definitions"),
        (vec![INIT, ("setup.py", SETUP)], "app"),
        (
            vec![("src/app/__init__.py", ""), ("src/app/definitions.py", ""), ("pyproject.toml", HATCHLING)],
            "app.definitions",
        ),
        (
            vec![("python/app/__init__.py", ""), ("python/app/definitions.py", ""), ("setup.py", SETUP)],
            "app.definitions",
        ),
        // Without __init__.py anywhere.
        (vec![("team/app/definitions.py", ""), ("setup.py", SETUP)], "team.app.definitions"),
        (vec![("src/team/app/definitions.py", ""), ("pyproject.toml", HATCHLING)], "team.app.definitions"),
        // py_modules.
        (vec![("definitions.py", ""), ("setup.py", "setup(py_modules=['definitions'])")], "definitions"),
        (
            vec![
                ("lib/definitions.py", ""),
                ("setup.py", "setup(py_modules=['definitions'], package_dir={'': 'lib'})"),
            ],
            "definitions",
        ),
        // Below another project of the repository.
        (
            vec![
                ("packages/app/app/__init__.py", ""),
                ("packages/app/app/definitions.py", ""),
                ("requirements.txt", "-e ./packages/app\n"),
            ],
            "app.definitions",
        ),
        (
            vec![
                ("app/setup.py", ""),
                ("app/app/__init__.py", ""),
                ("app/app/definitions.py", ""),
                ("requirements.txt", "./app\n"),
            ],
            "app.definitions",
        ),
    ] {
        assert_eq!(warning(&files, module(name)), None, "{name} in {files:?}");
    }
    for more in [
        json!({"working_directory": "./x/y"}),
        json!({"working_directory": "/opt/app"}),
        json!({"image": "acme/app:1"}),
        json!({"executable_path": "/venv/bin/python"}),
        json!({"container_context": {"k8s": {"env_vars": ["PYTHONPATH=/lib"]}}}),
    ] {
        let mut keys = module("warehouse");
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(
            warning(&[("x/y/warehouse.py", ""), ("requirements.txt", "dagster\n")], keys),
            None,
            "{more}"
        );
        assert!(warning(&[("requirements.txt", "dagster\n")], module("warehouse")).is_some());
    }
}

#[test]
fn autoloading_a_package_built_from_src_has_a_warning() {
    let autoload = |name: &str| json!({"code_source": {"autoload_defs_module_name": name}});
    let src = ("src/app/defs/__init__.py", "");
    let unbuilt = hatchling("[tool.uv]\npackage = false\n");
    let want = "`autoload_defs_module_name: app.defs` of code location `a`: Dagster looks for the project around `src/app/defs/__init__.py`, but a package that is built from `src` has no project there; set `module_name` to a module with definitions, or do not build the package (`package = false` below `[tool.uv]`) and set `working_directory: src`";
    assert_eq!(warning(&[src, ("pyproject.toml", HATCHLING)], autoload("app.defs")).as_deref(), Some(want));
    assert_eq!(warning(&[src, ("pyproject.toml", &unbuilt)], autoload("app.defs")), None);
    assert_eq!(warning(&[src, ("requirements.txt", "dagster\n")], autoload("app.defs")), None);
    let flat = ("app/defs/__init__.py", "");
    assert_eq!(warning(&[flat, ("pyproject.toml", HATCHLING)], autoload("app.defs")), None);
    assert_eq!(warning(&[src, ("pyproject.toml", HATCHLING)], module("app.defs")), None);
}

#[test]
fn a_module_that_build_or_python_may_create_has_no_warning() {
    let maturin = hatchling("").replace("hatchling.build", "maturin");
    let mapped = hatchling("[tool.setuptools.package-dir]\n\"app.jobs\" = \"jobs\"\n");
    let hook = hatchling("[tool.hatch.build.hooks.custom]\n");
    let included = hatchling("[tool.hatch.build.targets.wheel.force-include]\n\"gen\" = \"app/gen\"\n");
    for (files, name) in [
        (vec![INIT, ("app/jobs.cpython-311-x86_64-linux-gnu.so", ""), ("setup.py", SETUP)], "app.jobs"),
        (vec![INIT, ("app/jobs.pyx", ""), ("setup.py", SETUP)], "app.jobs"),
        (vec![INIT, ("app/jobs.py.j2", ""), ("setup.py", SETUP)], "app.jobs"),
        (vec![INIT, ("app/event.proto", ""), ("setup.py", SETUP)], "app.event_pb2"),
        (vec![INIT, ("setup.py", SETUP)], "app._version"),
        (vec![("app/__init__.py", "__path__ = extend(__path__)"), ("setup.py", SETUP)], "app.jobs"),
        (
            vec![("app/__init__.py", "import sys; sys.modules['app.jobs'] = 1"), ("setup.py", SETUP)],
            "app.jobs",
        ),
        (vec![("app.py", "__path__ = ['x']"), ("setup.py", SETUP)], "app.jobs"),
        (vec![INIT, ("setup.py", "setup(package_dir={'app.jobs': 'jobs'})")], "app.jobs"),
        (vec![INIT, ("setup.py", "setup(package_dir = MAPPING)")], "app.jobs"),
        (vec![INIT, ("setup.py", "setup(cmdclass={'build_py': Generate})")], "app.jobs"),
        (vec![INIT, ("setup.cfg", "[options]\npackage_dir =\n    app.jobs = jobs\n")], "app.jobs"),
        (vec![INIT, ("pyproject.toml", &maturin)], "app.jobs"),
        (vec![INIT, ("pyproject.toml", &mapped)], "app.jobs"),
        (vec![INIT, ("pyproject.toml", &hook)], "app.jobs"),
        (vec![INIT, ("pyproject.toml", &included)], "app.gen"),
        (vec![INIT, ("pyproject.toml", "[project")], "app.jobs"),
        // A namespace that another distribution may share.
        (vec![("acme/one/__init__.py", ""), ("requirements.txt", "dagster\nacme-two\n")], "acme.two"),
        // A stub of the package, in the tests.
        (vec![("tests/app/__init__.py", ""), ("requirements.txt", "-e ../app\n")], "app.definitions"),
    ] {
        assert_eq!(warning(&files, module(name)), None, "{name} in {files:?}");
    }
}

#[test]
fn a_module_that_may_come_from_a_dependency_has_no_warning() {
    for (files, name) in [
        (vec![INIT, ("requirements.txt", "dagster\napps==1\n")], "apps.definitions"),
        (vec![INIT, ("requirements.txt", "dagster\nacme.apps\n")], "apps"),
        (vec![INIT, ("requirements.txt", "-r base.txt\n")], "warehouse"),
        (vec![INIT, ("requirements.txt", "git+https://example.com/x.git\n")], "apps"),
        (vec![INIT, ("requirements.txt", "../apps\n")], "apps"),
        (vec![INIT, ("requirements.txt", "dagster\npandas\n")], "warehouse"),
        (vec![INIT, ("setup.py", SETUP)], "warehouse"),
        (vec![INIT, ("pyproject.toml", "[tool.poetry.dependencies]\napps = \"^1\"\n")], "apps"),
        (
            vec![INIT, ("pyproject.toml", "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n")],
            "warehouse",
        ),
        (vec![INIT, ("pyproject.toml", HATCHLING)], "dagster_dbt"),
        // Two things and not a slip.
        (vec![("app1/__init__.py", ""), ("requirements.txt", "dagster\npandas\n")], "app2"),
        // No files with requirements: the build reports that.
        (vec![INIT], "warehouse"),
    ] {
        assert_eq!(warning(&files, module(name)), None, "{name} in {files:?}");
    }
}

#[test]
fn a_missing_path_is_named() {
    let file = |name: &str| json!({"code_source": {"python_file": name}});
    let below = |directory: &str, name: &str| json!({"code_source": {"python_file": name}, "working_directory": directory});
    let files = [("defs.py", "defs = 1"), ("src/other.py", ""), ("app/repo.py", "")];
    for (keys, want) in [
        (file("defs.py"), None),
        (file("./app/repo.py"), None),
        (
            below("./src/", "other.py"),
            Some(
                "`python_file: other.py` of code location `a`: it is not in the build directory, and paths are relative to that, not to the `working_directory`; did you mean `src/other.py`?",
            ),
        ),
        (below("src", "src/other.py"), None),
        (below("app/..", "defs.py"), None),
        (file("/opt/app/defs.py"), None),
        (below("/opt/app", "defz.py"), None),
        (below("$HOME", "defz.py"), None),
        (below(r"\\server\share", "defz.py"), None),
        (below("C:/app", "defz.py"), None),
        (
            file("defz.py"),
            Some(
                "`python_file: defz.py` of code location `a`: it is not in the build directory; did you mean `defs.py`?",
            ),
        ),
        (
            file("app/rep.py"),
            Some(
                "`python_file: app/rep.py` of code location `a`: it is not in the build directory; did you mean `app/repo.py`?",
            ),
        ),
        (file("app"), Some("`python_file: app` of code location `a`: it is not in the build directory")),
        (
            below("./srcs", "other.py"),
            Some(
                "`working_directory: ./srcs` of code location `a`: it is not in the build directory; did you mean `./src`?",
            ),
        ),
        (
            below("defs.py", "defs.py"),
            Some("`working_directory: defs.py` of code location `a`: it is not in the build directory"),
        ),
        (
            below("..", "defs.py"),
            Some(
                "`working_directory: ..` of code location `a`: it is outside of the build directory, and only that is shipped",
            ),
        ),
    ] {
        assert_eq!(warning(&files, keys.clone()).as_deref(), want, "{keys}");
    }
}

#[test]
fn a_path_or_a_hyphen_instead_of_a_module_name_is_named() {
    let files =
        [INIT, ("my_pkg/__init__.py", ""), ("my_pkg/definitions.py", ""), ("requirements.txt", "dagster\n")];
    let src = [("src/app/__init__.py", ""), ("src/app/jobs.py", ""), ("pyproject.toml", HATCHLING)];
    for (files, name, meant) in [
        (&files[..], "my-pkg", Some("my_pkg")),
        (&files, "my-pkg.definitions", Some("my_pkg.definitions")),
        (&files, "my_pkg/definitions.py", Some("my_pkg.definitions")),
        (&files, "./my_pkg/definitions.py", Some("my_pkg.definitions")),
        (&files, "my_pkg/definitions", Some("my_pkg.definitions")),
        (&src, "src/app/jobs.py", Some("app.jobs")),
        // importlib finds a directory of any name.
        (&[("my-pkg/__init__.py", ""), ("my_pkg/__init__.py", "")], "my-pkg", None),
    ] {
        let want = meant.map(|meant| {
            format!("`module_name: {name}` of code location `a`: no module can have that name; did you mean `{meant}`?")
        });
        assert_eq!(warning(files, module(name)), want, "{name} in {files:?}");
    }
}

#[test]
fn a_module_outside_the_working_directory_is_not_imported() {
    let keys = json!({"code_source": {"module_name": "defs"}, "working_directory": "./src"});
    let with = |more: (&str, &str)| warning(&[("defs.py", ""), ("src/other.py", ""), more], keys.clone());
    assert_eq!(
        with(("requirements.txt", "dagster\n")).as_deref(),
        Some(
            "`module_name: defs` of code location `a`: it is in the build directory, and Dagster imports from the `working_directory` only; remove that setting, or move the module there"
        )
    );
    for more in [
        ("setup.py", SETUP),
        ("pyproject.toml", HATCHLING),
        ("requirements.txt", "-e .\n"),
        ("requirements.txt", "defs\n"),
        ("src/defs.py", ""),
    ] {
        assert_eq!(with(more), None, "{more:?}");
    }
}

#[test]
fn a_package_that_is_built_loads_without_its_working_directory() {
    let keys = json!({"code_source": {"module_name": "app.definitions"}, "working_directory": "./app/app"});
    assert_eq!(warning(&[INIT, DEFINITIONS, ("pyproject.toml", HATCHLING)], keys.clone()), None);
    assert_eq!(
        warning(&[INIT, DEFINITIONS, ("requirements.txt", "dagster\n")], keys).as_deref(),
        Some("`working_directory: ./app/app` of code location `a`: it is not in the build directory")
    );
}

#[test]
fn an_attribute_is_missing_only_if_the_file_does_not_have_the_word() {
    let file = json!({"code_source": {"python_file": "defs.py"}, "attribute": "deploy_all"});
    let missing = Some("`attribute: deploy_all` of code location `a`: `defs.py` does not define it");
    for (text, want) in [
        ("deploy_all = 1\n", None),
        ("from x import deploy_all\n", None),
        ("from x import *\n", None),
        ("globals()[name] = 1\n", None),
        ("def __getattr__(name): return 1\n", None),
        ("defs = 1\n", missing),
        ("deploy_all_jobs = 1\n", missing),
        ("# deploy_all\ndefs = '#'  # not deploy_all\n", missing),
        ("name = '#'; deploy_all = 1\n", None),
        ("", missing),
    ] {
        assert_eq!(warning(&[("defs.py", text)], file.clone()).as_deref(), want, "{text}");
    }
    let package = json!({"code_source": {"module_name": "app"}, "attribute": "definitions"});
    assert_eq!(warning(&[INIT, DEFINITIONS, ("setup.py", SETUP)], package.clone()), None);
    assert_eq!(
        warning(&[INIT, ("setup.py", SETUP)], package).as_deref(),
        Some("`attribute: definitions` of code location `a`: `app/__init__.py` does not define it")
    );
}

#[test]
fn a_name_that_no_module_can_have_is_named() {
    let files = [INIT, DEFINITIONS, ("requirements.txt", "dagster\nour-jobs\n")];
    let missing = Some("no module can have that name");
    for (name, want) in [
        ("a-b.c", missing),
        ("a/b", missing),
        ("app..definitions", missing),
        (".definitions", missing),
        ("our-jobs.defs", Some("no module can have that name; did you mean `our_jobs.defs`?")),
        (
            "app.definitions:defs",
            Some(
                "the name of a module has no `:`; write `app.definitions`, and `attribute: defs` next to `code_source`",
            ),
        ),
        // Templates, and what is not ASCII.
        ("{{ name }}-x.definitions", None),
        ("$NAME-x", None),
        ("größe", None),
        ("1st.jobs", None),
    ] {
        let want = want.map(|want| format!("`module_name: {name}` of code location `a`: {want}"));
        assert_eq!(warning(&files, module(name)), want, "{name}");
    }
    let elsewhere = [INIT, ("requirements.txt", "dagster\n../libs/a\n")];
    assert_eq!(warning(&elsewhere, module("a-b.c")), None);
}

#[test]
fn capital_letters_count() {
    let setup = "setup(name='quickstart', packages=['quickstart'])";
    let files = [("quickstart/__init__.py", ""), ("quickstart/definitions.py", ""), ("setup.py", setup)];
    assert_eq!(
        warning(&files, module("Quickstart.definitions")).as_deref(),
        Some(
            "`module_name: Quickstart.definitions` of code location `a`: the project has `quickstart`, and Python is case-sensitive; did you mean `quickstart.definitions`?"
        )
    );
    let files = [("a/__init__.py", ""), ("a/b.py", ""), ("requirements.txt", "dagster\npandas\n")];
    assert!(warning(&files, module("A.b")).unwrap().ends_with("did you mean `a.b`?"));
    assert_eq!(warning(&[files[0], ("requirements.txt", "../A\n")], module("A.b")), None);
    assert_eq!(warning(&files, module("a.b")), None);
}

#[test]
fn a_module_in_a_directory_off_the_search_path_is_named() {
    let project = "[project]\nname = \"x\"\ndependencies = [\"dagster\"]\n";
    let said_of = |files: &[(&str, &str)]| warning(files, module("definitions"));
    let at = ("quickstart/definitions.py", "");
    let want = Some(
        "`module_name: definitions` of code location `a`: it is in `quickstart`, which is not where Dagster imports from; write `quickstart.definitions`, or `working_directory: quickstart`"
            .to_string(),
    );
    for more in
        [("requirements.txt", "dagster\n"), ("pyproject.toml", project), ("pyproject.toml", HATCHLING)]
    {
        assert_eq!(said_of(&[at, more]), want, "{more:?}");
    }
    let packages =
        hatchling("[tool.hatch.build.targets.wheel]\npackages = [\"quickstart/definitions.py\"]\n");
    for more in [
        ("requirements.txt", "-e ./quickstart\n"),
        ("requirements.txt", "dagster\ndefinitions\n"),
        ("setup.py", "setup(py_modules=['definitions'], package_dir={'': 'quickstart'})"),
        ("setup.cfg", "[options]\npy_modules = definitions\n"),
        ("pyproject.toml", &packages),
        ("definitions.py", ""),
        ("src/definitions.py", ""),
        ("other/definitions.py", ""),
    ] {
        assert_eq!(said_of(&[at, more]), None, "{more:?}");
    }
    let keys = |directory: &str| json!({"code_source": {"module_name": "definitions"}, "working_directory": directory});
    let files = [at, ("quickstart/__init__.py", ""), ("pyproject.toml", HATCHLING)];
    assert_eq!(warning(&files, keys("quickstart")), None);
    // A package that is built has no module of that name.
    assert_eq!(
        warning(&files, keys("quickstrat")).as_deref(),
        Some(
            "`working_directory: quickstrat` of code location `a`: it is not in the build directory; did you mean `quickstart`?"
        )
    );
}

#[test]
fn white_space_and_an_attribute_in_the_wrong_place_are_named() {
    let files = [("defs.py", "defs = 1"), ("requirements.txt", "dagster\n")];
    let space = |key: &str, given: &str, meant: &str| {
        format!("`{key}: {given}` of code location `a`: there is white space around it; write `{meant}`")
    };
    for (keys, want) in [
        (
            json!({"code_source": {"python_file": "defs.py"}, "attribute": "defs "}),
            space("attribute", "defs ", "defs"),
        ),
        (json!({"code_source": {"module_name": " defs"}}), space("module_name", " defs", "defs")),
        (
            json!({"code_source": {"python_file": "defs.py:defs"}}),
            "`python_file: defs.py:defs` of code location `a`: write `python_file: defs.py`, and `attribute: defs` next to `code_source`".to_string(),
        ),
    ] {
        assert_eq!(warning(&files, keys.clone()), Some(want), "{keys}");
    }
}
