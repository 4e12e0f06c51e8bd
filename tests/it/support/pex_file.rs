//! A PEX file as a ZIP archive of named members.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// One member of a PEX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Permission bits.
    pub mode: u32,
    /// Uncompressed content.
    pub content: Vec<u8>,
}

/// The files in a PEX by name; directory entries left out.
pub fn members(path: &Path) -> BTreeMap<String, Member> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive =
        zip::ZipArchive::new(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut members = BTreeMap::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        if member.is_dir() {
            continue;
        }
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        let mode = member.unix_mode().unwrap_or(0) & 0o777;
        let name = member.name().to_string();
        assert!(members.insert(name.clone(), Member { mode, content }).is_none(), "{name} occurs twice");
    }
    members
}

/// PEX-INFO of a PEX.
pub fn info(path: &Path) -> serde_json::Value {
    let members = members(path);
    let text =
        &members.get("PEX-INFO").unwrap_or_else(|| panic!("{} has no PEX-INFO", path.display())).content;
    serde_json::from_slice(text).unwrap()
}
