//! Distributions that bring the same module: what an image has is what installing one after the other would leave.

use super::base::Base;
use super::build::{Layout, noise, project, wheel};
use crate::support::environments::{helper_version, python};
use crate::support::{pexpress_with_uv, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Not Python: it is not compiled, so bytecode at its place would be that of another distribution.
const BROKEN: &str = "def {{ name }}():\n";

/// A project that requires these distributions, each with `cv/__init__.py` of this text.
fn project_of(dir: &Path, distributions: &[(&str, bool, &str)]) {
    project(dir);
    let mut names = String::new();
    for (name, is_large, text) in distributions {
        let mut files = vec![
            ("cv/__init__.py".to_string(), (*text).to_string()),
            ("LICENSE".to_string(), (*name).to_string()),
            ("same/__init__.py".to_string(), "A = 1\n".to_string()),
        ];
        if *is_large {
            files.push((format!("{name}.bin"), noise(1_500_000)));
        }
        wheel(&dir.join("wheels"), name, &files);
        names += &format!(", '{name}'");
    }
    let path = dir.join("shop/pyproject.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace(", 'large']", &format!("{names}]"))).unwrap();
    Base::official(helper_version()).write(&dir.join("base"));
}

/// Build it with bytecode. Returns what was printed as JSON, and the warnings.
fn build(dir: &Path) -> (Value, String) {
    let mut command = pexpress_with_uv();
    command.current_dir(dir).args(["image", "dagster_cloud.yaml", "out", "--base-image", "oci:base"]);
    let output = run(command.args(["--python-version", helper_version(), "--format", "json"]));
    (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Unpack the layers as a runtime does: whiteouts remove what is in the layers below.
fn unpack(dir: &Path) -> std::path::PathBuf {
    let root = dir.join("root");
    let _ = std::fs::remove_dir_all(&root);
    for layer in Layout::open(&dir.join("out/shop")).own_layers() {
        let removed = layer.iter().filter_map(|entry| {
            let (directory, name) = entry.path.rsplit_once('/')?;
            Some(format!("{directory}/{}", name.strip_prefix(".wh.")?))
        });
        removed.for_each(|path| drop(std::fs::remove_file(root.join(path))));
        for entry in layer.iter().filter(|entry| !entry.is_directory && entry.target.is_none()) {
            if entry.path.contains("/.wh.") {
                continue;
            }
            let path = root.join(&entry.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &entry.content).unwrap();
        }
    }
    root.join(format!("opt/venv/lib/python{}/site-packages", helper_version()))
}

/// What `import cv` gives in the image: its name, or the last line of the error.
fn imported(dir: &Path) -> String {
    let site_packages = unpack(dir);
    let mut command = Command::new(python(helper_version()));
    command.args(["-S", "-B", "-c", "import cv; print(cv.WHO)"]).env("PYTHONPATH", &site_packages);
    let output = command.output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8(text).unwrap().lines().last().unwrap().to_string()
}

/// The distribution of these whose layer, or whose place in the layer, is the last.
fn last<'a>(document: &Value, names: &[&'a str]) -> &'a str {
    let layers = document["locations"][0]["layers"].as_array().unwrap();
    let all: Vec<&str> =
        layers.iter().flat_map(|layer| layer["what"].as_str().unwrap().split(", ")).collect();
    let place = |name: &&&str| all.iter().position(|what| *what == format!("{name}==1.13.27")).unwrap();
    names.iter().max_by_key(place).copied().unwrap()
}

#[test]
fn the_later_one_stays_with_its_own_bytecode_or_none() {
    // Names whose layers are in both orders, and two that share a layer.
    for (one, other) in [
        (("cva", false), ("cvb", false)),
        (("cva", true), ("cvb", false)),
        (("cva", false), ("cvb", true)),
        (("cva", true), ("cvb", true)),
        (("cv1", false), ("cv17", false)),
        (("cv2", false), ("cv3", false)),
    ] {
        let names = [one.0, other.0];
        let texts = names.map(|name| format!("WHO = '{name}'\n"));
        let dir = tempfile::tempdir().unwrap();
        project_of(dir.path(), &[(one.0, one.1, &texts[0]), (other.0, other.1, &texts[1])]);
        let (document, said) = build(dir.path());
        let winner = last(&document, &names);
        assert_eq!(imported(dir.path()), winner, "{names:?}");
        let loser = if winner == names[0] { names[1] } else { names[0] };
        let warning = format!(
            "{loser}==1.13.27 and {winner}==1.13.27 both contain `cv/__init__.py` with different content; \
             the image has that of {winner}==1.13.27"
        );
        assert_eq!(said.matches(&warning).count(), 1, "{said}");
        assert!(document["warnings"][0].as_str().unwrap().starts_with(&warning), "{document:#}");
        assert_eq!(document["warnings"].as_array().unwrap().len(), 1);

        // The one that stays does not compile: it is what is imported all the same.
        let text = |name: &str| if name == winner { BROKEN.to_string() } else { format!("WHO = '{name}'\n") };
        let dir = tempfile::tempdir().unwrap();
        project_of(dir.path(), &[(one.0, one.1, &text(one.0)), (other.0, other.1, &text(other.0))]);
        let (document, _) = build(dir.path());
        assert_eq!(last(&document, &names), winner, "the texts have about the same size");
        assert!(imported(dir.path()).starts_with("SyntaxError: "), "{names:?}: {}", imported(dir.path()));

        // Of the same content nothing is said.
        let dir = tempfile::tempdir().unwrap();
        project_of(dir.path(), &[(one.0, one.1, "WHO = 1\n"), (other.0, other.1, "WHO = 1\n")]);
        let (document, said) = build(dir.path());
        assert_eq!(document["warnings"], serde_json::json!([]), "{said}");
    }
}

/// A package that is installed from its wheel has no bytecode in an image.
#[test]
fn a_local_package_does_not_get_the_bytecode_of_a_distribution() {
    let dir = tempfile::tempdir().unwrap();
    project_of(dir.path(), &[("cva", false, "WHO = 'cva'\n")]);
    let path = dir.path().join("shop/backend.py");
    let backend = std::fs::read_to_string(&path).unwrap();
    let made = "    files['cv/__init__.py'] = b\"WHO = 'local'\\n\"\n    for above,";
    std::fs::write(path, backend.replacen("    for above,", made, 1)).unwrap();
    build(dir.path());
    assert_eq!(imported(dir.path()), "local");
}
