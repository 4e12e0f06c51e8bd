//! Which files are left out of a source PEX: by name, by a `.pexignore`, or because this program wrote them.
//!
//! The same rules apply to the working directory and to the files of built packages, whose paths in the wheel are
//! mapped back to the package's directory. `docs/pex.md` has the rules for users.

use super::manifest::{self, Manifest};
use super::package_files::{Fingerprint, PackageFiles, Source};
use super::tree_error::TreeError;
use crate::error::Place;
use crate::pex::is_bytecode;
use crate::project::code_source;
use crate::project::{Location, Warning};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::cell::OnceCell;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Left out in every directory. The first nine are the list of dagster-cloud-cli.
const NAMES: [&str; 17] = [
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
    ".hg",
    ".svn",
    ".ruff_cache",
    ".eggs",
    ".pdm-build",
    ".DS_Store",
];

/// A file that marks the directory it is in as a virtual environment. Source: PEP 405.
const ENVIRONMENT_MARKER: &str = "pyvenv.cfg";

/// A file that marks the directory it is in as an image layout, which pexpress or another tool wrote into the project.
/// Source: OCI image specification, image-layout.md.
const LAYOUT_MARKER: &str = "oci-layout";

/// File with gitignore patterns of files not to ship, at the top of a project directory.
pub const PEXIGNORE: &str = ".pexignore";

/// The `.gitignore` of an output directory, so that PEX files are not committed by mistake.
pub const OUTPUT_GITIGNORE: &str = "# Written by pexpress: what it builds is not for a repository.\n*\n";

/// The rules for one directory.
#[derive(Debug)]
pub struct LeftOut {
    directory: PathBuf,
    patterns: Gitignore,
    /// The patterns of packages below it, by their path in it (`libs/lib/`).
    nested: Vec<(String, Gitignore)>,
    /// Listed at first use.
    files: OnceCell<PackageFiles>,
}

impl LeftOut {
    /// The rules for `directory`, with those of the `.pexignore` in it.
    ///
    /// # Errors
    /// When a pattern in it is invalid.
    pub fn read(directory: &Path) -> Result<LeftOut, TreeError> {
        let patterns = patterns(directory)?;
        let directory = directory.to_path_buf();
        Ok(LeftOut { directory, patterns, nested: Vec::new(), files: OnceCell::new() })
    }

    /// The same with the `.pexignore` of each of these packages that is below the directory, for the files in it.
    ///
    /// # Errors
    /// When a pattern in one of them is invalid.
    pub fn with_nested<'a>(mut self, packages: impl Iterator<Item = &'a Path>) -> Result<LeftOut, TreeError> {
        // Packages may be reached through links, so real paths are compared.
        let Ok(top) = self.directory.canonicalize() else { return Ok(self) };
        for package in packages {
            let real = package.canonicalize().unwrap_or_default();
            let below = real.strip_prefix(&top).ok().and_then(Path::to_str).filter(|below| !below.is_empty());
            if let Some(below) = below {
                self.nested.push((format!("{below}/"), patterns(package)?));
            }
        }
        Ok(self)
    }

    /// The same without any `.pexignore`.
    pub fn by_name(directory: &Path) -> LeftOut {
        LeftOut {
            directory: directory.to_path_buf(),
            patterns: Gitignore::empty(),
            nested: Vec::new(),
            files: OnceCell::new(),
        }
    }

    /// Whether a file or directory of the working directory is left out. `relative` is its path there, with `/`.
    pub fn in_tree(&self, path: &Path, name: &str, relative: &str, is_dir: bool) -> bool {
        if !is_dir && (is_never_shipped(name) || is_own(path, name)) {
            return true;
        }
        let of_package = |(below, patterns): &(String, Gitignore)| {
            relative
                .strip_prefix(below.as_str())
                .is_some_and(|path| patterns.matched(path, is_dir).is_ignore())
        };
        if self.nested.iter().any(of_package) {
            return true;
        }
        let decision = self.patterns.matched(relative, is_dir);
        // `!pattern` brings back files that are left out by name, such as `.cache`.
        if decision.is_whitelist() {
            return false;
        }
        decision.is_ignore()
            || NAMES.contains(&name)
            || (!is_dir && is_bytecode(name))
            || (is_dir && (path.join(ENVIRONMENT_MARKER).is_file() || is_layout(path)))
    }

    /// Why a file of the working directory is left out, with the place of the pattern if there is one. `file` is
    /// relative to the directory.
    fn why(&self, file: &Path) -> Option<(String, Option<Place>)> {
        let mut above: Vec<&Path> = file.ancestors().filter(|part| *part != Path::new("")).collect();
        // The topmost directory decides: the walk does not enter it.
        above.reverse();
        above.into_iter().find_map(|part| {
            let (name, is_dir) = (part.file_name()?.to_str()?, part != file);
            if !self.in_tree(&self.directory.join(part), name, part.to_str()?, is_dir) {
                return None;
            }
            let Match::Ignore(pattern) = self.patterns.matched(part, is_dir) else {
                return Some((
                    format!("`{}` is never shipped; move the code elsewhere", part.display()),
                    None,
                ));
            };
            let (pattern, path) = (pattern.original(), self.directory.join(PEXIGNORE));
            let text = fs::read_to_string(&path).unwrap_or_default();
            // In gitignore files, the last matching pattern decides.
            let line = text.lines().collect::<Vec<_>>().iter().rposition(|line| line.trim_end() == pattern);
            let place = Place { file: path, line: line.map(|index| index + 1), column: None };
            let why =
                format!("`{pattern}` in {PEXIGNORE} leaves out `{}`; remove or narrow it", file.display());
            Some((why, Some(place)))
        })
    }

    /// Whether a file of this directory's own package is left out, given its path and content in the wheel.
    ///
    /// Patterns for the package itself or a directory above it do not count: `src/` keeps a second copy out of the
    /// working directory, and must not remove the package that is imported.
    pub fn in_package(&self, member: &str, content: Option<Fingerprint>) -> bool {
        if is_never_shipped(file_name(member)) {
            return true;
        }
        if self.patterns.is_empty() {
            return false;
        }
        let is_named = |source: &Source| self.names(&source.path, source.exempt, member);
        let sources = self.files().sources(member, content);
        match is_module(member) {
            // A module is left out only if patterns match every file that it may come from.
            true => !sources.is_empty() && sources.iter().all(is_named),
            false => sources.iter().any(is_named),
        }
    }

    /// Whether a file of another local package is left out, given its path in the wheel. Python modules never are.
    pub fn in_other_package(&self, member: &str) -> bool {
        let exempt = usize::from(member.contains('/'));
        is_never_shipped(file_name(member)) || (!is_module(member) && self.names(member, exempt, member))
    }

    /// Whether a pattern matches `path` or a directory above it, without the first `exempt` components.
    fn names(&self, path: &str, exempt: usize, member: &str) -> bool {
        let is_at_top = !member.contains('/');
        if member.contains(".dist-info/") || (is_at_top && member.ends_with(".py")) {
            return false;
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.skip(exempt).any(|end| self.patterns.matched(&path[..end], end < path.len()).is_ignore())
    }

    fn files(&self) -> &PackageFiles {
        self.files.get_or_init(|| PackageFiles::list(&self.directory, |name| NAMES.contains(&name)))
    }
}

/// The patterns in the `.pexignore` of a directory.
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

fn is_module(member: &str) -> bool {
    [".py", ".so", ".pyd"].iter().any(|suffix| member.ends_with(suffix))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Files that no `.pexignore` can include again: PEX files, finished or not, and the credentials that Google's login
/// action writes into the checkout. Source: its README, which asks to ignore `gha-creds-*.json`.
pub(super) fn is_never_shipped(name: &str) -> bool {
    let is_pex = ["deps-", "source-"].iter().any(|start| {
        let hash = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(".pex"));
        hash.is_some_and(|hash| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    is_pex
        || crate::scratch::is_unfinished(name)
        || (name.starts_with("gha-creds-") && name.ends_with(".json"))
}

/// Whether this program wrote the file into an output directory (apart from PEX files).
fn is_own(path: &Path, name: &str) -> bool {
    match name {
        manifest::FILE_NAME => path.parent().is_some_and(|directory| Manifest::read(directory).is_ok()),
        ".gitignore" => fs::read(path).is_ok_and(|text| text == OUTPUT_GITIGNORE.as_bytes()),
        // The list of what is in an image, next to its layout: `NAME.cdx.json`, `NAME+linux-arm64.cdx.json`.
        _ => name.strip_suffix(".cdx.json").is_some_and(|stem| {
            let image = stem.split('+').next().unwrap_or(stem);
            !image.is_empty() && is_layout(&path.with_file_name(image))
        }),
    }
}

/// Whether a directory is an image layout, or the beginning of one: the image for one platform must not be in that for
/// the next, nor what a run left that was killed.
fn is_layout(directory: &Path) -> bool {
    if directory.join(LAYOUT_MARKER).is_file() {
        return true;
    }
    let is_part = |entry: fs::DirEntry| ["blobs", "index.json"].iter().any(|name| entry.file_name() == *name);
    directory.join("blobs/sha256").is_dir()
        && fs::read_dir(directory).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(is_part)))
}

/// A warning for each code location whose own file is left out of the source PEX.
pub fn code(locations: &[Location]) -> Vec<Warning> {
    let warning = |location: &Location| {
        let file = location.directory.join(PEXIGNORE);
        let rules = LeftOut::read(&location.directory).ok()?;
        let own = code_source::own_file(location, file.is_file())?;
        let relative = own.file.strip_prefix(&location.directory).ok()?;
        let relative: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
        if relative.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        let (why, place) = rules.why(&relative)?;
        let message = format!("`{}: {}` of code location `{}`: {why}", own.key, own.given, location.name);
        Some(Warning { message, place: place.or_else(|| Some(location.place_of(own.key))) })
    };
    locations.iter().filter_map(warning).collect()
}

/// Keep the files in an output directory out of the user's repository, if only this program wrote there.
pub fn hide_from_git(out_dir: &Path) {
    let file = out_dir.join(".gitignore");
    let Ok(entries) = fs::read_dir(out_dir) else { return };
    let is_ours = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        is_never_shipped(&name) || is_own(&entry.path(), &name)
    };
    if !file.exists() && entries.flatten().all(is_ours) {
        // Best effort: without the file, git only shows the PEX files as untracked.
        let _ = fs::write(file, OUTPUT_GITIGNORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &str, files: &[&str]) -> (tempfile::TempDir, LeftOut) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
            fs::write(dir.path().join(file), "").unwrap();
        }
        fs::write(dir.path().join(PEXIGNORE), patterns).unwrap();
        let rules = LeftOut::read(dir.path()).unwrap();
        (dir, rules)
    }

    #[test]
    fn what_this_program_writes_into_a_project_is_not_shipped() {
        let (dir, rules) = rules("", &["done/oci-layout", "begun/blobs/sha256/ab", "models/blobs/sha256/ab"]);
        fs::write(dir.path().join("models/README.md"), "").unwrap();
        for (file, is_left_out) in
            [("done.cdx.json", true), ("done+linux-arm64.cdx.json", true), ("other.cdx.json", false)]
        {
            assert_eq!(rules.in_tree(&dir.path().join(file), file, file, false), is_left_out, "{file}");
        }
        for (name, is_left_out) in [("done", true), ("begun", true), ("models", false)] {
            let left_out = rules.in_tree(&dir.path().join(name), name, name, true);
            assert_eq!(left_out, is_left_out, "{name}");
        }
    }

    #[test]
    fn patterns_reach_into_built_packages_and_spare_the_package() {
        let files = ["src/shop/__init__.py", "src/shop/.env", "src/shop/data/a.csv", "src/shop/tests/a.py"];
        for (patterns, member, want) in [
            (".env", "shop/.env", true),
            ("src/shop/.env", "shop/.env", true),
            ("*.csv", "shop/data/a.csv", true),
            ("data/", "shop/data/a.csv", true),
            ("/src/shop/data", "shop/data/a.csv", true),
            ("tests/", "shop/tests/a.py", true),
            ("*.csv\n!a.csv", "shop/data/a.csv", false),
            ("src/", "shop/__init__.py", false),
            ("src/", "shop/data/a.csv", false),
            ("src/shop/", "shop/__init__.py", false),
            ("shop", "shop/__init__.py", false),
            ("*.txt", "shop-1.dist-info/entry_points.txt", false),
            ("", "shop/gha-creds-0123.json", true),
            ("!*.json", "shop/gha-creds-0123.json", true),
            ("one.py", "one.py", false),
            ("one.csv", "one.csv", true),
        ] {
            let (_dir, rules) = rules(patterns, &files);
            assert_eq!(rules.in_package(member, None), want, "{patterns} {member}");
        }
    }

    #[test]
    fn patterns_of_the_build_directory_spare_modules_of_other_packages() {
        for (patterns, member, want) in [
            (".env", "lib/.env", true),
            ("models/", "lib/models/big.bin", true),
            ("models/", "lib/models/__init__.py", false),
            ("lib/", "lib/schema.sql", false),
        ] {
            let (_dir, rules) = rules(patterns, &[]);
            assert_eq!(rules.in_other_package(member), want, "{patterns} {member}");
        }
    }

    /// The copy below the working directory had what the package's own patterns kept out of the built package.
    #[test]
    fn patterns_of_a_package_hold_for_its_copy_in_the_working_directory() {
        let (dir, rules) = rules("*.log", &["libs/lib/.env"]);
        let package = dir.path().join("libs/lib");
        fs::write(package.join(PEXIGNORE), ".env\n/data/\n").unwrap();
        let rules = rules.with_nested([&*package, dir.path(), Path::new("/")].into_iter()).unwrap();
        for (relative, is_dir, want) in [
            ("libs/lib/.env", false, true),
            ("libs/lib/src/.env", false, true),
            ("libs/lib/data", true, true),
            ("libs/lib/a.log", false, true),
            ("libs/lib/a.py", false, false),
            ("libs/library/.env", false, false),
            (".env", false, false),
            ("data", true, false),
        ] {
            let (path, name) = (dir.path().join(relative), file_name(relative));
            assert_eq!(rules.in_tree(&path, name, relative, is_dir), want, "{relative}");
        }
    }

    #[test]
    fn patterns_that_leave_out_the_code_itself_are_named() {
        let files = ["app/defs.py", "other.py", ".cache/defs.py"];
        let project = "[project]\nname = 'app'\n[build-system]\nrequires = []\n";
        for (patterns, key, given, more, want) in [
            (
                "# x\napp/\n",
                "module_name",
                "app.defs",
                "",
                Some(("`app/` in .pexignore leaves out `app/defs.py`; remove or narrow it", 2)),
            ),
            (
                "*.py\n!app/\n",
                "module_name",
                "app.defs",
                "",
                Some(("`*.py` in .pexignore leaves out `app/defs.py`; remove or narrow it", 1)),
            ),
            ("*.py\n!defs.py\n", "module_name", "app.defs", "", None),
            ("/tests\n", "module_name", "app.defs", "", None),
            (
                "other.py\n",
                "python_file",
                "./other.py",
                project,
                Some(("`other.py` in .pexignore leaves out `other.py`; remove or narrow it", 1)),
            ),
            (
                "",
                "python_file",
                ".cache/defs.py",
                "",
                Some(("`.cache` is never shipped; move the code elsewhere", 7)),
            ),
            ("other.py\n", "python_file", "../other.py", "", None),
            // The code is imported from the built package.
            ("app/\n", "module_name", "app.defs", project, None),
        ] {
            let (dir, _) = rules(patterns, &files);
            if !more.is_empty() {
                fs::write(dir.path().join("pyproject.toml"), more).unwrap();
            }
            let document = serde_json::json!({"code_source": {key: given}}).as_object().unwrap().clone();
            let location = Location {
                name: "a".into(),
                directory: dir.path().to_path_buf(),
                document,
                dg: None,
                place: Place { file: "dagster_cloud.yaml".into(), line: Some(7), column: None },
                places: std::collections::BTreeMap::new(),
            };
            let said: Vec<_> = code(&[location])
                .into_iter()
                .map(|warning| (warning.message, warning.place.unwrap().line.unwrap()))
                .collect();
            let want =
                want.map(|(why, line)| (format!("`{key}: {given}` of code location `a`: {why}"), line));
            assert_eq!(said, Vec::from_iter(want), "{patterns:?}");
        }
    }

    #[test]
    fn only_an_output_directory_without_files_of_the_users_is_hidden() {
        let deps = format!("deps-{}.pex", "0".repeat(40));
        for (files, want) in [
            (vec![], true),
            (vec![deps.as_str()], true),
            (vec!["manifest.json"], false),
            (vec!["deps-1.pex"], false),
        ] {
            let (dir, _) = rules("", &files);
            fs::remove_file(dir.path().join(PEXIGNORE)).unwrap();
            hide_from_git(dir.path());
            assert_eq!(dir.path().join(".gitignore").is_file(), want, "{files:?}");
        }
    }
}
