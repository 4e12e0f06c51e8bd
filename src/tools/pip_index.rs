//! The index that pip asks unless it is set otherwise, from the pip of a Python on `PATH`.
//!
//! pip has it in one of its source files, which is read next to the interpreter; only where that fails, the Python is
//! asked, which takes a twentieth of a second. Nothing is downloaded. Source: pip 9 to 26, `pip/_internal/models/index.py`
//! (before pip 10: `pip/models/index.py`, which is not read).

use super::process::Process;
use super::python::on_path;
use crate::bounded_file;
use crate::child_env::Purpose;
use crate::host::Host;
use std::path::{Path, PathBuf};
use url::Url;

const MODULE: &str = "pip/_internal/models/index.py";
const QUESTION: &str = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
/// The file has a kilobyte.
const MOST_BYTES: u64 = 64 * 1024;

/// The default index of the first pip that has one.
pub(super) fn default_index(host: &Host) -> Option<Url> {
    let pythons = || on_path(host, &["python3", "python"]).into_iter().map(|(_, path)| path);
    let read = || pythons().find_map(|python| sources(&python).into_iter().find_map(|file| read(&file)));
    read().or_else(|| pythons().find_map(|python| ask(host, &python)))
}

/// Where the file is for an interpreter: below its own prefix (an environment), or that of the interpreter it is a link
/// to.
fn sources(python: &Path) -> Vec<PathBuf> {
    let real = python.canonicalize().ok();
    let prefixes =
        [Some(python), real.as_deref()].into_iter().flatten().filter_map(|path| path.parent()?.parent());
    let below = |prefix: &Path| {
        let entries = std::fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
        let libraries = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
        let mut found: Vec<PathBuf> = libraries
            .flat_map(|entry| {
                ["site-packages", "dist-packages"].map(|name| entry.path().join(name).join(MODULE))
            })
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        found
    };
    prefixes.flat_map(below).collect()
}

fn read(file: &Path) -> Option<Url> {
    let text = bounded_file::read_text(file, MOST_BYTES).ok()?;
    simple_url(&text)
}

/// The index in the text of the file: `PyPI = PackageIndex("URL", …)`, which pip joins with `simple`.
fn simple_url(text: &str) -> Option<Url> {
    let line = text.lines().find_map(|line| line.strip_prefix("PyPI = PackageIndex("))?;
    let mut parts = line.trim_start().split(['"', '\'']);
    let (before, url) = (parts.next()?, parts.next()?);
    usable(Url::parse(url).ok().filter(|_| before.is_empty())?.join("simple").ok()?)
}

fn ask(host: &Host, python: &Path) -> Option<Url> {
    let output = Process::new(host, Purpose::Own, python).args(["-I", "-c", QUESTION]).run(host);
    let text = output.and_then(|output| output.text());
    let text = text.inspect_err(|error| host.detail(format!("`{}` has no pip: {error}", python.display())));
    usable(Url::parse(text.ok()?.trim()).ok()?)
}

fn usable(url: Url) -> Option<Url> {
    matches!(url.scheme(), "http" | "https").then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_read_from_pips_own_source() {
        let text = "class PackageIndex:\n    pass\n\nPyPI = PackageIndex(\"https://index.example/\", file_storage_domain=\"f.example\")\nTestPyPI = PackageIndex(\n    \"https://test.example/\")\n";
        assert_eq!(simple_url(text).unwrap().as_str(), "https://index.example/simple");
        for text in [
            "",
            "PyPI = PackageIndex(\n    \"https://index.example/\")",
            "PyPI = PackageIndex(url=\"https://index.example/\")",
            "PyPI = PackageIndex(\"ftp://index.example/\")",
            "PyPI = PackageIndex('",
        ] {
            assert_eq!(simple_url(text), None, "{text}");
        }
    }

    #[test]
    fn the_file_is_found_next_to_the_interpreter() {
        let dir = tempfile::tempdir().unwrap();
        for (file, library) in [
            ("usr/bin/python3", "usr/lib/python3/dist-packages"),
            ("opt/py/bin/python3.12", "opt/py/lib/python3.12/site-packages"),
        ] {
            let (python, module) = (dir.path().join(file), dir.path().join(library).join(MODULE));
            for path in [&python, &module] {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            assert_eq!(sources(&python)[0].canonicalize().unwrap(), module.canonicalize().unwrap());
        }
    }
}
