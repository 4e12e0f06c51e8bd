//! A buffered stream with headers that can be patched, mostly while they are still in the buffer.

use std::io::{self, Seek, SeekFrom, Write};

/// Size of one write to the stream.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Positions count from the start of the stream.
pub(super) struct Output<'w, W> {
    inner: &'w mut W,
    buffer: Vec<u8>,
    flushed_bytes: u64,
}

impl<'w, W: Write + Seek> Output<'w, W> {
    pub(super) fn new(inner: &'w mut W) -> Self {
        Output { inner, buffer: Vec::with_capacity(BUFFER_BYTES), flushed_bytes: 0 }
    }

    /// Where the next byte goes.
    pub(super) fn position(&self) -> u64 {
        self.flushed_bytes + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.inner.write_all(bytes)?;
            self.flushed_bytes += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Replace bytes written before.
    pub(super) fn patch(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let in_buffer = position
            .checked_sub(self.flushed_bytes)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.buffer.get_mut(at..)?.get_mut(..bytes.len()));
        if let Some(place) = in_buffer {
            place.copy_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        // Rare: the buffer was flushed between the header and the end of its member.
        self.inner.seek(SeekFrom::Start(position))?;
        self.inner.write_all(bytes)?;
        self.inner.seek(SeekFrom::Start(self.flushed_bytes))?;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.inner.write_all(&self.buffer)?;
        self.flushed_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        self.inner.flush()
    }
}
