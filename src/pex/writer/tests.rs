use super::*;
use std::io::Cursor;

fn entry<'a>(path: &'a str, content: &'a [u8]) -> NewMember<'a> {
    NewMember {
        path: Cow::Borrowed(path),
        executable: false,
        payload: Payload::Bytes(Cow::Borrowed(content)),
    }
}

fn zipped(entries: &[NewMember<'_>], with_directories: bool) -> (Vec<u8>, Written) {
    let mut out = Cursor::new(Vec::new());
    let mut zip = ZipWriter::new(&mut out, "#!x\n").unwrap();
    zip.with_directories = with_directories;
    for entry in entries {
        zip.entry(entry).unwrap();
    }
    let written = zip.finish().unwrap();
    (out.into_inner(), written)
}

/// Bytes that DEFLATE cannot shorten.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

#[test]
fn the_bytes_of_an_archive_are_fixed() {
    let (bytes, written) = zipped(&[entry("d/a", b"")], true);
    let mut expected = b"#!x\n".to_vec();
    expected.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0d/");
    expected.extend(b"PK\x03\x04\x14\0\0\0\x08\0\0\0\x21\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0d/a\x03\0");
    expected.extend(b"PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0");
    expected.extend(b"\0\0\0\0\x10\0\xed\x01\x04\0\0\0d/");
    expected.extend(b"PK\x01\x02\x14\x03\x14\0\0\0\x08\0\0\0\x21\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0");
    expected.extend(b"\0\0\0\0\0\0\xa4\x01\x24\0\0\0d/a");
    expected.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0\x61\0\0\0\x47\0\0\0\0\0");
    assert_eq!(bytes, expected);
    assert_eq!(written, Written { size_bytes: bytes.len() as u64, entries: 2, zip64: false });
}

#[test]
fn contents_larger_than_any_buffer_come_back_whole() {
    let contents =
        [noise(3_000_000), vec![b'x'; 5_000_000], noise(BUFFER_BYTES), noise(BUFFER_BYTES + 1), vec![]];
    let names = ["a", "b", "c", "d", "e"];
    let entries: Vec<_> = names.iter().zip(&contents).map(|(name, content)| entry(name, content)).collect();
    let mut archive = zip::ZipArchive::new(Cursor::new(zipped(&entries, true).0)).unwrap();
    for (name, content) in names.iter().zip(&contents) {
        let mut read = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == *content, "{name}");
    }
}

#[test]
fn a_name_outside_ascii_is_marked_as_utf8() {
    let (bytes, _) = zipped(&[entry("a", b""), entry("é", b"")], true);
    let flags: Vec<u16> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"PK\x03\x04"))
        .map(|at| u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]))
        .collect();
    assert_eq!(flags, [0, 0x800]);
}

#[test]
fn members_out_of_order_or_twice_are_refused() {
    for paths in [["b", "a"], ["a", "a"]] {
        let mut out = Cursor::new(Vec::new());
        let mut zip = ZipWriter::new(&mut out, "").unwrap();
        zip.entry(&entry(paths[0], b"")).unwrap();
        assert!(matches!(zip.entry(&entry(paths[1], b"")), Err(PexError::Order { .. })));
    }
}

#[test]
fn each_directory_is_new_once() {
    let paths = ["a-b", "a/b/c", "a/b/d", "a/b-c/x", "a/c", "b"];
    let mut previous = "";
    let mut listing = Vec::new();
    for path in paths {
        listing.extend(new_directories(previous, path));
        previous = path;
    }
    assert_eq!(listing, ["a/", "a/b/", "a/b-c/"]);
    assert_eq!(count(paths.iter().map(|path| entry(path, b""))), (6, 3));
}

#[test]
fn more_entries_than_a_plain_end_record_counts_need_zip64() {
    let names: Vec<String> = (0..65_535).map(|number| format!("{number:05}")).collect();
    let entries: Vec<_> = names.iter().map(|name| entry(name, b"")).collect();
    let (bytes, written) = zipped(&entries, true);
    assert!(written.zip64);
    assert_eq!(zip::ZipArchive::new(Cursor::new(bytes)).unwrap().len(), 65_535);
    let (bytes, written) = zipped(&entries[1..], true);
    assert!(!written.zip64);
    assert_eq!(zip::ZipArchive::new(Cursor::new(bytes)).unwrap().len(), 65_534);
}

#[test]
fn directories_are_left_out_when_that_avoids_zip64() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = crate::pex::runtime::tests::test_runtime(dir.path());
    let target = Target::serverless("3.11".parse().unwrap());
    let info = PexInfo::new(crate::pex::info::Parts::default(), &target);
    for (files, zip64, directories) in [(100, false, true), (65_000, false, false), (65_535, true, true)] {
        let names: Vec<String> = (0..files).map(|number| format!("{}/{number:05}", number / 10)).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        let mut out = Cursor::new(Vec::new());
        let written =
            write_pex(&mut out, &runtime, &target, &info, || names.iter().map(|name| entry(name, b"")))
                .unwrap();
        assert_eq!(written.zip64, zip64, "{files}");
        assert_eq!(written.entries > files as u64 + 10, directories, "{files}");
    }
}
