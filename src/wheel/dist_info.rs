//! The dist-info directory of a wheel: which one it is, and its small files.

use super::filename::normalized_name;
use super::metadata::Headers;
use super::{Archive, Metadata, Reader, WheelError, WheelName};

/// Larger METADATA, WHEEL, RECORD and entry_points.txt are refused.
const TEXT_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// The dist-info directory of one wheel.
pub struct DistInfo<'a> {
    wheel: &'a str,
    directory: String,
    archive: &'a Archive,
    reader: Reader,
}

impl<'a> DistInfo<'a> {
    /// Find it.
    ///
    /// # Errors
    /// When the wheel has none of its own name, or several.
    pub fn open(wheel: &'a str, name: &WheelName, archive: &'a Archive) -> Result<DistInfo<'a>, WheelError> {
        Ok(DistInfo { wheel, directory: find(wheel, name, archive)?, archive, reader: archive.reader()? })
    }

    /// `NAME-VERSION.dist-info`, as the wheel spells it.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// A file in it, if it exists.
    ///
    /// # Errors
    /// When it is damaged or too large.
    pub fn optional(&mut self, name: &str) -> Result<Option<Vec<u8>>, WheelError> {
        let path = format!("{}/{name}", self.directory);
        let Some(member) = self.archive.get(&path) else { return Ok(None) };
        self.reader.read(&path, &member.data, TEXT_LIMIT_BYTES).map(Some)
    }

    /// A file that every wheel has.
    ///
    /// # Errors
    /// As for [`DistInfo::optional`], and when it is missing.
    pub fn required(&mut self, name: &str) -> Result<Vec<u8>, WheelError> {
        let missing = WheelError::metadata(self.wheel, format!("`{}/{name}` is missing", self.directory));
        self.optional(name)?.ok_or(missing)
    }
}

/// The top-level dist-info directory that belongs to the file name. Names are compared after normalisation.
fn find(file_name: &str, wheel_name: &WheelName, archive: &Archive) -> Result<String, WheelError> {
    let mut found: Vec<&str> = archive
        .members()
        .iter()
        .filter_map(|member| member.name.split_once('/').map(|(top, _)| top))
        .filter(|top| {
            let project = top.strip_suffix(".dist-info").and_then(|stem| stem.rsplit_once('-'));
            project.is_some_and(|(name, _)| normalized_name(name) == wheel_name.name())
        })
        .collect();
    // Members are sorted, so equal directories are adjacent.
    found.dedup();
    match found[..] {
        [one] => Ok(one.to_string()),
        [] => Err(WheelError::metadata(file_name, "it has no dist-info directory of its own name")),
        _ => Err(WheelError::metadata(
            file_name,
            format!("it has several dist-info directories: {}", found.join(", ")),
        )),
    }
}

/// Check that METADATA belongs to the wheel of this name.
///
/// # Errors
/// When name or version differ.
pub fn check_identity(
    file_name: &str,
    wheel_name: &WheelName,
    metadata: &Metadata,
) -> Result<(), WheelError> {
    if metadata.normalized_name() != wheel_name.name() || metadata.version != *wheel_name.version() {
        let reason = format!("METADATA is for `{}` {}", metadata.name, metadata.version);
        return Err(WheelError::metadata(file_name, reason));
    }
    Ok(())
}

/// Read WHEEL: whether the root of the archive goes to purelib.
///
/// # Errors
/// When it is of an unknown version.
pub fn is_purelib(file_name: &str, bytes: &[u8]) -> Result<bool, WheelError> {
    let headers = Headers::parse(bytes);
    let version = headers.first("Wheel-Version").unwrap_or("1.0");
    if version.split('.').next() != Some("1") {
        return Err(WheelError::metadata(file_name, format!("it has the unknown wheel format {version}")));
    }
    // Compared exactly, as pex does: `True` counts as false.
    Ok(headers.first("Root-Is-Purelib") == Some("true"))
}
