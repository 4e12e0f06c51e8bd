//! The base image: where it comes from, what it is for, and which Python it has.

use super::ImageError;
use super::scan::{self, Inside, Scan};
use crate::builder::BuildError;
use crate::cache::{Cache, CacheError, persist, temporary_in};
use crate::image::choice::choose;
use crate::image::layout::is_blob;
use crate::image::manifest::{Document, Manifest};
use crate::image::{Config, Descriptor, Digest, Layout, LayoutError, Platform as ImagePlatform, Reference};
use crate::registry::Registries;
use crate::target::{Arch, Libc, Platform, PythonVersion};
use crate::threads::lock;
use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Indexes of indexes are followed this far.
const DEPTH: usize = 4;
const BUFFER_BYTES: usize = 128 * 1024;
/// Releases of Debian that official images name in their history, and their glibc. Source: packages.debian.org, `libc6`.
const DEBIAN: [(&str, u8); 3] = [("bullseye", 31), ("bookworm", 36), ("trixie", 41)];

/// Where a base image is, as given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseName {
    /// `oci:DIR[:TAG]`: an image layout.
    Layout(String),
    /// In a registry.
    Registry(Reference),
}

impl BaseName {
    /// Read a name.
    ///
    /// # Errors
    /// A sentence about names.
    pub fn parse(text: &str) -> Result<BaseName, String> {
        match text.strip_prefix("oci:") {
            Some("") => Err("after `oci:` comes the directory of an image layout".to_string()),
            Some(path) => Ok(BaseName::Layout(path.to_string())),
            None => text.parse().map(BaseName::Registry).map_err(|error| format!("{error}")),
        }
    }

    /// The official image of a Python version. It is asked from a registry that does not limit how often.
    pub fn official(python: PythonVersion) -> String {
        format!("public.ecr.aws/docker/library/python:{python}-slim")
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseName::Layout(path) => write!(f, "oci:{path}"),
            BaseName::Registry(reference) => write!(f, "{reference}"),
        }
    }
}

/// A base image.
pub struct Base {
    /// As given.
    pub name: BaseName,
    /// What the name led to: the digest of the index, if it is one.
    pub digest: Digest,
    /// The manifest of the platform's image.
    pub manifest: Manifest,
    /// Its config.
    pub config: Config,
    /// The digest of that manifest.
    id: Digest,
    blobs: Blobs,
    /// Blobs that were checked in this run.
    checked: Mutex<BTreeMap<Digest, PathBuf>>,
    /// What is in its layers, once it was needed.
    inside: OnceLock<Inside>,
    /// The same as an image over this base says.
    told: Option<Inside>,
}

/// What is in the layers of a base, as an image over it says in its annotation [`crate::image::manifest::BASE_NOTE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseNote {
    /// Digest of the base's manifest for the platform.
    pub manifest: Digest,
    /// What is in it.
    pub inside: Inside,
}

enum Blobs {
    Layout(Layout),
    Registry(Registries, Reference),
}

/// The Python and the C library of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFacts {
    /// Absolute path of its Python.
    pub python: String,
    /// Version of it.
    pub version: PythonVersion,
    /// C library and processor.
    pub platform: Platform,
}

/// What the user says about the base.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// `--image-python`: absolute path of its Python.
    pub python: Option<String>,
    /// `--platform`.
    pub platform: Option<Platform>,
}

impl Base {
    /// Find a base image for a platform. `cwd` is what a relative path is below.
    ///
    /// # Errors
    /// When it does not exist, is not an image, or is not for the platform.
    pub fn find(
        name: BaseName,
        platform: &ImagePlatform,
        cwd: &Path,
        registries: &Registries,
    ) -> Result<Base, ImageError> {
        let base = match &name {
            BaseName::Layout(path) => {
                let (directory, tag) = layout_and_tag(cwd, path);
                Base::of_layout(name.clone(), Layout::open(&directory)?, tag.as_deref(), platform)?
            }
            BaseName::Registry(reference) => {
                Base::of_registry(name.clone(), reference.clone(), registries, platform)?
            }
        };
        let has = base.config.platform();
        if (&has.os, &has.architecture) != (&platform.os, &platform.architecture) {
            let has = vec![has.to_string()];
            return Err(ImageError::Platform { base: name.to_string(), wanted: platform.to_string(), has });
        }
        if base.manifest.layers.len() != base.config.rootfs.diff_ids.len() {
            let counts = (base.manifest.layers.len(), base.config.rootfs.diff_ids.len());
            return Err(ImageError::Layers { base: name.to_string(), counts });
        }
        Ok(base)
    }

    fn of_layout(
        name: BaseName,
        layout: Layout,
        tag: Option<&str>,
        platform: &ImagePlatform,
    ) -> Result<Base, ImageError> {
        let first = layout.find(tag)?;
        let digest = first.digest;
        let mut descriptor = first;
        for _ in 0..DEPTH {
            match layout.document(&descriptor)? {
                Document::Manifest(manifest) => {
                    let config = layout.config(&manifest)?;
                    let blobs = Blobs::Layout(layout);
                    return Ok(Base::new((name, digest), (descriptor.digest, *manifest), config, blobs));
                }
                Document::Index(index) => {
                    let found = choose(&index, platform).cloned();
                    descriptor = found.map_err(|has| ImageError::Platform {
                        base: name.to_string(),
                        wanted: platform.to_string(),
                        has,
                    })?;
                }
            }
        }
        Err(LayoutError::Nested { directory: layout.directory().to_path_buf(), depth: DEPTH }.into())
    }

    fn of_registry(
        name: BaseName,
        reference: Reference,
        registries: &Registries,
        platform: &ImagePlatform,
    ) -> Result<Base, ImageError> {
        let image = registries.image(&reference, platform)?;
        let (_, config) = registries.config(&reference.repository, &image.manifest)?;
        let blobs = Blobs::Registry(registries.clone(), reference);
        let manifest = (image.fetched.digest, image.manifest);
        Ok(Base::new((name, image.digest), manifest, config, blobs))
    }

    fn new(
        (name, digest): (BaseName, Digest),
        (id, manifest): (Digest, Manifest),
        config: Config,
        blobs: Blobs,
    ) -> Base {
        let (checked, inside, told) = (Mutex::default(), OnceLock::new(), None);
        Base { name, digest, manifest, config, id, blobs, checked, inside, told }
    }

    /// The same, with what images over it say of what is in its layers.
    #[must_use]
    pub fn with_notes(mut self, notes: &[BaseNote]) -> Base {
        self.told = notes.iter().find(|note| note.manifest == self.id).map(|note| note.inside.clone());
        self
    }

    /// What images over it are to say of it: what its layers had to be read for.
    pub fn note(&self) -> Option<BaseNote> {
        self.inside.get().map(|inside| BaseNote { manifest: self.id, inside: inside.clone() })
    }

    /// The repository that its blobs are in, if it is in a registry.
    pub fn reference(&self) -> Option<&Reference> {
        match &self.blobs {
            Blobs::Layout(_) => None,
            Blobs::Registry(_, reference) => Some(reference),
        }
    }

    /// Its Python and C library: from the config where that says both, otherwise from the layers, which are read once
    /// for each image.
    ///
    /// # Errors
    /// When it has no Python of the wanted version, or its C library cannot be told.
    pub fn facts(
        &self,
        wanted: Option<PythonVersion>,
        told: &Told,
        tools: &Tools,
    ) -> Result<BaseFacts, BuildError> {
        let arch = match self.config.architecture.as_str() {
            "arm64" => Arch::Aarch64,
            _ => Arch::X86_64,
        };
        let official = self.official_python();
        let libc = told.platform.map(|platform| platform.libc).or_else(|| self.debian_glibc());
        let needs_layers = libc.is_none() || (official.is_none() && told.python.is_none());
        let inside = if needs_layers { self.inside(tools)? } else { Inside::default() };
        if needs_layers {
            self.inside.get_or_init(|| inside.clone());
        }
        let libc = libc
            .or_else(|| inside.libc())
            .ok_or_else(|| ImageError::NoLibc { base: self.name.to_string() })?;
        let (python, version) = match (&told.python, official) {
            (Some(path), official) => {
                let named = path.rsplit('/').next().and_then(scan::version);
                let version = named.or(official.map(|(_, version)| version)).or(wanted);
                (path.clone(), version.ok_or_else(|| ImageError::NoPython { base: self.name.to_string() })?)
            }
            (None, Some(official)) => official,
            (None, None) => self.choose(&inside, wanted)?,
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != version) {
            let (base, found) = (self.name.to_string(), vec![version]);
            return Err(ImageError::PythonVersion { base, found, wanted }.into());
        }
        Ok(BaseFacts { python, version, platform: Platform { libc, arch } })
    }

    /// The Python that the config of an official image names. Source: the Dockerfiles of the official Python images.
    fn official_python(&self) -> Option<(String, PythonVersion)> {
        let version: PythonVersion = self.config.env("PYTHON_VERSION")?.parse().ok()?;
        let first = self.config.env("PATH")?.split(':').next()?;
        (first == "/usr/local/bin").then(|| (format!("/usr/local/bin/python{version}"), version))
    }

    /// The glibc of the Debian release that the first step of the history names. Source: `debuerreotype`, which writes
    /// `# debian.sh --arch 'amd64' out/ 'bookworm' '@…'`.
    fn debian_glibc(&self) -> Option<Libc> {
        let step = self.config.history.first()?.created_by.as_deref()?;
        let release = step.strip_prefix("# debian.sh ")?;
        let found = DEBIAN.iter().find(|(name, _)| release.contains(&format!("'{name}'")))?;
        Some(Libc::Glibc(found.1))
    }

    /// The Python of the wanted version that comes first on PATH, else the first by path.
    fn choose(
        &self,
        inside: &Inside,
        wanted: Option<PythonVersion>,
    ) -> Result<(String, PythonVersion), ImageError> {
        let base = || self.name.to_string();
        let version_of = |path: &str| path.rsplit('/').next().and_then(scan::version);
        let path = self.config.env("PATH").unwrap_or("/usr/local/bin:/usr/bin");
        let rank = |python: &str| {
            let directory = python.rsplit_once('/').map_or("", |(directory, _)| directory);
            path.split(':').position(|one| one == directory).unwrap_or(usize::MAX)
        };
        let mut pythons: Vec<(String, PythonVersion)> =
            inside.pythons.iter().filter_map(|path| Some((path.clone(), version_of(path)?))).collect();
        pythons.sort_by_key(|(path, _)| (rank(path), path.clone()));
        let found = pythons.iter().find(|(_, version)| wanted.is_none_or(|wanted| wanted == *version));
        match (found, wanted) {
            (Some(found), _) => Ok(found.clone()),
            (None, Some(wanted)) if !pythons.is_empty() => {
                let found = pythons.into_iter().map(|(_, version)| version).collect();
                Err(ImageError::PythonVersion { base: base(), found, wanted })
            }
            _ => Err(ImageError::NoPython { base: base() }),
        }
    }

    /// What is in its layers, as recorded, or read now.
    fn inside(&self, tools: &Tools) -> Result<Inside, BuildError> {
        let record = format!("bases/{}", self.id.hex());
        let known = tools.cache().recall(&record).and_then(|text| serde_json::from_str(&text).ok());
        if let Some(known) = known.or_else(|| self.told.clone()) {
            return Ok(known);
        }
        tools.host().detail(format!("reading the layers of {}", self.name));
        let mut scan = Scan::default();
        for layer in &self.manifest.layers {
            let path = self.file(layer, tools.cache())?;
            let file = std::fs::File::open(&path).map_err(|source| ImageError::Read { path, source })?;
            let mut input = BufReader::new(file);
            let start = input.fill_buf().unwrap_or_default().to_vec();
            scan.layer(input).map_err(|error| error.in_layer(self.name.to_string(), layer, &start))?;
        }
        let inside = scan.finish();
        tools.keep(&record, &serde_json::json!(inside).to_string());
        Ok(inside)
    }

    /// A file with a blob of it, if this run has needed one.
    pub fn known_file(&self, digest: &Digest) -> Option<PathBuf> {
        lock(&self.checked).get(digest).cloned()
    }

    /// A file with a blob of it, checked in this run. One of a registry is fetched to the cache.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn file(&self, descriptor: &Descriptor, cache: &Cache) -> Result<PathBuf, BuildError> {
        if let Some(path) = self.known_file(&descriptor.digest) {
            return Ok(path);
        }
        let path = match &self.blobs {
            Blobs::Layout(layout) => {
                let path = layout.blob_path(&descriptor.digest);
                if !is_blob(&path, descriptor) {
                    return Err(ImageError::from(Layout::refused(path)).into());
                }
                path
            }
            Blobs::Registry(registries, reference) => {
                let hex = descriptor.digest.hex();
                let path = cache.root().join("blobs").join(&hex[..2]).join(&hex);
                cache.claim(&path);
                if !is_blob(&path, descriptor) {
                    let mut content =
                        registries.blob(&reference.repository, descriptor).map_err(ImageError::from)?;
                    fetch(&mut content, descriptor, (&cache.dir("blobs")?, &path), &self.name)?;
                }
                path
            }
        };
        lock(&self.checked).insert(descriptor.digest, path.clone());
        Ok(path)
    }
}

/// Write a blob of a registry to the cache.
fn fetch(
    content: &mut impl Read,
    descriptor: &Descriptor,
    (directory, path): (&Path, &Path),
    base: &BaseName,
) -> Result<(), BuildError> {
    let mut file = temporary_in(directory)?;
    let failed = |source| CacheError { action: "write", path: path.to_path_buf(), source };
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = content
            .read(&mut buffer)
            .map_err(|source| ImageError::BaseContent { base: base.to_string(), source })?;
        if read == 0 {
            break;
        }
        size += read as u64;
        hash.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(failed)?;
    }
    if size != descriptor.size || Digest::from_hasher(hash) != descriptor.digest {
        return Err(ImageError::from(LayoutError::Damaged { path: path.to_path_buf() }).into());
    }
    Ok(persist(file, path)?)
}

/// The directory and the tag of `DIR[:TAG]`. A directory may have a colon in its name.
fn layout_and_tag(cwd: &Path, text: &str) -> (PathBuf, Option<String>) {
    let whole = cwd.join(text);
    match text.rsplit_once(':') {
        Some((directory, tag)) if !whole.is_dir() && !tag.contains('/') => {
            (cwd.join(directory), Some(tag.to_string()))
        }
        _ => (whole, None),
    }
}
