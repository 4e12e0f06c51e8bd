//! Lists the files of the project directory that are shipped as `working_directory/root`.
//!
//! Only directories and links are read here; the PEX writer reads the files. Links to files become files, as with
//! dagster-cloud-cli. [`super::left_out`] decides what is left out.

use super::left_out::LeftOut;
use super::tree_error::{MAX_ENTRIES, TreeError};
use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

/// One file to ship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// The file to read. Links are followed.
    pub source: PathBuf,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// The files of a directory to ship, and warnings about the others.
#[derive(Debug, Default)]
pub struct Tree {
    /// By path relative to the directory, `/` between names.
    pub files: BTreeMap<String, Shipped>,
    /// Paths left out by rule, for `--verbose`.
    pub left_out: Vec<String>,
    /// Links to paths outside the directory, which are followed.
    pub outside: Vec<String>,
    /// Probable mistakes, one sentence each.
    pub warnings: Vec<String>,
}

/// List the files of `directory` to ship. `packages` are the local packages, which may be in it.
///
/// # Errors
/// When a directory cannot be read or `.pexignore` has a bad pattern. Dangling links, link loops, special files and
/// names that are not UTF-8 are warnings.
pub fn list<'a>(directory: &Path, packages: impl Iterator<Item = &'a Path>) -> Result<Tree, TreeError> {
    walk(directory, LeftOut::read(directory)?.with_nested(packages)?)
}

/// The links in a package's directory that lead out of it. A `.pexignore` does not matter: build backends do not read
/// it.
///
/// # Errors
/// When a directory cannot be read.
pub fn links_outside(directory: &Path) -> Result<Vec<String>, TreeError> {
    Ok(walk(directory, LeftOut::by_name(directory))?.outside)
}

fn walk(directory: &Path, left_out: LeftOut) -> Result<Tree, TreeError> {
    let root = directory
        .canonicalize()
        .map_err(|source| TreeError::Read { path: directory.to_path_buf(), source })?;
    let mut walk = Walk { root: root.clone(), entries: 0, left_out, tree: Tree::default() };
    walk.directory(directory, "", &mut vec![root])?;
    Ok(walk.tree)
}

struct Walk {
    root: PathBuf,
    entries: usize,
    left_out: LeftOut,
    tree: Tree,
}

impl Walk {
    /// `above` has the real paths of the parent directories, to find link loops.
    fn directory(
        &mut self,
        directory: &Path,
        prefix: &str,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), TreeError> {
        let failed = |source| TreeError::Read { path: directory.to_path_buf(), source };
        let mut entries =
            fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // Warnings must not depend on the order of the file system.
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
        // The rules are about what a link leads to.
        let kind = match is_link {
            true => match self.link_target(path, &relative) {
                Some(kind) => kind,
                None => return Ok(()),
            },
            false => kind,
        };
        // Before links are reported: what is left out needs no warning.
        if self.left_out.in_tree(path, name, &relative, kind.is_dir()) {
            self.tree.left_out.push(relative);
            return Ok(());
        }
        if is_link {
            self.warn_of_outside_link(path, &relative);
        }
        // Counted after the rules, so that a large `node_modules` does not count.
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(TreeError::TooMany { directory: self.root.clone() });
        }
        if kind.is_dir() {
            self.subdirectory(path, relative, above)
        } else if kind.is_file() {
            self.file(path, relative)
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
        // Only directories above: the same directory may be linked twice side by side.
        if above.contains(&real) {
            self.warn(format!("`{relative}` is a link back to a directory above it and is left out"));
            return Ok(());
        }
        above.push(real);
        let walked = self.directory(path, &format!("{relative}/"), above);
        above.pop();
        walked
    }

    fn file(&mut self, path: &Path, relative: String) -> Result<(), TreeError> {
        let metadata =
            fs::metadata(path).map_err(|source| TreeError::Read { path: path.to_path_buf(), source })?;
        let shipped = Shipped { source: path.to_path_buf(), executable: is_executable(&metadata) };
        self.tree.files.insert(relative, shipped);
        Ok(())
    }

    /// The type of a link's target; `None`, with a warning, when the link is broken.
    fn link_target(&mut self, path: &Path, relative: &str) -> Option<FileType> {
        let Ok(metadata) = fs::metadata(path) else {
            self.warn(format!("`{relative}` is a broken link and is left out"));
            return None;
        };
        Some(metadata.file_type())
    }

    /// Warn about a link to a path outside: such files are never shipped silently.
    fn warn_of_outside_link(&mut self, path: &Path, relative: &str) {
        let target = path.canonicalize().ok().filter(|target| !target.starts_with(&self.root));
        if let Some(target) = target {
            self.warn(format!(
                "`{relative}` is a link out of the project, to `{}`; its content is shipped",
                target.display()
            ));
            self.tree.outside.push(relative.to_string());
        }
    }

    fn warn(&mut self, message: String) {
        self.tree.warnings.push(message);
    }
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
mod tests;
