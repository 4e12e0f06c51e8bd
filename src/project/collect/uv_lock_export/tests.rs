//! Reads small locks, without uv.

use super::*;
use crate::project::{CollectOptions, LockUse};
use crate::target::Target;

/// `proj` with extras, groups, a self-reference, forks and a conflict; `lib` is a member with an own group.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/uv_lock/all"));

/// Words of a command line: extras, `+GROUP`, `all`, `3.Y`; the package first, `*` for all.
fn exported(text: &str, words: &str) -> Result<Table, Unsure> {
    let mut options = CollectOptions {
        target: Target::serverless("3.11".parse().unwrap()),
        lock_use: LockUse::Automatic,
        extras: Vec::new(),
        all_extras: false,
        reads_dockerfiles: false,
        workspaces: Default::default(),
        groups: Vec::new(),
    };
    let mut words = words.split_whitespace();
    let name = words.next().filter(|name| *name != "*").map(|name| PackageName::from_str(name).unwrap());
    for word in words {
        match (word.strip_prefix('+'), word.parse()) {
            (Some(group), _) => options.groups.push(group.into()),
            (None, Ok(python)) => options.target = Target::serverless(python),
            (None, Err(_)) if word == "--all" => options.all_extras = true,
            (None, Err(_)) => options.extras.push(word.into()),
        }
    }
    let environment = options.target.marker_environment();
    let selection = Selection::new(name.as_ref(), &options)?;
    export(&text.parse().unwrap(), Path::new("/srv/project"), &selection, &environment)
}

fn names(text: &str, words: &str) -> String {
    let document = exported(text, words).unwrap();
    let packages = document["packages"].as_array().unwrap().iter();
    let name = |package: &Value| {
        let version = package.get("version").and_then(Value::as_str).unwrap_or_default();
        format!("{}{version}", package["name"].as_str().unwrap())
    };
    packages.map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn extras_groups_and_markers_decide_what_is_needed() {
    for (words, want) in [
        ("proj", "fork1.0 lib some1.5"),
        ("proj 3.12", "fork2.0 lib some1.5"),
        ("proj net", "fork1.0 lib more3 some1.5"),
        ("proj Net none", "fork1.0 lib more3 some1.5"),
        ("proj all", "fork1.0 lib more3 some1.5"),
        ("proj cpu net", "fork1.0 lib more3 some1.5 torch1"),
        ("proj gpu net", "fork1.0 lib more3 some1.5 torch2"),
        ("proj +dev", "fork1.0 lib some1.5 tool1"),
        ("proj +dev 3.13", "fork2.0 lib some1.5"),
        ("lib", "lib some1.5"),
        ("lib +test", "lib some1.5 tool1"),
        ("*", "fork1.0 lib some1.5"),
        ("* +test +dev", "fork1.0 lib some1.5 tool1"),
    ] {
        assert_eq!(names(LOCK, words), want, "{words}");
    }
    let both = LOCK.replace("dev = [{ name", "test = [{ name = \"more\" }]\ndev = [{ name");
    assert_eq!(names(&both, "lib +test"), "lib some1.5 tool1", "a member's group is not that of the root");
    let other = LOCK.replace(
        "resolution-markers = [\"python_full_version >= '3.12'\", \"python_full_version < '3.12'\"]",
        "resolution-markers = [\"python_full_version >= '3.12' and extra == 'extra-4-proj-cpu'\"]",
    );
    assert_eq!(names(&other, "lib"), "lib", "no dependency applies where the lock was not made for");
    assert_eq!(names(&other, "lib 3.12"), "lib some1.5");
}

#[test]
fn the_document_is_that_of_uv() {
    insta::assert_snapshot!(exported(LOCK, "proj all cpu +dev").unwrap().to_string(), @r#"
    created-by = "uv"
    lock-version = "1.0"
    requires-python = ">=3.9"

    [[packages]]
    index = "https://index.example.com/simple"
    name = "fork"
    version = "1.0"

    [[packages.wheels]]
    url = "https://files.example.com/fork-1.0-py3-none-any.whl"

    [packages.wheels.hashes]
    sha256 = "01"

    [[packages]]
    name = "lib"

    [packages.directory]
    editable = true
    path = "lib"

    [[packages]]
    name = "more"
    version = "3"

    [packages.vcs]
    commit-id = "0123456789abcdef0123456789abcdef01234567"
    requested-revision = "main"
    subdirectory = "py"
    type = "git"
    url = "https://git.example.com/more.git"

    [[packages]]
    index = "https://index.example.com/simple"
    name = "some"
    version = "1.5"

    [packages.sdist]
    size = 3
    upload-time = 2024-01-02T03:04:05Z
    url = "https://files.example.com/some-1.5.tar.gz"

    [packages.sdist.hashes]
    sha256 = "03"

    [[packages.wheels]]
    name = "some-1.5.0-py3-none-any.whl"
    upload-time = 2024-01-02T03:04:05Z
    url = "https://files.example.com/Some-1.5.0-py3-none-any.whl"

    [packages.wheels.hashes]
    sha256 = "04"

    [[packages]]
    index = "file:///srv/files"
    name = "tool"
    version = "1"

    [[packages.wheels]]
    url = "file:///srv/files/tool-1-py3-none-any.whl"

    [packages.wheels.hashes]
    sha256 = "05"

    [[packages]]
    name = "torch"
    version = "1"

    [packages.archive]
    subdirectory = "a"
    url = "https://files.example.com/torch-1.zip#subdirectory=a"

    [packages.archive.hashes]
    sha256 = "06"
    "#);
    let supported = format!("supported-markers = [\"sys_platform == 'linux'\"]\n{LOCK}");
    let document = exported(&supported, "proj gpu").unwrap();
    let environments = ["sys_platform == 'linux'".into()];
    assert_eq!(document["environments"].as_array().unwrap(), &environments);
}

#[test]
fn what_is_not_known_is_left_to_uv() {
    for (words, from, to, reason) in [
        ("proj", "version = 1\n", "version = 2\n", "the version of the lock file is not known"),
        ("proj", "revision = 5", "revision = 6", "the version of the lock file is not known"),
        ("proj", "[manifest]", "[more]\n[manifest]", "`more` of the lock file is not known"),
        ("proj", "{ name = \"lib\" }", "{ name = \"lib\", if = 1 }", "`if` of a dependency is not known"),
        (
            "proj",
            "{ name = \"lib\" }",
            "{ name = \"fork\" }",
            "a dependency on `fork` does not name one of its packages",
        ),
        ("proj", "version = \"2.0\"", "version = \"1.0\"", "it has a package twice"),
        ("other", "", "", "it does not have `other` exactly once"),
        ("some", "", "", "it does not have the project as a local package"),
        ("proj missing", "", "", "an extra is not in it"),
        ("proj +missing", "", "", "a group is not in it"),
        ("lib +dev", "", "", "a group is not in it"),
        (
            "* +test",
            "[manifest]",
            "[manifest.dependency-groups]\ntest = []\n[manifest]",
            "a group is one of the workspace's root too",
        ),
        ("proj net --all", "", "", "both extras and all of them are asked for"),
        ("proj --all", "", "", "what is asked for may conflict"),
        ("proj cpu gpu", "", "", "what is asked for may conflict"),
        ("proj", "sha256:04", "sha1:04", "`sha1:04` is not a hash"),
        ("proj", ", hash = \"sha256:03\"", "", "a file has no hash"),
        ("proj", "/Some-1.5.0", "/some-1.6", "`some-1.6-py3-none-any.whl` is not of version 1.5"),
        ("proj", "files.example.com/some", "me:pw@files.example.com/some", "a URL has credentials"),
        ("proj", "2024-01-02T03:04:05Z", "yesterday", "`yesterday` is not a time"),
        (
            "proj",
            "source = { editable = \"lib\" }",
            "source = { hg = \"lib\" }",
            "the source `hg` is not known",
        ),
        ("proj net", "#0123456789abcdef", "#main", "a repository without a commit"),
        ("proj net", "rev=main", "path=a.whl", "`path` of a repository is not known"),
        ("proj cpu", "torch-1.zip", "torch-1.tgz", "`torch-1.tgz` is not a source archive"),
        (
            "proj",
            "sys_platform == 'win32'",
            "sys_platform is 'win32'",
            "`sys_platform is 'win32'`: Expected a valid marker operator (such as `>=` or `not in`), found `is`",
        ),
    ] {
        let text = LOCK.replace(from, to);
        assert!(from == to || text != LOCK, "{from}");
        assert_eq!(exported(&text, words), Unsure::because(reason), "{from} {to}");
    }
}

#[test]
fn an_old_lock_does_not_list_its_extras() {
    let text = LOCK.replace("revision = 5\n", "");
    assert_eq!(names(&text, "proj missing"), "fork1.0 lib some1.5");
}
