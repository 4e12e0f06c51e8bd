//! Writes a layer: a tar archive, compressed by gzip without compressing again what is compressed already.
//!
//! A gzip file is a sequence of members. The deflated bytes of a file in a ZIP archive become a member of their own as
//! they are; tar headers, padding and small files between them become members that are deflated here. Readers join the
//! members to one archive. Sources: RFC 1952, section 2.2; RFC 1951; `docs/images.md` names the readers that were tried.
//!
//! The bytes depend on the entries alone: every member that is deflated here is deflated in one piece, because a
//! compressor may answer differently to the same bytes in other portions.

use super::Digest;
use super::tar::{BLOCK_BYTES, Kind, Owner, padding, write_header};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};

/// Pieces of this size are deflated at once, which bounds the memory of a writer.
const PIECE_BYTES: usize = 512 * 1024;
/// Deflated files with less content are compressed with their neighbours: a member of its own costs 18 bytes, and its
/// small dictionary more.
const OWN_MEMBER_BYTES: u64 = 200;
/// No flags, no time, no name, unknown system. Source: RFC 1952, section 2.3.1.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// How the archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// As many gzip members as there are compressed files, which are copied as they are.
    #[default]
    Members,
    /// One gzip member: everything is compressed again. A way out for a reader that stops after the first member.
    Single,
}

/// A layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The output failed.
    #[error("could not write a layer")]
    Write(#[from] io::Error),
    /// A file had another size than its header says.
    #[error("`{path}` has {got} bytes now and had {want} before")]
    Size {
        /// Its path in the image.
        path: String,
        /// As announced.
        want: u64,
        /// As it came.
        got: u64,
    },
    /// Entries come in the order of their paths, each once.
    #[error("`{path}` is out of order in a layer")]
    Order {
        /// Its path in the image.
        path: String,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// SHA-256 of the archive in it.
    pub diff_id: Digest,
}

/// Writes one layer. Entries come sorted by path.
pub struct LayerWriter<W> {
    output: Output<W>,
    archive: Sha256,
    /// The part of the archive that is not compressed yet.
    pending: Vec<u8>,
    /// The path of the last entry.
    last: String,
    packing: Packing,
    deflate: Compress,
    /// Checksum and length of the only member, with [`Packing::Single`].
    member: Crc,
}

impl<W: Write> LayerWriter<W> {
    /// A writer of an empty layer.
    pub fn new(output: W, packing: Packing) -> LayerWriter<W> {
        LayerWriter {
            output: Output { inner: output, hash: Sha256::new(), size_bytes: 0 },
            archive: Sha256::new(),
            pending: Vec::with_capacity(PIECE_BYTES + BLOCK_BYTES),
            last: String::new(),
            packing,
            deflate: Compress::new(Compression::default(), false),
            member: Crc::new(),
        }
    }

    /// Add a directory.
    ///
    /// # Errors
    /// When the output fails, or the path does not come after the last one.
    pub fn directory(&mut self, path: &str, owner: Owner) -> Result<(), LayerError> {
        self.header(path, Kind::Directory, owner)
    }

    /// Add a symbolic link.
    ///
    /// # Errors
    /// As for [`LayerWriter::directory`].
    pub fn link(&mut self, path: &str, target: &str, owner: Owner) -> Result<(), LayerError> {
        self.header(path, Kind::Link { target }, owner)
    }

    /// Add a file of `size_bytes`, whose content `copy` passes on in pieces.
    ///
    /// # Errors
    /// As for [`LayerWriter::directory`], when the content has another size, and those of `copy`.
    pub fn file<E: From<LayerError>>(
        &mut self,
        path: &str,
        executable: bool,
        owner: Owner,
        size_bytes: u64,
        copy: impl FnOnce(&mut Content<'_, W>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.header(path, Kind::File { size_bytes, executable }, owner)?;
        self.content(path, size_bytes, false, copy)
    }

    /// Add a file that is compressed already. `copy` passes on its deflated bytes *and* its content, both whole; `crc32`
    /// is the checksum of the content, which the caller has checked when `copy` returns.
    ///
    /// # Errors
    /// As for [`LayerWriter::file`].
    pub fn deflated_file<E: From<LayerError>>(
        &mut self,
        path: &str,
        executable: bool,
        owner: Owner,
        (size_bytes, crc32): (u64, u32),
        copy: impl FnOnce(&mut Content<'_, W>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.header(path, Kind::File { size_bytes, executable }, owner)?;
        let is_raw = self.packing == Packing::Members && size_bytes >= OWN_MEMBER_BYTES;
        if is_raw {
            self.flush().map_err(LayerError::from)?;
            self.output.write(&MEMBER_HEADER).map_err(LayerError::from)?;
        }
        self.content(path, size_bytes, is_raw, copy)?;
        if is_raw {
            self.output.end_of_member(crc32, size_bytes).map_err(LayerError::from)?;
            self.pad(size_bytes)?;
        }
        Ok(())
    }

    fn content<E: From<LayerError>>(
        &mut self,
        path: &str,
        size_bytes: u64,
        is_raw: bool,
        copy: impl FnOnce(&mut Content<'_, W>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut content = Content { layer: self, is_raw, got: 0 };
        copy(&mut content)?;
        let got = content.got;
        if got != size_bytes {
            return Err(LayerError::Size { path: path.to_string(), want: size_bytes, got }.into());
        }
        if !is_raw {
            self.pad(size_bytes)?;
        }
        Ok(())
    }

    fn header(&mut self, path: &str, kind: Kind<'_>, owner: Owner) -> Result<(), LayerError> {
        if path <= self.last.as_str() {
            return Err(LayerError::Order { path: path.to_string() });
        }
        self.last = path.to_string();
        let mut header = Vec::with_capacity(BLOCK_BYTES);
        write_header(&mut header, path, kind, owner);
        self.append(&header)?;
        Ok(())
    }

    fn pad(&mut self, size_bytes: u64) -> Result<(), LayerError> {
        Ok(self.append(padding(size_bytes))?)
    }

    /// Add bytes to the archive, to be compressed here.
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.archive.update(bytes);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == PIECE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Compress what is pending.
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.packing {
            Packing::Members => {
                let mut crc = Crc::new();
                crc.update(&self.pending);
                self.output.write(&MEMBER_HEADER)?;
                self.deflate.reset();
                deflate(&mut self.deflate, &self.pending, FlushCompress::Finish, &mut self.output)?;
                self.output.end_of_member(crc.sum(), self.pending.len() as u64)?;
            }
            Packing::Single => {
                if self.output.size_bytes == 0 {
                    self.output.write(&MEMBER_HEADER)?;
                }
                self.member.update(&self.pending);
                deflate(&mut self.deflate, &self.pending, FlushCompress::None, &mut self.output)?;
            }
        }
        self.pending.clear();
        Ok(())
    }

    /// End the archive.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> Result<Written, LayerError> {
        self.append(&[0; 2 * BLOCK_BYTES])?;
        self.flush()?;
        if self.packing == Packing::Single {
            deflate(&mut self.deflate, &[], FlushCompress::Finish, &mut self.output)?;
            let (sum, amount) = (self.member.sum(), self.member.amount());
            self.output.end_of_member(sum, amount.into())?;
        }
        self.output.inner.flush()?;
        Ok(Written {
            digest: Digest::from_hasher(self.output.hash),
            size_bytes: self.output.size_bytes,
            diff_id: Digest::from_hasher(self.archive),
        })
    }
}

/// Takes the content of one file.
pub struct Content<'a, W> {
    layer: &'a mut LayerWriter<W>,
    is_raw: bool,
    got: u64,
}

impl<W: Write> Content<'_, W> {
    /// The next piece of the content.
    ///
    /// # Errors
    /// When the output fails.
    pub fn content(&mut self, piece: &[u8]) -> Result<(), LayerError> {
        self.got += piece.len() as u64;
        match self.is_raw {
            // Only hashed: the deflated bytes go to the file.
            true => self.layer.archive.update(piece),
            false => self.layer.append(piece)?,
        }
        Ok(())
    }

    /// The next piece of the deflated bytes.
    ///
    /// # Errors
    /// When the output fails.
    pub fn deflated(&mut self, piece: &[u8]) -> Result<(), LayerError> {
        if self.is_raw {
            self.layer.output.write(piece)?;
        }
        Ok(())
    }
}

/// The file, hashed on the way.
struct Output<W> {
    inner: W,
    hash: Sha256,
    size_bytes: u64,
}

impl<W: Write> Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        self.inner.write_all(bytes)
    }

    /// Checksum and length, which is kept modulo 2³². Source: RFC 1952, section 2.3.
    fn end_of_member(&mut self, crc32: u32, size_bytes: u64) -> io::Result<()> {
        self.write(&crc32.to_le_bytes())?;
        self.write(&(size_bytes as u32).to_le_bytes())
    }
}

fn deflate<W: Write>(
    deflate: &mut Compress,
    mut input: &[u8],
    flush: FlushCompress,
    output: &mut Output<W>,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let (taken, given) = (deflate.total_in(), deflate.total_out());
        let status = deflate.compress(input, &mut buffer, flush).map_err(io::Error::other)?;
        // Both are lengths of parts of the slices.
        input = &input[(deflate.total_in() - taken) as usize..];
        let given = (deflate.total_out() - given) as usize;
        output.write(&buffer[..given])?;
        let is_done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            // A full buffer may mean that there is more.
            _ => input.is_empty() && given < buffer.len(),
        };
        if is_done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
