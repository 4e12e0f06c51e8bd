//! Bytecode of wheels, made and loaded by real Pythons.

use crate::support::environments;
use crate::support::hosts::host_with;
use crate::support::run;
use pexpress::builder::image::bytecode::Compiler;
use pexpress::tools::Tools;
use pexpress::wheel::Archive;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHONS: [&str; 7] = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];
/// Parts of the standard library, which every Python brings along: each becomes a wheel.
const PACKAGES: [&str; 8] =
    ["asyncio", "collections", "concurrent", "email", "encodings", "json", "unittest", "xml"];

/// An archive of these files.
fn wheel(path: &Path, files: &[(String, Vec<u8>)]) -> Archive {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, content) in files {
        archive.start_file(name.clone(), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
    Archive::open(path).unwrap()
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tools with an empty cache of their own, and this Python first.
fn tools(dir: &Path, python: &Path, vars: &[(&str, &str)]) -> Tools {
    let (bin, cache) = (python.parent().unwrap().display(), dir.join("cache"));
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let own = [("PATH", path.as_str()), ("PEXPRESS_CACHE_DIR", cache.to_str().unwrap())];
    Tools::new(&host_with(dir, &[&own[..], vars].concat()))
}

/// Modules of a package of the standard library.
fn modules(python: &Path, package: &str) -> Vec<(String, Vec<u8>)> {
    let code = "import os; print(os.path.dirname(os.__file__))";
    let root = String::from_utf8(run(Command::new(python).args(["-c", code])).stdout).unwrap();
    let root = Path::new(root.trim());
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(package))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    files.sort();
    let named = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
        (name, std::fs::read(path).unwrap())
    };
    files.iter().map(named).collect()
}

/// The bytes of the bytecode of each wheel. Every call has a cache and processes of its own.
fn compiled(
    wheels: &[Archive],
    python: &Path,
    version: &str,
    vars: &[(&str, &str)],
) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let tools = tools(dir.path(), python, vars);
    let compiler = Compiler::new(&tools, version.parse().unwrap(), "/opt/venv/site-packages").unwrap();
    let mut found = BTreeMap::new();
    for wheel in wheels {
        let bytecode = compiler.bytecode(wheel, &sha256(wheel.path())).unwrap();
        found.insert(sha256(wheel.path()), std::fs::read(bytecode.path()).unwrap());
    }
    found
}

#[test]
fn bytecode_is_the_same_in_every_run_order_and_environment() {
    for version in PYTHONS.into_iter().filter(|version| environments::is_here(version)) {
        let python = environments::python(version);
        let dir = tempfile::tempdir().unwrap();
        let make = |package: &&str| {
            let mut files = modules(&python, package);
            // Without care, the order of both sets depends on the process.
            files.push(("sets.py".into(), b"a = x in {'one', 'two', 'three', 'four'}\n".to_vec()));
            files.push(("none.py".into(), b"a = x in {'one', None, ...}\n".to_vec()));
            wheel(&dir.path().join(format!("{package}.whl")), &files)
        };
        let mut wheels: Vec<Archive> = PACKAGES.iter().map(make).collect();
        let first = compiled(&wheels, &python, version, &[]);
        wheels.reverse();
        let vars =
            [("PYTHONHASHSEED", "7"), ("PYTHONOPTIMIZE", "2"), ("PYTHONNODEBUGRANGES", "1"), ("LC_ALL", "C")];
        let second = compiled(&wheels, &python, version, &vars);
        assert_eq!(first.len(), PACKAGES.len());
        assert!(first == second, "Python {version} is not deterministic");
    }
}

#[test]
fn python_loads_it_without_the_source_and_tracebacks_show_the_path_in_the_image() {
    for version in PYTHONS.into_iter().filter(|version| environments::is_here(version)) {
        let python = environments::python(version);
        let dir = tempfile::tempdir().unwrap();
        let source = b"def fail():\n    raise ValueError('from bytecode')\n".to_vec();
        let files = [
            ("alpha/__init__.py".to_string(), source),
            ("alpha-1.data/purelib/beta.py".to_string(), b"import alpha\n\nalpha.fail()\n".to_vec()),
            ("alpha/template.py".to_string(), b"def {{ name }}():\n".to_vec()),
            ("alpha/latin.py".to_string(), b"# -*- coding: latin-1 -*-\nname = '\xe9'\n".to_vec()),
        ];
        let wheel = wheel(&dir.path().join("alpha-1-py3-none-any.whl"), &files);
        let tools = tools(dir.path(), &python, &[]);
        let site = dir.path().join("site");
        let compiler = Compiler::new(&tools, version.parse().unwrap(), site.to_str().unwrap()).unwrap();
        let bytecode = compiler.bytecode(&wheel, &"0".repeat(64)).unwrap();
        let tag = version.replace('.', "");
        let names: Vec<&str> = bytecode.members().iter().map(|member| member.name.as_str()).collect();
        assert_eq!(
            names,
            [
                format!("__pycache__/beta.cpython-{tag}.pyc"),
                format!("alpha/__pycache__/__init__.cpython-{tag}.pyc"),
                format!("alpha/__pycache__/latin.cpython-{tag}.pyc"),
            ]
        );
        let mut archive = zip::ZipArchive::new(std::fs::File::open(bytecode.path()).unwrap()).unwrap();
        archive.extract(&site).unwrap();
        // Other code, to see that it is not looked at.
        std::fs::write(site.join("beta.py"), "print('from source')\n").unwrap();
        std::fs::write(site.join("alpha/__init__.py"), "").unwrap();
        // Python corrects a path that differs from where it finds the file, so the path in the file itself counts.
        let code =
            "import marshal, sys; print(marshal.loads(open(sys.argv[1], 'rb').read()[16:]).co_filename)";
        let pyc = site.join(names[0]);
        let output = run(Command::new(&python).args(["-S", "-c", code]).arg(pyc));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}/beta.py\n", site.display()));
        let output = Command::new(&python)
            .args(["-S", "-c", "import beta"])
            .env("PYTHONPATH", &site)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&format!("File \"{}/beta.py\", line 3, in <module>", site.display())),
            "{said}"
        );
        assert!(said.contains("/site/alpha/__init__.py\", line 2, in fail"), "{said}");
        assert!(said.ends_with("ValueError: from bytecode\n"), "{said}");
    }
}

#[test]
fn damaged_bytecode_in_the_cache_is_made_again() {
    let version = environments::helper_version();
    let dir = tempfile::tempdir().unwrap();
    let tools = tools(dir.path(), &environments::python(version), &[]);
    let compiler = Compiler::new(&tools, version.parse().unwrap(), "/opt/venv/site-packages").unwrap();
    let wheel = wheel(&dir.path().join("alpha.whl"), &[("alpha.py".to_string(), b"x = 1\n".to_vec())]);
    let path = compiler.bytecode(&wheel, "00").unwrap().path().to_path_buf();
    let whole = std::fs::read(&path).unwrap();
    for damaged in [&b"PK"[..], b"", &whole[..whole.len() - 1]] {
        std::fs::write(&path, damaged).unwrap();
        let again = compiler.bytecode(&wheel, "00").unwrap();
        let mut content = Vec::new();
        std::fs::File::open(again.path()).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, whole);
    }
}
