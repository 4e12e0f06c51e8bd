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
        list(&self.path(""), std::iter::empty()).unwrap()
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
        "out/deps-0123456789012345678901234567890123456789.pex",
        "gha-creds-0123456789abcdef.json",
        ".partial-1-x",
        ".pdm-build/x",
        "deps-1.pex",
        ".dagster/x",
        "target/manifest.json",
        "b/.cache/x",
    ]);
    fixture.write(".gitignore", "target");
    assert_eq!(fixture.names(), [".dagster/x", ".gitignore", "a.py", "deps-1.pex", "target/manifest.json"]);
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
fn links_are_followed() {
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
        "`outside-link` is a link out of",
        "`dangling` is a broken link",
        "`dir/loop` is a link back",
        "`dir-link/loop` is a link back",
        "`self` is a broken link",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
}

#[test]
fn a_link_that_is_left_out_has_no_warning() {
    let fixture = Fixture::new(&["a.py"]);
    fs::write(fixture.0.path().join("outside.txt"), "o").unwrap();
    symlink("../outside.txt", fixture.path("data.csv")).unwrap();
    symlink("..", fixture.path(".venv")).unwrap();
    fixture.write(".pexignore", "*.csv\n");
    let tree = fixture.tree();
    assert_eq!((tree.warnings, tree.outside), (Vec::<String>::new(), Vec::<String>::new()));
}

#[test]
fn files_below_an_outside_directory_are_reported_by_its_link() {
    let fixture = Fixture::new(&["a.py"]);
    let outside = fixture.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("key"), "k").unwrap();
    symlink("../outside", fixture.path("shared")).unwrap();
    // By way of a link inside, too.
    symlink("shared/key", fixture.path("key")).unwrap();
    let tree = fixture.tree();
    assert_eq!(tree.outside, ["key", "shared"]);
    assert!(tree.warnings[0].contains(&outside.join("key").canonicalize().unwrap().display().to_string()));
}

#[test]
fn links_that_multiply_directories_are_refused() {
    let fixture = Fixture::new(&["d00/x"]);
    for level in 1..40 {
        let directory = fixture.path(&format!("d{level:02}"));
        fs::create_dir(&directory).unwrap();
        for link in ["a", "b"] {
            symlink(format!("../d{:02}", level - 1), directory.join(link)).unwrap();
        }
    }
    let error = list(&fixture.path(""), std::iter::empty()).unwrap_err();
    let message =
        error.to_string().replace(fixture.path("").to_str().unwrap().trim_end_matches('/'), "[PROJECT]");
    insta::assert_snapshot!(message, @"`[PROJECT]` has more than 5000 files and directories, links followed");
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
fn modes_are_kept() {
    let fixture = Fixture::new(&["run.sh", "é .py"]);
    fs::set_permissions(fixture.path("run.sh"), fs::Permissions::from_mode(0o744)).unwrap();
    let tree = fixture.tree();
    assert!(tree.files["run.sh"].executable && !tree.files["é .py"].executable);
}

#[test]
fn a_bad_pattern_names_the_file() {
    let fixture = Fixture::new(&["a.py"]);
    fixture.write(".pexignore", "{a");
    let error = list(&fixture.path(""), std::iter::empty()).unwrap_err();
    assert!(error.to_string().contains(".pexignore"), "{error}");
}
