use super::*;

#[test]
fn only_modules_below_site_packages_are_compiled() {
    for (member, want) in [
        ("six.py", Some("__pycache__/six.cpython-311.pyc")),
        ("a/b.py", Some("a/__pycache__/b.cpython-311.pyc")),
        ("a/b.c.py", Some("a/__pycache__/b.c.cpython-311.pyc")),
        ("a-1.data/purelib/b.py", Some("__pycache__/b.cpython-311.pyc")),
        ("a-1.data/platlib/b/c.py", Some("b/__pycache__/c.cpython-311.pyc")),
        ("a-1.data/scripts/b.py", None),
        ("a-1.data/data/b.py", None),
        ("a/__pycache__/b.py", None),
        ("a/.py", None),
        ("a/b.pyi", None),
    ] {
        let found = below_site_packages(member).and_then(|path| pyc_path(path, "cpython-311"));
        assert_eq!(found.as_deref(), want, "{member}");
    }
}

#[test]
fn the_first_answer_is_checked() {
    for (answer, want) in [
        ("3.11.7 cpython-311 a70d0d0a", true),
        ("3.15.0a1+ cpython-315 00", true),
        ("3.11.7 cpython-311", false),
        ("3.11.7 ../x 00", false),
        ("", false),
    ] {
        assert_eq!(About::parse(answer).is_some(), want, "{answer}");
    }
}

/// Goes before the script: `compile` misbehaves where the source says so.
const MISBEHAVE: &str = r#"
import builtins, os, sys, time
real = builtins.compile
def pretend(source, *args, **more):
    if b"HANG" in source:
        time.sleep(1000)
    if b"DIE" in source:
        os._exit(9)
    if b"FLOOD" in source:
        os.write(1, b"\xff" * 1000)
    if b"DEEP" in source:
        raise RecursionError
    return real(source, *args, **more)
if __name__ == "__main__":
    builtins.compile = pretend
"#;

/// A Python on `PATH` that misbehaves, and the host's output.
fn tools_with(dir: &std::path::Path) -> (Tools, crate::tools::testing::Captured) {
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in -I) exec python3 \"$@\";; esac\nexec python3 -S -B -c '{MISBEHAVE}'\"$5\"\n"
    );
    // The script asks the fake one for its version: it must name itself as the interpreter.
    let script =
        script.replace("-I) exec python3 \"$@\"", "-I) printf 'cpython\\n3.11.7\\n-\\n%s\\n' \"$0\"; exit");
    std::fs::create_dir_all(dir.join("bin")).unwrap();
    std::fs::write(dir.join("bin/python3.11"), script).unwrap();
    let file = std::fs::File::open(dir.join("bin/python3.11")).unwrap();
    crate::executable::make_executable(&file).unwrap();
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    let cache = dir.join("cache").display().to_string();
    let (host, _, stderr) =
        crate::tools::testing::host(&[("PATH", path.as_str()), ("PEXPRESS_CACHE_DIR", cache.as_str())]);
    (Tools::new(&host), stderr)
}

#[test]
fn a_file_that_ends_or_holds_python_costs_only_itself() {
    use crate::wheel::fixture::{file, write_zip};
    let dir = tempfile::tempdir().unwrap();
    let (tools, stderr) = tools_with(dir.path());
    let mut compiler = Compiler::new(&tools, PythonVersion::DEFAULT, "/opt/site-packages").unwrap();
    compiler.limits.time = Duration::from_secs(3);
    *lock(&compiler.idle) = vec![compiler.start().unwrap().0];
    let members = [
        file("a/good.py", "x = 1\n"),
        file("b/dies.py", "DIE\n"),
        file("c/deep.py", "DEEP\n"),
        file("d/good.py", "x = 1\n"),
        file("e/hangs.py", "HANG\n"),
        file("f/good.py", "x = 1\n"),
    ];
    let path = write_zip(dir.path(), "bad-1-py3-none-any.whl", &members);
    let compiled = compiler.bytecode(&Archive::open(&path).unwrap(), "00").unwrap();
    let names: Vec<_> =
        compiled.members().iter().map(|member| member.name.split('/').next().unwrap()).collect();
    assert_eq!(names, ["a", "d", "f"]);
    assert_eq!(
        stderr.text(),
        "no bytecode for `b/dies.py` of `bad-1-py3-none-any.whl`: compiling it ends Python\n\
         no bytecode for `e/hangs.py` of `bad-1-py3-none-any.whl`: compiling it takes too long\n"
    );
}

#[test]
fn a_wheel_that_ends_python_again_and_again_is_given_up() {
    use crate::wheel::fixture::{file, write_zip};
    let dir = tempfile::tempdir().unwrap();
    let (tools, stderr) = tools_with(dir.path());
    let compiler = Compiler::new(&tools, PythonVersion::DEFAULT, "/opt/site-packages").unwrap();
    let mut members: Vec<_> = (0..50).map(|at| file(&format!("a{at:02}.py"), "FLOOD\n")).collect();
    members.insert(0, file("a.py", ""));
    let path = write_zip(dir.path(), "bad-1-py3-none-any.whl", &members);
    let compiled = compiler.bytecode(&Archive::open(&path).unwrap(), "00").unwrap();
    assert_eq!(compiled.members().len(), 1);
    assert_eq!(
        stderr.text(),
        "no bytecode for `a00.py` of `bad-1-py3-none-any.whl`: it would be too large\n\
         no bytecode for `a01.py` of `bad-1-py3-none-any.whl`: it would be too large\n\
         no bytecode for `a02.py` of `bad-1-py3-none-any.whl`: it would be too large\n\
         no bytecode for the other modules of `bad-1-py3-none-any.whl`\n"
    );
}
