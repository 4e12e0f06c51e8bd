//! `deploy --refresh-defs-state` and `defs-state refresh`: state-backed components of a dg project, against a stand-in.
//! Their dagster is a small stand-in too; the ignored test has the real one.

use crate::deploy::whole::{Ran, TO_PROD, in_pull_request, payload, ran};
use crate::image::base::Base;
use crate::image::build::Layout;
use crate::support::fault_registry::{FaultRegistry, Ways};
use crate::support::github_standin::GithubStandin;
use crate::support::pexpress_with_uv;
use crate::support::said::{lines, messages};
use crate::support::small_project::{write_wheel, write_wheel_of};
use crate::support::standin::Standin;
use crate::support::step::{Step, pull_request};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

const STORAGE: &str = "\
from contextlib import contextmanager

class DefsStateStorage:
    current = None
    @classmethod
    def get(cls):
        return DefsStateStorage.current

@contextmanager
def set_defs_state_storage(storage):
    DefsStateStorage.current = storage
    yield
";
const TREE: &str = "\
import importlib

class ComponentTree:
    @classmethod
    def for_project(cls, path):
        assert (path / 'dg.toml').is_file()
        return cls()
    def get_all_components(self, of_type):
        found = importlib.import_module('shop.defs').components
        return [one for one in found if isinstance(one, of_type)]
";
const INFO: &str = "\
class DefsStateInfo:
    @classmethod
    def from_graphql(cls, data):
        info = cls()
        info.versions = {one['name']: one['info']['version'] for one in data['keyStateInfo']}
        return info
";
/// One component whose state is kept at Dagster+, two with one state in a file, and one that is refreshed elsewhere.
const COMPONENTS: &str = "\
import os
from types import SimpleNamespace as N

from dagster._core.storage.defs_state.base import DefsStateStorage
from dagster.components.component.state_backed_component import StateBackedComponent

def config(key, kind):
    return N(key=key, management_type=N(value=kind))

class Kept(StateBackedComponent):
    defs_state_config = config('tables[prod]', 'VERSIONED_STATE_STORAGE')
    async def refresh_state(self, root):
        assert not [name for name in os.environ if 'TOKEN' in name]
        storage, path = DefsStateStorage.get(), root / 'written'
        path.write_text('tables of ' + os.environ['WAREHOUSE'])
        before = storage.get_latest_defs_state_info().versions.get('tables[prod]', 'v0')
        storage.upload_state_from_path('tables[prod]', 'v' + str(int(before[1:]) + 1), path)
        path.unlink()

class InFile(StateBackedComponent):
    defs_state_config = config('local', 'LOCAL_FILESYSTEM')
    async def refresh_state(self, root):
        directory = root / 'src/shop/defs/.local_defs_state/local'
        directory.mkdir(parents=True, exist_ok=True)
        (directory / 'state').write_text('from the refresh')
        DefsStateStorage.get().set_latest_version('local', '__local__')

class Elsewhere(StateBackedComponent):
    defs_state_config = config('server', 'LEGACY_CODE_SERVER_SNAPSHOTS')

components = [Kept(), InFile(), InFile(), Elsewhere()]
";

fn write_dagster(wheels: &Path) {
    std::fs::create_dir_all(wheels).unwrap();
    write_wheel(wheels, "dagster-cloud", "1.13.27");
    let package = [
        ("__init__.py", ""),
        ("_core/__init__.py", ""),
        ("_core/storage/__init__.py", ""),
        ("_core/storage/defs_state/__init__.py", ""),
        ("_core/storage/defs_state/base.py", STORAGE),
        ("components/__init__.py", ""),
        ("components/component/__init__.py", ""),
        ("components/component/state_backed_component.py", "class StateBackedComponent:\n    pass\n"),
        ("components/core/__init__.py", ""),
        ("components/core/component_tree.py", TREE),
    ];
    write_wheel_of(wheels, "dagster", "1.13.27", &package);
    let package = [
        ("__init__.py", ""),
        ("serdes/__init__.py", ""),
        ("serdes/objects/__init__.py", ""),
        ("serdes/objects/models/__init__.py", ""),
        ("serdes/objects/models/defs_state_info.py", INFO),
    ];
    write_wheel_of(wheels, "dagster-shared", "1.13.27", &package);
}

struct Scene {
    standin: Standin,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(config: Value) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        write_dagster(&dir.path().join("wheels"));
        let scene = Scene { standin: Standin::start(config), dir };
        let requirements = "--no-index\n--find-links wheels\ndagster\ndagster-cloud\ndagster-shared\n";
        scene.write("requirements.txt", requirements);
        scene.write("dg.toml", "directory_type = \"project\"\n[project]\nroot_module = \"shop\"\ncode_location_name = \"shop\"\n");
        scene.write("src/shop/__init__.py", "");
        scene.write("src/shop/definitions.py", "");
        scene.write("src/shop/defs/__init__.py", COMPONENTS);
        scene
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = pexpress_with_uv();
        self.standin.point(&mut command).args(args).arg(self.dir.path());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn deploy(&self) -> Ran {
        self.deploy_with(&[])
    }

    fn deploy_with(&self, args: &[&str]) -> Ran {
        let mut command = self.command(&["deploy"]);
        command.arg(self.dir.path().join("out")).args(["--upload", "--update", "--refresh-defs-state"]);
        ran(command.args(TO_PROD).args(args))
    }
}

fn variables() -> Value {
    json!({"secrets": [
        {"name": "WAREHOUSE", "value": "the-warehouse"},
        {"name": "MY_TOKEN", "value": "of-another-location", "locations": ["billing"]},
        {"name": "MY_TOKEN", "value": "of-branches", "locations": ["billing"], "scope": "allBranchDeploymentsScope"},
    ]})
}

#[test]
fn a_deploy_refreshes_the_state_first_and_deploys_with_it() {
    let scene = Scene::new(variables());
    let first = scene.deploy();
    assert_eq!((first.code, first.state("shop")), (Some(0), "loaded"), "{}", first.stderr);
    let state = scene.standin.state();
    let prod = &state["deployments"]["prod"];
    assert_eq!(prod["defs_state"], json!({"tables[prod]": "v1", "local": "__local__"}));
    assert_eq!(state["texts"]["prod/__state__/tables__prod__/v1"], "tables of the-warehouse");
    let info = &prod["locations"]["shop"]["defs_state_info"]["info_mapping"];
    assert_eq!(info["tables[prod]"]["version"], "v1");
    assert!(info["local"]["create_timestamp"].is_number(), "{info}");
    insta::assert_snapshot!(lines(&first.stderr, "refreshed"), @"shop: refreshed the state of tables[prod], local");

    // The state in a file is part of the code.
    let source = first.document["locations"][0]["source_pex"].as_str().unwrap();
    let file = std::fs::File::open(scene.dir.path().join("out").join(source)).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let name = archive.file_names().find(|name| name.ends_with(".local_defs_state/local/state"));
    let name = name.unwrap_or_else(|| panic!("no state in {source}")).to_string();
    let mut text = String::new();
    archive.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the refresh");

    assert_eq!(scene.deploy().code, Some(0));
    assert_eq!(scene.standin.state()["deployments"]["prod"]["defs_state"]["tables[prod]"], "v2");
    scene.standin.journal().assert_clean();
}

/// The refresh ran after the image was pushed, and the image had the state from before.
#[test]
fn an_image_has_the_state_too() {
    let mut config = variables();
    config["deployments"] = json!([{"name": "prod", "agent_type": "HYBRID"}]);
    let scene = Scene::new(config);
    Base::official("3.11").write(&scene.dir.path().join("base"));
    scene.write(".pexignore", "base\nwheels\nout\n");
    let registry = FaultRegistry::new(Ways::default());
    let repository = format!("{}/acme/app", registry.host());
    let image = ["--image-registry", &repository, "--base-image", "oci:base", "--python-version", "3.11"];
    let ran = scene.deploy_with(&image);
    assert_eq!((ran.code, ran.state("shop")), (Some(0), "loaded"), "{}", ran.stderr);
    let state = scene.standin.state();
    let document = &state["deployments"]["prod"]["locations"]["shop"];
    assert!(document["image"].as_str().unwrap().starts_with(&repository), "{document:#}");
    assert_eq!(document["defs_state_info"]["info_mapping"]["tables[prod]"]["version"], "v1");
    let files = Layout::open(&scene.dir.path().join("out/shop")).files();
    let path = "opt/dagster/app/src/shop/defs/.local_defs_state/local/state";
    let entry = files.get(path).unwrap_or_else(|| panic!("{:#?}", files.keys()));
    assert_eq!(entry.text(), "from the refresh");
    scene.standin.journal().assert_clean();
}

#[test]
fn a_refresh_alone_prints_what_a_deploy_takes() {
    let scene = Scene::new(variables());
    let mut command = scene.command(&["defs-state", "refresh"]);
    let output = command.args(["--deployment", "prod"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["info_mapping"]["tables[prod]"]["version"], "v1");
    assert_eq!(scene.standin.state()["deployments"]["prod"]["locations"], json!({}));

    scene.write(
        "src/shop/defs/__init__.py",
        &COMPONENTS.replace(", Elsewhere()]", "]\nimport os\ndel os.environ['WAREHOUSE']"),
    );
    let mut command = scene.command(&["defs-state", "refresh"]);
    let branch = in_pull_request(&mut command, scene.dir.path(), &payload("opened")).output().unwrap();
    let said = String::from_utf8(branch.stderr).unwrap();
    assert_eq!(branch.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the state of `tables[prod]` in `shop` could not be refreshed: KeyError: 'WAREHOUSE'"),
        "{said}"
    );
    let calls = scene.standin.journal().calls();
    assert_eq!(calls.iter().filter(|call| *call == "createOrUpdateBranchDeployment").count(), 1);
    assert_eq!(calls.iter().filter(|call| *call == "setLatestDefsStateVersion").count(), 2, "{calls:#?}");
}

#[test]
fn what_cannot_be_refreshed_changes_nothing() {
    let mut config = variables();
    config["secrets_refused"] = json!("no permission to view them");
    let scene = Scene::new(config);
    scene.write(
        "src/shop/defs/__init__.py",
        &COMPONENTS.replace("os.environ['WAREHOUSE']", "os.environ['PATH'] and undefined"),
    );
    let ran = scene.deploy();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let said = messages(&ran.stderr);
    insta::assert_snapshot!(said.lines().filter(|line| !line.starts_with("    ")).collect::<Vec<_>>().join("\n"), @r#"
    warning: could not ask for the environment variables: UnauthorizedError: no permission to view them; refreshing the state of definitions without them
    error: the state of `tables[prod]` in `shop` could not be refreshed: NameError: name 'undefined' is not defined
    hint: the code runs here with the environment variables of Dagster+ and of this run; nothing of this project was sent
    "#);
    let calls = scene.standin.journal().calls();
    assert!(
        !calls
            .iter()
            .any(|call| call.starts_with("set") || call.contains("gen_artifact") || call.starts_with("PUT")),
        "{calls:#?}"
    );

    scene.write(
        "dagster_cloud.yaml",
        "locations:\n  - {location_name: shop, code_source: {module_name: shop.definitions}}\n",
    );
    scene.standin.control("journal", &Value::Null);
    let classic = scene.deploy();
    assert_eq!(scene.standin.journal().calls(), [] as [&str; 0]);
    insta::assert_snapshot!(lines(&classic.stderr, "r"), @r#"
    error: none of the code locations is a dg project, and only those have state-backed components
    hint: leave --refresh-defs-state out, or name the dg project or workspace
    "#);
}

#[test]
fn a_step_refreshes_the_state_of_a_branch_deployment_and_hides_the_variables() {
    let mut config = variables();
    config["secrets"] = json!([
        {"name": "WAREHOUSE", "value": "the-warehouse", "scope": "allBranchDeploymentsScope"},
    ]);
    let scene = Scene::new(config);
    let github = GithubStandin::start(json!({}));
    let step = Step::new(scene.dir.path(), &scene.standin, &github).with("INPUT_REFRESH_DEFS_STATE", "true");
    let ran = step.event("pull_request", &pull_request("opened")).run();
    assert_eq!((ran.code, ran.output("result")), (Some(0), "success"), "{}", ran.log);
    let state = scene.standin.state();
    let document = &state["deployments"][ran.output("deployment")]["locations"]["shop"];
    assert_eq!(document["defs_state_info"]["info_mapping"]["tables[prod]"]["version"], "v1");
    insta::assert_snapshot!(lines(&ran.log, "e state of"), @r#"
    ::group::Refresh the state of definitions
    shop: refreshed the state of tables[prod], local
    "#);
    let shown: Vec<&str> = ran.log.lines().filter(|line| line.contains("the-warehouse")).collect();
    assert_eq!(shown, ["::add-mask::the-warehouse"]);
    scene.standin.journal().assert_clean();
}

const REAL_COMPONENT: &str = "\
import os
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig
from dagster.components.component.state_backed_component import StateBackedComponent


@dataclass
class Tables(StateBackedComponent, dg.Resolvable):
    name: str
    defs_state: ResolvedDefsStateConfig = field(default_factory=DefsStateConfigArgs.versioned_state_storage)

    @property
    def defs_state_config(self):
        return DefsStateConfig.from_args(self.defs_state, default_key=f'Tables[{self.name}]')

    def write_state_to_path(self, state_path: Path):
        state_path.write_text(os.environ['WAREHOUSE'])

    def build_defs_from_state(self, context, state_path):
        return dg.Definitions()
";

#[test]
#[ignore = "half a minute, and a package index"]
fn the_real_dagster_refreshes_its_components() {
    let scene = Scene::new(variables());
    scene.write("requirements.txt", "dagster==1.13.27\ndagster-cloud==1.13.27\n");
    scene.write("src/shop/defs/__init__.py", "");
    scene.write("src/shop/components.py", REAL_COMPONENT);
    scene.write("src/shop/defs/kept/defs.yaml", "type: shop.components.Tables\nattributes: {name: prod}\n");
    let local = "type: shop.components.Tables\nattributes: {name: local, defs_state: {management_type: LOCAL_FILESYSTEM}}\n";
    scene.write("src/shop/defs/local/defs.yaml", local);
    let ran = scene.deploy();
    assert_eq!((ran.code, ran.state("shop")), (Some(0), "loaded"), "{}", ran.stderr);
    let state = scene.standin.state();
    let versions = state["deployments"]["prod"]["defs_state"].as_object().unwrap();
    assert_eq!(versions["Tables[local]"], "__local__");
    let version = versions["Tables[prod]"].as_str().unwrap();
    assert_eq!(state["texts"][format!("prod/__state__/Tables__prod__/{version}")], "the-warehouse");
    let file = scene.dir.path().join("src/shop/defs/.local_defs_state/Tables__local__/state");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "the-warehouse");
    scene.standin.journal().assert_clean();
}
