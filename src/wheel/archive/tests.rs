use super::*;
use crate::wheel::fixture::{TestMember, executable, file, write_zip, zip_bytes};

fn open(members: &[TestMember]) -> (tempfile::TempDir, Result<Archive, WheelError>) {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(&write_zip(dir.path(), "a-1-py3-none-any.whl", members));
    (dir, archive)
}

fn refusal(members: &[TestMember]) -> String {
    open(members).1.expect_err("was not refused").to_string()
}

fn content(archive: &Archive, name: &str) -> Result<Vec<u8>, WheelError> {
    archive.reader()?.read(name, &archive.get(name).unwrap().data, 1 << 20)
}

#[test]
fn members_are_sorted_and_read_whatever_the_local_headers_say() {
    let stored = TestMember { method: 0, ..executable("a/z", "zz") };
    let directory = TestMember { name: b"a/".to_vec(), method: 0, mode: 0o40755, ..file("", "") };
    let large = "0123456789abcdef".repeat(40_000);
    let (_dir, archive) = open(&[file("b", &large), directory, stored, file("ä", "")]);
    let archive = archive.unwrap();
    let listing: Vec<_> =
        archive.members().iter().map(|m| (m.name.as_str(), m.executable, m.data.method)).collect();
    assert_eq!(
        listing,
        [("a/z", true, Method::Stored), ("b", false, Method::Deflated), ("ä", false, Method::Deflated)]
    );
    assert_eq!(content(&archive, "a/z").unwrap(), b"zz");
    assert_eq!(content(&archive, "b").unwrap(), large.as_bytes());
    assert_eq!(content(&archive, "ä").unwrap(), b"");
    assert!(archive.get("a/").is_none());
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    for (name, reason) in [
        ("../x", "leaves the directory"),
        ("a/../../x", "leaves the directory"),
        ("a/..", "leaves the directory"),
        ("/etc/x", "absolute path"),
        ("C:/x", "absolute path"),
        ("a\\..\\x", "backslash"),
        ("a//b", "empty or `.` component"),
        ("./a", "empty or `.` component"),
        ("a\0b", "null character"),
        ("a\nb", "control character"),
    ] {
        let message = refusal(&[file("ok", ""), file(name, "")]);
        assert!(message.contains(reason), "{name:?}: {message}");
        assert!(message.contains("a-1-py3-none-any.whl"), "{message}");
    }
}

#[test]
fn members_that_are_no_plain_files_are_refused() {
    for (member, reason) in [
        (TestMember { mode: 0o120_777, ..file("link", "/etc/passwd") }, "symbolic link"),
        (TestMember { mode: 0o010_644, ..file("pipe", "") }, "neither a file nor a directory"),
        (TestMember { flags: 1, ..file("secret", "") }, "is encrypted"),
        (TestMember { method: 12, ..file("bz", "") }, "method 12"),
        (TestMember { method: 0, size: Some(9), ..file("s", "abc") }, "two different sizes"),
        (TestMember { name: vec![b'a', 0xff], ..file("", "") }, "not UTF-8"),
    ] {
        let message = refusal(&[member]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn two_contents_under_one_name_are_refused_and_repetitions_merged() {
    assert!(refusal(&[file("a", "1"), file("a", "2")]).contains("twice"));
    let (_dir, archive) = open(&[file("a", "1"), file("a", "1")]);
    assert_eq!(archive.unwrap().members().len(), 1);
}

#[test]
fn modules_and_metadata_whose_names_differ_only_in_case_are_refused() {
    let refused = [
        ("pkg/Config.py", "pkg/config.py"),
        ("a.so", "A.SO"),
        ("É.py", "é.py"),
        ("a-1.dist-info/RECORD", "A-1.dist-info/RECORD"),
    ]
    .map(|(first, second)| refusal(&[file(first, "1"), file(second, "2")]));
    insta::assert_snapshot!(refused.join("\n"), @r#"
    the wheel `a-1-py3-none-any.whl` cannot be used: its member `pkg/config.py` differs only in case from `pkg/Config.py`
    the wheel `a-1-py3-none-any.whl` cannot be used: its member `a.so` differs only in case from `A.SO`
    the wheel `a-1-py3-none-any.whl` cannot be used: its member `é.py` differs only in case from `É.py`
    the wheel `a-1-py3-none-any.whl` cannot be used: its member `a-1.dist-info/RECORD` differs only in case from `A-1.dist-info/RECORD`
    "#);
    let (_dir, archive) = open(&[file("linux/xt_MARK.h", "1"), file("linux/xt_mark.h", "2")]);
    assert_eq!(archive.unwrap().members().len(), 2);
}

#[test]
fn an_archive_that_unpacks_to_many_times_its_size_is_refused_before_it_is_unpacked() {
    let bomb = TestMember { size: Some(u32::MAX), ..file("zeros", &"0".repeat(100_000)) };
    let message = refusal(&[bomb]);
    insta::assert_snapshot!(message, @"the wheel `a-1-py3-none-any.whl` cannot be used: 154 bytes would unpack to 4294967295");
    let (_dir, archive) = open(&[file("zeros", &"0".repeat(10_000_000))]);
    assert!(archive.is_ok(), "a small one of any ratio does no harm");
}

#[test]
fn bytes_that_two_local_headers_lead_to_are_read_for_one_member_only() {
    // The first member's extra field reaches over the second's header into its content.
    let mut bytes = zip_bytes(&[file("a", "first"), TestMember { method: 0, ..file("b", "second") }]);
    bytes[28..30].copy_from_slice(&40_u16.to_le_bytes());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a-1-py3-none-any.whl");
    std::fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert!(content(&archive, "a").is_err());
    assert_eq!(content(&archive, "b").unwrap(), b"second");
}

#[test]
fn a_file_that_is_also_a_directory_is_refused() {
    let message = refusal(&[file("a", ""), file("a-b", ""), file("a/c", "")]);
    insta::assert_snapshot!(message, @"the wheel `a-1-py3-none-any.whl` cannot be used: its member `a` is both a file and a directory");
}

#[test]
fn members_that_share_bytes_are_refused() {
    let twin = TestMember { header_offset: Some(0), ..file("b", "same") };
    insta::assert_snapshot!(refusal(&[file("a", "same"), twin]), @"the wheel `a-1-py3-none-any.whl` cannot be used: its member `a` shares bytes with another part of the archive");
    let beyond = TestMember { header_offset: Some(100_000), ..file("b", "x") };
    insta::assert_snapshot!(refusal(&[beyond]), @"the wheel `a-1-py3-none-any.whl` cannot be used: its member `b` shares bytes with another part of the archive");
}

#[test]
fn broken_archives_are_refused_with_the_reason() {
    let whole = zip_bytes(&[file("a", "1")]);
    let dir = tempfile::tempdir().unwrap();
    let mut prefixed = b"#!/bin/sh\n".to_vec();
    prefixed.extend(&whole);
    let mut miscounted = whole.clone();
    let end = whole.len() - 22;
    miscounted[end + 8] = 2;
    miscounted[end + 10] = 2;
    for (bytes, reason) in [
        (&b"not a zip"[..], "end record is missing"),
        (b"", "end record is missing"),
        (&whole[..whole.len() - 1], "end record is missing"),
        (&prefixed, "not where its end record says"),
        (&miscounted, "cut short"),
    ] {
        let path = dir.path().join("a-1-py3-none-any.whl");
        std::fs::write(&path, bytes).unwrap();
        let message = Archive::open(&path).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn content_that_is_not_as_promised_is_refused() {
    for (member, reason) in [
        (TestMember { crc32: Some(1), ..file("a", "text") }, "CRC-32 differs"),
        (TestMember { size: Some(2), ..file("a", "text") }, "does not have the size"),
        (TestMember { size: Some(9), ..file("a", "text") }, "does not have the size"),
    ] {
        let (_dir, archive) = open(&[member]);
        let message = content(&archive.unwrap(), "a").unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
    let (dir, archive) = open(&[file("a", &"text".repeat(100))]);
    let archive = archive.unwrap();
    let mut bytes = std::fs::read(archive.path()).unwrap();
    bytes[36] ^= 0xff;
    std::fs::write(dir.path().join("a-1-py3-none-any.whl"), bytes).unwrap();
    assert!(content(&archive, "a").is_err());
}

#[test]
fn a_member_above_the_limit_is_not_read() {
    let (_dir, archive) = open(&[file("a", "12345")]);
    let archive = archive.unwrap();
    let message =
        archive.reader().unwrap().read("a", &archive.get("a").unwrap().data, 4).unwrap_err().to_string();
    insta::assert_snapshot!(message, @"the wheel `a-1-py3-none-any.whl` cannot be used: its member `a` has 5 bytes, and at most 4 are read");
}

#[test]
fn a_zip64_directory_is_found_through_its_locator() {
    let plain = zip_bytes(&[file("a", "1")]);
    let end = plain.len() - 22;
    let (size, offset) = (&plain[end + 12..end + 16], &plain[end + 16..end + 20]);
    let mut bytes = plain[..end].to_vec();
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    for field in [size, offset] {
        bytes.extend(field);
        bytes.extend([0; 4]);
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend((end as u64).to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.whl");
    std::fs::write(&path, bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert_eq!(content(&archive, "a").unwrap(), b"1");
}

proptest::proptest! {
    /// Whatever bytes are changed, an archive is refused or gives members of the promised sizes; it never panics.
    #[test]
    fn a_corrupted_archive_is_refused_or_read(changes in proptest::collection::vec((0_usize..400, 0_u8..), 1..6)) {
        let mut bytes = zip_bytes(&[file("a/b.py", &"text".repeat(50)), executable("run", "x"), file("ä", "")]);
        for (at, value) in changes {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a-1-py3-none-any.whl");
        std::fs::write(&path, bytes).unwrap();
        for Member { name, data, .. } in Archive::open(&path).map(|archive| archive.into_parts().1).unwrap_or_default() {
            proptest::prop_assert!(path_fault(&name).is_none());
            if let Ok(content) = Reader::open(&path).unwrap().read(&name, &data, 1 << 20) {
                proptest::prop_assert_eq!(content.len() as u64, data.size_bytes);
            }
        }
    }
}
