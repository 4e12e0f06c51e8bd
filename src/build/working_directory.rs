//! The project directory as it is shipped under `working_directory/root`: which files, and what was left out.
//!
//! Nothing is read here but directories and links; the PEX writer reads the files. The rules are the predecessor's
//! (its list of names, links to files become files), with what it lost or shipped by mistake put right; they are
//! written down for users in `docs/pex.md`.

use crate::pex::is_bytecode;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Left out wherever they are. The first nine are the predecessor's list.
const IGNORED_NAMES: [&str; 11] = [
    ".git",
    "__pycache__",
    ".pytest_cache",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".cache",
    ".venv",
    ".pexignore",
    "node_modules",
    ".idea",
];

/// A file that marks the directory it is in as a virtual environment. Source: PEP 405.
const ENVIRONMENT_MARKER: &str = "pyvenv.cfg";

/// More files and directories are refused: links between directories can multiply a few into millions.
const MAX_ENTRIES: usize = if cfg!(test) { 5_000 } else { 500_000 };

/// Gitignore-syntax patterns of what not to ship, at the top of a project directory.
pub const PEXIGNORE: &str = ".pexignore";

/// One file to ship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// The file with the content: for a link, what it leads to.
    pub source: PathBuf,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// What to ship of a directory, and what the user should know about the rest.
#[derive(Debug, Default)]
pub struct Tree {
    /// By path relative to the directory, `/` between names.
    pub files: BTreeMap<String, Shipped>,
    /// Paths left out by rule, for `--verbose`.
    pub left_out: Vec<String>,
    /// Links that lead out of the directory, and are followed.
    pub outside: Vec<String>,
    /// Things that look like mistakes, one sentence each.
    pub warnings: Vec<String>,
}

/// A directory or the ignore file in it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A directory, a link or a file's metadata.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No end in sight.
    #[error("`{directory}` has more than {MAX_ENTRIES} files and directories, links followed")]
    TooMany {
        /// The directory that was to be shipped.
        directory: PathBuf,
    },
    /// A pattern in `.pexignore`.
    #[error("`{file}` has a pattern that cannot be used")]
    Pattern {
        /// The `.pexignore`.
        file: PathBuf,
        /// Which, and why.
        #[source]
        source: ignore::Error,
    },
}

/// List what to ship of `directory`. Paths in `outputs` (what this program writes) are left out.
///
/// # Errors
/// When a directory cannot be read or `.pexignore` has a bad pattern. Dangling links, link loops, special files and
/// names that are not UTF-8 are warnings.
pub fn list(directory: &Path, outputs: &[PathBuf]) -> Result<Tree, TreeError> {
    let root = directory
        .canonicalize()
        .map_err(|source| TreeError::Read { path: directory.to_path_buf(), source })?;
    let outputs = outputs
        .iter()
        .filter_map(|output| output.canonicalize().ok())
        .filter(|output| *output != root)
        .collect();
    walk(directory, root, outputs, patterns(directory)?)
}

/// The links in a package's directory that lead out of it, whatever a `.pexignore` says: a build backend knows none.
///
/// # Errors
/// When a directory cannot be read.
pub fn links_outside(directory: &Path) -> Result<Vec<String>, TreeError> {
    let root = directory
        .canonicalize()
        .map_err(|source| TreeError::Read { path: directory.to_path_buf(), source })?;
    Ok(walk(directory, root, Vec::new(), Gitignore::empty())?.outside)
}

fn walk(
    directory: &Path,
    root: PathBuf,
    outputs: Vec<PathBuf>,
    patterns: Gitignore,
) -> Result<Tree, TreeError> {
    let mut walk = Walk { root: root.clone(), entries: 0, outputs, patterns, tree: Tree::default() };
    walk.directory(directory, "", &mut vec![root])?;
    Ok(walk.tree)
}

fn patterns(directory: &Path) -> Result<Gitignore, TreeError> {
    let file = directory.join(PEXIGNORE);
    let mut builder = GitignoreBuilder::new(directory);
    if file.is_file()
        && let Some(source) = builder.add(&file)
    {
        return Err(TreeError::Pattern { file, source });
    }
    builder.build().map_err(|source| TreeError::Pattern { file, source })
}

struct Walk {
    root: PathBuf,
    entries: usize,
    outputs: Vec<PathBuf>,
    patterns: Gitignore,
    tree: Tree,
}

impl Walk {
    /// `above` holds the real paths of the directories that lead here, to find link loops.
    fn directory(
        &mut self,
        directory: &Path,
        prefix: &str,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), TreeError> {
        let failed = |source| TreeError::Read { path: directory.to_path_buf(), source };
        let mut entries =
            fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Some(name) = entry.file_name().to_str().map(str::to_string) else {
                let shown = directory.join(entry.file_name());
                self.warn(format!("`{}` has a name that is not UTF-8 and is left out", shown.display()));
                continue;
            };
            let kind = entry.file_type().map_err(failed)?;
            self.entry(&entry.path(), &name, format!("{prefix}{name}"), kind, above)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &Path,
        name: &str,
        relative: String,
        kind: FileType,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), TreeError> {
        let is_link = kind.is_symlink();
        let kind = match is_link {
            true => match self.link_target(path, &relative) {
                Some(kind) => kind,
                None => return Ok(()),
            },
            false => kind,
        };
        if self.is_left_out(path, name, &relative, kind.is_dir()) {
            self.tree.left_out.push(relative);
            return Ok(());
        }
        if is_link {
            self.tell_of_outside(path, &relative);
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(TreeError::TooMany { directory: self.root.clone() });
        }
        if kind.is_dir() {
            self.subdirectory(path, relative, above)
        } else if kind.is_file() {
            self.file(path, name, relative)
        } else {
            self.warn(format!("`{relative}` is neither a file nor a directory and is left out"));
            Ok(())
        }
    }

    fn subdirectory(
        &mut self,
        path: &Path,
        relative: String,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), TreeError> {
        let real =
            path.canonicalize().map_err(|source| TreeError::Read { path: path.to_path_buf(), source })?;
        if above.contains(&real) {
            self.warn(format!("`{relative}` is a link back to a directory above it and is left out"));
            return Ok(());
        }
        above.push(real);
        let walked = self.directory(path, &format!("{relative}/"), above);
        above.pop();
        walked
    }

    fn file(&mut self, path: &Path, name: &str, relative: String) -> Result<(), TreeError> {
        let metadata =
            fs::metadata(path).map_err(|source| TreeError::Read { path: path.to_path_buf(), source })?;
        if looks_secret(name) {
            self.warn(format!("`{relative}` looks like it holds secrets and is shipped; name it in {PEXIGNORE} to leave it out"));
        }
        let shipped = Shipped { source: path.to_path_buf(), executable: is_executable(&metadata) };
        self.tree.files.insert(relative, shipped);
        Ok(())
    }

    /// What a link leads to; `None`, with a warning, when it leads nowhere.
    fn link_target(&mut self, path: &Path, relative: &str) -> Option<FileType> {
        let Ok(metadata) = fs::metadata(path) else {
            self.warn(format!("`{relative}` is a link that leads nowhere and is left out"));
            return None;
        };
        Some(metadata.file_type())
    }

    /// What comes from elsewhere is never shipped in silence.
    fn tell_of_outside(&mut self, path: &Path, relative: &str) {
        let target = path.canonicalize().ok().filter(|target| !target.starts_with(&self.root));
        if let Some(target) = target {
            self.warn(format!(
                "`{relative}` is a link to something outside the project, `{}`; its content is shipped",
                target.display()
            ));
            self.tree.outside.push(relative.to_string());
        }
    }

    fn is_left_out(&self, path: &Path, name: &str, relative: &str, is_dir: bool) -> bool {
        let decision = self.patterns.matched(relative, is_dir);
        if decision.is_whitelist() {
            return false;
        }
        decision.is_ignore()
            || IGNORED_NAMES.contains(&name)
            || (!is_dir && is_bytecode(name))
            || (is_dir && path.join(ENVIRONMENT_MARKER).is_file())
            || (!self.outputs.is_empty()
                && path.canonicalize().is_ok_and(|real| self.outputs.contains(&real)))
    }

    fn warn(&mut self, message: String) {
        self.tree.warnings.push(message);
    }
}

/// Names that usually hold credentials: `.env` files (not their templates), private keys.
fn looks_secret(name: &str) -> bool {
    const TEMPLATES: [&str; 4] = ["example", "sample", "template", "dist"];
    let environment =
        name == ".env" || name.strip_prefix(".env.").is_some_and(|rest| !TEMPLATES.contains(&rest));
    let key = name.starts_with("id_") && ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"].contains(&name);
    environment
        || key
        || name.ends_with(".pem")
        || name.ends_with(".p12")
        || name.ends_with(".pfx")
        || name == ".netrc"
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new(files: &[&str]) -> Fixture {
            let fixture = Fixture(tempfile::tempdir().unwrap());
            files.iter().for_each(|file| fixture.write(file, "x"));
            fixture
        }
        fn path(&self, relative: &str) -> PathBuf {
            self.0.path().join("project").join(relative)
        }
        fn write(&self, relative: &str, text: &str) {
            fs::create_dir_all(self.path(relative).parent().unwrap()).unwrap();
            fs::write(self.path(relative), text).unwrap();
        }
        fn tree(&self) -> Tree {
            list(&self.path(""), &[self.path("out")]).unwrap()
        }
        fn names(&self) -> Vec<String> {
            self.tree().files.into_keys().collect()
        }
    }

    #[test]
    fn caches_environments_bytecode_and_outputs_are_left_out() {
        let fixture = Fixture::new(&[
            "a.py",
            ".git/config",
            "b/__pycache__/a.pyc",
            "b/c.pyc",
            "b/c.pyc.123",
            "b/c.pyo",
            ".venv/x",
            "env/pyvenv.cfg",
            "env/lib/x.py",
            "node_modules/x.js",
            ".idea/x",
            "out/deps-1.pex",
            ".dagster/x",
            "target/manifest.json",
            "b/.cache/x",
        ]);
        fixture.write(".gitignore", "target");
        assert_eq!(fixture.names(), [".dagster/x", ".gitignore", "a.py", "target/manifest.json"]);
        assert!(fixture.tree().left_out.contains(&"env".to_string()));
    }

    #[test]
    fn pexignore_decides_in_both_directions() {
        let fixture = Fixture::new(&["a.py", "data/big.csv", "data/small.csv", ".cache/keep", "b/.env"]);
        fixture.write(".pexignore", "*.csv\n!data/small.csv\n!.cache\n.env\n");
        assert_eq!(fixture.names(), [".cache/keep", "a.py", "data/small.csv"]);
        assert_eq!(fixture.tree().warnings, Vec::<String>::new());
    }

    #[test]
    fn links_become_what_they_lead_to() {
        let fixture = Fixture::new(&["a.py", "dir/x.py"]);
        fs::write(fixture.0.path().join("outside.txt"), "o").unwrap();
        symlink("a.py", fixture.path("file-link")).unwrap();
        symlink("dir", fixture.path("dir-link")).unwrap();
        symlink("../outside.txt", fixture.path("outside-link")).unwrap();
        symlink("nowhere", fixture.path("dangling")).unwrap();
        symlink("..", fixture.path("dir/loop")).unwrap();
        symlink("self", fixture.path("self")).unwrap();
        assert_eq!(fixture.names(), ["a.py", "dir-link/x.py", "dir/x.py", "file-link", "outside-link"]);
        let warnings = fixture.tree().warnings.join("\n");
        for part in [
            "`outside-link` is a link to something outside",
            "`dangling` is a link that leads nowhere",
            "`dir/loop` is a link back",
            "`dir-link/loop` is a link back",
            "`self` is a link that leads nowhere",
        ] {
            assert!(warnings.contains(part), "{part} in {warnings}");
        }
    }

    #[test]
    fn a_link_that_is_left_out_is_not_said_to_be_shipped() {
        let fixture = Fixture::new(&["a.py"]);
        fs::write(fixture.0.path().join("outside.txt"), "o").unwrap();
        symlink("../outside.txt", fixture.path("data.csv")).unwrap();
        symlink("..", fixture.path(".venv")).unwrap();
        fixture.write(".pexignore", "*.csv\n");
        let tree = fixture.tree();
        assert_eq!((tree.warnings, tree.outside), (Vec::<String>::new(), Vec::<String>::new()));
    }

    #[test]
    fn files_below_a_directory_outside_are_told_of_by_its_link() {
        let fixture = Fixture::new(&["a.py"]);
        let outside = fixture.0.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("key"), "k").unwrap();
        symlink("../outside", fixture.path("shared")).unwrap();
        // By way of a link inside, too.
        symlink("shared/key", fixture.path("key")).unwrap();
        let tree = fixture.tree();
        assert_eq!(tree.outside, ["key", "shared"]);
        assert!(
            tree.warnings[0].contains(&outside.join("key").canonicalize().unwrap().display().to_string())
        );
    }

    #[test]
    fn links_that_multiply_directories_come_to_an_end() {
        let fixture = Fixture::new(&["d00/x"]);
        for level in 1..40 {
            let directory = fixture.path(&format!("d{level:02}"));
            fs::create_dir(&directory).unwrap();
            for link in ["a", "b"] {
                symlink(format!("../d{:02}", level - 1), directory.join(link)).unwrap();
            }
        }
        let error = list(&fixture.path(""), &[]).unwrap_err();
        assert!(error.to_string().contains("more than 5000 files"), "{error}");
    }

    #[test]
    fn special_files_and_foreign_names_are_skipped_with_a_warning() {
        use std::os::unix::ffi::OsStrExt;
        let fixture = Fixture::new(&["a.py"]);
        fs::write(fixture.path("").join(std::ffi::OsStr::from_bytes(b"\xff.py")), "x").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(fixture.path("socket")).unwrap();
        assert_eq!(fixture.names(), ["a.py"]);
        assert_eq!(fixture.tree().warnings.len(), 2);
    }

    #[test]
    fn modes_are_kept_and_secrets_are_named() {
        let fixture = Fixture::new(&["run.sh", ".env", ".env.example", "é .py"]);
        fs::set_permissions(fixture.path("run.sh"), fs::Permissions::from_mode(0o744)).unwrap();
        let tree = fixture.tree();
        assert!(tree.files["run.sh"].executable && !tree.files["é .py"].executable);
        assert_eq!(
            tree.warnings,
            ["`.env` looks like it holds secrets and is shipped; name it in .pexignore to leave it out"]
        );
    }

    #[test]
    fn a_bad_pattern_names_the_file() {
        let fixture = Fixture::new(&["a.py"]);
        fixture.write(".pexignore", "{a");
        let error = list(&fixture.path(""), &[]).unwrap_err();
        assert!(error.to_string().contains(".pexignore"), "{error}");
    }
}
