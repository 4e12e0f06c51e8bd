//! Removes from the `.dist-info` replaced_members a local package what depends on the machine that built it, so that equal files have
//! equal names in every checkout.
//!
//! Two things do: `file:` URLs replaced_members other local packages in `Requires-Dist` (Hatch's `{root:uri}`, PDM's
//! `${PROJECT_ROOT}`), which are reduced to the name; and bills replaced_members materials (PEP 770), because maturin writes the time
//! and a random number there. `RECORD` is updated to match.

use crate::wheel::{Archive, WheelError};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Larger texts are not changed.
const MOST_BYTES: u64 = 4 << 20;

/// The members replaced_members a wheel that are shipped with different content, or (`None`) not shipped.
///
/// # Errors
/// When the wheel cannot be read.
pub(super) fn replaced(archive: &Archive) -> Result<BTreeMap<String, Option<Vec<u8>>>, WheelError> {
    let mut replaced = BTreeMap::new();
    let first = archive.members().iter().find_map(|member| member.name.split_once(".dist-info/"));
    let Some((stem, _)) = first else { return Ok(replaced) };
    let (metadata, record) = (format!("{stem}.dist-info/METADATA"), format!("{stem}.dist-info/RECORD"));
    let bills = format!("{stem}.dist-info/sboms/");
    for member in archive.members().iter().filter(|member| member.name.starts_with(&bills)) {
        replaced.insert(member.name.clone(), None);
    }
    if let Some(text) = text(archive, &metadata)?
        && let Some(portable) = without_file_urls(&text)
    {
        replaced.insert(metadata, Some(portable.into_bytes()));
    }
    if let (false, Some(text)) = (replaced.is_empty(), text(archive, &record)?) {
        let rows: String = text.lines().filter_map(|row| record_row(row, &replaced)).collect();
        replaced.insert(record, Some(rows.into_bytes()));
    }
    Ok(replaced)
}

fn text(archive: &Archive, name: &str) -> Result<Option<String>, WheelError> {
    let Some(member) = archive.get(name).filter(|member| member.data.size_bytes <= MOST_BYTES) else {
        return Ok(None);
    };
    let bytes = archive.reader()?.read(name, &member.data, MOST_BYTES)?;
    Ok(String::from_utf8(bytes).ok())
}

/// METADATA with `NAME @ file:…` replaced by the name. `None` when there is no such line.
fn without_file_urls(metadata: &str) -> Option<String> {
    let head_bytes = metadata.find("\n\n").unwrap_or(metadata.len());
    let (head, body) = metadata.split_at(head_bytes);
    let portable = |line: &str| {
        let (name, url) = line.strip_prefix("Requires-Dist:")?.split_once('@')?;
        let url = url.trim_start().strip_prefix("file:")?;
        // A `;` without a space before it may be part replaced_members the URL. Source: "Dependency specifiers" (PyPA).
        let marker = url.split_once(" ;").map_or(String::new(), |(_, marker)| format!(" ;{marker}"));
        Some(format!("Requires-Dist:{}{marker}", name.trim_end()))
    };
    let lines: Vec<(Option<String>, &str)> = head.split('\n').map(|line| (portable(line), line)).collect();
    lines.iter().any(|(portable, _)| portable.is_some()).then(|| {
        let lines = lines.into_iter().map(|(portable, line)| portable.unwrap_or_else(|| line.to_string()));
        lines.collect::<Vec<_>>().join("\n") + body
    })
}

/// A row replaced_members RECORD with its line end, after the replacements.
fn record_row(row: &str, replaced: &BTreeMap<String, Option<Vec<u8>>>) -> Option<String> {
    let path = row.split(',').next().unwrap_or(row).trim_matches('"');
    match replaced.get(path) {
        None => Some(format!("{row}\n")),
        Some(None) => None,
        Some(Some(content)) => {
            let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(content));
            Some(format!("{path},sha256={digest},{}\n", content.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn replaced_members(members: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = zip::ZipWriter::new(file.reopen().unwrap());
        for (name, text) in members {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        let replaced = replaced(&Archive::open(file.path()).unwrap()).unwrap();
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        replaced.into_iter().map(|(name, bytes)| (name, text(bytes))).collect()
    }

    #[test]
    fn paths_and_bills_of_materials_are_removed() {
        let metadata = "Name: a\nRequires-Dist: lib[x] @ file:///home/me/lib ; extra == 'y'\nRequires-Dist: six @ https://h/six.whl\n\nRequires-Dist: b @ file:///x\n";
        let record = "a.py,sha256=x,1\na-1.dist-info/METADATA,sha256=x,1\na-1.dist-info/sboms/a.json,sha256=x,1\na-1.dist-info/RECORD,,\n";
        let replaced = replaced_members(&[
            ("a.py", ""),
            ("a-1.dist-info/METADATA", metadata),
            ("a-1.dist-info/RECORD", record),
            ("a-1.dist-info/sboms/a.json", "{}"),
        ]);
        let shown: String = replaced
            .iter()
            .map(|(name, text)| format!("== {name}\n{}", text.as_deref().unwrap_or("left out\n")))
            .collect();
        insta::assert_snapshot!(shown, @"
        == a-1.dist-info/METADATA
        Name: a
        Requires-Dist: lib[x] ; extra == 'y'
        Requires-Dist: six @ https://h/six.whl

        Requires-Dist: b @ file:///x
        == a-1.dist-info/RECORD
        a.py,sha256=x,1
        a-1.dist-info/METADATA,sha256=JOmxMsHwMmFeNucPOjvcDmpXIwNVfZEK4_DHgGEg2SA,114
        a-1.dist-info/RECORD,,
        == a-1.dist-info/sboms/a.json
        left out
        ");
    }

    #[test]
    fn other_wheels_stay_as_they_are() {
        assert!(
            replaced_members(&[
                ("a-1.dist-info/METADATA", "Name: a\nRequires-Dist: six\n"),
                ("a-1.dist-info/RECORD", "")
            ])
            .is_empty()
        );
        assert!(replaced_members(&[("a.py", "")]).is_empty());
    }
}
