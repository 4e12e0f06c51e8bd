use super::super::tar::{Entries, FoundKind};
use super::*;
use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::DeflateEncoder;
use std::io::Read;

const ROOT: Owner = Owner { uid: 0, gid: 0 };

fn deflated(content: &[u8]) -> (Vec<u8>, u32) {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    let mut crc = Crc::new();
    crc.update(content);
    (encoder.finish().unwrap(), crc.sum())
}

/// A layer with one entry of each kind; compressed content comes in portions of this size.
fn layer(packing: Packing, portion: usize) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let mut writer = LayerWriter::new(&mut out, packing);
    writer.directory("opt/venv", ROOT).unwrap();
    let large: Vec<u8> = (0..1_500_000_u32).flat_map(|number| number.to_le_bytes()).take(1_200_000).collect();
    for (path, content) in
        [("opt/venv/a", &b"small"[..]), ("opt/venv/b", &large), ("opt/venv/c", &[b'c'; 512])]
    {
        let (raw, crc) = deflated(content);
        let copy = |to: &mut Content<'_, _>| {
            raw.chunks(portion).try_for_each(|piece| to.deflated(piece))?;
            content.chunks(portion).try_for_each(|piece| to.content(piece))
        };
        writer.deflated_file::<LayerError>(path, false, ROOT, (content.len() as u64, crc), copy).unwrap();
    }
    let copy = |to: &mut Content<'_, _>| large.chunks(portion).try_for_each(|piece| to.content(piece));
    writer.file::<LayerError>("opt/venv/d", true, ROOT, large.len() as u64, copy).unwrap();
    writer.link("opt/venv/e", "a", ROOT).unwrap();
    let written = writer.finish().unwrap();
    (out, written)
}

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    MultiGzDecoder::new(gzip).read_to_end(&mut archive).unwrap();
    archive
}

#[test]
fn digests_and_size_are_those_of_the_bytes() {
    for packing in [Packing::Members, Packing::Single] {
        let (bytes, written) = layer(packing, 1000);
        assert_eq!(written.digest, Digest::of(&bytes));
        assert_eq!(written.size_bytes, bytes.len() as u64);
        assert_eq!(written.diff_id, Digest::of(unpacked(&bytes)));
    }
}

#[test]
fn both_packings_have_one_archive_and_the_bytes_do_not_depend_on_portions() {
    let (members, written) = layer(Packing::Members, 1000);
    assert_eq!(layer(Packing::Members, 77).0, members);
    let (single, other) = layer(Packing::Single, 1000);
    assert_eq!(layer(Packing::Single, 77).0, single);
    assert_eq!(written.diff_id, other.diff_id);
    let mut first = Vec::new();
    GzDecoder::new(single.as_slice()).read_to_end(&mut first).unwrap();
    assert_eq!(Digest::of(first), other.diff_id, "a reader of one member gets everything");
}

#[test]
fn the_archive_has_every_entry_with_its_content() {
    let archive = unpacked(&layer(Packing::Members, 1000).0);
    assert_eq!(archive.len() % BLOCK_BYTES, 0);
    let mut entries = Entries::new(archive.as_slice());
    let mut found = Vec::new();
    while let Some(entry) = entries.next().unwrap() {
        let mut content = vec![0; entry.size_bytes as usize];
        let mut at = 0;
        while at < content.len() {
            at += entries.content(&mut content[at..]).unwrap();
        }
        found.push((entry.path, entry.kind, entry.mode, content.len(), content.first().copied()));
    }
    let file = |path: &str, mode, size, first| (path.to_string(), FoundKind::File, mode, size, Some(first));
    let expected = [
        ("opt/venv".to_string(), FoundKind::Directory, 0o755, 0, None),
        file("opt/venv/a", 0o644, 5, b's'),
        file("opt/venv/b", 0o644, 1_200_000, 0),
        file("opt/venv/c", 0o644, 512, b'c'),
        file("opt/venv/d", 0o755, 1_200_000, 0),
        ("opt/venv/e".to_string(), FoundKind::Link("a".into()), 0o777, 0, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn compressed_files_are_copied_as_they_are() {
    let (bytes, _) = layer(Packing::Members, 1000);
    let (raw, _) = deflated(&[b'c'; 512]);
    assert!(bytes.windows(raw.len()).any(|window| window == raw));
}

#[test]
fn a_file_that_changes_its_size_and_a_path_out_of_order_are_errors() {
    let mut writer = LayerWriter::new(Vec::new(), Packing::Members);
    let short = writer.file::<LayerError>("b", false, ROOT, 2, |to| to.content(b"1"));
    assert!(matches!(short.unwrap_err(), LayerError::Size { want: 2, got: 1, .. }));
    for path in ["a", "b"] {
        assert!(matches!(writer.directory(path, ROOT), Err(LayerError::Order { .. })));
    }
}
