//! A project with a source distribution and a local package, built repeatedly without any index.

use crate::support::small_project::{write_project, write_sdist, write_wheel_of};
use crate::support::{pexpress_with_uv, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small build backend with a known name, because only builds of known backends are cached.
const BACKEND: &str = "\
import base64, hashlib, pathlib, re, zipfile

def row(member, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b'=').decode()
    return f'{member},sha256={digest},{len(content.encode())}\\n'

def build_wheel(directory, config_settings=None, metadata_directory=None):
    text = pathlib.Path('pyproject.toml').read_text()
    name, version = (re.search(key + r' = \"(.*)\"', text)[1] for key in ('name', 'version'))
    info = f'{name}-{version}.dist-info'
    members = {path.as_posix(): path.read_text() for path in sorted(pathlib.Path('.').glob('*.py'))}
    members[f'{info}/METADATA'] = f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n'
    members[f'{info}/WHEEL'] = 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'
    rows = ''.join(row(member, content) for member, content in members.items())
    members[f'{info}/RECORD'] = rows + f'{info}/RECORD,,\\n'
    file_name = f'{name}-{version}-py3-none-any.whl'
    with zipfile.ZipFile(pathlib.Path(directory, file_name), 'w') as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return file_name
";

fn pyproject(name: &str) -> String {
    format!(
        "[project]\nname = \"{name}\"\nversion = \"1\"\n[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n"
    )
}

/// A project, and the directories that its runs use.
pub struct Runs {
    dir: tempfile::TempDir,
}

impl Runs {
    /// Two code locations, in `project`; `cache`, `out` and `tmp` are empty.
    pub fn new() -> Runs {
        let runs = Runs { dir: tempfile::tempdir().unwrap() };
        let project = runs.path("project");
        std::fs::create_dir(&project).unwrap();
        std::fs::create_dir(runs.path("tmp")).unwrap();
        write_project(&project, &[("one", "extra==1\nfromsource"), ("two", "extra==2")]);
        let wheels = project.join("wheels");
        write_wheel_of(&wheels, "hatchling", "1", &[("build.py", BACKEND)]);
        write_sdist(
            &wheels,
            "fromsource",
            "1",
            &[("pyproject.toml", &pyproject("fromsource")), ("fromsource.py", "a = 1\n")],
        );
        std::fs::write(project.join("one/pyproject.toml"), pyproject("local")).unwrap();
        std::fs::write(project.join("one/local.py"), "b = 2\n").unwrap();
        std::fs::copy(crate::support::pex_runtime(), wheels.join(pexpress::pex::WHEEL_FILE_NAME)).unwrap();
        runs
    }

    /// Something below the directory of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `deploy` of the project into `out`. No index is asked for anything.
    pub fn deploy(&self) -> Command {
        self.deploy_into("out")
    }

    /// The same into another directory below that of this test.
    pub fn deploy_into(&self, out: &str) -> Command {
        let mut command = pexpress_with_uv();
        command
            .arg("deploy")
            .args([self.path("project"), self.path(out)])
            .args(["--python-version", "3.11"])
            .current_dir(self.dir.path())
            .env("PEXPRESS_CACHE_DIR", self.path("cache"))
            .env("TMPDIR", self.path("tmp"))
            .env("UV_OFFLINE", "1")
            .env("UV_NO_INDEX", "1")
            .env("UV_FIND_LINKS", self.path("project/wheels"))
            .stdin(Stdio::null());
        command
    }

    /// A run that succeeds.
    pub fn succeed(&self) {
        run(&mut self.deploy());
    }
}

/// Files of a cache without content: locks, and the time of the last prune.
const MARKS: [&str; 3] = [".lock", ".in-use", ".pruned"];

/// All files with content below `dir`, sorted.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.retain(|path| !MARKS.iter().any(|mark| path.ends_with(mark)));
    found.sort();
    found
}
