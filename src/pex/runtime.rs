//! The PEX runtime: the code that starts a PEX, copied byte for byte from one pinned release of pex.
//!
//! Boot text, bootstrap files and the call at the end belong to one version: pex 2.60 changed the arguments of `boot`.

use super::is_bytecode;
use crate::target::PythonVersion;
use crate::wheel::{Archive, Member, WheelError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The release of pex that the runtime comes from.
pub const PEX_VERSION: &str = "2.59.5";
/// File name of its wheel.
pub const WHEEL_FILE_NAME: &str = "pex-2.59.5-py2.py3-none-any.whl";
/// SHA-256 of that wheel. Source: the package index, 2026-11-23.
pub const WHEEL_SHA256: &str = "b9dba4f05b6be08da89b0c54f4bc75ed01c32dfde8ee06f87e82b3a6c69ee388";
/// Digest of the bootstrap files of that wheel, as pex 2.59.5 writes it into PEX-INFO. Every PEX on a machine with this
/// key shares one unpacked runtime.
pub(super) const BOOTSTRAP_HASH: &str = "b035fb994b76b27a4661f0548de86c9339d1ae65";

/// Directory of the bootstrap files in a PEX.
pub(super) const BOOTSTRAP_DIR: &str = ".bootstrap";
pub(super) const BOOT_MEMBER: &str = "pex/pex_boot.py";
const BOOT_LIMIT_BYTES: u64 = 1024 * 1024;
/// Subpackages of pex that are copied completely.
const PACKAGES: [&str; 6] = ["cache", "fs", "repl", "third_party", "venv", "windows"];
const VENDORED_DIR: &str = "pex/vendor/_vendored/";
/// Vendored modules of pex that are copied.
const VENDORED_MODULES: [&str; 6] = ["appdirs", "attr", "colors", "packaging", "pkg_resources", "pyparsing"];

/// The opened runtime.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    files: Vec<BootstrapFile>,
    boot: String,
}

/// A file below [`BOOTSTRAP_DIR`].
#[derive(Debug)]
pub(super) struct BootstrapFile {
    /// Path below the directory.
    pub(super) path: String,
    /// The member to copy; `None` for an empty file.
    pub(super) member: Option<Member>,
}

impl Runtime {
    /// Open a wheel or archive that has the files of the runtime. Whoever calls has checked its digest.
    ///
    /// # Errors
    /// When it cannot be read, or has not all of them.
    pub fn open(path: &Path) -> Result<Runtime, WheelError> {
        let archive = Archive::open(path)?;
        let boot = archive
            .get(BOOT_MEMBER)
            .ok_or_else(|| WheelError::metadata(WHEEL_FILE_NAME, format!("it has no `{BOOT_MEMBER}`")))?;
        let boot = archive.reader()?.read(BOOT_MEMBER, &boot.data, BOOT_LIMIT_BYTES)?;
        let (path, members) = archive.into_parts();
        let boot = String::from_utf8_lossy(&boot).into_owned();
        Ok(Runtime { path, files: bootstrap_files(members), boot })
    }

    /// The wheel.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The files below [`BOOTSTRAP_DIR`], sorted by path.
    pub(super) fn files(&self) -> &[BootstrapFile] {
        &self.files
    }

    /// `__main__.py`.
    pub(super) fn main_text(&self, python: PythonVersion, pex_hash: &str) -> String {
        format!("{}\n{}", shebang(python), self.package_text(pex_hash))
    }

    /// `__pex__/__init__.py`, which makes the PEX importable.
    pub(super) fn package_text(&self, pex_hash: &str) -> String {
        format!("{}{}", self.boot, call_of_boot(pex_hash))
    }
}

/// The first line of the PEX and of its `__main__.py`. Tools do not recognise a PEX without it.
pub(super) fn shebang(python: PythonVersion) -> String {
    format!("#!/usr/bin/env python{python}\n")
}

/// The call of `boot` in pex 2.59.5, and what follows from its three results: a value, whether to exit, and whether the
/// value is a mapping of globals (or, on exit, is to be ignored).
fn call_of_boot(pex_hash: &str) -> String {
    format!(
        r#"
result, should_exit, is_globals = boot(
    bootstrap_dir='{BOOTSTRAP_DIR}',
    pex_root='~/.cache/pex',
    pex_hash='{pex_hash}',
    has_interpreter_constraints=False,
    hermetic_venv_scripts=True,
    pex_path=(),
    is_venv=False,
    inject_python_args=(),
)
if should_exit:
    import sys

    sys.exit(0 if is_globals else result)
elif is_globals:
    globals().update(result)
"#
    )
}

/// Choose the files of the wheel that a PEX without tools needs, sorted by path.
pub(super) fn bootstrap_files(members: Vec<Member>) -> Vec<BootstrapFile> {
    let mut package_files: BTreeSet<String> = members
        .iter()
        .filter_map(|member| vendored_project(&member.name))
        .map(|project| format!("{VENDORED_DIR}{project}/__init__.py"))
        .collect();
    let mut files: Vec<BootstrapFile> = members
        .into_iter()
        .filter(|Member { name, .. }| {
            let package_file = package_files.remove(name);
            !is_bytecode(name) && (package_file || is_own(name) || vendored_project(name).is_some())
        })
        .map(|member| BootstrapFile { path: member.name.clone(), member: Some(member) })
        .collect();
    // A vendored project is found only through a package file above it.
    files.extend(package_files.into_iter().map(|path| BootstrapFile { path, member: None }));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Whether a member is pex's own code that a PEX runs without its tools.
fn is_own(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("pex/") else { return false };
    match rest.split_once('/') {
        None | Some(("vendor", "__init__.py" | "_vendored/__init__.py")) => true,
        Some((package, _)) => PACKAGES.contains(&package),
    }
}

/// The directory below [`VENDORED_DIR`] of a member that belongs to a vendored module in use.
fn vendored_project(name: &str) -> Option<&str> {
    // A project directory may hold several modules: `attrs` has `attr` and `attrs`, and pex imports one.
    let (project, rest) = name.strip_prefix(VENDORED_DIR)?.split_once('/')?;
    let module = rest.split_once('/').map(|(package, _)| package).or_else(|| rest.strip_suffix(".py"))?;
    VENDORED_MODULES.contains(&module).then_some(project)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wheel::fixture::{file, write_zip};

    /// A runtime of two small files.
    pub(in crate::pex) fn test_runtime(dir: &Path) -> Runtime {
        let members = [file(BOOT_MEMBER, "def boot(**_): pass\n"), file("pex/venv/x.py", "")];
        Runtime::open(&write_zip(dir, "runtime.whl", &members)).unwrap()
    }

    #[test]
    fn a_pex_without_tools_gets_these_files() {
        let names = [
            "pex/pex_boot.py",
            "pex/venv/bin/x.txt",
            "pex/pip/tool.py",
            "pex/vendor/__init__.py",
            "pex/vendor/__main__.py",
            "pex/vendor/_vendored/__init__.py",
            "pex/vendor/_vendored/attrs/attr/a.py",
            "pex/vendor/_vendored/attrs/attr/a.pyc",
            "pex/vendor/_vendored/attrs/attrs/a.py",
            "pex/vendor/_vendored/appdirs/__init__.py",
            "pex/vendor/_vendored/appdirs/appdirs.py",
            "pex/vendor/_vendored/toml/__init__.py",
            "pex/vendor/_vendored/toml/toml/a.py",
            "other/a.py",
        ];
        let dir = tempfile::tempdir().unwrap();
        let members = names.map(|name| file(name, "text"));
        let runtime = Runtime::open(&write_zip(dir.path(), "pex.whl", &members)).unwrap();
        let files: Vec<_> =
            runtime.files.iter().map(|file| (file.path.as_str(), file.member.is_some())).collect();
        assert_eq!(
            files,
            [
                ("pex/pex_boot.py", true),
                ("pex/vendor/__init__.py", true),
                ("pex/vendor/_vendored/__init__.py", true),
                ("pex/vendor/_vendored/appdirs/__init__.py", true),
                ("pex/vendor/_vendored/appdirs/appdirs.py", true),
                ("pex/vendor/_vendored/attrs/__init__.py", false),
                ("pex/vendor/_vendored/attrs/attr/a.py", true),
                ("pex/venv/bin/x.txt", true),
            ]
        );
    }

    #[test]
    fn the_main_module_is_the_boot_text_between_shebang_and_call() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_zip(dir.path(), "pex.whl", &[file(BOOT_MEMBER, "def boot(): pass\n")]);
        let text = Runtime::open(&path).unwrap().main_text("3.12".parse().unwrap(), "abc");
        insta::assert_snapshot!(text, @r#"
    #!/usr/bin/env python3.12

    def boot(): pass

    result, should_exit, is_globals = boot(
        bootstrap_dir='.bootstrap',
        pex_root='~/.cache/pex',
        pex_hash='abc',
        has_interpreter_constraints=False,
        hermetic_venv_scripts=True,
        pex_path=(),
        is_venv=False,
        inject_python_args=(),
    )
    if should_exit:
        import sys

        sys.exit(0 if is_globals else result)
    elif is_globals:
        globals().update(result)
    "#);
    }
}
