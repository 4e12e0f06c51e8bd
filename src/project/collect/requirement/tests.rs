//! Tests of `requirement.rs`.

use super::*;
use crate::target::{PythonVersion, Target};

fn place() -> Place {
    Place { file: "requirements.txt".into(), line: Some(1), column: None }
}

/// `LINE`, `dir PATH [extras]` or `file PATH [extras]`, paths relative to the scratch directory.
fn shown(text: &str, root: &Path) -> String {
    let environment = Target::serverless(PythonVersion::DEFAULT).marker_environment();
    let directory = root.join("proj");
    let scope = Scope::at(&directory, &environment);
    let asked = match read(text, scope, &place()) {
        Ok(Some(asked)) => asked,
        Ok(None) => return "nothing".into(),
        Err(error) => return format!("error: {error}"),
    };
    let extras: Vec<_> = asked.extras.iter().map(ToString::to_string).collect();
    let relative = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    match asked.what {
        What::Versions(_) | What::Link(_) => asked.text,
        What::Directory(path) => format!("dir {} [{}]", relative(&path), extras.join(",")),
        What::Distribution(path) => format!("file {} [{}]", relative(&path), extras.join(",")),
    }
}

#[test]
fn each_form_that_pip_takes_is_understood() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().canonicalize().unwrap();
    for directory in ["proj/sub/lib", "shared", "with space", "a;b[c]"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::write(root.join("proj/lib-1.0-py3-none-any.whl"), "").unwrap();
    let absolute = root.join("shared").display().to_string();
    for (text, want) in [
        ("dagster", "dagster"),
        (" Dagster[a] >= 1.0 ; python_version > '3' ", "Dagster[a] >= 1.0 ; python_version > '3'"),
        ("dagster (>=1.0)", "dagster (>=1.0)"),
        ("dagster\u{a0}>=1.0", "dagster >=1.0"),
        ("dagster>=1.0, ; os_name == 'posix'", "dagster>=1.0; os_name == 'posix'"),
        ("x @ https://h/x.zip; os_name == 'posix'", "x @ https://h/x.zip ; os_name == 'posix'"),
        ("./sub/lib", "dir proj/sub/lib []"),
        ("sub/lib", "dir proj/sub/lib []"),
        ("sub/lib/", "dir proj/sub/lib []"),
        ("../shared[a, B_c]", "dir shared [a,b-c]"),
        ("../shared ; python_version >= '3.8'", "dir shared []"),
        ("../a;b[c]", "dir a;b[c] []"),
        ("../shared;sys_platform == 'win32'", "nothing"),
        ("../missing ; sys_platform == 'win32'", "nothing"),
        (".", "dir proj []"),
        (".[dev]", "dir proj [dev]"),
        (absolute.as_str(), "dir shared []"),
        ("shared @ ../shared", "dir shared []"),
        ("shared[x] @ file:../shared ; python_version > '3'", "dir shared [x]"),
        ("file:../with%20space", "dir with space []"),
        ("file:../shared#egg=shared[x]", "dir shared [x]"),
        ("file:sub#subdirectory=lib&egg=lib", "dir proj/sub/lib []"),
        ("./lib-1.0-py3-none-any.whl", "file proj/lib-1.0-py3-none-any.whl []"),
        ("lib-1.0-py3-none-any.whl[x]", "file proj/lib-1.0-py3-none-any.whl [x]"),
        ("lib @ {root:uri}/sub/lib", "dir proj/sub/lib []"),
        ("shared @ {root:parent:uri}/shared", "dir shared []"),
        ("shared @ file:///${PROJECT_ROOT}/../shared", "dir shared []"),
        ("shared @ file://${PROJECT_ROOT}/../shared", "dir shared []"),
        ("shared @ ${PROJECT_ROOT}/../shared", "dir shared []"),
        ("${PROJECT_ROOT}/../shared", "dir shared []"),
        ("git+https://h/x.git@v1#egg=x&subdirectory=y", "x @ git+https://h/x.git@v1#subdirectory=y"),
        (
            "git+https://h/x.git#egg=x[a] ; os_name == 'posix'",
            "x[a] @ git+https://h/x.git ; os_name == 'posix'",
        ),
        ("git+ssh://git@h/x.git", "git+ssh://git@h/x.git"),
        ("x @ git+https://h/x.git@v1", "x @ git+https://h/x.git@v1"),
        ("https://h/x-1.0-py3-none-any.whl", "https://h/x-1.0-py3-none-any.whl"),
    ] {
        assert_eq!(shown(text, &root), want, "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("proj")).unwrap();
    std::fs::write(scratch.path().join("proj/other.txt"), "").unwrap();
    for (text, want) in [
        ("./missing", "names a path that does not exist"),
        ("missing/dir", "names a path that does not exist"),
        ("./other.txt", "neither a directory nor a wheel"),
        ("dagster=1.0", "is not a requirement"),
        ("hg+https://h/x", "type `hg`"),
        ("file://host/x", "names the host `host`"),
        ("git@github.com:a/b.git", "is not a requirement"),
        ("git+git@github.com:a/b.git#egg=b", "is not a requirement"),
        ("two words", "is not a requirement"),
    ] {
        let shown = shown(text, scratch.path());
        assert!(shown.starts_with("error:") && shown.contains(want), "{text}: {shown}");
    }
}
