mod recipes;

use super::*;
use crate::host::Host;
use crate::project::PackageBuild;
use std::fs;
use std::os::unix::fs::symlink;

const HATCHLING: &str = "hatchling.build";

/// A package `shop` with one module.
struct Fixture {
    dir: tempfile::TempDir,
    backend: &'static str,
    env: Vec<(&'static str, &'static str)>,
    settings: ResolveSettings,
}

impl Fixture {
    fn new(backend: &'static str, requires: &str, more: &str) -> Fixture {
        let fixture = Fixture {
            dir: tempfile::tempdir().unwrap(),
            backend,
            env: Vec::new(),
            settings: ResolveSettings::default(),
        };
        let pyproject = format!(
            "[build-system]\nrequires = ['{requires}']\nbuild-backend = '{backend}'\n[project]\nname = 'shop'\nversion = '1'\n{more}\n"
        );
        fixture.write("pyproject.toml", &pyproject);
        fixture.write("shop/__init__.py", "PRICE = 1\n");
        fixture
    }
    fn hatchling(more: &str) -> Fixture {
        Fixture::new(HATCHLING, "hatchling>=1.20", more)
    }
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("repository/shop").join(name)
    }
    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }
    fn read(&self) -> Option<SelfContained> {
        let env = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let clock = std::sync::Arc::new(crate::host::SystemClock);
        let (out, err) = (Box::new(std::io::sink()), Box::new(std::io::sink()));
        let host = Host::for_test(env, self.dir.path(), out, err, clock);
        let build = PackageBuild::Backend { backend: self.backend.into() };
        let package = LocalPackage { directory: self.path(""), name: Some("shop".into()), build };
        let target = Target::serverless("3.11".parse().unwrap());
        super::read(&package, self.backend, target, &self.settings, &Tools::new(&host))
    }
    fn key(&self) -> String {
        self.read().expect("self-contained").key
    }
}

/// Users saw old code reported as unchanged, because `src/` was in their `.pexignore`.
#[test]
fn everything_a_build_can_see_changes_the_key() {
    let mut fixture = Fixture::hatchling("");
    fixture.write(".pexignore", "shop/\n");
    let mut seen = vec![fixture.key()];
    for (file, text) in [
        ("README.md", "Shop"),
        ("README.md", "Shop!"),
        ("shop/data.bin", "1"),
        ("shop/data.bin", "2"),
        ("shop/py.typed", ""),
        ("shop/conftest.py", ""),
        ("SHOP/__init__.py", ""),
        ("node_modules/chart/chart.js", "1"),
        (".cache/model.bin", "1"),
        (".venv/pyvenv.cfg", ""),
        (".gitignore", "*.csv\n"),
        ("../.gitignore", "*.txt\n"),
        ("../.hgignore", "*.txt\n"),
        ("../../.gitignore", "*.txt\n"),
        ("../.git/config", ""),
        ("hatch.toml", ""),
    ] {
        fixture.write(file, text);
        seen.push(fixture.key());
    }
    fs::create_dir(fixture.path("empty")).unwrap();
    seen.push(fixture.key());
    fs::rename(fixture.path("shop/conftest.py"), fixture.path("shop/Conftest.py")).unwrap();
    seen.push(fixture.key());
    symlink("__init__.py", fixture.path("shop/again.py")).unwrap();
    seen.push(fixture.key());
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(fixture.path("shop/__init__.py"), fs::Permissions::from_mode(0o755)).unwrap();
    seen.push(fixture.key());
    fixture.env.push(("HATCH_BUILD_NO_HOOKS", "1"));
    seen.push(fixture.key());
    fixture.settings.build_constraints.push("hatchling<1.30".into());
    seen.push(fixture.key());
    fixture.env.push(("UV_EXCLUDE_NEWER", "2025-01-01"));
    seen.push(fixture.key());
    for (at, key) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(key), "change {at} is not seen");
    }
}

#[test]
fn what_is_never_shipped_does_not_count() {
    let fixture = Fixture::hatchling("");
    fixture.write(".git/index", "x");
    fixture.write("build/pexpress.json", "x");
    let before = fixture.key();
    fixture.write("shop/__pycache__/__init__.cpython-311.pyc", "x");
    fixture.write(".git/index", "y");
    fixture.write("gha-creds-0123456789abcdef.json", "{}");
    fixture.write(&format!("build/source-{}.pex", "0".repeat(40)), "x");
    assert_eq!(fixture.key(), before);
}

#[test]
fn what_the_key_cannot_show_is_built() {
    let mut fixture = Fixture::hatchling("");
    fixture.env.push(("PYTHONPATH", "elsewhere"));
    assert!(fixture.read().is_none());
    let fixture = Fixture::hatchling("");
    fixture.write("shop/__pycache__/data.json", "{}");
    assert!(fixture.read().is_none());
}

/// `wheel` is a table of hatchling's.
fn with_wheel(wheel: &str) -> Fixture {
    Fixture::hatchling(&format!("[tool.hatch.build.targets.wheel]\n{wheel}"))
}

#[test]
fn contents_that_are_only_copied_do_not_count() {
    let named = "dynamic = ['version']\n[tool.hatch.version]\npath = 'shop/__init__.py'";
    for (fixture, file, counts) in [
        (Fixture::hatchling(""), "shop/__init__.py", false),
        (Fixture::hatchling(""), "shop/defs/orders.sql", false),
        (Fixture::hatchling(""), "target/manifest.json", false),
        (Fixture::hatchling(""), "shop/logo.png", true),
        (Fixture::hatchling(""), "README.md", true),
        (Fixture::hatchling(""), "shop/script", true),
        (Fixture::hatchling(&named.replace("version = '1'", "")), "shop/__init__.py", true),
        (Fixture::hatchling(&named.replace("shop/__init__", "shop/__INIT__")), "shop/__init__.py", true),
        (Fixture::hatchling(named), "shop/other.py", false),
        (Fixture::hatchling("readme = 'docs/readme.html'"), "docs/readme.html", true),
        (Fixture::hatchling("license-files = ['terms.json']"), "terms.json", true),
        (with_wheel("packages = ['src/shop']"), "src/shop/__init__.py", false),
        (with_wheel("sources = ['src']"), "src/shop/__init__.py", false),
        (with_wheel("sources = { 'src/a' = 'shop' }"), "src/a/__init__.py", true),
        (with_wheel("force-include = { lib = 'shop/lib' }"), "lib/__init__.py", true),
        (with_wheel("shared-data = { lib = 'lib' }"), "lib/__init__.py", true),
    ] {
        fixture.write(file, "one");
        let before = fixture.key();
        fixture.write(file, "two");
        assert_eq!(fixture.key() != before, counts, "{file}");
    }
    let executable = Fixture::hatchling("");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(executable.path("shop/__init__.py"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = executable.key();
    executable.write("shop/__init__.py", "two");
    assert_ne!(executable.key(), before);
}

#[test]
fn settings_that_move_files_are_found_in_each_backend() {
    for (backend, requires, more, is_shared) in [
        (HATCHLING, "hatchling", "", true),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.package-dir]\n'' = 'src'", true),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.package-dir]\nshop = 'lib/shop'", false),
        (
            "poetry.core.masonry.api",
            "poetry-core",
            "[tool.poetry]\npackages = [{ include = 'shop', from = 'src' }]",
            true,
        ),
        (
            "poetry.core.masonry.api",
            "poetry-core",
            "[tool.poetry]\npackages = [{ include = 'shop', to = 'lib' }]",
            false,
        ),
        ("uv_build", "uv_build", "[tool.uv.build-backend]\nmodule-root = ''", true),
        ("uv_build", "uv_build", "[tool.uv.build-backend.data]\ndata = 'share'", false),
        ("flit_core.buildapi", "flit_core", "", true),
        ("pdm.backend", "pdm-backend", "", true),
    ] {
        assert_eq!(
            Fixture::new(backend, requires, more).read().unwrap().is_shared,
            is_shared,
            "{backend} {more}"
        );
    }
    let mut linked = Fixture::hatchling("");
    linked.settings.find_links.push("/wheels".into());
    assert!(!linked.read().unwrap().is_shared);
}

#[test]
fn the_key_is_that_of_the_same_files_elsewhere() {
    assert_eq!(Fixture::hatchling("").key(), Fixture::hatchling("").key());
    // Where the path may be in the wheel, it counts.
    let moved = || with_wheel("force-include = { lib = 'shop/lib' }").key();
    assert_ne!(moved(), moved());
    let below = Fixture::hatchling("");
    below.write("../.gitignore", "*.csv\n");
    let deeper = Fixture::hatchling("");
    deeper.write("../../.gitignore", "*.csv\n");
    assert_ne!(below.key(), deeper.key());
}

#[test]
fn credentials_of_an_index_do_not_count() {
    let with = |url: &str| {
        let mut fixture = Fixture::hatchling("");
        fixture.settings.default_index = Some(url.into());
        fixture.key()
    };
    assert_eq!(with("https://a:one@e.example/simple"), with("https://a:two@e.example/simple"));
    assert_ne!(with("https://e.example/simple"), with("https://other.example/simple"));
}

#[test]
fn plain_packages_of_each_backend_are_kept() {
    for (backend, requires, more) in [
        (
            HATCHLING,
            "hatchling",
            "readme = 'README.md'\n[tool.hatch.build.targets.wheel]\npackages = ['src/shop']",
        ),
        (HATCHLING, "hatchling", "dynamic = ['version']\n[tool.hatch.version]\npath = 'shop/__init__.py'"),
        (
            HATCHLING,
            "hatchling",
            "[tool.ruff]\nextend = '../ruff.toml'\n[tool.uv.sources]\nlib = { path = '../lib' }",
        ),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.packages.find]\nwhere = ['src']"),
        ("flit_core.buildapi", "flit_core", ""),
        (
            "poetry.core.masonry.api",
            "poetry-core",
            "[tool.poetry]\npackages = [{ include = 'shop', from = 'src' }]",
        ),
        ("pdm.backend", "pdm-backend", "[tool.pdm]\ndistribution = true\n[tool.pdm.scripts]\na = '../a.sh'"),
        ("uv_build", "uv_build>=0.9,<1", "[tool.uv.build-backend]\nmodule-root = ''"),
    ] {
        assert!(Fixture::new(backend, requires, more).read().is_some(), "{backend} {more}");
    }
}

#[test]
fn builds_that_may_look_further_are_not_kept() {
    for (backend, requires, more) in [
        (HATCHLING, "hatchling', 'hatch-vcs", ""),
        (HATCHLING, "hatchling @ file:///x/hatchling", ""),
        (HATCHLING, "hatchling", "[tool.uv.sources]\nhatchling = { path = '../hatchling' }"),
        (HATCHLING, "hatchling", "readme = '../README.md'"),
        (HATCHLING, "hatchling", "readme = './../README.md'"),
        (HATCHLING, "hatchling", "readme = '..\\README.md'"),
        (HATCHLING, "hatchling", "license = { file = '/usr/share/LICENSE' }"),
        (HATCHLING, "hatchling", "dependencies = ['lib @ {root:parent:uri}/lib']"),
        (HATCHLING, "hatchling", "[tool.hatch.build.hooks.custom]"),
        (HATCHLING, "hatchling", "[tool.hatch.build.targets.wheel.hooks.custom]"),
        (HATCHLING, "hatchling", "[tool.hatch.metadata.hooks.custom]"),
        (HATCHLING, "hatchling", "[tool.hatch.version]\nsource = 'env'\nvariable = 'V'"),
        (HATCHLING, "hatchling", "[tool.hatch.version]\nsource = 'code'\npath = 'shop/v.py'"),
        (HATCHLING, "hatchling", "[tool.hatch.version]\npath = './../VERSION'"),
        (HATCHLING, "hatchling", "[tool.hatch.build.targets.wheel.force-include]\n'../shared' = 'shared'"),
        (HATCHLING, "hatchling", "[tool.hatch.build.targets.wheel.force-include]\n'~/shared' = 'shared'"),
        (HATCHLING, "hatchling", "[tool.hatch.build.targets.wheel.shared-data]\n'.git/HEAD' = 'head'"),
        (HATCHLING, "hatchling", "[tool.hatch.build.targets.wheel]\na-key-of-tomorrow = true"),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.packages.find]\nwhere = ['../lib']"),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.package-dir]\nlib = 'x/../../lib'"),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.dynamic]\nversion = { attr = 'shop.V' }"),
        ("setuptools.build_meta", "setuptools", "[tool.setuptools.data-files]\nx = ['a']"),
        ("setuptools.build_meta", "setuptools', 'setuptools-scm", ""),
        ("setuptools.build_meta", "setuptools", "[tool.distutils.build]\nbuild_base = 'x'"),
        ("setuptools.build_meta:__legacy__", "setuptools", ""),
        ("flit_core.buildapi", "flit_core", "dynamic = ['description']"),
        ("poetry.core.masonry.api", "poetry-core", "[tool.poetry]\nbuild = 'make.py'"),
        ("poetry.core.masonry.api", "poetry-core", "[tool.poetry]\ninclude = [{ path = '../data' }]"),
        ("pdm.backend", "pdm-backend", "dynamic = ['version']\n[tool.pdm.version]\nsource = 'scm'"),
        (
            "pdm.backend",
            "pdm-backend",
            "dynamic = ['version']\n[tool.pdm.version]\nsource = 'call'\npath = 'a'",
        ),
        ("pdm.backend", "pdm-backend", "[tool.pdm.build]\ncustom-hook = 'make.py'"),
        ("uv_build", "uv_build", "[tool.uv.build-backend.data]\nscripts = '../bin'"),
        ("maturin", "maturin", ""),
    ] {
        assert!(Fixture::new(backend, requires, more).read().is_none(), "{backend} {more}");
    }
}

#[test]
fn other_files_that_change_a_build_are_seen() {
    for (backend, requires, file, text) in [
        (HATCHLING, "hatchling", "setup.py", ""),
        (HATCHLING, "hatchling", "hatch_build.py", ""),
        (HATCHLING, "hatchling", "hatch.toml", "[build.targets.wheel.force-include]\n'../x' = 'x'"),
        ("setuptools.build_meta", "setuptools", "setup.cfg", "[metadata]\nversion = file: ../VERSION"),
        ("setuptools.build_meta", "setuptools", "MANIFEST.in", "graft ../data"),
        ("pdm.backend", "pdm-backend", "pdm_build.py", ""),
    ] {
        let fixture = Fixture::new(backend, requires, "");
        fixture.write(file, text);
        assert!(fixture.read().is_none(), "{backend} {file}");
    }
}

#[test]
fn packages_with_outside_or_broken_links_are_not_cached() {
    for target in ["../../outside.py", "../outside", "nowhere.py", "/etc/hostname"] {
        let fixture = Fixture::hatchling("");
        fixture.write("../outside.py", "");
        fixture.write("../outside/a.py", "");
        symlink(target, fixture.path("shop/link")).unwrap();
        assert!(fixture.read().is_none(), "{target}");
    }
}
