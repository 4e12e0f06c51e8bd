//! `pexpress image`: layouts on disk.

use super::base::Base;
use crate::support::said::plain;
use crate::support::small_project::{write_wheel_of, write_wheels};
use crate::support::{pexpress_with_uv, run};
use flate2::read::MultiGzDecoder;
use pexpress::image::tar::{Entries, FoundKind};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A project of one code location, `shop`, with wheels next to it. `dagster` and `dagster-cloud` have commands.
pub fn project(dir: &Path) {
    let home = dir.join("shop");
    std::fs::create_dir_all(home.join("src/shop")).unwrap();
    write_wheels(dir, 1);
    with_commands(&dir.join("wheels"));
    write_wheel_of(&dir.join("wheels"), "large", "1", &[("data.bin", &noise(1_500_000))]);
    let pyproject = "[project]\nname = 'shop'\nversion = '1'\ndependencies = ['dagster', 'dagster-cloud', 'large']\n\
        [project.scripts]\nshop-tool = 'shop:main'\n[build-system]\nrequires = []\nbuild-backend = 'backend'\n\
        backend-path = ['.']\n[tool.uv]\nno-index = true\nfind-links = ['../wheels']\n";
    std::fs::write(home.join("pyproject.toml"), pyproject).unwrap();
    std::fs::write(home.join("backend.py"), BACKEND).unwrap();
    std::fs::write(home.join("src/shop/__init__.py"), "def main(): print('shop')\n").unwrap();
    std::fs::write(home.join("src/shop/query.sql"), "select 1\n").unwrap();
    std::fs::write(home.join("data.txt"), "data\n").unwrap();
    let yaml = "locations:\n  - location_name: shop\n    code_source: {module_name: shop}\n    build: {directory: shop}\n";
    std::fs::write(dir.join("dagster_cloud.yaml"), yaml).unwrap();
}

/// A build backend that packs `src/`, so that no other has to be fetched.
pub const BACKEND: &str = "\
import base64, hashlib, os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = 'shop-1-py3-none-any.whl'
    files = {
        'shop-1.dist-info/METADATA': b'Metadata-Version: 2.1\\nName: shop\\nVersion: 1\\n',
        'shop-1.dist-info/WHEEL': b'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
        'shop-1.dist-info/entry_points.txt': b'[console_scripts]\\nshop-tool = shop:main\\n',
    }
    for above, _, names in os.walk('src'):
        for name_of in names:
            path = os.path.join(above, name_of)
            with open(path, 'rb') as file:
                files[os.path.relpath(path, 'src')] = file.read()
    with zipfile.ZipFile(os.path.join(directory, name), 'w') as archive:
        for path, content in sorted(files.items()):
            archive.writestr(path, content)
        archive.writestr('shop-1.dist-info/RECORD', ''.join(path + ',,\\n' for path in files))
    return name
";

/// Text that does not compress well.
pub fn noise(length: usize) -> String {
    let mut state = 12345_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + ((state >> 40) % 94) as u8)
    };
    (0..length).map(|_| letter()).collect()
}

/// Write wheels of Dagster's packages with the commands that an agent runs, and one with everything that a wheel can
/// have.
fn with_commands(wheels: &Path) {
    for (name, command) in [("dagster", "dagster"), ("dagster-cloud", "dagster-cloud")] {
        let module = name.replace('-', "_");
        let (entry_points, main) = (
            format!("[console_scripts]\n{command} = {module}:main\n"),
            "def main(): print('here')\n".to_string(),
        );
        let mut files = vec![
            ("dist-info/entry_points.txt".to_string(), entry_points),
            (format!("{module}/__init__.py"), main),
        ];
        if name == "dagster" {
            files.extend(
                [
                    ("data/scripts/run.py", "#!python -u\nprint('run')\n"),
                    ("data/scripts/run.sh", "#!/bin/sh\n"),
                    ("data/data/share/a.txt", "a"),
                    ("data/headers/a.h", "h"),
                    ("data/purelib/pure.py", ""),
                    ("dist-info/direct_url.json", "{}"),
                    ("dist-info/INSTALLER", "uv\n"),
                ]
                .map(|(path, text)| (path.to_string(), text.to_string())),
            );
        }
        wheel(wheels, &module, &files);
    }
}

/// Write a wheel of version 1.13.27. Paths that begin with `dist-info/` and `data/` are in these directories.
pub fn wheel(wheels: &Path, module: &str, files: &[(String, String)]) {
    let path = wheels.join(format!("{module}-1.13.27-py3-none-any.whl"));
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let metadata = format!("Metadata-Version: 2.1\nName: {module}\nVersion: 1.13.27\n");
    let tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_string();
    let own = [("dist-info/METADATA".to_string(), metadata), ("dist-info/WHEEL".to_string(), tags)];
    let all = files.iter().chain(&own).map(|(path, text)| {
        let inside = ["dist-info/", "data/"].iter().any(|start| path.starts_with(start));
        (if inside { format!("{module}-1.13.27.{path}") } else { path.clone() }, text.as_str())
    });
    let mut record = String::new();
    for (path, text) in all {
        archive.start_file(&path, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut archive, text.as_bytes()).unwrap();
        record += &format!("{path},,\n");
    }
    archive
        .start_file(format!("{module}-1.13.27.dist-info/RECORD"), zip::write::SimpleFileOptions::default())
        .unwrap();
    std::io::Write::write_all(&mut archive, record.as_bytes()).unwrap();
    archive.finish().unwrap();
}

/// Build the project in `dir` to `dir/out`, without bytecode.
pub fn image(dir: &Path, more: &[&str]) -> String {
    let mut command = command(dir, more);
    let output = run(&mut command);
    String::from_utf8(output.stdout).unwrap()
}

pub fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = pexpress_with_uv();
    command.current_dir(dir).args(["image", "dagster_cloud.yaml", "out", "--no-image-bytecode"]).args(more);
    command.args(["--python-version", "3.11"]);
    command
}

pub fn refused(dir: &Path, more: &[&str]) -> String {
    let output = command(dir, more).output().unwrap();
    assert!(!output.status.success());
    plain(&String::from_utf8(output.stderr).unwrap()).replace(&dir.display().to_string(), "[DIR]")
}

/// A finished layout.
pub struct Layout {
    directory: PathBuf,
}

/// An entry of a layer.
pub struct Entry {
    pub path: String,
    pub is_directory: bool,
    pub target: Option<String>,
    pub mode: u32,
    pub owner: (u32, u32),
    pub time: u64,
    pub content: Vec<u8>,
}

impl Entry {
    pub fn text(&self) -> String {
        String::from_utf8(self.content.clone()).unwrap()
    }
}

impl Layout {
    pub fn open(directory: &Path) -> Layout {
        Layout { directory: directory.to_path_buf() }
    }

    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let content = std::fs::read(self.directory.join("blobs/sha256").join(&digest[7..])).unwrap();
        assert_eq!(super::base::digest(&content), digest);
        assert_eq!(descriptor["size"], content.len());
        content
    }

    pub fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blob(descriptor)).unwrap()
    }

    pub fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.directory.join("index.json")).unwrap()).unwrap()
    }

    pub fn manifest(&self) -> Value {
        self.json(&self.index()["manifests"][0])
    }

    pub fn config(&self) -> Value {
        self.json(&self.manifest()["config"])
    }

    /// The layers that are not the base's.
    pub fn own_layers(&self) -> Vec<Vec<Entry>> {
        self.layers_of(&self.manifest())
    }

    /// The same for a manifest.
    pub fn layers_of(&self, manifest: &Value) -> Vec<Vec<Entry>> {
        let layers = manifest["layers"].as_array().unwrap();
        let ours = layers.iter().filter(|layer| layer["annotations"]["dev.pexpress.layer"].is_string());
        ours.map(|layer| entries(&self.blob(layer))).collect()
    }

    /// All files by path, as an image would have them.
    pub fn files(&self) -> BTreeMap<String, Entry> {
        let entries = self.own_layers().into_iter().flatten();
        entries.filter(|entry| !entry.is_directory).map(|entry| (entry.path.clone(), entry)).collect()
    }
}

fn entries(layer: &[u8]) -> Vec<Entry> {
    let mut archive = Vec::new();
    MultiGzDecoder::new(layer).read_to_end(&mut archive).unwrap();
    let mut entries = Entries::new(archive.as_slice());
    let mut all = Vec::new();
    while let Some(found) = entries.next().unwrap() {
        let mut content = vec![0; found.size_bytes as usize];
        let mut at = 0;
        while at < content.len() {
            at += entries.content(&mut content[at..]).unwrap();
        }
        let target = match &found.kind {
            FoundKind::Link(target) => Some(target.clone()),
            _ => None,
        };
        all.push(Entry {
            path: found.path,
            is_directory: found.kind == FoundKind::Directory,
            target,
            mode: found.mode,
            owner: (found.owner.uid, found.owner.gid),
            time: found.time,
            content,
        });
    }
    all
}

fn document(dir: &Path, more: &[&str]) -> Value {
    let more = [more, &["--format", "json"]].concat();
    serde_json::from_str(&image(dir, &more)).unwrap()
}

#[test]
fn the_document_has_what_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    let document = document(dir.path(), &["--base-image", "oci:base"]);
    let location = &document["locations"][0];
    let keys: Vec<&str> = location.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["name", "reference", "digest", "layers", "sent_bytes", "requests"] {
        assert!(keys.contains(&key), "{key} is missing in {keys:?}");
    }
    assert_eq!(location["name"], "shop");
    assert_eq!(location["reference"], Value::Null);
    assert_eq!((&location["sent_bytes"], &location["requests"]), (&Value::from(0), &Value::from(0)));
    let layout = Layout::open(&dir.path().join("out/shop"));
    assert_eq!(location["digest"], layout.index()["manifests"][0]["digest"]);
    let whats: Vec<&str> =
        location["layers"].as_array().unwrap().iter().filter_map(|layer| layer["what"].as_str()).collect();
    assert_eq!(whats.first(), Some(&"venv"));
    assert_eq!(whats[1], "large==1");
    assert_eq!(whats.last(), Some(&"source"));
    let ours: Vec<Value> = layout.manifest()["layers"].as_array().unwrap()[1..].to_vec();
    for (layer, descriptor) in location["layers"].as_array().unwrap().iter().zip(ours) {
        assert_eq!(layer["digest"], descriptor["digest"]);
        assert_eq!(layer["size"], descriptor["size"]);
        assert_eq!(layer["key"], descriptor["annotations"]["dev.pexpress.layer"]);
    }
}

#[test]
fn code_is_there_once_where_it_can_be_edited() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    image(dir.path(), &["--base-image", "oci:base", "--image-owner", "1000:1001"]);
    let files = Layout::open(&dir.path().join("out/shop")).files();
    let site_packages = "opt/venv/lib/python3.11/site-packages";
    assert_eq!(files[&format!("{site_packages}/_pexpress.pth")].text(), "/opt/dagster/app/src\n");
    assert!(files.contains_key(&format!("{site_packages}/shop-1.dist-info/METADATA")));
    assert!(files.contains_key("opt/venv/bin/shop-tool"));
    let app: Vec<&str> = files.keys().filter_map(|path| path.strip_prefix("opt/dagster/app/")).collect();
    assert_eq!(
        app,
        ["backend.py", "data.txt", "pyproject.toml", "src/shop/__init__.py", "src/shop/query.sql"]
    );
    assert!(!files.contains_key(&format!("{site_packages}/shop/__init__.py")));
    assert_eq!(files["opt/dagster/app/data.txt"].owner, (1000, 1001));
    assert_eq!(files[&format!("{site_packages}/_pexpress.pth")].owner, (0, 0));
}

#[test]
fn an_image_does_not_depend_on_place_umask_time_zone_or_what_was_there_before() {
    let one = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let deep = other.path().join("a/b c");
    std::fs::create_dir_all(&deep).unwrap();
    project(one.path());
    // In another order, so that the file system lists other orders.
    Base::official("3.11").write(&deep.join("elsewhere"));
    project(&deep);
    Base::official("3.11").write(&one.path().join("base"));
    let base = ["--base-image", "oci:base"];
    let first = document(one.path(), &base);
    // Unchanged: the layers of distributions are known, and nothing in the layout is written again.
    let again = document(one.path(), &base);
    let reused = |document: &Value| {
        let layers = document["locations"][0]["layers"].as_array().unwrap().clone();
        layers.iter().filter(|layer| layer["reused"] == true).count()
    };
    assert_eq!(again["locations"][0]["layers"].as_array().unwrap().len(), reused(&again) + 1);
    let cache = tempfile::tempdir().unwrap();
    let mut strange = Command::new("sh");
    strange.arg("-c").arg("umask 077; export TZ=Pacific/Kiritimati; exec \"$@\"").arg("sh");
    let inner = command(&deep, &["--base-image", "oci:elsewhere", "--format", "json"]);
    strange.arg(inner.get_program()).args(inner.get_args()).current_dir(&deep);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => strange.env(name, value),
            None => strange.env_remove(name),
        };
    }
    strange.env("PEXPRESS_CACHE_DIR", cache.path());
    let strange: Value = serde_json::from_slice(&run(&mut strange).stdout).unwrap();
    assert_eq!(reused(&strange), 0);
    for document in [&again, &strange] {
        assert_eq!(document["locations"][0]["digest"], first["locations"][0]["digest"]);
    }
}

#[test]
fn a_changed_line_changes_the_last_layer_alone() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    let base = ["--base-image", "oci:base"];
    let digests = |document: &Value| -> Vec<String> {
        let layers = document["locations"][0]["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_string()).collect()
    };
    let before = digests(&document(dir.path(), &base));
    std::fs::write(dir.path().join("shop/src/shop/__init__.py"), "def main(): print('changed')\n").unwrap();
    let after = document(dir.path(), &base);
    let (last, others) = (digests(&after).pop().unwrap(), digests(&after));
    assert_eq!(others[..others.len() - 1], before[..before.len() - 1]);
    assert_ne!(Some(&last), before.last());
    let size = after["locations"][0]["layers"].as_array().unwrap().last().unwrap()["size"].as_u64().unwrap();
    assert!(size < 100_000, "{size}");
    // The layout has only what its image needs.
    let blobs = std::fs::read_dir(dir.path().join("out/shop/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, after["locations"][0]["layers"].as_array().unwrap().len() + 1 + 2);
}

#[test]
fn the_other_compression_has_the_same_archives() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    let diff_ids = |more: &[&str]| {
        image(dir.path(), &[&["--base-image", "oci:base"], more].concat());
        Layout::open(&dir.path().join("out/shop")).config()["rootfs"]["diff_ids"].clone()
    };
    assert_eq!(diff_ids(&[]), diff_ids(&["--image-compression", "gzip-single"]));
}

#[test]
fn directories_next_to_the_project_are_included_where_they_are_found() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    std::fs::create_dir_all(dir.path().join("dbt_project/models")).unwrap();
    std::fs::write(dir.path().join("dbt_project/models/a.sql"), "select 1").unwrap();
    Base::official("3.11").write(&dir.path().join("base"));
    let base = ["--base-image", "oci:base"];
    image(
        dir.path(),
        &[&base[..], &["--image-include", "dbt_project", "--image-include", "dbt_project:/srv/dbt"]].concat(),
    );
    let files = Layout::open(&dir.path().join("out/shop")).files();
    for path in ["opt/dagster/dbt_project/models/a.sql", "srv/dbt/models/a.sql"] {
        assert!(files.contains_key(path), "{path}");
    }
    insta::assert_snapshot!(refused(dir.path(), &[&base[..], &["--image-include", "base:/opt/venv/lib"]].concat()), @r#"
    error: `base` cannot be included at `/opt/venv/lib`: the environment and the top of the image are not for files of a project
    hint: give a place for it: --image-include PATH:DEST, relative to /opt/dagster/app or an absolute path such as /srv/NAME
    "#);
}

#[test]
fn without_a_version_in_the_project_that_of_the_base_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.12").write(&dir.path().join("base"));
    let mut command = pexpress_with_uv();
    command.current_dir(dir.path()).args([
        "image",
        ".",
        "out",
        "--no-image-bytecode",
        "--base-image",
        "oci:base",
    ]);
    run(&mut command);
    let files = Layout::open(&dir.path().join("out/shop")).files();
    assert_eq!(files["opt/venv/bin/python"].target.as_deref(), Some("/usr/local/bin/python3.12"));
    assert!(files.contains_key("opt/venv/lib/python3.12/site-packages/dagster/__init__.py"));
}

/// Paths relative to the code lead elsewhere then, and nothing said so.
#[test]
fn a_package_that_is_installed_from_its_wheel_is_named_once_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let makes = BACKEND.replace(
        "    with zipfile.ZipFile",
        "    files['shop/_version.py'] = b'1'\n    with zipfile.ZipFile",
    );
    std::fs::write(dir.path().join("shop/backend.py"), makes).unwrap();
    let bases = [Base::official("3.11"), Base::official("3.11").on("arm64")];
    std::fs::create_dir(dir.path().join("base")).unwrap();
    Base::write_all(&bases, &dir.path().join("base"));
    let more = ["--base-image", "oci:base", "--image-platform", "linux/amd64,linux/arm64"];
    let output = run(&mut command(dir.path(), &more));
    let said = plain(&String::from_utf8(output.stderr).unwrap());
    let about: Vec<&str> = said.lines().filter(|line| line.contains("wheel")).collect();
    assert_eq!(
        about,
        [
            "shop is installed from its wheel and not as it lies in its directory: its build makes, renames or moves `shop/_version.py`"
        ]
    );
}

/// A layout may come from anyone: nothing outside it is read, and a blob must be what it is called.
#[test]
fn a_damaged_base_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let base = dir.path().join("base");
    Base::official("3.11").write(&base);
    let index = std::fs::read_to_string(base.join("index.json")).unwrap();
    let manifest = Layout::open(&base).manifest();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap()[7..].to_string();
    let said = |change: &dyn Fn()| {
        change();
        let said = refused(dir.path(), &["--base-image", "oci:base"]);
        std::fs::remove_dir_all(&base).unwrap();
        Base::official("3.11").write(&base);
        said.replace(&layer, "[LAYER]")
    };
    let write = |path: &str, text: &str| std::fs::write(base.join(path), text).unwrap();
    insta::assert_snapshot!(said(&|| write("index.json", &index.replace("sha256:", "sha256:../../"))), @r#"
    error: `base/index.json` is not a usable manifest or index
      caused by: its `manifests[0]` cannot be read
      caused by: invalid digest "sha256:../../[HASH]": it must be `sha256:` and 64 digits of 0-9 and a-f
    hint: write the layout again
    "#);
    insta::assert_snapshot!(said(&|| write("index.json", "{}")), @r#"
    error: `base/index.json` is not a usable manifest or index
      caused by: it has schema version 0; only version 2 can be read
    hint: write the layout again
    "#);
    insta::assert_snapshot!(said(&|| write(&format!("blobs/sha256/{layer}"), "other bytes")), @r#"
    Base image: oci:base (Python 3.11 at /usr/local/bin/python3.11)
    shop: error: `base/blobs/sha256/[HASH]` does not have the size and the digest that its name promises
    hint: write the layout again
    error: 1 of 1 code locations could not be built: shop
    "#);
    insta::assert_snapshot!(said(&|| std::fs::remove_file(base.join("blobs/sha256").join(&layer)).unwrap()), @r#"
    Base image: oci:base (Python 3.11 at /usr/local/bin/python3.11)
    shop: error: `base/blobs/sha256/[HASH]` is missing, and the image needs it
    hint: write the layout again
    error: 1 of 1 code locations could not be built: shop
    "#);
}

/// Messages had the same cause twice, no name of the layer, and hints that did not help.
#[test]
fn a_base_that_was_made_wrong_is_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let base = dir.path().join("base");
    let index_type = "application/vnd.oci.image.index.v1+json";
    let with_index = |manifests: Value| {
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": index_type, "manifests": manifests});
        std::fs::write(base.join("index.json"), index.to_string()).unwrap();
    };
    let put = |media_type: &str, content: &[u8]| super::base::blob(&base, media_type, content);
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let said = |change: &dyn Fn(Value)| {
        Base { config: Value::Null, ..Base::official("3.11") }.write(&base);
        change(Layout::open(&base).manifest());
        let said = refused(dir.path(), &["--base-image", "oci:base"]);
        std::fs::remove_dir_all(&base).unwrap();
        said
    };
    let with_manifest = |manifest: &Value| {
        with_index(serde_json::json!([put(manifest_type, manifest.to_string().as_bytes())]));
    };
    insta::assert_snapshot!(said(&|mut manifest| {
        manifest["config"] = Value::Null;
        with_manifest(&manifest);
    }), @r"
    error: `base/blobs/sha256/[HASH]` is not a usable manifest or index
      caused by: its `config` cannot be read
      caused by: invalid type: null, expected an object with mediaType, digest and size
    hint: its digest is right, so it was made like this: make the image again, or use another one
    ");
    insta::assert_snapshot!(said(&|mut manifest| {
        manifest["config"] = put("application/vnd.oci.image.config.v1+json", b"[]");
        with_manifest(&manifest);
    }), @r"
    error: the config `base/blobs/sha256/[HASH]` of an image cannot be used
      caused by: it is not the config of an image
      caused by: invalid type: sequence, expected an object with architecture, os and rootfs
    hint: its digest is right, so it was made like this: make the image again, or use another one
    ");
    insta::assert_snapshot!(said(&|mut manifest| {
        manifest["layers"] = serde_json::json!([]);
        with_manifest(&manifest);
    }), @r"
    error: the manifest of the base image `oci:base` has 0 layers, and its config 1
    hint: its digest is right, so it was made like this: make the image again, or use another one
    ");
    insta::assert_snapshot!(said(&|mut manifest| {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        manifest["layers"][0] = put(gzip, &b"neither gzip nor an archive".repeat(100));
        with_manifest(&manifest);
    }), @r"
    error: could not read the layer sha256:[HASH] of the base image `oci:base`: it is said to be compressed by gzip, and is not
      caused by: the archive is damaged: a number in a header is malformed
    hint: its digest is right, so it was made like this: make the image again, or use another one
    ");
    insta::assert_snapshot!(said(&|manifest| {
        let mut entry = put(manifest_type, manifest.to_string().as_bytes());
        for _ in 0..5 {
            let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
            entry = put(index_type, index.to_string().as_bytes());
        }
        with_index(serde_json::json!([entry]));
    }), @r"
    error: `base` has an index that leads to others, and no image was found 4 levels deep
    hint: copy the image alone: `skopeo copy oci:DIR oci:OTHER`, or use another one
    ");
    let two = |mut manifest: Value| {
        let one = put(manifest_type, manifest.to_string().as_bytes());
        manifest["annotations"] = serde_json::json!({"x": "y"});
        serde_json::json!([one, put(manifest_type, manifest.to_string().as_bytes())])
    };
    insta::assert_snapshot!(said(&|manifest| with_index(two(manifest))), @r"
    error: `base` holds several images: 2 without tags
    hint: give each a tag, the annotation org.opencontainers.image.ref.name in `index.json`, and name one: `oci:DIR:TAG`
    ");
    insta::assert_snapshot!(said(&|manifest| {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": two(manifest)});
        with_index(serde_json::json!([put(index_type, index.to_string().as_bytes())]));
    }), @r"
    error: the base image `oci:base` is not for linux/amd64; no entry of its index names a platform
    hint: name the image itself, as HOST/REPOSITORY@sha256:…, or use another --base-image
    ");
}

#[test]
fn bases_that_do_not_fit_are_refused_with_what_they_have() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let said = |base: &Base, more: &[&str]| {
        base.write(&dir.path().join("base"));
        let said = refused(dir.path(), &[&["--base-image", "oci:base"], more].concat());
        std::fs::remove_dir_all(dir.path().join("base")).unwrap();
        said
    };
    insta::assert_snapshot!(said(&Base::official("3.12"), &[]), @r#"
    error: the base image `oci:base` has Python 3.12, and the code location needs 3.11
    hint: use a base image with Python 3.11, such as `python:3.11-slim`, or change the code location's version with --python-version
    "#);
    insta::assert_snapshot!(said(&Base::official("3.11"), &["--image-platform", "linux/arm64"]), @r#"
    error: the base image `oci:base` is not for linux/arm64; it is for linux/amd64
    hint: use another --base-image, or another --image-platform
    "#);
    let plain = Base { config: serde_json::json!({}), ..Base::official("3.11") };
    let two = vec![("usr/bin/python3.9", ""), ("usr/bin/python3.12", ""), ("lib/libc-2.31.so", "")];
    insta::assert_snapshot!(said(&Base { files: two, config: serde_json::json!({}), ..Base::official("3.11") }, &[]), @r#"
    error: the base image `oci:base` has Python 3.12 and 3.9, and the code location needs 3.11
    hint: use a base image with Python 3.11, such as `python:3.11-slim`, or change the code location's version with --python-version
    "#);
    let none = Base {
        files: vec![("lib/libc-2.31.so", "")],
        config: serde_json::json!({}),
        ..Base::official("3.11")
    };
    insta::assert_snapshot!(said(&none, &[]), @r#"
    error: no Python was found in the base image `oci:base`
    hint: say where it is with --image-python, for example /usr/bin/python3.12, or use a base image with Python
    "#);
    let no_libc = Base { files: vec![("usr/bin/python3.11", "")], ..plain };
    insta::assert_snapshot!(said(&no_libc, &[]), @r#"
    error: the base image `oci:base` has neither glibc nor musl
    hint: say what it runs with --platform, for example [PLATFORM]
    "#);
    insta::assert_snapshot!(refused(dir.path(), &["--base-image", "oci:nothing"]), @r#"
    error: `nothing` is not an image layout: `oci-layout` cannot be read: No such file or directory (os error 2)
    hint: name a directory that `skopeo copy docker://… oci:DIR` or `pexpress image` wrote
    "#);
}
