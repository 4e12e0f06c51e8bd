//! Image layouts: directories with `oci-layout`, `index.json` and `blobs/sha256/…`.
//!
//! A layout is written so that it is whole at every moment: blobs first, each under its final name only when it is
//! complete, then `index.json`, then blobs that nothing names any more are removed. Source: OCI image specification,
//! image-layout.md.

mod error;

use super::manifest::{Document, Index, Manifest, media_type};
use super::{Config, Descriptor, Digest};
use crate::bounded_file;
use crate::cache::{CacheError, write_atomically};
use crate::scratch;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::{LayoutError, MADE_WRONG};

/// The annotation of a manifest in `index.json` that holds its tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The file that marks a directory as a layout.
const MARKER: &str = "oci-layout";
const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";
/// Larger manifests and configs are refused. Registries take manifests of up to 4 MiB.
pub const DOCUMENT_LIMIT_BYTES: u64 = 8 << 20;
const BUFFER_BYTES: usize = 128 * 1024;

/// An image layout.
#[derive(Debug, Clone)]
pub struct Layout {
    directory: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// An existing layout.
    ///
    /// # Errors
    /// When the directory is not a layout of version 1.
    pub fn open(directory: &Path) -> Result<Layout, LayoutError> {
        let not_one = |reason: String| LayoutError::NotOne { directory: directory.to_path_buf(), reason };
        let text = bounded_file::read(&directory.join(MARKER), DOCUMENT_LIMIT_BYTES)
            .map_err(|error| not_one(format!("`{MARKER}` cannot be read: {error}")))?;
        let marker: Marker =
            serde_json::from_slice(&text).map_err(|error| not_one(format!("`{MARKER}`: {error}")))?;
        if !marker.image_layout_version.starts_with("1.") {
            return Err(not_one(format!("it has the version {}", marker.image_layout_version)));
        }
        Ok(Layout { directory: directory.to_path_buf() })
    }

    /// A layout to write to: an existing one, or a new one in an empty or missing directory.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be made.
    pub fn create(directory: &Path) -> Result<Layout, LayoutError> {
        let layout = Layout { directory: directory.to_path_buf() };
        if Layout::open(directory).is_ok() {
            return Ok(layout);
        }
        let is_empty = fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none());
        // A run that was killed after its first blob leaves a layout without a marker.
        if !is_empty && !directory.join(BLOBS).is_dir() {
            return Err(LayoutError::Occupied { directory: directory.to_path_buf() });
        }
        fs::create_dir_all(directory.join(BLOBS)).map_err(|source| CacheError {
            action: "create",
            path: directory.join(BLOBS),
            source,
        })?;
        Ok(layout)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Remove what killed runs left half written.
    pub fn sweep(&self, now: SystemTime) {
        scratch::sweep(&self.directory, now);
        scratch::sweep(&self.directory.join(BLOBS), now);
    }

    /// The file of a blob, whether it exists or not.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(BLOBS).join(digest.hex())
    }

    /// `index.json`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn index(&self) -> Result<Index, LayoutError> {
        let path = self.directory.join(INDEX);
        let bytes = bounded_file::read(&path, DOCUMENT_LIMIT_BYTES)
            .map_err(|source| LayoutError::Read { path: path.clone(), source })?;
        match Document::parse(&bytes) {
            Ok(Document::Index(index)) => Ok(index),
            Ok(Document::Manifest(_)) => Err(LayoutError::NotOne {
                directory: self.directory.clone(),
                reason: format!("`{INDEX}` is a manifest and not an index"),
            }),
            Err(source) => Err(LayoutError::Manifest { path, source }),
        }
    }

    /// What a tag leads to, which may be an index again. Without a tag, the only image.
    ///
    /// # Errors
    /// When nothing has the tag, or there are several images and no tag is given.
    pub fn find(&self, tag: Option<&str>) -> Result<Descriptor, LayoutError> {
        let mut manifests = self.index()?.manifests;
        let directory = self.directory.clone();
        let known: Vec<String> =
            manifests.iter().filter_map(|one| one.annotations.get(REF_NAME).cloned()).collect();
        if let Some(tag) = tag {
            // Tools append a tag that exists already, so the last one is meant.
            let is_it = |one: &Descriptor| one.annotations.get(REF_NAME).is_some_and(|name| name == tag);
            let found = manifests.into_iter().rev().find(is_it);
            return found.ok_or(LayoutError::NoTag { directory, tag: tag.to_string(), known });
        }
        match manifests.len() {
            0 => Err(LayoutError::Empty { directory }),
            1 => Ok(manifests.remove(0)),
            count => Err(LayoutError::Several { directory, untagged: count - known.len(), known }),
        }
    }

    /// A small blob, with size and digest checked.
    ///
    /// # Errors
    /// When it cannot be read, is too large or is not what the descriptor says.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        let bytes =
            bounded_file::read(&path, DOCUMENT_LIMIT_BYTES).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => LayoutError::Missing { path: path.clone() },
                _ => LayoutError::Read { path: path.clone(), source },
            })?;
        match bytes.len() as u64 == descriptor.size && Digest::of(&bytes) == descriptor.digest {
            true => Ok(bytes),
            false => Err(LayoutError::Damaged { path }),
        }
    }

    /// A manifest or an index in it.
    ///
    /// # Errors
    /// Those of [`Layout::read`], and when it is neither.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, LayoutError> {
        let bytes = self.read(descriptor)?;
        let path = self.blob_path(&descriptor.digest);
        Document::parse(&bytes).map_err(|source| LayoutError::Manifest { path, source })
    }

    /// The config of an image in it.
    ///
    /// # Errors
    /// Those of [`Layout::read`], and when it is not a config.
    pub fn config(&self, manifest: &Manifest) -> Result<Config, LayoutError> {
        let bytes = self.read(&manifest.config)?;
        let path = self.blob_path(&manifest.config.digest);
        Config::parse(&bytes).map_err(|source| LayoutError::Config { path, source })
    }

    /// What is wrong with a blob that [`is_blob`] refuses.
    pub fn refused(path: PathBuf) -> LayoutError {
        if path.exists() { LayoutError::Damaged { path } } else { LayoutError::Missing { path } }
    }

    /// Whether a blob is there, with the right size and the right digest.
    pub fn has(&self, descriptor: &Descriptor) -> bool {
        is_blob(&self.blob_path(&descriptor.digest), descriptor)
    }

    /// Put content that is in memory. Returns its descriptor.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, media_type: &str, content: &[u8]) -> Result<Descriptor, LayoutError> {
        let descriptor = Descriptor::of(media_type, content);
        let path = self.blob_path(&descriptor.digest);
        if !self.has(&descriptor) {
            let fail = |source| CacheError { action: "write", path: path.clone(), source };
            write_atomically(&path, |file| file.write_all(content).map_err(fail))?;
        }
        Ok(descriptor)
    }

    /// Put a file that was checked, by a link to it where the file system can do that. Returns whether it was missing.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn put_file(&self, descriptor: &Descriptor, file: &Path) -> Result<bool, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        if self.has(descriptor) {
            return Ok(false);
        }
        let fail = |source| CacheError { action: "write", path: path.clone(), source };
        if path.exists() {
            fs::remove_file(&path).map_err(fail)?;
        }
        // Nobody changes a file whose name is its digest, so both names may lead to one file.
        if fs::hard_link(file, &path).is_err() {
            write_atomically(&path, |copy| {
                let mut file = File::open(file).map_err(fail)?;
                io::copy(&mut file, copy).map(drop).map_err(fail)
            })?;
        }
        Ok(true)
    }

    /// Put what a stream gives, which must be what the descriptor says.
    ///
    /// # Errors
    /// When the stream fails or gives something else, or the blob cannot be written.
    pub fn put_stream(&self, descriptor: &Descriptor, mut stream: impl Read) -> Result<(), LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        let fail = |source| CacheError { action: "write", path: path.clone(), source };
        write_atomically(&path, |file| {
            let mut hash = Sha256::new();
            let mut buffer = vec![0; BUFFER_BYTES];
            let mut size = 0_u64;
            loop {
                let read = stream.read(&mut buffer).map_err(fail)?;
                size += read as u64;
                if read == 0 || size > descriptor.size {
                    break;
                }
                hash.update(&buffer[..read]);
                file.write_all(&buffer[..read]).map_err(fail)?;
            }
            match size == descriptor.size && Digest::from_hasher(hash) == descriptor.digest {
                true => Ok(()),
                false => Err(LayoutError::Damaged { path: path.clone() }),
            }
        })
    }

    /// Make these manifests the content of the layout, and remove the blobs that they do not need.
    ///
    /// # Errors
    /// When `index.json` cannot be written, or a blob is missing.
    pub fn finish(&self, manifests: Vec<Descriptor>) -> Result<(), LayoutError> {
        let needed = self.needed(&manifests)?;
        let (schema_version, annotations) = (2, std::collections::BTreeMap::new());
        let index =
            Index { schema_version, media_type: media_type::INDEX.to_string(), manifests, annotations };
        // The marker last: without an index, a directory must not be taken for a layout.
        for (name, text) in [(INDEX, index.to_bytes()), (MARKER, MARKER_TEXT.as_bytes().to_vec())] {
            let path = self.directory.join(name);
            if fs::read(&path).is_ok_and(|before| before == text) {
                continue;
            }
            let fail = |source| CacheError { action: "write", path: path.clone(), source };
            write_atomically(&path, |file| file.write_all(&text).map_err(fail))?;
        }
        let blobs = fs::read_dir(self.directory.join(BLOBS)).into_iter().flatten().flatten();
        for blob in blobs {
            let name = blob.file_name().to_string_lossy().into_owned();
            let is_old = format!("sha256:{name}").parse().is_ok_and(|digest| !needed.contains(&digest));
            // What stays does no harm: nothing names it.
            if is_old && fs::remove_file(blob.path()).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The digests of all blobs of these manifests.
    fn needed(&self, manifests: &[Descriptor]) -> Result<BTreeSet<Digest>, LayoutError> {
        let mut needed = BTreeSet::new();
        let mut open: Vec<Descriptor> = manifests.to_vec();
        while let Some(descriptor) = open.pop() {
            if !needed.insert(descriptor.digest) {
                continue;
            }
            match self.document(&descriptor)? {
                Document::Index(index) => open.extend(index.manifests),
                Document::Manifest(manifest) => {
                    needed.insert(manifest.config.digest);
                    needed.extend(manifest.layers.iter().map(|layer| layer.digest));
                }
            }
        }
        Ok(needed)
    }
}

/// Whether a file has the size and the digest of a descriptor.
pub fn is_blob(path: &Path, descriptor: &Descriptor) -> bool {
    // Cheap, and enough for most that are damaged. Before it is opened: opening a pipe would wait for a writer.
    if fs::metadata(path).map_or(true, |data| data.len() != descriptor.size || !data.is_file()) {
        return false;
    }
    let Ok(mut file) = File::open(path) else { return false };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Digest::from_hasher(hash) == descriptor.digest,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Vec<u8> {
        let rootfs = json!({"type": "layers", "diff_ids": []});
        json!({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).to_string().into_bytes()
    }

    /// A layout with one image of this layer.
    fn written(directory: &Path, layer: &[u8]) -> Descriptor {
        let layout = Layout::create(directory).unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "config": layout.put(media_type::CONFIG, &config()).unwrap(),
            "layers": [layout.put(media_type::LAYER_GZIP, layer).unwrap()],
        });
        let mut manifest = layout.put(media_type::MANIFEST, manifest.to_string().as_bytes()).unwrap();
        manifest.annotations.insert(REF_NAME.into(), "one".into());
        layout.finish(vec![manifest.clone()]).unwrap();
        manifest
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory.join(BLOBS)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_was_written_is_read_and_the_next_image_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = written(dir.path(), b"first");
        let layout = Layout::open(dir.path()).unwrap();
        assert_eq!(layout.find(None).unwrap(), manifest);
        assert_eq!(layout.find(Some("one")).unwrap(), manifest);
        let Document::Manifest(read) = layout.document(&manifest).unwrap() else { panic!() };
        assert_eq!(layout.config(&read).unwrap().os, "linux");
        let before = names(dir.path());
        written(dir.path(), b"first");
        assert_eq!(names(dir.path()), before);
        written(dir.path(), b"second");
        let after = names(dir.path());
        assert_eq!(after.len(), 3);
        assert_eq!(after.intersection(&before).count(), 1, "only the config is the same");
        let marker = fs::read_to_string(dir.path().join(MARKER)).unwrap();
        assert_eq!(marker, r#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    #[test]
    fn a_damaged_blob_is_noticed_and_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = written(dir.path(), b"layer");
        let layout = Layout::open(dir.path()).unwrap();
        let path = layout.blob_path(&manifest.digest);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(layout.read(&manifest), Err(LayoutError::Damaged { .. })));
        written(dir.path(), b"layer");
        assert!(layout.has(&manifest));
    }

    #[test]
    fn a_stream_must_be_what_was_announced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let descriptor = Descriptor::of(media_type::LAYER_GZIP, b"layer");
        for wrong in [&b"other"[..], b"lay", b"layer and more"] {
            let error = layout.put_stream(&descriptor, wrong).unwrap_err();
            assert!(matches!(error, LayoutError::Damaged { .. }), "{error}");
        }
        assert_eq!(names(dir.path()).len(), 0);
        layout.put_stream(&descriptor, &b"layer"[..]).unwrap();
        assert!(layout.has(&descriptor));
    }

    #[test]
    fn what_is_not_a_layout_is_named_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("code.py"), "").unwrap();
        assert!(matches!(Layout::create(dir.path()), Err(LayoutError::Occupied { .. })));
        assert!(matches!(Layout::open(dir.path()), Err(LayoutError::NotOne { .. })));
        fs::write(dir.path().join(MARKER), r#"{"imageLayoutVersion": "2.0.0"}"#).unwrap();
        let error = Layout::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("it has the version 2.0.0"), "{error}");
    }

    #[test]
    fn a_tag_must_exist_and_several_images_need_one() {
        let dir = tempfile::tempdir().unwrap();
        let one = written(dir.path(), b"layer");
        let layout = Layout::open(dir.path()).unwrap();
        assert!(
            matches!(layout.find(Some("two")), Err(LayoutError::NoTag { known, .. }) if known == ["one"])
        );
        let mut two = one.clone();
        two.annotations.insert(REF_NAME.into(), "two".into());
        layout.finish(vec![one, two.clone()]).unwrap();
        assert!(
            matches!(layout.find(None), Err(LayoutError::Several { known, .. }) if known == ["one", "two"])
        );
        assert_eq!(layout.find(Some("two")).unwrap(), two);
        layout.finish(Vec::new()).unwrap();
        assert!(matches!(layout.find(None), Err(LayoutError::Empty { .. })));
    }
}
