//! Finds files of the project that hide a module of Python or of a dependency from all code.
//!
//! In the search path, a source PEX comes before the deps PEX and Python's standard library, and the working directory
//! before all of them. A directory without `__init__.py` hides nothing: a package elsewhere takes precedence.

use std::collections::{BTreeMap, BTreeSet};

/// Modules of Python's standard library that 3.10 to 3.13 have in common, without those built into the interpreter,
/// which cannot be hidden, and some that do not matter (`test`, `this`). Source: `sys.stdlib_module_names`,
/// `sys.builtin_module_names`.
const STANDARD: &str = "\
abc argparse array ast asyncio base64 bdb binascii bisect bz2 cProfile calendar cmath cmd code codecs codeop collections \
colorsys compileall concurrent configparser contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime \
dbm decimal difflib dis doctest email encodings ensurepip enum fcntl filecmp fileinput fnmatch fractions ftplib \
functools genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib importlib \
inspect io ipaddress json keyword linecache locale logging lzma mailbox math mimetypes mmap modulefinder \
multiprocessing netrc ntpath numbers opcode operator optparse os pathlib pdb pickle pickletools pkgutil platform \
plistlib poplib posixpath pprint profile pstats pty py_compile pyclbr pydoc queue quopri random re readline reprlib \
resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtplib socket socketserver \
sqlite3 ssl stat statistics string stringprep struct subprocess symtable sysconfig syslog tabnanny tarfile tempfile \
termios textwrap threading timeit tkinter token tokenize trace traceback tracemalloc tty turtle types typing \
unicodedata unittest urllib uuid venv warnings wave weakref webbrowser wsgiref xml xmlrpc zipapp zipfile zipimport \
zlib zoneinfo";

/// Modules that every code location imports, with their distributions.
const DAGSTER: [(&str, &str); 5] = [
    ("dagster", "dagster"),
    ("dagster_cloud", "dagster-cloud"),
    ("dagster_cloud_cli", "dagster-cloud-cli"),
    ("dagster_pipes", "dagster-pipes"),
    ("dagster_shared", "dagster-shared"),
];

/// Top-level names that distributions ship by mistake. Nothing imports them from there.
const UNUSED: [&str; 8] = ["benchmarks", "docs", "example", "examples", "scripts", "test", "tests", "tools"];

/// Modules at the top of a search path: name → its file, for messages.
pub type Modules = BTreeMap<String, String>;

/// Whether a module is one of Python's standard library that can be hidden.
pub fn is_standard(module: &str) -> bool {
    STANDARD.split_whitespace().any(|name| name == module)
}

/// The module name of a path relative to a directory of the search path: `a.py`, `a/__init__.py`, `a.cpython-….so`.
pub fn module(path: &str) -> Option<&str> {
    match path.split_once('/') {
        None if path.ends_with(".py") => path.strip_suffix(".py"),
        None if path.ends_with(".so") => path.split('.').next(),
        None => None,
        Some((package, rest)) => (rest == "__init__.py").then_some(package),
    }
}

/// The top-level name of a wheel's member, also for packages without `__init__.py`.
pub fn top_level(path: &str) -> Option<&str> {
    let top = path.split('/').next().filter(|_| path.contains('/'));
    let is_package = |top: &&str| !top.contains(['.', '-']) && path.ends_with(".py");
    module(path).or(top.filter(is_package))
}

/// Warnings about modules that hide modules of Python, Dagster or the dependencies (module → distribution).
pub fn warnings(own: &Modules, dependencies: &BTreeMap<String, String>) -> Vec<String> {
    let standard: BTreeSet<&str> = STANDARD.split_whitespace().collect();
    let hidden = |name: &str| {
        if UNUSED.contains(&name) {
            return None;
        }
        if standard.contains(name) {
            return Some(format!("Python's own module `{name}`"));
        }
        let dagster = DAGSTER.iter().find(|(module, _)| *module == name).map(|(_, of)| (*of).to_string());
        dagster.or_else(|| dependencies.get(name).cloned()).map(|of| format!("the module `{name}` of {of}"))
    };
    let warning = |(name, file): (&String, &String)| {
        let hidden = hidden(name)?;
        Some(format!("{file} hides {hidden}: every import of `{name}` gets this file; rename it"))
    };
    own.iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_modules_are_named() {
        let own: Modules = [
            "dagster_cloud.py",
            "types.py",
            "yaml/__init__.py",
            "shop.py",
            "tests/__init__.py",
            "json/data.txt",
            "time.py",
        ]
        .iter()
        .filter_map(|path| Some((module(path)?.to_string(), format!("`{path}`"))))
        .collect();
        let dependencies = [("yaml", "PyYAML"), ("tests", "sloppy")];
        let dependencies = dependencies.map(|(module, of)| (module.to_string(), of.to_string())).into();
        insta::assert_snapshot!(warnings(&own, &dependencies).join("\n"), @"
        `dagster_cloud.py` hides the module `dagster_cloud` of dagster-cloud: every import of `dagster_cloud` gets this file; rename it
        `types.py` hides Python's own module `types`: every import of `types` gets this file; rename it
        `yaml/__init__.py` hides the module `yaml` of PyYAML: every import of `yaml` gets this file; rename it
        ");
    }

    #[test]
    fn only_modules_are_recognised() {
        for (path, own, in_wheel) in [
            ("a.py", Some("a"), Some("a")),
            ("a.cpython-311-x86_64-linux-gnu.so", Some("a"), Some("a")),
            ("a/__init__.py", Some("a"), Some("a")),
            ("a/b.py", None, Some("a")),
            ("a/b.txt", None, None),
            ("a-1.dist-info/x.py", None, None),
            ("LICENSE", None, None),
        ] {
            assert_eq!((module(path), top_level(path)), (own, in_wheel), "{path}");
        }
    }
}
