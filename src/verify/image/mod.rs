//! Image layouts → the definitions of the code locations in them.
//!
//! The layers that pexpress wrote are unpacked, and their virtual environment is started with a Python of this machine.
//! On demand the whole image is unpacked and the code location is loaded in it, with the image's own Python.

mod container;
mod engine;
mod unpack;

pub use unpack::UnpackError;

use super::{LOAD, Outcome, Verified, VerifyError, answer_of};
use crate::builder::image::loading::{LOCATION, Loading};
use crate::builder::manifest::{Entry, Origin};
use crate::child_env::Purpose;
use crate::display::Display;
use crate::env_vars;
use crate::host::Host;
use crate::image::choice::choose;
use crate::image::manifest::{Document, LAYER_KEY, Manifest};
use crate::image::{Config, Descriptor, Digest, Layout, Platform};
use crate::scratch::Scratch;
use crate::target::PythonVersion;
use crate::tools::{Process, Tools};
use serde_json::Value;
use std::path::{Path, PathBuf};
use unpack::Root;

/// Where the virtual environment is in an image, and everything of the code location.
const VENV: &str = "opt/venv";
const DAGSTER: &str = "opt/dagster";
const APP: &str = "/opt/dagster/app";
/// How an image is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum How {
    /// The layers that pexpress wrote, with a Python of this machine.
    #[default]
    Environment,
    /// The whole image, with its own Python.
    Container,
}

/// An image in a layout.
pub struct Image {
    layout: Layout,
    manifest: Manifest,
    config: Config,
    /// What it is for.
    pub loading: Loading,
}

impl Image {
    /// The image of a layout that `pexpress image` wrote.
    ///
    /// # Errors
    /// When it is damaged, or was written by something else.
    pub fn open(directory: &Path) -> Result<Image, VerifyError> {
        let refused =
            |reason: &str| VerifyError::Image { directory: directory.into(), reason: reason.into() };
        let layout = Layout::open(directory)?;
        let descriptor = layout.find(None)?;
        let text = descriptor.annotations.get(LOCATION);
        let loading: Option<Loading> = text.and_then(|text| serde_json::from_str(text).ok());
        let loading = loading.ok_or_else(|| refused("it does not say which code location it is for"))?;
        let is_steering = |loading: &Loading| loading.name.chars().any(char::is_control);
        if is_steering(&loading) {
            return Err(refused("the name of its code location has control characters"));
        }
        let here = here();
        let mut document = layout.document(&descriptor)?;
        if let Document::Index(index) = &document {
            let entry = choose(index, &here).map_err(|has| VerifyError::OtherPlatform {
                file: directory.display().to_string(),
                platform: has.join(" and "),
            })?;
            document = layout.document(entry)?;
        }
        let Document::Manifest(manifest) = document else {
            return Err(refused("its image index names another one"));
        };
        let config = layout.config(&manifest)?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(refused("its config has another number of layers than its manifest"));
        }
        Ok(Image { layout, manifest: *manifest, config, loading })
    }

    fn refused(&self, reason: impl Into<String>) -> VerifyError {
        VerifyError::Image { directory: self.layout.directory().into(), reason: reason.into() }
    }

    /// Refuse layers that are not what the manifest says.
    fn check(&self, layer: &Descriptor) -> Result<(), VerifyError> {
        if self.layout.has(layer) {
            return Ok(());
        }
        let reason = "its size or digest is not what the manifest says, or it is missing";
        Err(self.refused(format!("the layer {} cannot be used: {reason}", layer.digest)))
    }

    /// Unpack layers, each checked against the manifest and the config.
    fn unpack(&self, root: &mut Root<'_>, wanted: impl Fn(&Descriptor) -> bool) -> Result<(), VerifyError> {
        for (layer, diff_id) in self.manifest.layers.iter().zip(&self.config.rootfs.diff_ids) {
            if !wanted(layer) {
                continue;
            }
            let path = self.layout.blob_path(&layer.digest);
            // Before anything is unpacked: what is damaged could fail in a way that looks like the user's fault.
            self.check(layer)?;
            let fail = |source| VerifyError::File { action: "read", path: path.clone(), source };
            let file = unpack::open(&path).map_err(fail)?;
            let hash = root.layer(file, layer.size).map_err(|error| match error {
                error @ UnpackError::Huge { .. } => {
                    self.refused(format!("the layer {} is far too large: {error}", layer.digest))
                }
                error => error.into(),
            })?;
            if Digest::from_hasher(hash) != *diff_id {
                let reason = format!("the layer {} has another content than the config says", layer.digest);
                return Err(self.refused(reason));
            }
        }
        Ok(())
    }

    /// The file of the machine's kind cannot be loaded on another one.
    fn check_platform(&self) -> Result<(), VerifyError> {
        let (platform, here) = (self.config.platform(), here());
        if platform.os == here.os && platform.architecture == here.architecture {
            return Ok(());
        }
        let file = self.layout.directory().display().to_string();
        Err(VerifyError::OtherPlatform { file, platform: platform.to_string() })
    }
}

/// What images have to be for to be loaded on this machine.
fn here() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { architecture: architecture.into(), os: std::env::consts::OS.into(), variant: None }
}

/// The layouts that a path names: itself, or the directories in it.
pub fn layouts(directory: &Path) -> Vec<PathBuf> {
    let is_layout = |path: &PathBuf| path.join("oci-layout").is_file();
    if is_layout(&directory.to_path_buf()) {
        return vec![directory.to_path_buf()];
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_layout).collect();
    found.sort();
    found
}

/// Load the code location of each image, and call `done` for each when it is.
///
/// # Errors
/// When an image cannot be unpacked or Python cannot be run. A location that does not load is an [`Outcome`].
pub fn run(
    images: &[Image],
    how: How,
    tools: &Tools,
    display: &Display,
    lenient: bool,
    done: &dyn Fn(&Verified),
) -> Result<Vec<Verified>, VerifyError> {
    let mut verified = Vec::new();
    for image in images {
        image.check_platform()?;
        let name = &image.loading.name;
        let phase = display.phase(format!("Loading the code location {name}"));
        let temp_dir = tools.host().temp_dir();
        let scratch = Scratch::shared(&temp_dir).map_err(|source| VerifyError::File {
            action: "create",
            path: temp_dir,
            source,
        })?;
        let outcome = match how {
            How::Environment => in_environment(image, scratch.path(), tools)?,
            How::Container => container::load(image, scratch.path(), tools.host())?,
        };
        drop(phase);
        let location = Verified::new(name, outcome, lenient);
        done(&location);
        verified.push(location);
    }
    Ok(verified)
}

/// Where a path of the image goes: as in a PEX file, so that tracebacks lead to the same files.
fn place(path: &str) -> Option<String> {
    let below = |directory: &str| path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
    if let Some(rest) = below(VENV) {
        return Some(format!("environment/{rest}"));
    }
    let rest = below(DAGSTER)?;
    Some(match rest.strip_prefix("app") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("source/working_directory/root{rest}")
        }
        _ => format!("source/working_directory/{rest}"),
    })
}

/// An absolute path of the image in the directory that it was unpacked to.
fn moved(text: &str, scratch: &Path) -> String {
    let parts = text.split(':').map(|part| match part.strip_prefix('/').and_then(place) {
        Some(place) => scratch.join(place).display().to_string(),
        None => part.to_string(),
    });
    parts.collect::<Vec<_>>().join(":")
}

fn in_environment(image: &Image, scratch: &Path, tools: &Tools) -> Result<Outcome, VerifyError> {
    let mut root = Root::new(scratch, &place);
    image.unpack(&mut root, |layer| layer.annotations.contains_key(LAYER_KEY))?;
    let environment = scratch.join("environment");
    let python = python_of(&environment).ok_or_else(|| image.refused("it has no virtual environment"))?;
    let executable = tools.python(python)?;
    connect(&environment, &executable, python, scratch)?;
    let host = tools.host();
    let working_directory = scratch.join("source/working_directory/root");
    let paths = [environment.join("bin")].into_iter();
    let host_path = host.path_var(env_vars::PATH).unwrap_or_default();
    let search = std::env::join_paths(paths.chain(std::env::split_paths(&host_path))).unwrap_or_default();
    let answer = scratch.join("answer.json");
    let mut process = Process::new(host, Purpose::Code, environment.join("bin/python"))
        .args(["-c", LOAD])
        .arg(&answer)
        .arg(Value::Object(image.loading.document.clone()).to_string())
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME");
    for (name, value) in variables(image) {
        process = process.env(name, moved(value, scratch));
    }
    let process = process.env("PATH", search).env("VIRTUAL_ENV", &environment).cwd(&working_directory);
    answer_of(process, Some(&answer), &entry(image), host)
}

/// The variables of the image, without its search path.
fn variables(image: &Image) -> impl Iterator<Item = (&str, &str)> {
    let pairs = image.config.config.env.iter().flatten();
    pairs.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| *name != "PATH" && !name.is_empty())
}

/// The code location as the manifest of PEX files has it. Files are called by their paths in the image.
fn entry(image: &Image) -> Entry {
    Entry {
        name: image.loading.name.clone(),
        source_pex: String::new(),
        deps_pex: String::new(),
        pex_tag: String::new(),
        document: image.loading.document.clone(),
        origin: Origin { directory: APP.into(), ..Origin::default() },
    }
}

/// The version of an environment's Python, from the name of its directory.
fn python_of(environment: &Path) -> Option<PythonVersion> {
    let entries = std::fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_prefix("python")?.parse().ok()).next()
}

/// Connect an unpacked environment with a Python of this machine, and with the unpacked source.
fn connect(
    environment: &Path,
    python: &Path,
    version: PythonVersion,
    scratch: &Path,
) -> Result<(), VerifyError> {
    let fail = |path: &Path| {
        let path = path.to_path_buf();
        move |source| VerifyError::File { action: "write", path, source }
    };
    let home = python.parent().unwrap_or(Path::new("/")).display();
    let config = environment.join("pyvenv.cfg");
    replace(&config, &format!("home = {home}\ninclude-system-site-packages = false\n"))
        .map_err(fail(&config))?;
    let link = environment.join("bin/python");
    relink(python, &link).map_err(fail(&link))?;
    let pth = environment.join(format!("lib/python{version}/site-packages/_pexpress.pth"));
    if pth.symlink_metadata().is_ok_and(|data| data.is_file()) {
        let text = std::fs::read_to_string(&pth).map_err(fail(&pth))?;
        let lines: String = text.lines().map(|line| moved(line, scratch) + "\n").collect();
        replace(&pth, &lines).map_err(fail(&pth))?;
    }
    Ok(())
}

/// Write a file anew: what was there may be a link.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if path.symlink_metadata().is_ok() {
        std::fs::remove_file(path)?;
    }
    std::fs::write(path, text)
}

#[cfg(unix)]
fn relink(target: &Path, link: &Path) -> std::io::Result<()> {
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link)?;
    }
    if let Some(parent) = link.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn relink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Messages of this room go to the log of `host`.
fn note(host: &Host, text: &str) {
    host.detail(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_where_a_pex_file_has_them() {
        for (path, want) in [
            ("opt/venv/bin/python", Some("environment/bin/python")),
            ("opt/dagster/app", Some("source/working_directory/root")),
            ("opt/dagster/app/a.py", Some("source/working_directory/root/a.py")),
            ("opt/dagster/apple/a.py", Some("source/working_directory/apple/a.py")),
            ("opt/dagster/local/b", Some("source/working_directory/local/b")),
            ("opt/venvs/x", None),
            ("usr/local/bin/dagster", None),
        ] {
            assert_eq!(place(path).as_deref(), want, "{path}");
        }
        let text = "/opt/dagster/app/src:/srv/x:relative";
        assert_eq!(moved(text, Path::new("/t")), "/t/source/working_directory/root/src:/srv/x:relative");
    }
}
