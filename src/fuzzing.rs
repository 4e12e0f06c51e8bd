//! Every parser of foreign bytes as a function that panics when one of its properties does not hold.
//!
//! Only for tests and fuzzing: `tests/fuzz/` has a target for each, and the test below replays its corpora. The results
//! do not matter, but each parser must return within bounded memory and time, and keep its promises.

use crate::builder::elf;
use crate::builder::image::scan::Scan;
use crate::error::Place;
use crate::foreign_text::neutral;
use crate::github::runner::{Annotation, Level, Runner};
use crate::host::{Host, SystemClock};
use crate::image::manifest::Document;
use crate::image::{Config, Descriptor};
use crate::net::SafeUrl;
use crate::net::netrc::Netrc;
use crate::project::dockerfile::{Facts as RecipeFacts, Found, Recipe};
use crate::project::python_version::infer;
use crate::project::{Project, collect};
use crate::report::Report;
use crate::report::comment::Comment;
use crate::report::facts::Facts;
use crate::target::Target;
use crate::wheel::archive::path_fault;
use crate::wheel::{Archive, Metadata, WheelName, entry_points::EntryPoint};
use crate::{context, foreign_json, pex, registry, resolve, simple_index as index, yaml};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads bytes. Panics when a property does not hold.
pub type Parser = fn(&[u8]);

/// Name and function of each parser. The names are those of the fuzz targets and their corpora.
pub const PARSERS: [(&str, Parser); 26] = [
    ("auth_file", auth_file),
    ("base_layer", base_layer),
    ("challenge", challenge),
    ("comment", comment),
    ("dockerfile", dockerfile),
    ("elf", elf),
    ("event_payload", event_payload),
    ("foreign_text", foreign_text),
    ("image_manifest", image_manifest),
    ("json", json),
    ("metadata", metadata),
    ("netrc", netrc),
    ("pex_info", pex_info),
    ("poetry_lock", poetry_lock),
    ("pylock", pylock),
    ("pyproject", pyproject),
    ("python_version", python_version),
    ("requirement", requirement),
    ("requirements_txt", requirements_txt),
    ("simple_index", simple_index),
    ("url", url),
    ("uv_lock", uv_lock),
    ("wheel_archive", wheel_archive),
    ("wheel_name", wheel_name),
    ("workflow_command", workflow_command),
    ("yaml", yaml),
];

/// Limit for inflating a member here.
const MEMBER_LIMIT_BYTES: u64 = 1 << 20;

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn target() -> Target {
    Target::serverless(crate::target::PythonVersion::DEFAULT)
}

/// A host without variables and output.
fn host(directory: &Path) -> Host {
    let sink = || Box::new(std::io::sink());
    Host::for_test(BTreeMap::new(), directory, sink(), sink(), Arc::new(SystemClock))
}

/// The bytes as a file, for parsers that take a path.
fn with_file(name: &str, bytes: &[u8], parse: impl FnOnce(&Path)) {
    thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a temporary directory can be made");
    }
    DIRECTORY.with(|directory| {
        let path: PathBuf = directory.path().join(name);
        std::fs::write(&path, bytes).expect("the temporary directory can be written");
        parse(&path);
    });
}

/// A file with credentials for registries.
pub fn auth_file(bytes: &[u8]) {
    registry::fuzzing::auth_file(bytes);
}

/// A layer of a base image, as anyone may have written it. What is found is of this layer.
pub fn base_layer(bytes: &[u8]) {
    let mut scan = Scan::default();
    if scan.layer(bytes).is_ok() {
        let inside = scan.finish();
        assert!(inside.pythons.iter().all(|path| path.starts_with('/') && path.contains("/python3.")));
    }
}

/// How a registry asks for credentials.
pub fn challenge(bytes: &[u8]) {
    registry::fuzzing::challenge(&String::from_utf8_lossy(bytes));
}

/// A comment on a pull request, which anyone with write access may have edited. The next comment is composed from the
/// rows hidden in it, and composing again must not change it.
pub fn comment(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (facts, report) = (Facts::default(), Report::default());
    let comment = Comment::new("fuzz", &facts, &report, std::time::UNIX_EPOCH);
    let present = format!("{}\n{text}", comment.marker());
    for present in [text, &present] {
        if let Some(next) = comment.compose(Some(present)) {
            assert!(next.starts_with(comment.marker()));
            assert_eq!(comment.compose(Some(&next)).as_deref(), Some(next.as_str()), "once is not enough");
        }
    }
}

/// A Dockerfile, and what becomes of its steps: each is one line of safe text with a line of the file.
pub fn dockerfile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let facts = RecipeFacts {
        find: &|path| (path.len() % 2 == 0).then(|| Found::inside(path)),
        adds: &|path| path.len() % 3 == 0,
        requires: &|name| name.len() % 2 == 0,
        chooses: false,
    };
    let Ok(recipe) = Recipe::of_dockerfile(&text, Path::new("Dockerfile"), &facts) else { return };
    let count = text.split('\n').count();
    for step in &recipe.steps {
        assert!((1..=count).contains(&step.line), "line {} of {count}", step.line);
        assert!(!step.text.contains('\n') && !step.becomes.is_empty(), "{step:?}");
    }
}

/// Versions and processor that a compiled file needs.
pub fn elf(bytes: &[u8]) {
    let _ = elf::read(bytes);
}

/// GitHub's event payload, read for a pull request and for a push.
pub fn event_payload(bytes: &[u8]) {
    for event in ["pull_request", "push"] {
        context::event::fuzzing(event, bytes, &host(Path::new("/")));
    }
}

/// Foreign text: afterwards no line is a workflow command, and there are no control characters for a terminal.
pub fn foreign_text(bytes: &[u8]) {
    let shown = neutral(&String::from_utf8_lossy(bytes));
    assert!(!shown.contains("##["), "an old workflow command is left: {shown:?}");
    assert!(
        !shown.lines().any(|line| line.trim_start().starts_with("::")),
        "a workflow command is left: {shown:?}"
    );
    assert!(!shown.chars().any(|each| each.is_control() && !matches!(each, '\n' | '\t')), "{shown:?}");
    assert_eq!(neutral(&shown).trim_end(), shown.trim_end(), "once is not enough");
}

/// A manifest, an index or a config of an image: what is written is what was read, and no digest is a path.
pub fn image_manifest(bytes: &[u8]) {
    let digests = |descriptors: &[Descriptor]| {
        assert!(descriptors.iter().all(|one| one.digest.hex().len() == 64));
    };
    match Document::parse(bytes) {
        Ok(Document::Manifest(manifest)) => {
            digests(&manifest.layers);
            let again = Document::parse(&manifest.to_bytes()).expect("what is written can be read");
            assert_eq!(again, Document::Manifest(manifest));
        }
        Ok(Document::Index(index)) => {
            digests(&index.manifests);
            let again = Document::parse(&index.to_bytes()).expect("what is written can be read");
            assert_eq!(again, Document::Index(index));
        }
        Err(_) => {}
    }
    if let Ok(config) = Config::parse(bytes) {
        let _ = config.env("PATH");
        let again = Config::parse(&config.to_bytes()).expect("what is written can be read");
        assert_eq!(again, config);
    }
}

/// Answers of servers.
pub fn json(bytes: &[u8]) {
    if let Ok(value) = foreign_json::read(bytes) {
        let again = serde_json::to_vec(&value).expect("JSON can be written");
        assert!(foreign_json::read(&again).is_ok());
    }
}

/// METADATA, WHEEL and entry points of a wheel.
pub fn metadata(bytes: &[u8]) {
    let _ = Metadata::parse("fuzz.whl", bytes);
    let points = EntryPoint::scripts("fuzz.whl", &String::from_utf8_lossy(bytes)).unwrap_or_default();
    for point in points {
        assert!(path_fault(&point.name).is_none(), "a script called {:?}", point.name);
        let stub = pex::script_stub(&point);
        assert!(!stub.contains('\0'));
    }
}

/// A netrc file.
pub fn netrc(bytes: &[u8]) {
    if let Some(Err(error)) = text(bytes).map(Netrc::parse) {
        assert!(error.line >= 1);
    }
}

/// A poetry.lock.
pub fn poetry_lock(bytes: &[u8]) {
    with_file("poetry.lock", bytes, |path| collect::fuzzing::poetry_lock(path, target()));
}

/// A pylock.toml, also as uv's answer: every file name must be a plain file name.
pub fn pylock(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    collect::fuzzing::pylock(text, target());
    check_downloads(text);
}

fn check_downloads(text: &str) {
    for download in resolve::fuzzing::downloads(text, target()) {
        assert!(
            !download.file_name.contains(['/', '\\', '\0']) && download.file_name != "..",
            "{download:?}"
        );
        assert!(download.sha256.is_none_or(|digest| crate::cache::is_sha256(&digest)));
    }
}

/// A pyproject.toml.
pub fn pyproject(bytes: &[u8]) {
    with_file("pyproject.toml", bytes, collect::fuzzing::pyproject);
}

/// One requirement.
pub fn requirement(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        collect::fuzzing::requirement(text, target());
    }
}

/// The lines of a requirements.txt.
pub fn requirements_txt(bytes: &[u8]) {
    collect::fuzzing::requirements_txt(bytes, target());
}

/// A page of a package index, as JSON and as HTML.
pub fn simple_index(bytes: &[u8]) {
    index::fuzzing::page(bytes);
}

/// A URL as shown in messages: without user information and query.
pub fn url(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let shown = SafeUrl::parse(text).to_string();
    if url::Url::parse(text).is_ok_and(|url| !url.cannot_be_a_base()) {
        let url = url::Url::parse(&shown).expect("what is shown of a URL is one");
        assert!(matches!(url.username(), "" | "***") && url.password().is_none(), "{shown}");
        assert!(matches!(url.query(), None | Some("***")) && url.fragment().is_none(), "{shown}");
    }
}

/// The end of a PEX file in the registry, and its PEX-INFO, read in few bounded spans.
pub fn pex_info(bytes: &[u8]) {
    let mut spans = 0;
    let _ = pex::inspect::distributions(|span| {
        spans += 1;
        assert!(spans <= 3);
        let size = bytes.len() as u64;
        let (start, end) = match span {
            pex::inspect::Span::Last(length) => (size.saturating_sub(length), size),
            pex::inspect::Span::At { start, bytes } => {
                (start.min(size), start.saturating_add(bytes).min(size))
            }
        };
        let place = |offset: u64| usize::try_from(offset).expect("an offset in memory");
        Ok::<_, std::convert::Infallible>((bytes[place(start)..place(end)].to_vec(), size))
    });
}

/// A `.python-version`.
pub fn python_version(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(directory.path().join(".python-version"), bytes).expect("it can be written");
    if let Ok(target) = infer(directory.path(), &[directory.path()]) {
        assert!(target.origin.is_some() || target.version == crate::target::PythonVersion::DEFAULT);
    }
}

/// A uv.lock, and the pylock.toml that is made of it.
pub fn uv_lock(bytes: &[u8]) {
    with_file("uv.lock", bytes, |path| {
        for text in collect::fuzzing::uv_lock(path, target()) {
            check_downloads(&text);
        }
    });
}

/// A wheel as a ZIP archive, and its layout in a PEX.
pub fn wheel_archive(bytes: &[u8]) {
    with_file("a-1-py3-none-any.whl", bytes, |path| {
        let Ok(archive) = Archive::open(path) else { return };
        let mut reader = archive.reader().expect("the file is there");
        for member in archive.members() {
            assert!(path_fault(&member.name).is_none(), "{:?}", member.name);
            if let Ok(content) = reader.read(&member.name, &member.data, MEMBER_LIMIT_BYTES) {
                assert_eq!(content.len() as u64, member.data.size_bytes);
            }
        }
        if let Ok(chroot) = pex::Chroot::open(path, "a-1-py3-none-any.whl", &pex::script_stub) {
            let _ = chroot.fingerprint();
        }
    });
}

/// The file name of a wheel: what is printed is what was parsed.
pub fn wheel_name(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(name) = text.parse::<WheelName>() {
        assert_eq!(name.to_string(), text);
        assert!(path_fault(text).is_none() && !text.contains('/'));
    }
}

/// Foreign text in a workflow command and in an output: always one line, and one value.
pub fn workflow_command(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let place = Place { file: text.as_ref().into(), line: Some(1), column: None };
    let annotation =
        Annotation::new(Level::Error, text.as_ref()).titled(text.as_ref()).at(&place, Path::new("/w"));
    let command = annotation.to_command();
    assert!(command.starts_with("::error ") && !command.contains(['\n', '\r']), "{command:?}");
    let (properties, _) = command[2..].split_once("::").expect("a command has two parts");
    let names: Vec<_> =
        properties["error ".len()..].split(',').filter_map(|one| one.split('=').next()).collect();
    assert!(
        matches!(names[..], ["title", "file", "line"] | ["file", "line"] | ["title", "line"] | ["line"]),
        "{names:?}"
    );
    with_file("output", b"", |path| {
        let env = [("GITHUB_ACTIONS", "true".into()), ("GITHUB_OUTPUT", path.as_os_str().to_owned())];
        let env = env.map(|(name, value)| (name.into(), value)).into();
        let sink = || Box::new(std::io::sink());
        let host = Host::for_test(env, Path::new("/"), sink(), sink(), Arc::new(SystemClock));
        Runner::new(&host).set_outputs(&[("name", text.as_ref())]).expect("the file can be written");
        let written = std::fs::read_to_string(path).expect("the file can be read");
        let (delimiter, rest) =
            written.strip_prefix("name<<").and_then(|rest| rest.split_once('\n')).expect("a block");
        let value = rest.strip_suffix(&format!("\n{delimiter}\n")).expect("the block ends");
        assert!(value == text && !value.contains(delimiter));
    });
}

/// A dagster_cloud.yaml, as YAML and as code locations.
pub fn yaml(bytes: &[u8]) {
    if let Ok(document) = yaml::read(bytes)
        && let Some(root) = document.root
    {
        let _ = root.to_json();
    }
    with_file("dagster_cloud.yaml", bytes, |path| {
        let _ = Project::inspect(path, &host(Path::new("/")));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that once broke a parser, and one for each form that its code handles.
    #[test]
    fn every_parser_accepts_its_corpus() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, parse) in PARSERS {
            let mut replayed = 0;
            for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
                parse(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
            assert!(replayed > 0, "{name} has no corpus");
        }
    }

    /// Each file of the corpora with a few bytes changed, removed or doubled; the same changes in every run.
    #[test]
    fn every_parser_accepts_variants_of_its_corpus() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let rounds = if std::env::var_os("PEXPRESS_NIGHTLY").is_some() { 2000 } else { 20 };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % limit.max(1) as u64).unwrap()
        };
        for (name, parse) in PARSERS {
            for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
                let whole = std::fs::read(entry.unwrap().path()).unwrap();
                for _ in 0..rounds {
                    let mut bytes = whole.clone();
                    for _ in 0..1 + random(4) {
                        let at = random(bytes.len());
                        match random(3) {
                            0 => bytes.truncate(at.max(1)),
                            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random(256) as u8),
                            _ => bytes
                                .splice(at..at, whole[..random(whole.len()).min(64)].to_vec())
                                .for_each(drop),
                        }
                    }
                    parse(&bytes);
                }
            }
        }
    }

    #[test]
    fn every_parser_has_a_fuzz_target_and_the_other_way_round() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/fuzz_targets");
        let entries = std::fs::read_dir(directory).unwrap();
        let mut targets: Vec<String> = entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        targets.sort();
        assert_eq!(targets, PARSERS.map(|(name, _)| name.to_string()));
    }
}
