//! `--verify=auto`: new dependencies without a lock file are loaded before a code location is updated with them. A set
//! that cannot be imported never reaches a deployment, not in the next run either.
//!
//! The dagster of these projects only has the modules that loading needs.

use crate::deploy::whole::{TO_PROD, deploy, ran};
use crate::support::small_project::write_wheel_of;
use crate::support::standin::Standin;
use serde_json::json;
use std::path::Path;

const SERVER: &str = "\
import importlib
class LoadedRepositories:
    def __init__(self, loadable_target_origin):
        importlib.import_module(loadable_target_origin['python_file'].removesuffix('.py'))
        self.definitions_by_name = {}
";

/// One code location with this content, and a dagster-cloud with this `instance`.
fn write(dir: &Path, code: &str, instance: &str) {
    let wheels = dir.join("wheels");
    std::fs::create_dir_all(&wheels).unwrap();
    let dagster = [
        ("__init__.py", "__version__ = '1.13.27'\n"),
        ("_grpc/__init__.py", ""),
        ("_grpc/server.py", SERVER),
        ("_core/__init__.py", ""),
        ("_core/types/__init__.py", ""),
        ("_core/types/loadable_target_origin.py", "LoadableTargetOrigin = dict\n"),
    ];
    write_wheel_of(&wheels, "dagster", "1.13.27", &dagster);
    let cloud = [("__init__.py", ""), ("version.py", "__version__ = '1.13.27'\n"), ("instance.py", instance)];
    write_wheel_of(&wheels, "dagster-cloud", "1.13.27", &cloud);
    std::fs::write(dir.join("requirements.txt"), "--no-index\n--find-links wheels\ndagster\ndagster-cloud\n")
        .unwrap();
    std::fs::write(dir.join("defs.py"), code).unwrap();
    let yaml = "locations:\n  - location_name: one\n    code_source: {python_file: defs.py}\n";
    std::fs::write(dir.join("dagster_cloud.yaml"), yaml).unwrap();
}

const CACHE: [&str; 4] = ["--deps-cache-from", "acme/proj", "--deps-cache-to", "acme/proj"];

#[test]
#[ignore = "pex comes from a package index"]
fn code_that_does_not_load_reaches_no_deployment_and_no_cache() {
    let (dir, standin) = (tempfile::tempdir().unwrap(), Standin::start(json!({})));
    write(dir.path(), "", "raise ImportError('cannot import name X509_V_FLAG')\n");
    for _ in 0..2 {
        let ran = ran(deploy(&standin, dir.path()).args(TO_PROD).args(CACHE).arg("--verify=auto"));
        assert_eq!((ran.code, ran.state("one")), (Some(1), "not_deployed"), "{}", ran.stderr);
        assert!(ran.stderr.contains("one: ImportError: cannot import name X509_V_FLAG"), "{}", ran.stderr);
    }
    write(dir.path(), "", "");
    let mended = ran(deploy(&standin, dir.path()).args(TO_PROD).args(CACHE).arg("--verify=auto"));
    assert_eq!((mended.code, mended.state("one")), (Some(0), "loaded"), "{}", mended.stderr);
    assert_eq!(mended.document["verified"][0]["dagster_cloud"], "1.13.27");
    // Now the code location runs this deps PEX, so nothing new has to be loaded here.
    let again = ran(deploy(&standin, dir.path()).args(TO_PROD).args(CACHE).arg("--verify=auto"));
    assert_eq!((again.code, &again.document["verified"]), (Some(0), &json!(null)), "{}", again.stderr);
}

#[test]
#[ignore = "pex comes from a package index"]
fn a_missing_secret_blocks_only_with_verify_always() {
    let code = "import os\nos.environ['ONLY_IN_DAGSTER_PLUS']\n";
    for (flag, code_want, state) in
        [("--verify=auto", Some(0), "loaded"), ("--verify", Some(1), "not_deployed")]
    {
        let (dir, standin) = (tempfile::tempdir().unwrap(), Standin::start(json!({})));
        write(dir.path(), code, "");
        let ran = ran(deploy(&standin, dir.path()).args(TO_PROD).arg(flag));
        assert_eq!((ran.code, ran.state("one")), (code_want, state), "{flag}: {}", ran.stderr);
        let warning = "one does not load here, but may load elsewhere: the environment variable ONLY_IN_DAGSTER_PLUS is not set here";
        assert_eq!(ran.stderr.contains(warning), flag == "--verify=auto", "{}", ran.stderr);
    }
}

/// What a code location does on import, and why it does not load only here; `None` for an error in the code.
const ERRORS: [(&str, &str, Option<&str>); 27] = [
    ("getitem", "os.environ['A_TOKEN']", A_TOKEN),
    ("bytes", "os.environb[b'A_TOKEN']", A_TOKEN),
    ("none", "os.getenv('A_TOKEN').strip()", A_TOKEN),
    ("number", "int(os.getenv('A_TOKEN'))", A_TOKEN),
    ("later", "TOKEN = os.getenv('A_TOKEN')\ndef f(x):\n    return x.split()\nf(TOKEN)", A_TOKEN),
    ("returned", "def get(name):\n    return os.getenv(name)\nget('A_TOKEN').split()", A_TOKEN),
    (
        "attribute",
        "class C:\n    def __init__(self):\n        self.t = os.getenv('A_TOKEN')\n    def f(self):\n        return self.t + 'x'\nC().f()",
        A_TOKEN,
    ),
    ("named", "if not os.getenv('A_TOKEN'):\n    raise RuntimeError('A_TOKEN is required')", A_TOKEN),
    ("unnamed", "token = os.getenv('A_TOKEN')\nif not token:\n    raise RuntimeError('no token')", A_TOKEN),
    (
        "hidden",
        "try:\n    os.environ['A_TOKEN']\nexcept KeyError:\n    raise ValueError('no token') from None",
        A_TOKEN,
    ),
    ("exit", "if 'A_TOKEN' not in os.environ:\n    sys.exit('A_TOKEN missing')", A_TOKEN),
    ("exit_code", "if 'A_TOKEN' not in os.environ:\n    sys.exit(1)", A_TOKEN),
    ("asserted", "assert os.environ.get('A_TOKEN'), 'set A_TOKEN'", A_TOKEN),
    ("asserted_silently", "assert os.environ.get('A_TOKEN')", A_TOKEN),
    ("file", "open('/run/secrets/token')", Some("the file /run/secrets/token is not here")),
    ("missing_module", "os.getenv('A_TOKEN')\nimport not_a_dependency", None),
    ("other_none", "TOKEN = os.getenv('A_TOKEN')\nimport re\nre.match('a', 'b').group()", None),
    ("other_key", "os.getenv('A_TOKEN')\n{}['B_TOKEN']", None),
    ("undefined", "os.getenv('A_TOKEN')\nprint(A_TOKEN)", None),
    ("argument", "os.getenv('A_TOKEN')\ndef f(): ...\nf(A_TOKEN=1)", None),
    ("other_raise", "if not os.getenv('A_TOKEN'):\n    pass\nraise RuntimeError('broken')", None),
    ("other_assert", "TOKEN = os.getenv('A_TOKEN')\nassert 1 == 2", None),
    ("other_exit", "TOKEN = os.getenv('A_TOKEN')\nsys.exit(1)", None),
    ("set_since", "os.environ.setdefault('A_TOKEN', 'x')\nraise RuntimeError('A_TOKEN is bad')", None),
    ("set", "raise RuntimeError('the environment variable \"PATH\" is required to be short')", None),
    ("other_file", "open('/nowhere/at-all')", None),
    ("own_file", "open('secrets/token')", None),
];
const A_TOKEN: Option<&str> = Some("the environment variable A_TOKEN is not set here");

#[test]
#[ignore = "pex comes from a package index"]
fn an_error_is_blamed_on_a_variable_only_if_it_comes_from_one() {
    let (dir, standin) = (tempfile::tempdir().unwrap(), Standin::start(json!({})));
    write(dir.path(), "", "");
    let mut yaml = "locations:\n".to_string();
    for (name, code, _) in ERRORS {
        std::fs::write(dir.path().join(format!("{name}.py")), format!("import os, sys\n{code}\n")).unwrap();
        yaml += &format!("  - location_name: {name}\n    code_source: {{python_file: {name}.py}}\n");
    }
    std::fs::write(dir.path().join("dagster_cloud.yaml"), yaml).unwrap();
    let ran = ran(deploy(&standin, dir.path()).args(TO_PROD).arg("--verify"));
    let verified = ran.document["verified"].as_array().unwrap_or_else(|| panic!("{}", ran.stderr));
    let found: Vec<_> =
        verified.iter().map(|one| (one["name"].as_str().unwrap(), one["not_here"].as_str())).collect();
    let want: Vec<_> = ERRORS.iter().map(|(name, _, want)| (*name, *want)).collect();
    assert_eq!(found, want, "{:#}", ran.document["verified"]);
}
