//! The files of the PEX runtime as one archive, from the pinned wheel or from this program.
//!
//! They are compressed here, so that the bytes of a PEX do not depend on where the files come from.

use super::runtime::{WHEEL_SHA256, bootstrap_files};
use super::writer::write_files;
use super::{PexError, embedded};
use crate::hex::hex;
use crate::wheel::{Archive, WheelError};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

const FILE_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// The archive from the pinned pex wheel.
///
/// # Errors
/// When the wheel cannot be read, or is not the pinned file.
pub fn archive_of_wheel(path: &Path) -> Result<Vec<u8>, PexError> {
    let found = sha256_of(path).map_err(|source| PexError::Read { path: path.to_path_buf(), source })?;
    if found != WHEEL_SHA256 {
        return Err(PexError::RuntimeDigest { path: path.to_path_buf(), found });
    }
    let archive = Archive::open(path)?;
    let mut reader = archive.reader()?;
    let (_, members) = archive.into_parts();
    let files = bootstrap_files(members).into_iter().map(|file| {
        let content = match &file.member {
            Some(member) => reader.read(&file.path, &member.data, FILE_LIMIT_BYTES)?,
            None => Vec::new(),
        };
        Ok((file.path, content))
    });
    archive_of(files.collect::<Result<_, WheelError>>()?)
}

/// Whether this program brings the files along.
pub fn is_embedded() -> bool {
    embedded::is_there()
}

/// The same from the files that this program brings along, if it was built with them (`scripts/build-dist`).
///
/// # Errors
/// When they cannot be unpacked.
pub fn archive_of_embedded() -> Option<Result<Vec<u8>, PexError>> {
    Some(embedded::files()?.map_err(PexError::Embedded).and_then(archive_of))
}

fn archive_of(mut files: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, PexError> {
    files.sort();
    let mut archive = Cursor::new(Vec::new());
    write_files(&mut archive, files.into_iter())?;
    Ok(archive.into_inner())
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::runtime::{BOOT_MEMBER, Runtime, WHEEL_FILE_NAME};
    use super::*;
    use crate::wheel::fixture::{file, write_zip};

    #[test]
    fn an_archive_of_files_is_a_runtime() {
        let files = [(BOOT_MEMBER, "def boot(): pass\n"), ("pex/venv/x.py", "x = 1\n"), ("other/a.py", "")];
        let files: Vec<_> = files.map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())).into();
        let reversed = files.iter().rev().cloned().collect();
        let archive = archive_of(files).unwrap();
        assert_eq!(archive, archive_of(reversed).unwrap(), "in any order");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime.zip");
        std::fs::write(&path, archive).unwrap();
        let runtime = Runtime::open(&path).unwrap();
        let paths: Vec<_> = runtime.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            (paths, runtime.package_text("h").lines().next()),
            (vec![BOOT_MEMBER, "pex/venv/x.py"], Some("def boot(): pass"))
        );
    }

    #[test]
    fn another_wheel_is_refused_with_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_zip(dir.path(), WHEEL_FILE_NAME, &[file(BOOT_MEMBER, "")]);
        let message = archive_of_wheel(&path).unwrap_err().to_string();
        assert!(message.contains(&sha256_of(&path).unwrap()), "{message}");
    }
}
