//! The layout of a wheel in a PEX: the directory `.deps/WHEEL_FILE_NAME/`, installed except for paths of the machine.
//!
//! Source: chroots that pex 2.59.5 makes. With pex's own script text for stubs, our fingerprints equal pex's.

use super::hash::TreeHash;
use super::{PexError, is_bytecode, python_json};
use crate::wheel::dist_info::{self, DistInfo};
use crate::wheel::legacy;
use crate::wheel::{Archive, EntryPoint, Member, Metadata, RawData, Reader, WheelError, WheelName};
use serde_json::json;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Directory of scripts, headers and data in a chroot. Agents move its content to the root of the environment.
const STASH_DIR: &str = ".prefix";
/// The member by which agents recognise the layout.
const LAYOUT_FILE: &str = ".layout.json";
const INSTALLER: &[u8] = b"pex\n";

/// A wheel as a directory of a PEX. To make one, only the central directory and a few small members are read.
#[derive(Debug)]
pub struct Chroot {
    file_name: String,
    wheel_name: WheelName,
    metadata: Metadata,
    dist_info: String,
    root_is_purelib: bool,
    path: PathBuf,
    files: Vec<ChrootFile>,
    fingerprint: OnceLock<String>,
}

/// One file in a chroot.
#[derive(Debug)]
pub(super) struct ChrootFile {
    /// Path in the chroot.
    pub(super) path: String,
    /// Mode 0755 or 0644.
    pub(super) executable: bool,
    /// Where its content is.
    pub(super) content: FileContent,
}

/// Content of a file in a chroot.
#[derive(Debug)]
pub(super) enum FileContent {
    /// A member of the wheel.
    Member(RawData),
    /// Made here.
    Text(Box<[u8]>),
    /// [`Chroot::layout_text`].
    Layout,
}

impl Chroot {
    /// Lay out the wheel at `wheel_path`. `file_name` is the wheel's own name, which the path need not have. `stubs`
    /// writes its scripts ([`super::script_stub`]).
    ///
    /// # Errors
    /// When the wheel cannot be read, must not be unpacked, or its metadata does not match its name.
    pub fn open(
        wheel_path: &Path,
        file_name: &str,
        stubs: &dyn Fn(&EntryPoint) -> String,
    ) -> Result<Chroot, PexError> {
        let wheel_name: WheelName = file_name.parse()?;
        let archive = Archive::open(wheel_path)?;
        let mut texts = DistInfo::open(file_name, &wheel_name, &archive)?;
        let dist_info = texts.directory().to_string();
        let metadata_text = texts.required("METADATA")?;
        let metadata = Metadata::parse(file_name, &metadata_text)?;
        dist_info::check_identity(file_name, &wheel_name, &metadata)?;
        let root_is_purelib = dist_info::is_purelib(file_name, &texts.required("WHEEL")?)?;
        // Most wheels have no scripts.
        let entry_points = texts.optional("entry_points.txt")?.unwrap_or_default();
        let scripts = EntryPoint::scripts(file_name, &String::from_utf8_lossy(&entry_points))?;
        let (path, members) = archive.into_parts();
        let mut layout =
            Layout { wheel: file_name, dist_info: &dist_info, name: &metadata.name, files: BTreeMap::new() };
        for member in members {
            layout.member(member)?;
        }
        // The agent parses METADATA with a strict parser, so old spellings are corrected in the copy.
        if !metadata.corrections.is_empty() {
            let text = legacy::corrected(&metadata_text, &metadata.corrections);
            layout.text(format!("{dist_info}/METADATA"), false, text);
        }
        for script in &scripts {
            layout.text(format!("{STASH_DIR}/bin/{}", script.name), true, stubs(script).into_bytes());
        }
        // Replaces the file of the wheel, if there is one: pex is the installer here.
        layout.text(format!("{dist_info}/INSTALLER"), false, INSTALLER.to_vec());
        let files = layout.finish()?;
        Ok(Chroot {
            file_name: file_name.to_string(),
            wheel_name,
            metadata,
            dist_info,
            root_is_purelib,
            path,
            files,
            fingerprint: OnceLock::new(),
        })
    }

    /// File name of the wheel, which is also the name of the directory.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The parts of the file name.
    pub fn wheel_name(&self) -> &WheelName {
        &self.wheel_name
    }

    /// The paths of its files, with `/`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// METADATA: name, version, dependencies.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// SHA-256 (lower-case hex) of all names and contents. Computed once, which reads the whole wheel. Any thread may
    /// call it.
    ///
    /// # Errors
    /// When the wheel cannot be read or a member is damaged.
    pub fn fingerprint(&self) -> Result<&str, PexError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let computed = self.compute_fingerprint()?;
        // Two threads may have computed it at once; both got the same value.
        Ok(self.fingerprint.get_or_init(|| computed))
    }

    /// The same chroot with a known fingerprint. It must be for the same wheel content, stubs and
    /// [`super::FORMAT_REVISION`].
    pub fn with_fingerprint(self, fingerprint: String) -> Chroot {
        Chroot { fingerprint: OnceLock::from(fingerprint), ..self }
    }

    /// The wheel.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All files, sorted by path.
    pub(super) fn files(&self) -> &[ChrootFile] {
        &self.files
    }

    /// Content of [`LAYOUT_FILE`].
    ///
    /// # Errors
    /// As for [`Chroot::fingerprint`].
    pub(super) fn layout_text(&self) -> Result<String, PexError> {
        Ok(python_json::to_string(&json!({
            "fingerprint": self.fingerprint()?,
            "record_relpath": format!("{}/RECORD", self.dist_info),
            "root_is_purelib": self.root_is_purelib,
            "stash_dir": STASH_DIR,
        })))
    }

    fn compute_fingerprint(&self) -> Result<String, PexError> {
        // The layout file contains the fingerprint, so it cannot be part of it.
        let hashed = || self.files.iter().filter(|file| !matches!(file.content, FileContent::Layout));
        let mut hash = TreeHash::<Sha256>::from_names(hashed().map(|file| file.path.as_str()));
        let mut reader = Reader::open(&self.path)?;
        for file in hashed() {
            match &file.content {
                FileContent::Member(data) => reader.content::<PexError>(&file.path, data, |piece| {
                    hash.content(piece);
                    Ok(())
                })?,
                FileContent::Text(text) => hash.content(text),
                FileContent::Layout => {}
            }
        }
        Ok(hash.finish())
    }
}

/// Collects the files of a chroot.
struct Layout<'a> {
    wheel: &'a str,
    dist_info: &'a str,
    name: &'a str,
    files: BTreeMap<String, (bool, FileContent)>,
}

impl Layout<'_> {
    fn member(&mut self, member: Member) -> Result<(), WheelError> {
        let Member { name, executable, data } = member;
        let Some((path, script)) = self.place(&name)? else { return Ok(()) };
        let file = (executable || script, FileContent::Member(data));
        match self.files.insert(path, file) {
            Some((_, FileContent::Member(other)))
                // Some wheels ship the same file in the root and in purelib; only a difference is ambiguous.
                if (other.crc32, other.size_bytes) != (data.crc32, data.size_bytes) =>
            {
                Err(WheelError::member(
                    self.wheel,
                    &name,
                    "is installed over another member with different content",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Where a member goes, and whether it becomes executable; `None` if it is left out.
    fn place(&self, name: &str) -> Result<Option<(String, bool)>, WheelError> {
        // RECORD lists paths and hashes of the wheel, not of this layout; the agent writes its own.
        if is_bytecode(name) || name.strip_prefix(self.dist_info) == Some("/RECORD") {
            return Ok(None);
        }
        // `NAME-VERSION.data/`; installers move its parts. Source: the wheel specification, "The .data directory".
        let stem = self.dist_info.trim_end_matches(".dist-info");
        let Some(data) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix(".data/")) else {
            return Ok(Some((name.to_string(), false)));
        };
        let path = match data.split_once('/') {
            Some(("purelib" | "platlib", rest)) => rest.to_string(),
            Some(("scripts", rest)) => format!("{STASH_DIR}/bin/{rest}"),
            Some(("headers", rest)) => {
                format!("{STASH_DIR}/include/site/pythonX.Y/{}/{rest}", self.name)
            }
            Some(("data", rest)) => format!("{STASH_DIR}/{rest}"),
            _ => {
                let reason = "is in an unknown category of the .data directory";
                return Err(WheelError::member(self.wheel, name, reason));
            }
        };
        Ok(Some((path, data.starts_with("scripts/"))))
    }

    /// Add a file made here. It replaces one from the wheel.
    fn text(&mut self, path: String, executable: bool, text: Vec<u8>) {
        self.files.insert(path, (executable, FileContent::Text(text.into())));
    }

    fn finish(mut self) -> Result<Vec<ChrootFile>, WheelError> {
        if self.files.insert(LAYOUT_FILE.to_string(), (false, FileContent::Layout)).is_some() {
            return Err(WheelError::member(
                self.wheel,
                LAYOUT_FILE,
                "has a name that the PEX format reserves",
            ));
        }
        // Paths are sorted but `a-b` comes between `a` and `a/b`, so the next key is not enough: search from `a/`.
        let clash = self.files.keys().find(|path| {
            let inside = format!("{path}/");
            self.files.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside))
        });
        if let Some(path) = clash {
            return Err(WheelError::member(self.wheel, path, "is installed as a file and as a directory"));
        }
        let file = |(path, (executable, content))| ChrootFile { path, executable, content };
        Ok(self.files.into_iter().map(file).collect())
    }
}

#[cfg(test)]
mod tests;
