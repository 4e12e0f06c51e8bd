//! What an agent needs of an image, checked in the layout: `docs/images.md`, "What an agent needs".

use super::base::{Base, digest};
use super::build::{Layout, image, project};
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn an_image_has_no_entry_point_and_its_commands_are_found() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let base = Base {
        config: json!({
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.11.9"],
            "Entrypoint": ["python3"], "Cmd": ["-c", "1"], "User": "1000", "WorkingDir": "/",
        }),
        is_dockers: true,
        in_index: true,
        ..Base::official("3.11")
    };
    base.write(&dir.path().join("base"));
    image(dir.path(), &["--base-image", "oci:base", "--image-env", "A=b c", "--image-label", "k=v"]);
    let layout = Layout::open(&dir.path().join("out/shop"));
    let config = layout.config();
    let execution = &config["config"];
    assert_eq!(execution.get("Entrypoint"), None);
    assert_eq!(execution.get("Cmd"), None);
    assert_eq!(execution["User"], "1000");
    assert_eq!(execution["WorkingDir"], "/opt/dagster/app");
    let env: Vec<&str> = execution["Env"].as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
    assert_eq!(
        env,
        [
            "PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHON_VERSION=3.11.9",
            "A=b c",
            "VIRTUAL_ENV=/opt/venv",
        ]
    );
    assert_eq!(execution["Labels"]["k"], "v");
    assert_eq!(execution["Labels"].get("org.opencontainers.image.base.name"), None, "a path of this machine");
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let steps = config["history"].as_array().unwrap().iter().filter(|step| step["empty_layer"] != true);
    assert_eq!(steps.count(), config["rootfs"]["diff_ids"].as_array().unwrap().len());

    let files = layout.files();
    assert_eq!(files["usr/local/bin/dagster"].target.as_deref(), Some("/opt/venv/bin/dagster"));
    assert_eq!(files["usr/local/bin/dagster-cloud"].target.as_deref(), Some("/opt/venv/bin/dagster-cloud"));
    assert_eq!(files["opt/venv/bin/python"].target.as_deref(), Some("/usr/local/bin/python3.11"));
    let script = &files["opt/venv/bin/dagster"];
    assert!(script.text().starts_with("#!/opt/venv/bin/python\n"), "{}", script.text());
    assert_eq!(script.mode, 0o755);
    let pyvenv = files["opt/venv/pyvenv.cfg"].text();
    assert_eq!(pyvenv, "home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.11\n");
}

#[test]
fn no_entry_is_for_a_directory_of_the_base_and_every_one_is_plain() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    image(dir.path(), &["--base-image", "oci:base"]);
    let layout = Layout::open(&dir.path().join("out/shop"));
    for layer in layout.own_layers() {
        let mut last = String::new();
        for entry in layer {
            assert!(entry.path > last, "{} comes after {last}", entry.path);
            let is_ours = ["opt/venv", "opt/dagster"].iter().any(|top| entry.path.starts_with(top));
            assert!(is_ours || !entry.is_directory, "{} is a directory of the base", entry.path);
            assert_eq!((entry.time, entry.owner), (0, (0, 0)), "{}", entry.path);
            let modes: &[u32] = match (entry.is_directory, entry.target.is_some()) {
                (true, _) => &[0o755],
                (_, true) => &[0o777],
                _ => &[0o644, 0o755],
            };
            assert!(modes.contains(&entry.mode), "{} has the mode {:o}", entry.path, entry.mode);
            last = entry.path;
        }
    }
}

#[test]
fn every_record_names_the_files_of_its_distribution_with_their_digests() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    Base::official("3.11").write(&dir.path().join("base"));
    image(dir.path(), &["--base-image", "oci:base"]);
    let files = Layout::open(&dir.path().join("out/shop")).files();
    let site_packages = "opt/venv/lib/python3.11/site-packages/";
    let records: BTreeMap<_, _> =
        files.iter().filter(|(path, _)| path.ends_with(".dist-info/RECORD")).collect();
    assert_eq!(records.len(), 4, "{:?}", records.keys());
    let mut listed = 0;
    for (record, file) in records {
        let text = file.text();
        let rows: Vec<&str> = text.lines().collect();
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        assert_eq!(rows, sorted, "{record}");
        for row in rows {
            let [path, digest_of, size] = row.split(',').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let path = match path.strip_prefix("../../../") {
                Some(inside) => format!("opt/venv/{inside}"),
                None => format!("{site_packages}{path}"),
            };
            if path == *record {
                continue;
            }
            let content = &files.get(&path).unwrap_or_else(|| panic!("{path} is missing")).content;
            assert_eq!(size, content.len().to_string(), "{path}");
            let base64 = base64_of(&digest(content));
            assert_eq!(digest_of, format!("sha256={base64}"), "{path}");
            listed += 1;
        }
    }
    assert!(listed > 10, "only {listed} files are listed");
    let dist_info = "opt/venv/lib/python3.11/site-packages/dagster-1.13.27.dist-info";
    assert_eq!(files[&format!("{dist_info}/INSTALLER")].text(), "pexpress\n");
    assert!(!files.keys().any(|path| path.ends_with("direct_url.json")));
    for (path, text, mode) in [
        ("bin/run.py", "#!/opt/venv/bin/python\nprint('run')\n", 0o755),
        ("bin/run.sh", "#!/bin/sh\n", 0o755),
        ("share/a.txt", "a", 0o644),
        ("include/site/python3.11/dagster/a.h", "h", 0o644),
        ("lib/python3.11/site-packages/pure.py", "", 0o644),
    ] {
        let file = &files[&format!("opt/venv/{path}")];
        assert_eq!((file.text().as_str(), file.mode), (text, mode), "{path}");
    }
}

fn base64_of(digest: &str) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let hex = digest.trim_start_matches("sha256:");
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
