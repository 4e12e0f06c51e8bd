//! The project that a directory is in.

use super::dg;
use super::inspect::YAML_FILES;
use super::reading::Reading;
use std::path::{Path, PathBuf};

/// The file of the nearest project from `directory` upwards: a `dagster_cloud.yaml`, or the dg settings of a project or
/// workspace.
///
/// The search ends at the top of the repository, and where a directory belongs to another user: a project's code runs
/// while it is built, and nobody should be able to place one above other people's directories.
pub fn find(directory: &Path) -> Option<PathBuf> {
    for here in directory.ancestors() {
        if !is_of_same_owner(here, directory) {
            return None;
        }
        if let Some(file) = file_in(here) {
            // In a directory such as `/tmp`, anyone can place one.
            return (here == directory || is_of_same_owner(&file, directory)).then_some(file);
        }
        if here.join(".git").exists() {
            return None;
        }
    }
    None
}

/// The file that makes `directory` a project.
pub(super) fn file_in(directory: &Path) -> Option<PathBuf> {
    let yaml = YAML_FILES.iter().map(|name| directory.join(name)).find(|file| file.is_file());
    let mut reading = Reading::default();
    let dg = || dg::config_file(directory, &mut reading);
    yaml.or_else(dg)
}

#[cfg(unix)]
fn is_of_same_owner(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &Path| path.symlink_metadata().map(|data| data.uid()).ok();
    owner(one) == owner(other)
}

#[cfg(not(unix))]
fn is_of_same_owner(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in `/tmp`, where anyone can place files. Needs the right to give files away, which root has.
    #[cfg(unix)]
    #[test]
    fn a_file_that_another_user_placed_above_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        let (file, below) = (dir.path().join("dagster_cloud.yaml"), dir.path().join("work"));
        std::fs::create_dir(&below).unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(find(&below).as_deref(), Some(&*file));
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_err() {
            return;
        }
        assert_eq!(find(&below), None);
        // Whoever goes there means it.
        assert_eq!(find(dir.path()).as_deref(), Some(&*file));
    }

    #[test]
    fn the_nearest_project_within_the_repository_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("dagster_cloud.yaml", "");
        write("repo/.git/HEAD", "");
        write("repo/app/dagster_cloud.yml", "");
        write("repo/app/src/deep/x.py", "");
        write("repo/dg/pyproject.toml", "[tool.dg]\ndirectory_type = \"project\"\n");
        write("repo/dg/src/x.py", "");
        write("repo/lib/pyproject.toml", "[project]\nname = \"lib\"\n");
        let found = |from: &str| {
            let found = find(&dir.path().join(from))?;
            Some(found.strip_prefix(dir.path()).unwrap().display().to_string())
        };
        for (from, want) in [
            ("repo/app/src/deep", Some("repo/app/dagster_cloud.yml")),
            ("repo/app", Some("repo/app/dagster_cloud.yml")),
            ("repo/dg/src", Some("repo/dg/pyproject.toml")),
            ("repo/lib", None),
            ("repo", None),
            ("", Some("dagster_cloud.yaml")),
        ] {
            assert_eq!(found(from).as_deref(), want, "{from}");
        }
    }
}
