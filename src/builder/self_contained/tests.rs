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
        let package = LocalPackage {
            directory: self.path(""),
            name: Some("shop".into()),
            build: PackageBuild::Backend { backend: self.backend.into() },
        };
        let python = "3.11".parse().unwrap();
        super::read(&package, self.backend, python, &self.settings, &Tools::new(&host))
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
        ("shop/__init__.py", "PRICE = 2\n"),
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
    symlink("__init__.py", fixture.path("shop/again.py")).unwrap();
    seen.push(fixture.key());
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(fixture.path("shop/__init__.py"), fs::Permissions::from_mode(0o755)).unwrap();
    seen.push(fixture.key());
    fixture.env.push(("HATCH_BUILD_NO_HOOKS", "1"));
    seen.push(fixture.key());
    fixture.settings.build_constraints.push("hatchling<1.30".into());
    seen.push(fixture.key());
    for (at, key) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(key), "change {at} is not seen");
    }
}

#[test]
fn bytecode_and_the_insides_of_a_repository_do_not_count() {
    let fixture = Fixture::hatchling("");
    fixture.write(".git/index", "x");
    let before = fixture.key();
    fixture.write("shop/__pycache__/__init__.cpython-311.pyc", "x");
    fixture.write(".git/index", "y");
    assert_eq!(fixture.key(), before);
}

#[test]
fn another_project_with_the_same_files_has_another_key() {
    assert_ne!(Fixture::hatchling("").key(), Fixture::hatchling("").key());
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

fn wheel(fixture: &Fixture, members: &[(&str, &str)]) -> std::path::PathBuf {
    use std::io::Write;
    let path = fixture.dir.path().join("shop-1-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, text) in members {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    path
}

#[test]
fn a_wheel_with_files_from_elsewhere_is_not_kept() {
    let fixture = Fixture::hatchling("");
    fixture.write("src/other/a.py", "A");
    fixture.write("LICENSE", "L");
    fixture.write(".git/config", "G");
    let read = fixture.read().unwrap();
    let plain =
        [("shop/__init__.py", "PRICE = 1\n"), ("shop-1.dist-info/METADATA", "M"), ("other/a.py", "A")];
    for (more, want) in [
        (("shop-1.dist-info/licenses/LICENSE", "L"), true),
        (("shop-1.dist-info/licenses/LICENSE", "another"), false),
        (("shop/generated.py", "PRICE = 1\n"), false),
        (("shop/a.py", "A"), false),
        (("git/config", "G"), false),
    ] {
        let members: Vec<_> = plain.iter().copied().chain([more]).collect();
        assert_eq!(read.made(&wheel(&fixture, &members)).unwrap(), want, "{more:?}");
    }
}
