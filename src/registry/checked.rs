//! Content that is checked while it streams.

use crate::image::{Descriptor, Digest};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// A reader of content with a known digest and size.
///
/// The last bytes are handed out only after the digest was compared: whoever passes them on, such as an upload, cannot
/// complete with wrong content.
pub struct Checked<R> {
    source: R,
    want: Descriptor,
    hasher: Option<Sha256>,
    count: u64,
}

/// Content that is not what its descriptor says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContentError {
    /// Other bytes.
    #[error("the content has the digest {got} and should have {want}")]
    Digest {
        /// Expected.
        want: Digest,
        /// Actual.
        got: Digest,
    },
    /// Too few bytes.
    #[error("the content ends after {got} of {want} bytes")]
    Short {
        /// Expected.
        want: u64,
        /// Actual.
        got: u64,
    },
    /// Too many bytes.
    #[error("the content is longer than the {want} bytes expected")]
    Long {
        /// Expected.
        want: u64,
    },
}

impl<R: Read> Checked<R> {
    /// `source`, which should be the content of `want`.
    pub fn new(source: R, want: &Descriptor) -> Checked<R> {
        Checked { source, want: want.clone(), hasher: Some(Sha256::new()), count: 0 }
    }

    /// Compare the digest once all bytes are there.
    fn check(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (got, want) = (Digest::from_hasher(hasher), self.want.digest);
        if got == want { Ok(()) } else { Err(invalid(ContentError::Digest { want, got })) }
    }
}

fn invalid(error: ContentError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let length = self.source.read(buffer)?;
        let want = self.want.size;
        if length == 0 {
            if self.count < want {
                return Err(invalid(ContentError::Short { want, got: self.count }));
            }
            // Only content without a byte was not compared yet.
            self.check()?;
            return Ok(0);
        }
        self.count += length as u64;
        if self.count > want {
            return Err(invalid(ContentError::Long { want }));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..length]);
        }
        if self.count == want {
            self.check()?;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], want: &Descriptor) -> Result<Vec<u8>, String> {
        let mut got = Vec::new();
        let mut reader = Checked::new(content, want);
        reader.read_to_end(&mut got).map(|_| got).map_err(|error| error.to_string())
    }

    #[test]
    fn content_that_differs_is_an_error() {
        let want = Descriptor::of("x", b"content");
        assert_eq!(read(b"content", &want).unwrap(), b"content");
        let digests = (Digest::of(b"contenT"), want.digest);
        for (content, problem) in [
            (
                &b"contenT"[..],
                format!("the content has the digest {} and should have {}", digests.0, digests.1),
            ),
            (b"conten", "the content ends after 6 of 7 bytes".into()),
            (b"content ", "the content is longer than the 7 bytes expected".into()),
            (b"", "the content ends after 0 of 7 bytes".into()),
        ] {
            assert_eq!(read(content, &want).unwrap_err(), problem);
        }
    }

    #[test]
    fn no_content_has_a_digest_too() {
        assert_eq!(read(b"", &Descriptor::of("x", b"")).unwrap(), b"");
        let wrong = Descriptor { size: 0, ..Descriptor::of("x", b"x") };
        assert!(read(b"", &wrong).is_err());
    }

    #[test]
    fn the_last_bytes_are_held_back_until_the_digest_is_right() {
        let want = Descriptor::of("x", b"content");
        let mut reader = Checked::new(&b"contenT"[..], &want);
        let mut buffer = [0; 4];
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
        assert!(reader.read(&mut buffer).is_err());
    }
}
