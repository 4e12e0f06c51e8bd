//! Writes what `init` has decided: all of it, or nothing.

use crate::cli::InitArgs;
use crate::error::{Explain, Fault};
use crate::init::{Move, Plan, TAKEN_OVER, TextFile};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// `init` cannot go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum InitError {
    #[error("`{}` has no dagster_cloud.yaml, no dg project, and no Python file with Dagster definitions", directory.display())]
    NoProject { directory: PathBuf },
    #[error("`{}` deploys already, and is a reusable workflow: only other workflows start it", path.display())]
    Reusable { path: PathBuf },
    #[error("`{}` exists and differs; nothing was written", path.display())]
    Exists { path: PathBuf, is_old_workflow: bool, was_taken_over: bool },
    #[error("`{}` exists, where an old workflow would go; nothing was written", path.display())]
    MovedBefore { path: PathBuf },
    #[error("could not write `{}`; nothing was changed", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Explain for InitError {
    fn fault(&self) -> Fault {
        match self {
            InitError::NoProject { .. }
            | InitError::Reusable { .. }
            | InitError::Exists { .. }
            | InitError::MovedBefore { .. } => Fault::Project,
            InitError::Write { .. } => Fault::Tool,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            InitError::NoProject { .. } => {
                Some("name the directory of the project, or write a dagster_cloud.yaml that names the module".into())
            }
            InitError::Reusable { .. } => Some(
                "put the step of pexpress there by hand, as docs/migrating.md shows; or move the file away and run this again".into(),
            ),
            InitError::Exists { is_old_workflow: true, .. } => {
                Some("it is one of the old workflows: --replace moves it first; --workflow NAME.yml writes another file".into())
            }
            InitError::Exists { was_taken_over: true, .. } => Some(
                "it has what an earlier run took over from the old workflows, which are not read any more: change it by hand; --check shows the difference".into(),
            ),
            InitError::Exists { .. } => Some("--check shows the difference, and --overwrite writes over it".into()),
            InitError::MovedBefore { .. } => Some("rename or delete it".into()),
            InitError::Write { .. } => None,
        }
    }
}

/// Write the files of a plan below `top`, and move old workflows if that was asked for.
///
/// # Errors
/// When a file exists that may not be overwritten, or something cannot be written. Then nothing is changed.
pub fn write(top: &Path, plan: &Plan, args: &InitArgs) -> Result<(), InitError> {
    let moves: &[Move] = if args.replace { &plan.moves } else { &[] };
    let is_moved = |file: &TextFile| moves.iter().any(|moved| moved.from == file.path);
    for file in plan.files.iter().filter(|file| !is_moved(file)) {
        let path = top.join(&file.path);
        let is_same = std::fs::read(&path).is_ok_and(|present| present == file.text.as_bytes());
        if path.exists() && !is_same && !args.overwrite {
            let is_old_workflow = plan.moves.iter().any(|moved| moved.from == file.path);
            let present = std::fs::read_to_string(&path).unwrap_or_default();
            let was_taken_over = present.contains(TAKEN_OVER) && !file.text.contains(TAKEN_OVER);
            return Err(InitError::Exists { path, is_old_workflow, was_taken_over });
        }
    }
    for moved in moves {
        let path = top.join(&moved.to);
        if path.exists() {
            return Err(InitError::MovedBefore { path });
        }
    }
    let mut done = Done::default();
    done.all(top, &plan.files, moves).map_err(|(path, source)| {
        done.undo();
        InitError::Write { path, source }
    })
}

/// What was changed, to be undone if the rest fails.
#[derive(Default)]
struct Done {
    /// Moved files: from, to.
    moved: Vec<(PathBuf, PathBuf)>,
    /// Written files, and what was there before.
    written: Vec<(PathBuf, Option<Vec<u8>>)>,
    directories: Vec<PathBuf>,
}

impl Done {
    fn all(&mut self, top: &Path, files: &[TextFile], moves: &[Move]) -> Result<(), (PathBuf, io::Error)> {
        // Everything that can fail for want of space or permission comes first.
        let mut prepared = Vec::new();
        for file in files {
            let path = top.join(&file.path);
            let temporary = self.prepare(&path, &file.text).map_err(|error| (path.clone(), error))?;
            prepared.push((path, temporary));
        }
        for moved in moves {
            let (from, to) = (top.join(&moved.from), top.join(&moved.to));
            std::fs::rename(&from, &to).map_err(|error| (to.clone(), error))?;
            self.moved.push((from, to));
        }
        for (path, temporary) in prepared {
            let before = std::fs::read(&path).ok();
            temporary.persist(&path).map_err(|error| (path.clone(), error.error))?;
            self.written.push((path, before));
        }
        Ok(())
    }

    /// A temporary file with the text, in the directory of `path`, which is created if missing.
    fn prepare(&mut self, path: &Path, text: &str) -> io::Result<NamedTempFile> {
        let directory = path.parent().unwrap_or(path);
        let missing: Vec<&Path> = directory.ancestors().take_while(|above| !above.exists()).collect();
        std::fs::create_dir_all(directory)?;
        self.directories.extend(missing.into_iter().map(Path::to_path_buf));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".pexpress-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Best effort: the error that led here is the one to report.
    fn undo(&mut self) {
        for (path, before) in self.written.drain(..).rev() {
            let _ = match before {
                Some(before) => std::fs::write(&path, before),
                None => std::fs::remove_file(&path),
            };
        }
        for (from, to) in self.moved.drain(..).rev() {
            let _ = std::fs::rename(to, from);
        }
        self.directories.drain(..).for_each(|directory| {
            let _ = std::fs::remove_dir(directory);
        });
    }
}
