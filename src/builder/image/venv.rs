//! The virtual environment of the image: its paths, and what is in it before distributions are installed.

use super::files::{LayerFiles, ROOT};
use super::place::VENV;
use crate::target::PythonVersion;

/// Commands that must be found even when PATH was lost on the way.
const COMMANDS: [&str; 2] = ["dagster", "dagster-cloud"];

/// The virtual environment of one Python version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Venv {
    /// Version of its Python.
    pub python: PythonVersion,
}

impl Venv {
    /// Its site-packages directory, relative to the root.
    pub fn site_packages(self) -> String {
        format!("{VENV}/lib/python{}/site-packages", self.python)
    }

    /// Where headers of a distribution go. Source: the `headers` path of sysconfig's scheme `venv`, as pip uses it.
    pub fn headers(self, distribution: &str) -> String {
        format!("{VENV}/include/site/python{}/{distribution}", self.python)
    }

    /// What scripts start with.
    pub fn shebang() -> String {
        format!("#!/{VENV}/bin/python")
    }

    /// The layer below all others: an environment without distributions, for the Python at `python`, an absolute path
    /// in the base.
    pub fn skeleton(self, python: &str) -> LayerFiles {
        let mut files = LayerFiles::default();
        let home = python.rsplit_once('/').map_or("/", |(home, _)| if home.is_empty() { "/" } else { home });
        let config =
            format!("home = {home}\ninclude-system-site-packages = false\nversion = {}\n", self.python);
        files.bytes(format!("{VENV}/pyvenv.cfg"), false, ROOT, config.into_bytes());
        files.link(format!("{VENV}/bin/python"), python);
        for name in ["python3".to_string(), format!("python{}", self.python)] {
            files.link(format!("{VENV}/bin/{name}"), "python");
        }
        files.link(format!("{VENV}/lib64"), "lib");
        files.directory(self.site_packages(), ROOT);
        for command in COMMANDS {
            files.link(format!("usr/local/bin/{command}"), &format!("/{VENV}/bin/{command}"));
        }
        files
    }
}
