//! Reads an archive of anybody's, with memory that does not depend on what it says about itself.

use super::{BLOCK_BYTES, Owner};
use std::io::{self, Read};

/// The longest header of a header: pax records, a long path. Paths on Linux have 4096 bytes.
const LONGEST_EXTENSION_BYTES: u64 = 1 << 20;
/// Larger contents are refused: an endless one would be read for ever.
const LARGEST_BYTES: u64 = 1 << 40;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// What it is read from failed, or ends early.
    #[error("could not read the archive")]
    Read(#[from] io::Error),
    /// A header has something that it must not have.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative, without `./` at its start and `/` at its end; it may have `..` in it.
    pub path: String,
    /// What it is.
    pub kind: FoundKind,
    /// Permissions.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// When it was changed, in seconds since 1970; fractions in extended headers are left out.
    pub time: u64,
    /// Bytes of its content.
    pub size_bytes: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this.
    Link(String),
    /// The same file as the one at this path of the archive.
    HardLink(String),
    /// A device, a pipe.
    Other,
}

/// The entries of an archive, one after the other.
pub struct Entries<R> {
    input: R,
    /// Bytes of the current content, and of its padding, that were not read yet.
    left_bytes: u64,
    padding_bytes: u64,
}

/// What extended headers say about the entry that follows.
#[derive(Default)]
struct Extensions {
    path: Option<String>,
    target: Option<String>,
    size_bytes: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl<R: Read> Entries<R> {
    /// Read an archive that is not compressed.
    pub fn new(input: R) -> Entries<R> {
        Entries { input, left_bytes: 0, padding_bytes: 0 }
    }

    /// The next entry; what is left of the last one's content is skipped. `None` at the end.
    ///
    /// # Errors
    /// When the input fails or ends early, or a header cannot be understood.
    // It is not an iterator: the content of an entry is read from the same value.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Found>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let mut block = [0; BLOCK_BYTES];
            // Some tools leave the two blocks of zeros out.
            if !self.fill(&mut block)? || block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            let size_bytes = number(&block[124..136])?;
            match block[156] {
                b'x' => {
                    let records = self.extension(size_bytes)?;
                    extensions.read(&records)?;
                }
                // Records for all entries: none is of interest.
                b'g' => self.set(size_bytes)?,
                b'L' => extensions.path = Some(text(&self.extension(size_bytes)?)?),
                b'K' => extensions.target = Some(text(&self.extension(size_bytes)?)?),
                flag => return self.entry(&block, flag, size_bytes, extensions).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK_BYTES],
        flag: u8,
        size_bytes: u64,
        extensions: Extensions,
    ) -> Result<Found, TarError> {
        let path = match extensions.path {
            Some(path) => path,
            None => name(block)?,
        };
        let target = match extensions.target {
            Some(target) => target,
            None => text(&block[157..257])?,
        };
        let kind = match flag {
            b'1' => FoundKind::HardLink(clean(&target)),
            b'2' => FoundKind::Link(target),
            b'5' => FoundKind::Directory,
            // Before POSIX a directory was a file whose name ends with `/`.
            b'0' | 0 | b'7' if path.ends_with('/') => FoundKind::Directory,
            b'0' | 0 | b'7' => FoundKind::File,
            b'3' | b'4' | b'6' => FoundKind::Other,
            b'S' => return Err(TarError::Damaged("it has a sparse file, which cannot be read")),
            _ => return Err(TarError::Damaged("it has an entry of an unknown type")),
        };
        // Only files have content; some tools give links and directories a size all the same.
        let size_bytes = match kind {
            FoundKind::File => extensions.size_bytes.unwrap_or(size_bytes),
            _ => 0,
        };
        self.set(size_bytes)?;
        let id = |given: Option<u32>, at: std::ops::Range<usize>| match given {
            Some(id) => Ok(id),
            None => number(&block[at]).map(|id| u32::try_from(id).unwrap_or(u32::MAX)),
        };
        let owner = Owner { uid: id(extensions.uid, 108..116)?, gid: id(extensions.gid, 116..124)? };
        let mode = u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0);
        let time = number(&block[136..148])?;
        Ok(Found { path: clean(&path), kind, mode, owner, time, size_bytes })
    }

    /// Read the content of the current entry, or the next part of it.
    ///
    /// # Errors
    /// Those of the input.
    pub fn content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        let read = self.input.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left_bytes -= read as u64;
        Ok(read)
    }

    /// The content of an entry of extended headers.
    fn extension(&mut self, size_bytes: u64) -> Result<Vec<u8>, TarError> {
        if size_bytes > LONGEST_EXTENSION_BYTES {
            return Err(TarError::Damaged("an extended header is too long"));
        }
        self.set(size_bytes)?;
        let mut bytes = vec![0; size_bytes as usize];
        let mut at = 0;
        while at < bytes.len() {
            at += self.content(&mut bytes[at..])?;
        }
        Ok(bytes)
    }

    fn set(&mut self, size_bytes: u64) -> Result<(), TarError> {
        if size_bytes > LARGEST_BYTES {
            return Err(TarError::Damaged("an entry is too large"));
        }
        self.left_bytes = size_bytes;
        self.padding_bytes = super::padding(size_bytes).len() as u64;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), TarError> {
        let want = self.left_bytes + self.padding_bytes;
        let skipped = io::copy(&mut (&mut self.input).take(want), &mut io::sink())?;
        (self.left_bytes, self.padding_bytes) = (0, 0);
        if skipped < want { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
    }

    /// Whether there was a block.
    fn fill(&mut self, block: &mut [u8; BLOCK_BYTES]) -> io::Result<bool> {
        let mut at = 0;
        while at < block.len() {
            match self.input.read(&mut block[at..]) {
                Ok(0) if at == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => at += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Extensions {
    /// Read pax records: `LENGTH KEY=VALUE\n`, one after the other.
    fn read(&mut self, mut records: &[u8]) -> Result<(), TarError> {
        const WRONG: TarError = TarError::Damaged("a pax header is malformed");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or(WRONG)?;
            let length = std::str::from_utf8(&records[..space]).ok().and_then(|text| text.parse().ok());
            let length: usize = length.filter(|at| *at > space + 1 && *at <= records.len()).ok_or(WRONG)?;
            let record = records[space + 1..length].strip_suffix(b"\n").ok_or(WRONG)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(WRONG)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let decimal = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
            let id = || decimal().map(|id| u32::try_from(id).unwrap_or(u32::MAX)).ok_or(WRONG);
            match key {
                b"path" => self.path = Some(text(value)?),
                b"linkpath" => self.target = Some(text(value)?),
                b"size" => self.size_bytes = Some(decimal().ok_or(WRONG)?),
                b"uid" => self.uid = Some(id()?),
                b"gid" => self.gid = Some(id()?),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(TarError::Damaged("it has a sparse file, which cannot be read"));
                }
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }
}

/// The sum of all bytes of a header, with its own field as spaces. Old tools summed signed bytes.
fn check_sum(block: &[u8; BLOCK_BYTES]) -> Result<(), TarError> {
    let field = 148..156;
    let bytes = || block.iter().enumerate().map(|(at, byte)| if field.contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte as i8)).sum();
    let written = number(&block[field.clone()])? as i64;
    if written == unsigned || written == signed {
        return Ok(());
    }
    Err(TarError::Damaged("the checksum of a header is wrong"))
}

/// A number: octal digits, or GNU's base 256 with the highest bit set.
fn number(field: &[u8]) -> Result<u64, TarError> {
    const WRONG: TarError = TarError::Damaged("a number in a header is malformed");
    if field[0] & 0x80 != 0 {
        let value = field.iter().enumerate().try_fold(0_u64, |value, (at, byte)| {
            let byte = if at == 0 { byte & 0x7f } else { *byte };
            value.checked_mul(256)?.checked_add(byte.into())
        });
        return value.ok_or(WRONG);
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(byte, 0 | b' '));
    digits
        .into_iter()
        .try_fold(0_u64, |value, digit| {
            let digit = u64::from(*digit).checked_sub(b'0'.into()).filter(|digit| *digit < 8)?;
            value.checked_mul(8)?.checked_add(digit)
        })
        .ok_or(WRONG)
}

/// Up to the first zero.
fn text(field: &[u8]) -> Result<String, TarError> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let text = std::str::from_utf8(&field[..end]);
    text.map(str::to_string).map_err(|_| TarError::Damaged("a path is not UTF-8"))
}

/// `prefix/name`; GNU's own format has other things where ustar has the prefix.
fn name(block: &[u8; BLOCK_BYTES]) -> Result<String, TarError> {
    let (name, prefix) = (text(&block[..100])?, text(&block[345..500])?);
    let is_ustar = &block[257..263] == b"ustar\0";
    Ok(if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name })
}

fn clean(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, write_header};
    use super::*;

    fn header(path: &str, kind: Kind<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write_header(&mut out, path, kind, Owner::default());
        out
    }

    /// Change a header and correct its checksum.
    fn changed(mut block: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn first(bytes: &[u8]) -> Result<Option<Found>, TarError> {
        Entries::new(bytes).next()
    }

    #[test]
    fn other_forms_of_the_same_are_read() {
        let file = header("./b//c", Kind::File { size_bytes: 0, executable: false });
        assert_eq!(first(&file).unwrap().unwrap().path, "b/c");
        let prefixed = changed(file.clone(), 345, b"a");
        assert_eq!(first(&prefixed).unwrap().unwrap().path, "a/b/c");
        let gnu = changed(prefixed, 257, b"ustar  \0");
        assert_eq!(first(&gnu).unwrap().unwrap().path, "b/c");
        let old = changed(header("d/", Kind::File { size_bytes: 0, executable: false }), 156, &[0]);
        assert_eq!(first(&old).unwrap().unwrap().kind, FoundKind::Directory);
        let hard = changed(changed(file.clone(), 157, b"./x"), 156, b"1");
        assert_eq!(first(&hard).unwrap().unwrap().kind, FoundKind::HardLink("x".into()));
        let large = changed(file, 124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(first(&large).unwrap().unwrap().size_bytes, 256);
    }

    #[test]
    fn long_names_of_gnu_tar_are_read() {
        let long = "d/".repeat(100) + "e";
        let mut bytes = Vec::new();
        for (flag, value) in [(b"L", long.as_str()), (b"K", "to")] {
            let file =
                header("././@LongLink", Kind::File { size_bytes: value.len() as u64, executable: false });
            bytes.extend(changed(file, 156, flag));
            bytes.extend(value.bytes());
            bytes.extend(super::super::padding(value.len() as u64));
        }
        bytes.extend(header("cut", Kind::Link { target: "cut" }));
        let found = first(&bytes).unwrap().unwrap();
        assert_eq!((found.path, found.kind), (long, FoundKind::Link("to".into())));
    }

    #[test]
    fn damaged_archives_are_refused() {
        let file = header("a", Kind::File { size_bytes: 0, executable: false });
        let mut wrong_sum = file.clone();
        wrong_sum[0] = b'b';
        let pax = |text: &str| {
            let size_bytes = text.len() as u64;
            let mut bytes = changed(header("x", Kind::File { size_bytes, executable: false }), 156, b"x");
            bytes.extend(text.bytes());
            bytes.extend(super::super::padding(size_bytes));
            bytes.extend(&file);
            bytes
        };
        let endless = changed(file.clone(), 124, &[0xff; 12]);
        let long = changed(changed(file.clone(), 124, b"77777777777\0"), 156, b"L");
        for (bytes, why) in [
            (wrong_sum, "the checksum of a header is wrong"),
            (changed(file.clone(), 124, b"9"), "a number in a header is malformed"),
            (endless, "a number in a header is malformed"),
            (long, "an extended header is too long"),
            (changed(file.clone(), 156, b"S"), "it has a sparse file, which cannot be read"),
            (changed(file.clone(), 156, b"?"), "it has an entry of an unknown type"),
            (changed(file.clone(), 0, &[0xff]), "a path is not UTF-8"),
            (pax("9 path=a"), "a pax header is malformed"),
            (pax("0 a=b\n"), "a pax header is malformed"),
            (pax("99999999999999999999 path=a\n"), "a pax header is malformed"),
            (pax("9 size=a\n"), "a pax header is malformed"),
            (pax("22 GNU.sparse.major=1\n"), "it has a sparse file, which cannot be read"),
        ] {
            let error = first(&bytes).unwrap_err();
            assert!(matches!(error, TarError::Damaged(said) if said == why), "{error}, not {why}");
        }
        assert!(matches!(first(&file[..100]), Err(TarError::Read(_))), "it ends early");
    }
}
