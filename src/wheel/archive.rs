//! The ZIP archive of a wheel: its central directory as values, its members as streams.
//!
//! Only the central directory is used (local headers may have zeros for sizes), and only when it is unambiguous: no
//! links, no encryption, no names that leave the directory, no members that share bytes. Memory use depends on the
//! number of members, never on their size. Source: APPNOTE.TXT 6.3.

use super::WheelError;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

mod directory;

pub use directory::path_fault;

/// Size of one read.
const BUFFER_BYTES: usize = 128 * 1024;
/// Length of a local file header before name and extra field. Source: APPNOTE 4.3.7.
const LOCAL_HEADER_BYTES: u64 = 30;
const LOCAL_HEADER_SIGNATURE: &[u8] = b"PK\x03\x04";

/// The members of a wheel, sorted by name (as bytes); names are unique and stay inside the target directory.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
    members: Vec<Member>,
}

/// One file in a wheel.
#[derive(Debug, Clone)]
pub struct Member {
    /// Path with `/`, relative.
    pub name: String,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Where its bytes are.
    pub data: RawData,
}

/// Where the bytes of a member are, and what they must be, according to the central directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawData {
    /// How they are stored.
    pub method: Method,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Bytes in the archive.
    pub compressed_bytes: u64,
    /// Bytes of content.
    pub size_bytes: u64,
    header_offset: u64,
}

/// The two compression methods that a wheel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// DEFLATE.
    Deflated,
}

/// A part of a member, for [`Reader::both`].
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// Of its bytes in the archive.
    Raw(&'a [u8]),
    /// Of its content.
    Content(&'a [u8]),
}

impl Archive {
    /// Read the central directory of a wheel.
    ///
    /// # Errors
    /// When the file cannot be read, is not a ZIP archive, or has a member that must not be unpacked.
    pub fn open(path: &Path) -> Result<Archive, WheelError> {
        let members = directory::read(path)?;
        Ok(Archive { path: path.to_path_buf(), members })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files in it, sorted by name, without directory entries.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Member> {
        let place = self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()?;
        self.members.get(place)
    }

    /// A reader for the contents of members.
    ///
    /// # Errors
    /// When the file can no longer be opened.
    pub fn reader(&self) -> Result<Reader, WheelError> {
        Reader::open(&self.path)
    }

    /// Path and members, for callers that keep only some of them.
    pub fn into_parts(self) -> (PathBuf, Vec<Member>) {
        (self.path, self.members)
    }
}

/// An open wheel. Reads members one after the other, with fixed buffers.
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    position: u64,
    inflate: Decompress,
    inflated: Box<[u8]>,
}

impl Reader {
    /// Open a wheel.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Reader, WheelError> {
        let file =
            File::open(path).map_err(|source| WheelError::Read { path: path.to_path_buf(), source })?;
        Ok(Reader {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            position: 0,
            inflate: Decompress::new(false),
            inflated: vec![0; BUFFER_BYTES].into_boxed_slice(),
        })
    }

    /// Whether this reads that file.
    pub fn reads(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Pass the bytes of a member to `sink` as they are stored, in pieces.
    ///
    /// # Errors
    /// When the archive ends early or its local header is not where it should be, and the errors of `sink`.
    pub fn raw<E: From<WheelError>>(
        &mut self,
        name: &str,
        data: &RawData,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.seek_to_content(name, data)?;
        let mut left = data.compressed_bytes;
        while left > 0 {
            let piece = self.file.fill_buf().map_err(|source| read_error(&self.path, source))?;
            let take = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if take == 0 {
                return Err(self.fault(name, "is cut short").into());
            }
            sink(&piece[..take])?;
            self.file.consume(take);
            self.position += take as u64;
            left -= take as u64;
        }
        Ok(())
    }

    /// Pass the content of a member to `sink` in pieces, and check its size and CRC-32.
    ///
    /// # Errors
    /// As for [`Reader::raw`], and when the content does not match the central directory. Discard the pieces passed
    /// before an error; together they are never longer than the size in the directory.
    pub fn content<E: From<WheelError>>(
        &mut self,
        name: &str,
        data: &RawData,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.both(name, data, |piece| match piece {
            Piece::Raw(_) => Ok(()),
            Piece::Content(piece) => sink(piece),
        })
    }

    /// Pass both the bytes of a member and its content to `sink`, each in pieces and in order, while it is read once.
    /// Size and CRC-32 of the content are checked.
    ///
    /// # Errors
    /// As for [`Reader::content`].
    pub fn both<E: From<WheelError>>(
        &mut self,
        name: &str,
        data: &RawData,
        mut sink: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut crc = Crc::new();
        let mut size = 0_u64;
        let mut checked = |piece: Piece<'_>| {
            if let Piece::Content(content) = piece {
                size += content.len() as u64;
                // Stop as soon as it is longer than promised: this bounds the work on a ZIP bomb.
                if size > data.size_bytes {
                    return Ok(false);
                }
                crc.update(content);
            }
            sink(piece).map(|()| true)
        };
        let whole = match data.method {
            Method::Stored => {
                let mut whole = true;
                self.raw::<E>(name, data, |piece| {
                    whole = whole && checked(Piece::Raw(piece))? && checked(Piece::Content(piece))?;
                    Ok(())
                })?;
                whole
            }
            Method::Deflated => self.inflate::<E>(name, data, &mut checked)?,
        };
        if !whole || size != data.size_bytes {
            return Err(self.fault(name, "does not have the size that the archive says").into());
        }
        if crc.sum() != data.crc32 {
            return Err(self.fault(name, "is damaged (its CRC-32 differs)").into());
        }
        Ok(())
    }

    /// The content of a small member.
    ///
    /// # Errors
    /// As for [`Reader::content`], and when it has more than `limit_bytes`.
    pub fn read(&mut self, name: &str, data: &RawData, limit_bytes: u64) -> Result<Vec<u8>, WheelError> {
        if data.size_bytes > limit_bytes {
            let reason = format!("has {} bytes, and at most {limit_bytes} are read", data.size_bytes);
            return Err(self.fault(name, reason));
        }
        let mut content = Vec::with_capacity(usize::try_from(data.size_bytes).unwrap_or(0));
        self.content::<WheelError>(name, data, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(content)
    }

    /// Inflate a member. `false` when `sink` stopped it.
    fn inflate<E: From<WheelError>>(
        &mut self,
        name: &str,
        data: &RawData,
        sink: &mut impl FnMut(Piece<'_>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        self.seek_to_content(name, data)?;
        self.inflate.reset(false);
        let mut left = data.compressed_bytes;
        loop {
            let piece = self.file.fill_buf().map_err(|source| read_error(&self.path, source))?;
            let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(piece, &mut self.inflated, FlushDecompress::None);
            let taken = self.inflate.total_in() - taken;
            let given = usize::try_from(self.inflate.total_out() - given).unwrap_or(0);
            // `taken` is at most the length of `piece`.
            let raw = &piece[..usize::try_from(taken).unwrap_or(0)];
            if !raw.is_empty() && !sink(Piece::Raw(raw))? {
                return Ok(false);
            }
            self.file.consume(usize::try_from(taken).unwrap_or(0));
            self.position += taken;
            // `taken` is at most the length of `piece`, which is cut to `left`.
            left -= taken;
            if !sink(Piece::Content(&self.inflated[..given]))? {
                return Ok(false);
            }
            match status {
                // The compressed size must match too. Bytes after the stream could hide another content.
                Ok(Status::StreamEnd) if left == 0 => return Ok(true),
                Ok(Status::StreamEnd) => return Err(self.fault(name, "has bytes after its end").into()),
                Ok(_) if taken == 0 && given == 0 => return Err(self.fault(name, "is cut short").into()),
                Ok(_) => {}
                Err(_) => return Err(self.fault(name, "is damaged (it does not inflate)").into()),
            }
        }
    }

    fn seek_to_content(&mut self, name: &str, data: &RawData) -> Result<(), WheelError> {
        self.seek(data.header_offset)?;
        let mut header = [0; LOCAL_HEADER_BYTES as usize];
        self.file.read_exact(&mut header).map_err(|source| read_error(&self.path, source))?;
        self.position += LOCAL_HEADER_BYTES;
        if !header.starts_with(LOCAL_HEADER_SIGNATURE) {
            return Err(self.fault(name, "is not where the archive says"));
        }
        let [.., name_low, name_high, extra_low, extra_high] = header;
        // The local name and extra field may be longer than those in the central directory.
        let skip = u64::from(u16::from_le_bytes([name_low, name_high]))
            + u64::from(u16::from_le_bytes([extra_low, extra_high]));
        self.seek(self.position + skip)
    }

    /// Move to a position, within the buffer where possible.
    fn seek(&mut self, position: u64) -> Result<(), WheelError> {
        let moved = i64::try_from(position)
            .ok()
            .zip(i64::try_from(self.position).ok())
            .map(|(to, from)| self.file.seek_relative(to - from))
            .unwrap_or_else(|| self.file.seek(SeekFrom::Start(position)).map(|_| ()));
        moved.map_err(|source| read_error(&self.path, source))?;
        self.position = position;
        Ok(())
    }

    fn fault(&self, member: &str, reason: impl Into<String>) -> WheelError {
        WheelError::member(&file_name(&self.path), member, reason)
    }
}

fn read_error(path: &Path, source: io::Error) -> WheelError {
    WheelError::Read { path: path.to_path_buf(), source }
}

/// The last part of a path, for messages.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
