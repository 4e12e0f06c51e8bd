//! Layers without their compression: gzip, Zstandard or none, told by the first bytes.
//!
//! Source: RFC 1952 (gzip: a sequence of members) and RFC 8878 (Zstandard: a sequence of frames, some to be skipped).

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 128 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What a frame of Zstandard begins with. Source: RFC 8878, section 3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The same of frames without content, which may come first, as in `zstd:chunked` layers: `0x184D2A50` to `…5F`. Source:
/// RFC 8878, section 3.1.2.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The archive in a layer. Its digest is not checked here, nor the checksums of Zstandard.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn unpacked<'a>(layer: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, layer);
    let start = input.fill_buf()?;
    Ok(match start {
        start if start.starts_with(&GZIP) => Box::new(MultiGzDecoder::new(input)),
        start if start.starts_with(&ZSTD) || is_skippable(start) => {
            Box::new(Frames { input, decoder: FrameDecoder::new(), is_within_frame: false })
        }
        _ => Box::new(input),
    })
}

fn is_skippable(start: &[u8]) -> bool {
    start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == SKIPPABLE
}

/// The frames of a Zstandard file, one after the other.
struct Frames<R: Read> {
    input: BufReader<R>,
    decoder: FrameDecoder,
    is_within_frame: bool,
}

impl<R: Read> Frames<R> {
    /// Begin the next frame with content. `false` after the last one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.is_within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within_frame && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(damaged)?;
            }
            match self.decoder.read(buffer)? {
                0 => self.is_within_frame = false,
                length => return Ok(length),
            }
        }
    }
}

fn damaged(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn read(layer: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        unpacked(layer)?.read_to_end(&mut content)?;
        Ok(content)
    }

    /// A frame with one block of this content. `kind`: 0 raw, 1 one byte that is repeated. Source: RFC 8878, section 3.1.1.2.
    fn frame(content: &[u8], (kind, size): (u32, u32)) -> Vec<u8> {
        let block = (size << 3 | kind << 1 | 1).to_le_bytes();
        [&ZSTD[..], &[0xa0], &size.to_le_bytes(), &block[..3], content].concat()
    }

    fn raw(content: &[u8]) -> Vec<u8> {
        frame(content, (0, content.len() as u32))
    }

    fn skipped(content: &[u8]) -> Vec<u8> {
        let size = content.len() as u32;
        [&[0x5a], &SKIPPABLE[..], &size.to_le_bytes(), content].concat()
    }

    #[test]
    fn each_compression_is_told_by_its_first_bytes() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"archive").unwrap();
        let gzip = gzip.finish().unwrap();
        let two_members = [&gzip[..], &gzip].concat();
        let two_frames =
            [skipped(b"index"), raw(b"arch"), raw(b""), skipped(b""), raw(b"ive"), skipped(b"x")];
        for (layer, want) in [
            (&gzip[..], &b"archive"[..]),
            (&two_members, b"archivearchive"),
            (&raw(b"archive"), b"archive"),
            (&two_frames.concat(), b"archive"),
            (&frame(b"a", (1, 5)), b"aaaaa"),
            (b"archive", b"archive"),
            (b"", b""),
        ] {
            assert_eq!(read(layer).unwrap(), want);
        }
    }

    #[test]
    fn damaged_layers_are_errors() {
        let frame = raw(b"archive");
        for damaged in [
            &frame[..frame.len() - 1],
            &frame[..6],
            &[&frame[..], b"more"].concat(),
            &[skipped(b"index"), vec![0x5a, 0x2a]].concat(),
            &skipped(b"index")[..10],
        ] {
            assert!(read(damaged).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn a_window_that_would_need_much_memory_is_refused() {
        // A window of 2 GiB, and one block. Source: RFC 8878, section 3.1.1.1.2.
        let frame = [&ZSTD[..], &[0x00, 21 << 3], &[9, 0, 0], b"x"].concat();
        assert!(read(&frame).is_err());
    }
}
