//! Recipes of local packages: a push that changes only contents starts no build backend, on a runner with nothing cached.

use crate::support::fake_uv::FakeUv;
use crate::support::scene::Scene;
use crate::support::small_project::write_lock;
use crate::support::step::{Ran, Step, pull_request};
use crate::support::{kept_cache, write_executable};
use pexpress::pex::WHEEL_SHA256;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Builds a wheel of the directory `shop` in the last argument.
const BUILD: &str = r#"
case $1 in build) ;; *) echo 'uv was asked for something else' >&2; exit 2;; esac
while [ $# -gt 1 ]; do [ "$1" = --out-dir ] && out=$2; shift; done
exec python3 "$FAKE_UV_DIR/build.py" "$1" "$out"
"#;
const BUILD_PY: &str = r#"
import base64, hashlib, pathlib, sys, zipfile
source, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
files = {f.relative_to(source).as_posix(): f.read_bytes() for f in sorted(source.glob("shop/**/*")) if f.is_file()}
info = "shop-1.dist-info/"
files[info + "WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
files[info + "METADATA"] = b"Metadata-Version: 2.1\nName: shop\nVersion: 1\n"
record = ""
for name, content in files.items():
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    record += f"{name},sha256={digest},{len(content)}\n"
files[info + "RECORD"] = (record + info + "RECORD,,\n").encode()
with zipfile.ZipFile(out / "shop-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in files.items():
        archive.writestr(name, content)
"#;
const PYPROJECT: &str = "[build-system]\nrequires = ['hatchling']\nbuild-backend = 'hatchling.build'\n\
    [project]\nname = 'shop'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['dagster', 'dagster-cloud']\n";
const PYTHON: &str = "#!/bin/sh\ncase \"$3\" in *sys.implementation*) printf 'cpython\\n3.11.9\\n-\\n%s\\n' \"$0\";; *) exec python3 \"$@\";; esac\n";

/// A project with a build backend, and a uv that counts its builds.
pub struct Shop {
    pub scene: Scene,
    tools: tempfile::TempDir,
    uv: FakeUv,
}

impl Shop {
    pub fn new() -> Shop {
        let scene = Scene::new(&[("one", "")], json!({}));
        let tools = tempfile::tempdir().unwrap();
        let uv = FakeUv::new(tools.path(), BUILD);
        std::fs::write(tools.path().join("build.py"), BUILD_PY).unwrap();
        write_executable(&tools.path().join("python3.11"), PYTHON);
        let shop = Shop { scene, tools, uv };
        write_lock(shop.scene.dir.path());
        std::fs::remove_file(shop.path("requirements.txt")).unwrap();
        shop.write("pyproject.toml", PYPROJECT);
        shop.write("shop/__init__.py", "PRICE = 1\n");
        shop
    }

    fn path(&self, path: &str) -> PathBuf {
        self.scene.dir.path().join("one").join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    /// A step on a runner that has nothing but the PEX runtime.
    fn step(&self, runner: &Path) -> Step<'_> {
        let runtime = Path::new("wheels").join(&WHEEL_SHA256[..2]).join(WHEEL_SHA256);
        let there = runner.join(&runtime);
        if !there.exists() {
            std::fs::create_dir_all(there.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(kept_cache().join(&runtime), there).unwrap();
        }
        let path = format!("{}:{}", self.tools.path().display(), std::env::var("PATH").unwrap());
        self.scene
            .step()
            .with("PEXPRESS_CACHE_DIR", runner.to_str().unwrap())
            .with("PEXPRESS_UV", self.uv.program())
            .with("PATH", &path)
    }

    /// Run on a runner of its own. Returns how many builds it took too.
    pub fn run(&self, event: &str, payload: &Value, with: &[(&str, &str)]) -> (Ran, usize) {
        let (runner, before) = (tempfile::tempdir().unwrap(), self.uv.calls().len());
        let mut step = self.step(runner.path());
        for (name, value) in with {
            step = step.with(name, value);
        }
        let ran = step.event(event, payload).run();
        assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
        (ran, self.uv.calls().len() - before)
    }

    fn push(&self) -> (Ran, usize) {
        self.run("push", &json!({"ref": "refs/heads/main"}), &[])
    }

    /// The names of the recipes in the registry.
    fn recipes(&self) -> Vec<String> {
        let state = self.scene.dagster.state();
        let names = state["texts"].as_object().unwrap().keys();
        names.filter(|name| name.starts_with("recipe-")).cloned().collect()
    }
}

#[test]
fn a_push_of_contents_builds_nothing_and_deploys_what_a_build_gives() {
    let shop = Shop::new();
    assert_eq!(shop.push().1, 1);
    shop.write("shop/__init__.py", "PRICE = 2\n");
    let (put_together, builds) = shop.push();
    assert_eq!(builds, 0, "{}", put_together.log);
    assert_eq!(put_together.json("locations")[0]["sent"], json!({"source": "uploaded", "deps": "cached"}));
    let main = json!({"ref": "refs/heads/main"});
    for with in [("INPUT_RESOLVE_MAX_AGE", "0"), ("INPUT_CACHE", "false"), ("SOURCE_DATE_EPOCH", "315532800")]
    {
        let (built, builds) = shop.run("push", &main, &[with]);
        assert_eq!(builds, 1, "{with:?}: {}", built.log);
        assert_eq!(built.output("pex_tags"), put_together.output("pex_tags"), "{with:?}");
        assert_eq!(built.json("locations")[0]["sent"]["source"], "already_there", "{with:?}");
    }
    assert_eq!(shop.run("schedule", &json!({}), &[]).1, 1);
    let (_, builds) = shop.run("push", &main, &[("INPUT_COMMAND", "plan")]);
    assert_eq!(builds, 0);
    // These are about the deps PEX.
    let (ran, builds) = shop.run("push", &main, &[("INPUT_FORCE_REBUILD_DEPS", "true")]);
    assert_eq!(builds, 0, "{}", ran.log);
    let (runner, before) = (tempfile::tempdir().unwrap(), shop.uv.calls().len());
    // The dagster of the project cannot be loaded, which is found after the build.
    let ran = shop.step(runner.path()).with("INPUT_VERIFY", "true").event("push", &main).run();
    let calls = shop.uv.calls().split_off(before);
    assert!(!calls.iter().any(|call| call.starts_with("build ")), "{calls:?} {}", ran.log);
    for (path, text) in
        [("shop/more.py", ""), ("README.md", "x"), ("shop/data/a.csv", "1"), (".gitignore", "x")]
    {
        shop.write(path, text);
        assert_eq!(shop.push().1, 1, "{path}");
        assert_eq!(shop.push().1, 0, "{path}");
    }
    shop.scene.assert_clean();
}

#[test]
fn a_branch_never_uses_the_recipe_of_a_pull_request() {
    let shop = Shop::new();
    assert_eq!(shop.push().1, 1);
    let opened = pull_request("opened");
    shop.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(shop.run("pull_request", &opened, &[]).1, 0, "that of its base");
    shop.write("shop/more.py", "MORE = 1\n");
    assert_eq!(shop.run("pull_request", &opened, &[]).1, 1);
    assert_eq!(shop.run("pull_request", &opened, &[]).1, 0, "its own");
    assert_eq!(shop.recipes().len(), 2);
    assert_eq!(shop.push().1, 1, "merged");
    assert_eq!(shop.recipes().len(), 3);
    shop.scene.assert_clean();
}

/// It is not known which of two equal files the backend took. Earlier, such a package was built in each run.
#[test]
fn a_package_with_equal_files_is_built_once_on_a_machine_that_stays() {
    let shop = Shop::new();
    let runner = tempfile::tempdir().unwrap();
    let pushed = || {
        let before = shop.uv.calls().len();
        let ran = shop.step(runner.path()).event("push", &json!({"ref": "refs/heads/main"})).run();
        assert_eq!(ran.code, Some(0), "{}", ran.log);
        (shop.uv.calls().len() - before, ran.output("pex_tags").to_string())
    };
    shop.write("tests/shop/__init__.py", "PRICE = 1\n");
    let (builds, tags) = pushed();
    assert_eq!(builds, 1);
    assert_eq!(pushed(), (0, tags));
    shop.write("tests/shop/__init__.py", "PRICE = 2\n");
    assert_eq!(pushed().0, 1, "now each file has one source");
    shop.write("shop/__init__.py", "PRICE = 2\n");
    assert_eq!(pushed().0, 0);
    assert_eq!(shop.recipes().len(), 1, "the registry has no recipe of equal files");
}

#[test]
fn a_recipe_that_cannot_be_used_costs_a_build_and_changes_nothing() {
    let shop = Shop::new();
    let (first, _) = shop.push();
    let [name] = shop.recipes().try_into().unwrap();
    let text = shop.scene.dagster.state()["texts"][&name].as_str().unwrap().to_string();
    let other = text.replace("\"PRICE", "\"PRIZE").replace("shop/__init__.py", "shop/__main__.py");
    for text in ["<html>".to_string(), text[..text.len() / 2].to_string(), other, "x".repeat(2 << 20)] {
        shop.scene.dagster.control("put-object", &json!({"name": name, "text": text}));
        let (ran, builds) = shop.push();
        assert_eq!(builds, 1, "{}", ran.log);
        assert!(ran.log.contains(&name), "{}", ran.log);
        assert_eq!(ran.output("pex_tags"), first.output("pex_tags"));
        // It is written again.
        assert_eq!(shop.push().1, 0);
    }
    let fault = json!([{"operation": "GET", "object": name, "status": 500, "times": 0}]);
    shop.scene.dagster.control("faults", &fault);
    let (ran, builds) = shop.push();
    assert_eq!((builds, ran.output("pex_tags")), (1, first.output("pex_tags")), "{}", ran.log);
}
