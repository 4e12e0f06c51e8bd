//! Projects that build fast and without an index: their dagster is a tiny wheel next to them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Write a `py3-none-any` wheel with one module into `dir`.
pub fn write_wheel(dir: &Path, name: &str, version: &str) {
    write_wheel_of(dir, name, version, &[("__init__.py", &format!("version = '{version}'\n"))]);
}

/// Write a `py3-none-any` wheel with these requirements into `dir`.
pub fn write_wheel_asking(dir: &Path, name: &str, version: &str, requires: &[&str]) {
    let lines: String = requires.iter().map(|line| format!("Requires-Dist: {line}\n")).collect();
    write_wheel_with(dir, name, version, &lines, &[("__init__.py", &format!("version = '{version}'\n"))]);
}

/// Write a `py3-none-any` wheel with one package of these files into `dir`.
pub fn write_wheel_of(dir: &Path, name: &str, version: &str, package: &[(&str, &str)]) {
    write_wheel_with(dir, name, version, "", package);
}

/// `headers` are further lines of METADATA.
fn write_wheel_with(dir: &Path, name: &str, version: &str, headers: &str, package: &[(&str, &str)]) {
    let module = name.replace('-', "_");
    let info = format!("{module}-{version}.dist-info");
    let tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}");
    let mut files: Vec<_> =
        package.iter().map(|(path, text)| (format!("{module}/{path}"), text.to_string())).collect();
    files.extend([(format!("{info}/METADATA"), metadata), (format!("{info}/WHEEL"), tag.to_string())]);
    let mut record = String::new();
    for (path, text) in &files {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
        writeln!(record, "{path},sha256={digest},{}", text.len()).unwrap();
    }
    writeln!(record, "{info}/RECORD,,").unwrap();
    files.push((format!("{info}/RECORD"), record));
    let file = std::fs::File::create(dir.join(format!("{module}-{version}-py3-none-any.whl"))).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    for (path, text) in files {
        archive.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}

/// Write a source distribution with these files at its top into `dir`.
pub fn write_sdist(dir: &Path, name: &str, version: &str, files: &[(&str, &str)]) {
    let top = format!("{name}-{version}");
    let tree = tempfile::tempdir().unwrap();
    let inside = tree.path().join(&top);
    std::fs::create_dir(&inside).unwrap();
    let metadata = format!("Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n");
    for (path, text) in files.iter().chain(&[("PKG-INFO", metadata.as_str())]) {
        std::fs::write(inside.join(path), text).unwrap();
    }
    let archive = dir.join(format!("{top}.tar.gz"));
    super::run(Command::new("tar").arg("-czf").arg(archive).arg("-C").args([tree.path(), Path::new(&top)]));
}

/// Wheels of dagster and dagster-cloud, and of `extra` with versions 1 to `versions`, in `dir/wheels`.
pub fn write_wheels(dir: &Path, versions: usize) {
    let wheels = dir.join("wheels");
    std::fs::create_dir_all(&wheels).unwrap();
    for name in ["dagster", "dagster-cloud"] {
        write_wheel(&wheels, name, "1.13.27");
    }
    (1..=versions).for_each(|version| write_wheel(&wheels, "extra", &version.to_string()));
}

/// Write a lock file of the wheels of a project for its code location `one`.
pub fn write_lock(dir: &Path) {
    let mut text = "lock-version = '1.0'\ncreated-by = 'test'\n".to_string();
    for name in ["dagster", "dagster-cloud"] {
        let file = format!("{}-1.13.27-py3-none-any.whl", name.replace('-', "_"));
        let bytes = std::fs::read(dir.join("wheels").join(&file)).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!(
            "[[packages]]\nname = '{name}'\nversion = '1.13.27'\n\
             wheels = [{{name = '{file}', path = '../wheels/{file}', hashes = {{sha256 = '{digest}'}}}}]\n"
        );
    }
    std::fs::write(dir.join("one/pylock.toml"), text).unwrap();
}

/// A project with these code locations, each in its own directory, with dagster and the given requirement lines. Names
/// such as `error` have no meaning here: the stand-in's configuration decides how a location loads.
pub fn write_project(dir: &Path, locations: &[(&str, &str)]) {
    write_wheels(dir, 10);
    let mut yaml = String::from("locations:\n");
    for (name, lines) in locations {
        let home = dir.join(name);
        std::fs::create_dir_all(&home).unwrap();
        let text = format!("--no-index\n--find-links ../wheels\ndagster\ndagster-cloud\n{lines}\n");
        std::fs::write(home.join("requirements.txt"), text).unwrap();
        std::fs::write(home.join("defs.py"), format!("name = '{name}'\n")).unwrap();
        write!(
            yaml,
            "  - location_name: {name}\n    code_source: {{python_file: defs.py}}\n    build: {{directory: {name}}}\n"
        )
        .unwrap();
    }
    std::fs::write(dir.join("dagster_cloud.yaml"), yaml).unwrap();
}
