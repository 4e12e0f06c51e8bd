//! The headers of tar archives, as layers have them: written one way, read in every way that other tools write them.
//!
//! Sources: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".

mod read;

pub use read::{Entries, Found, FoundKind, TarError};

/// Everything in an archive fills blocks of this size.
pub const BLOCK_BYTES: usize = 512;
/// Longer paths and targets need a pax header. Source: the field `name` of ustar, which has 100 bytes.
const NAME_BYTES: usize = 100;
/// The largest number in a field of eight bytes, and in one of twelve: octal digits and an end.
const LARGEST_ID: u64 = 0o7_777_777;
const LARGEST_SIZE: u64 = 0o77_777_777_777;

/// Who owns a file of a layer, by number. Layers never have names of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A file with this many bytes.
    File {
        /// Bytes of its content.
        size_bytes: u64,
        /// Mode 0755 instead of 0644.
        executable: bool,
    },
    /// A directory, with mode 0755.
    Directory,
    /// A symbolic link, with mode 0777.
    Link {
        /// What it leads to.
        target: &'a str,
    },
}

/// Add the header of an entry to `out`. `path` is relative and has no `/` at its end.
///
/// The time is zero and the names of users are empty, so equal files have equal headers. A pax header precedes it only
/// where a value does not fit: a path over 100 bytes or not in ASCII, a large number.
pub fn write_header(out: &mut Vec<u8>, path: &str, kind: Kind<'_>, owner: Owner) {
    let (mode, size_bytes, type_flag, target) = match kind {
        Kind::File { size_bytes, executable } => {
            (if executable { 0o755 } else { 0o644 }, size_bytes, b'0', "")
        }
        Kind::Directory => (0o755, 0, b'5', ""),
        Kind::Link { target } => (0o777, 0, b'2', target),
    };
    let path = if type_flag == b'5' { format!("{path}/") } else { path.to_string() };
    let mut records = Vec::new();
    for (key, value) in [("linkpath", target), ("path", path.as_str())] {
        if value.len() > NAME_BYTES || !value.is_ascii() {
            record(&mut records, key, value);
        }
    }
    for (key, value, largest) in [
        ("gid", u64::from(owner.gid), LARGEST_ID),
        ("size", size_bytes, LARGEST_SIZE),
        ("uid", u64::from(owner.uid), LARGEST_ID),
    ] {
        if value > largest {
            record(&mut records, key, &value.to_string());
        }
    }
    if !records.is_empty() {
        let size = records.len() as u64;
        // Readers take the path from the records, so this name only has to be the same every time.
        out.extend(block("././@PaxHeader", 0o644, size, b'x', "", Owner::default()));
        out.extend(&records);
        out.extend(padding(size));
    }
    out.extend(block(&path, mode, size_bytes, type_flag, target, owner));
}

/// The zeros that fill the last block of a content.
pub fn padding(size_bytes: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    let used = (size_bytes % BLOCK_BYTES as u64) as usize;
    &ZEROS[..(BLOCK_BYTES - used) % BLOCK_BYTES]
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    out.extend(format!("{length} {key}={value}\n").bytes());
}

fn block(
    path: &str,
    mode: u32,
    size_bytes: u64,
    type_flag: u8,
    target: &str,
    owner: Owner,
) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let fits = |value: u64, largest: u64| if value > largest { 0 } else { value };
    // A pax header has the whole of what is cut here. It is cut at a byte, and what is not ASCII is replaced.
    let cut = |text: &str| -> Vec<u8> {
        text.bytes().map(|byte| if byte.is_ascii() { byte } else { b'?' }).take(NAME_BYTES).collect()
    };
    put(0, &cut(path));
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, format!("{:07o}\0", fits(owner.uid.into(), LARGEST_ID)).as_bytes());
    put(116, format!("{:07o}\0", fits(owner.gid.into(), LARGEST_ID)).as_bytes());
    put(124, format!("{:011o}\0", fits(size_bytes, LARGEST_SIZE)).as_bytes());
    put(136, b"00000000000\0");
    // While the sum is computed its own field counts as spaces.
    put(148, b"        ");
    put(156, &[type_flag]);
    put(157, &cut(target));
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of entry in one archive, with contents.
    fn archive(entries: &[(&str, Kind<'_>, Owner)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, kind, owner) in entries {
            write_header(&mut out, path, *kind, *owner);
            if let Kind::File { size_bytes, .. } = kind {
                out.extend(vec![b'x'; *size_bytes as usize]);
                out.extend(padding(*size_bytes));
            }
        }
        out.extend([0; 2 * BLOCK_BYTES]);
        out
    }

    #[test]
    fn what_was_written_is_read() {
        let long = "d/".repeat(60) + "é";
        let owner = Owner { uid: 1_000_650_000, gid: 3 };
        let file = |size_bytes, executable| Kind::File { size_bytes, executable };
        let entries = [
            ("a", Kind::Directory, Owner::default()),
            ("a/empty", file(0, false), Owner { uid: 7, gid: 8 }),
            ("a/full", file(512, true), owner),
            (long.as_str(), file(513, false), owner),
            ("link", Kind::Link { target: &long }, Owner::default()),
        ];
        let bytes = archive(&entries);
        let mut read = Entries::new(bytes.as_slice());
        for (path, kind, owner) in entries {
            let found = read.next().unwrap().unwrap();
            assert_eq!((found.path.as_str(), found.owner), (path, owner));
            let (kind, mode) = match kind {
                Kind::File { executable, .. } => (FoundKind::File, if executable { 0o755 } else { 0o644 }),
                Kind::Directory => (FoundKind::Directory, 0o755),
                Kind::Link { target } => (FoundKind::Link(target.to_string()), 0o777),
            };
            assert_eq!((found.kind, found.mode), (kind, mode), "{path}");
        }
        assert!(read.next().unwrap().is_none());
    }

    #[test]
    fn a_pax_header_precedes_only_what_needs_it() {
        let length = |path: &str, owner| {
            let mut out = Vec::new();
            write_header(&mut out, path, Kind::Directory, owner);
            out.len()
        };
        assert_eq!(length(&"a".repeat(99), Owner::default()), BLOCK_BYTES);
        assert_eq!(length(&"a".repeat(100), Owner::default()), 3 * BLOCK_BYTES);
        assert_eq!(length("é", Owner::default()), 3 * BLOCK_BYTES);
        assert_eq!(length("a", Owner { uid: 0o7_777_777, gid: 0 }), BLOCK_BYTES);
        assert_eq!(length("a", Owner { uid: 0, gid: 0o10_000_000 }), 3 * BLOCK_BYTES);
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for size in [1, 87, 88, 89, 90, 900, 985, 986, 987, 988] {
            let mut out = Vec::new();
            record(&mut out, "path", &"a".repeat(size));
            let text = String::from_utf8(out).unwrap();
            let (length, _) = text.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), text.len());
        }
    }
}
