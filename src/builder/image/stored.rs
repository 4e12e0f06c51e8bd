//! Layers in the cache, by key. Each is checked against its digest before it is used.

use super::ImageError;
use crate::builder::BuildError;
use crate::cache::{Cache, CacheError, persist, temporary_in, write_by_way_of};
use crate::image::layout::is_blob;
use crate::image::manifest::media_type;
use crate::image::{Descriptor, Written};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use tempfile::NamedTempFile;

const BLOB: &str = "layer.tar.gz";
const RECORD: &str = "layer.json";
/// Size of one write.
const BUFFER_BYTES: usize = 256 * 1024;

/// A layer as a file.
#[derive(Debug, Clone)]
pub struct StoredLayer {
    /// Where it is.
    pub path: PathBuf,
    /// Its digests and size.
    pub written: Written,
}

/// A layer above those of the base: in the cache, or known to be in a registry.
#[derive(Debug, Clone)]
pub struct ImageLayer {
    /// What the bytes follow from.
    pub key: String,
    /// `pandas==2.3.3, …`, `venv`, `source`.
    pub what: String,
    /// Whether it was there before this run.
    pub reused: bool,
    /// Its digests and size.
    pub written: Written,
    /// The file; `None` if only the repository that the image is for has it.
    pub path: Option<PathBuf>,
}

impl ImageLayer {
    pub(super) fn new(key: String, what: String, reused: bool, stored: StoredLayer) -> ImageLayer {
        ImageLayer { key, what, reused, written: stored.written, path: Some(stored.path) }
    }
}

/// The descriptor of a layer, without annotations.
pub fn descriptor(written: &Written) -> Descriptor {
    Descriptor::new(media_type::LAYER_GZIP, written.digest, written.size_bytes)
}

/// The stored layer of this key, if it exists and is undamaged.
pub fn recall(cache: &Cache, key: &str) -> Option<StoredLayer> {
    let entry = entry(cache, key);
    if !cache.claim(&entry) {
        return None;
    }
    let written: Written = serde_json::from_slice(&std::fs::read(entry.join(RECORD)).ok()?).ok()?;
    let stored = StoredLayer { path: entry.join(BLOB), written };
    is_blob(&stored.path, &descriptor(&stored.written)).then_some(stored)
}

/// Write a layer to the cache.
///
/// # Errors
/// Those of `write`, and when the cache cannot be written.
pub fn keep(
    cache: &Cache,
    key: &str,
    write: impl FnOnce(BufWriter<&mut File>) -> Result<Written, ImageError>,
) -> Result<StoredLayer, BuildError> {
    let mut file = temporary_in(&cache.dir("layers")?)?;
    let written = write(BufWriter::with_capacity(BUFFER_BYTES, file.as_file_mut()))?;
    put(cache, key, file, written)
}

/// Write a layer whose key follows from its content.
///
/// # Errors
/// As for [`keep`].
pub fn keep_content(
    cache: &Cache,
    write: impl FnOnce(BufWriter<&mut File>) -> Result<Written, ImageError>,
    key: impl FnOnce(&Written) -> String,
) -> Result<(String, StoredLayer), BuildError> {
    let mut file = temporary_in(&cache.dir("layers")?)?;
    let written = write(BufWriter::with_capacity(BUFFER_BYTES, file.as_file_mut()))?;
    let key = key(&written);
    let stored = put(cache, &key, file, written)?;
    Ok((key, stored))
}

fn put(cache: &Cache, key: &str, file: NamedTempFile, written: Written) -> Result<StoredLayer, BuildError> {
    let entry = entry(cache, key);
    let path = entry.join(BLOB);
    persist(file, &path)?;
    cache.claim(&entry);
    let record = entry.join(RECORD);
    let failed = |source: io::Error| CacheError { action: "write", path: record.clone(), source };
    let text = serde_json::json!(written).to_string();
    write_by_way_of(&cache.dir("layers")?, &record, |file| file.write_all(text.as_bytes()).map_err(failed))?;
    Ok(StoredLayer { path, written })
}

fn entry(cache: &Cache, key: &str) -> PathBuf {
    cache.root().join("layers").join(key.get(..2).unwrap_or_default()).join(key)
}
