use super::*;
use crate::builder::recipe::Recipe;
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

/// The members of a wheel besides `.dist-info/RECORD`, which is written here.
fn wheel(fixture: &Fixture, members: &[(&str, &str)]) -> std::path::PathBuf {
    use base64::Engine as _;
    use std::io::Write;
    let path = fixture.dir.path().join("shop-1-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let mut record = String::new();
    for (name, text) in members {
        let digest = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text));
        record += &format!("{name},sha256={digest},{}\r\n", text.len());
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.start_file("shop-1.dist-info/RECORD", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(format!("{record}shop-1.dist-info/RECORD,,\r\n").as_bytes()).unwrap();
    archive.finish().unwrap();
    path
}

fn recipe(fixture: &Fixture, members: &[(&str, &str)]) -> Option<Recipe> {
    let wheel = wheel(fixture, members);
    Recipe::of(&wheel, &fixture.read().unwrap(), std::time::SystemTime::now()).unwrap()
}

/// The texts of the files that a recipe gives.
fn given(recipe: &Recipe, fixture: &Fixture) -> Option<Vec<(String, String)>> {
    let out = tempfile::tempdir().unwrap();
    let wheel = recipe.wheel(&fixture.read().unwrap(), out.path()).unwrap()?;
    let archive = crate::wheel::Archive::open(&wheel).unwrap();
    let mut reader = archive.reader().unwrap();
    let mut text = |name: &str, data| String::from_utf8(reader.read(name, data, 1 << 20).unwrap()).unwrap();
    let members = archive.members().iter();
    Some(members.map(|member| (member.name.clone(), text(&member.name, &member.data))).collect())
}

const INIT: (&str, &str) = ("shop/__init__.py", "PRICE = 1\n");
const METADATA: (&str, &str) = ("shop-1.dist-info/METADATA", "M");

#[test]
fn only_copies_of_files_of_the_package_have_a_recipe() {
    let fixture = Fixture::hatchling("");
    for (file, text) in [
        ("src/other/a.py", "A"),
        ("LICENSE", "L"),
        ("LICENSE.py", "L.py"),
        (".git/config", "G"),
        ("one/twice/a.py", "T"),
        ("two/twice/a.py", "T"),
        ("one/apart/a.py", "1"),
        ("two/apart/a.py", "2"),
        ("one/data/a.bin", "T"),
        ("two/data/a.bin", "T"),
    ] {
        fixture.write(file, text);
    }
    let plain = [INIT, METADATA, ("other/a.py", "A")];
    for (more, want) in [
        (("shop-1.dist-info/licenses/LICENSE", "L"), true),
        (("shop-1.dist-info/licenses/LICENSE", "another"), false),
        (("shop-1.dist-info/licenses/LICENSE.py", "L.py"), false),
        (("shop-1.dist-info/unknown.txt", "U"), false),
        (("shop/generated.py", "PRICE = 1\n"), false),
        (("shop/a.py", "A"), false),
        (("git/config", "G"), false),
        // Which of the two is copied would matter after a change of one.
        (("twice/a.py", "T"), false),
        (("apart/a.py", "2"), true),
        (("data/a.bin", "T"), true),
        (("shop-1.data/purelib/other/b.py", "A"), false),
        (("shop-1.data/scripts/tool", "A"), false),
    ] {
        let members: Vec<_> = plain.iter().copied().chain([more]).collect();
        assert_eq!(recipe(&fixture, &members).is_some(), want, "{more:?}");
    }
}

#[test]
fn a_recipe_gives_the_files_as_they_are_now() {
    let fixture = Fixture::hatchling("");
    fixture.write("src/other/a.py", "A");
    let members = |init| [("other/a.py", "A"), METADATA, (INIT.0, init)];
    let made = recipe(&fixture, &members(INIT.1)).unwrap();
    let key = fixture.key();
    fixture.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(fixture.key(), key);
    let now = recipe(&fixture, &members("PRICE = 2\n")).unwrap();
    assert_eq!(given(&made, &fixture), given(&now, &fixture));
    let record = &given(&made, &fixture).unwrap()[2];
    assert!(
        record.0 == "shop-1.dist-info/RECORD" && record.1.contains("shop/__init__.py,sha256="),
        "{record:?}"
    );
    // A file that changes after it was read would not agree with RECORD.
    let read = fixture.read().unwrap();
    fixture.write("shop/__init__.py", "PRICE = 3\n");
    let out = tempfile::tempdir().unwrap();
    assert!(made.wheel(&read, out.path()).is_err());
    assert_eq!(out.path().read_dir().unwrap().count(), 0);
    // A recipe of other files is not one of these.
    fs::remove_file(fixture.path("src/other/a.py")).unwrap();
    assert_eq!(given(&made, &fixture), None);
}

#[test]
fn a_wheel_of_other_contents_than_were_read_has_no_recipe() {
    let fixture = Fixture::hatchling("");
    assert!(recipe(&fixture, &[INIT, METADATA]).is_some());
    // It changed during the build.
    assert!(recipe(&fixture, &[("shop/__init__.py", "PRICE = 2\n"), METADATA]).is_none());
}

#[test]
fn a_stored_recipe_is_used_only_whole_young_and_for_its_key() {
    let fixture = Fixture::hatchling("");
    let recipe = recipe(&fixture, &[INIT, METADATA]).unwrap();
    let (key, day) = (fixture.key(), std::time::Duration::from_secs(24 * 60 * 60));
    let text = recipe.text(&key).unwrap();
    let now = std::time::SystemTime::now();
    assert_eq!(Recipe::read(&text, &key, now, day), Ok(recipe));
    for at in 0..text.len() {
        assert!(Recipe::read(&text[..at], &key, now, day).is_err(), "the first {at} bytes");
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        let damaged = String::from_utf8_lossy(&damaged).into_owned();
        assert!(Recipe::read(&damaged, &key, now, day).is_err(), "byte {at}");
    }
    for (key, now, max_age) in [
        ("0", now, day),
        (&*key, now + day + day, day),
        (&*key, now - day, day),
        (&*key, now, std::time::Duration::ZERO),
    ] {
        assert!(Recipe::read(&text, key, now, max_age).is_err(), "{now:?} {max_age:?}");
    }
}

fn setup_py(arguments: &str) -> Fixture {
    let fixture = Fixture::new(SETUP_PY, "setuptools", "");
    fs::remove_file(fixture.path("pyproject.toml")).unwrap();
    let text = format!("from setuptools import find_packages, setup\nsetup(name='shop', {arguments})\n");
    fixture.write("setup.py", &text);
    fixture
}

#[test]
fn a_setup_py_that_can_be_read_has_a_recipe() {
    let plain = setup_py("packages=find_packages()");
    let key = plain.key();
    plain.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(plain.key(), key);
    plain.write(
        "setup.py",
        "from setuptools import find_packages, setup\nsetup(name='shop', packages=['shop'])\n",
    );
    assert_ne!(plain.key(), key);
    let with = |file: &str| {
        let fixture = setup_py("packages=find_packages()");
        fixture.write(file, "");
        fixture.read().is_some()
    };
    for (file, is_read) in [
        ("more/__init__.py", true),
        ("shop/json.py", true),
        ("setup.cfg", true),
        ("README.md", true),
        ("MANIFEST.in", false),
        ("json.py", false),
        ("json/__init__.py", false),
        ("wheel/a.txt", false),
        ("shop.egg-info/entry_points.txt", false),
    ] {
        assert_eq!(with(file), is_read, "{file}");
    }
    for (arguments, want) in [
        ("packages=find_packages('src'), package_dir={'': 'src'}", Some(true)),
        ("packages=['shop'], package_dir={'shop': 'lib'}", Some(false)),
        ("packages=find_packages('../lib')", None),
        ("packages=['shop'], package_dir={'': '/lib'}", None),
        ("packages=['shop'], version=open('VERSION').read()", None),
    ] {
        assert_eq!(setup_py(arguments).read().map(|read| read.is_shared), want, "{arguments}");
    }
}
