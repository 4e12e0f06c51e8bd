//! Sending a blob in chunks, for registries and proxies that do not take it in one request.
//!
//! Source: OCI distribution specification, "Pushing a blob in chunks".

use super::call::{Body, CHUNK_BYTES, Call, Method, Session, Upload};
use super::checked::Checked;
use super::client::Registries;
use super::error::RegistryError;
use super::location;
use super::manifests::CONTENT_DIGEST;
use super::push::Pushed;
use crate::net::Response;
use crate::net::retry::Again;
use std::io::{self, Read};
use url::Url;

/// Limit for the chunks that a registry may ask for, which are held in memory.
const LARGEST_CHUNK_BYTES: usize = 10 << 20;

/// The bytes of a chunk that the registry does not have yet.
struct Progress {
    url: Url,
    /// Number of the first byte that it lacks, in the whole content.
    position: u64,
}

impl Registries {
    /// Send the content chunk by chunk.
    pub(super) fn put_chunks(
        &self,
        upload: &Upload<'_>,
        session: Session,
    ) -> Result<Pushed, Again<RegistryError>> {
        let digest = upload.descriptor.digest;
        let unreadable = |source: io::Error| match source.downcast::<RegistryError>() {
            Ok(error) => Again::No(error),
            Err(source) => Again::No(RegistryError::Content { digest, source }),
        };
        let mut source = Checked::new((upload.open)().map_err(unreadable)?, upload.descriptor);
        let size = session.least_chunk_bytes.clamp(CHUNK_BYTES, LARGEST_CHUNK_BYTES);
        let mut progress = Progress { url: session.url, position: 0 };
        let mut chunk = vec![0; size];
        loop {
            let length = fill(&mut source, &mut chunk).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            self.put_chunk(upload, &mut progress, &chunk[..length]).map_err(or_restart)?;
        }
        self.finish(upload, &progress.url).map_err(or_restart)
    }

    /// Send one chunk: what the registry does not take of it is sent again.
    fn put_chunk(
        &self,
        upload: &Upload<'_>,
        progress: &mut Progress,
        chunk: &[u8],
    ) -> Result<(), RegistryError> {
        let start = progress.position;
        let end = start + chunk.len() as u64;
        self.retried(|number| {
            if number > 1 {
                self.ask_progress(upload, progress, start).map_err(Again::No)?;
            }
            while progress.position < end {
                let sent = usize::try_from(progress.position.saturating_sub(start)).unwrap_or(usize::MAX);
                let Some(rest) = chunk.get(sent..).filter(|_| progress.position >= start) else {
                    return Err(Again::No(self.lost(upload, "lost a part that it had taken")));
                };
                let before = progress.position;
                self.patch(upload, progress, rest, number)?;
                if progress.position <= before {
                    let error = self.lost(upload, "takes no more of the content");
                    return Err(Again::After { error, retry_after: None });
                }
            }
            match progress.position == end {
                true => Ok(()),
                false => Err(Again::No(self.lost(upload, "claims to have more than was sent"))),
            }
        })
    }

    fn patch(
        &self,
        upload: &Upload<'_>,
        progress: &mut Progress,
        rest: &[u8],
        number: u32,
    ) -> Result<(), Again<RegistryError>> {
        let (first, end) = (progress.position, progress.position + rest.len() as u64);
        let call = Call::new(Method::Patch, progress.url.clone(), upload.access, upload.doing)
            .header("Content-Type", "application/octet-stream")
            .header("Content-Range", format!("{first}-{}", end - 1))
            .body(Body::Bytes(rest));
        let response = self.judged(&call, number)?;
        match response.status {
            // 201 and 204 are what some servers answer instead. Source: go-containerregistry, `write.go`.
            201 | 202 | 204 => {
                progress.position = received(&response).unwrap_or(end);
                progress.url = self.session(&call, &response).map_err(Again::No)?.url;
                Ok(())
            }
            // It has another part than we think: it is asked which.
            416 => Err(Again::After { error: self.refused(&call, response, number), retry_after: None }),
            _ => Err(Again::No(self.refused(&call, response, number))),
        }
    }

    /// Ask how much arrived.
    fn ask_progress(
        &self,
        upload: &Upload<'_>,
        progress: &mut Progress,
        start: u64,
    ) -> Result<(), RegistryError> {
        let call = Call::new(Method::Get, progress.url.clone(), upload.access, upload.doing);
        let response = self.send(&call)?;
        if !matches!(response.status, 200 | 202 | 204) {
            return Err(self.refused(&call, response, 1));
        }
        // Registries say `0-0` for nothing and for one byte. Chunks are longer, so it is nothing.
        let got = received(&response).filter(|got| *got > 1).unwrap_or(0);
        // Without the header, nothing is known but that the chunks before were taken.
        progress.position = if response.header("Range").is_some() { got } else { start };
        if response.header("Location").is_some() {
            progress.url = self.session(&call, &response)?.url;
        }
        Ok(())
    }

    /// Close the session: the registry compares the digest.
    fn finish(&self, upload: &Upload<'_>, url: &Url) -> Result<Pushed, RegistryError> {
        let url = location::with_parameter(url, "digest", &upload.descriptor.digest.to_string());
        let call = Call::new(Method::Put, url, upload.access, upload.doing);
        self.retried(|number| {
            // The answer of the attempt before may have got lost.
            if number > 1 && self.has_blob_with(upload.access, upload.descriptor).map_err(Again::No)? {
                return Ok(Pushed::Sent);
            }
            let response = self.judged(&call, number)?;
            if response.status != 201 {
                return Err(Again::No(self.refused(&call, response, number)));
            }
            self.stored(upload, &response).map(|()| Pushed::Sent).map_err(Again::No)
        })
    }

    fn lost(&self, upload: &Upload<'_>, problem: &'static str) -> RegistryError {
        let (doing, host) = (upload.doing.to_string(), upload.access.host.clone());
        RegistryError::Answer { doing, host, problem }
    }

    /// Where an answer says to go on.
    pub(super) fn session(&self, call: &Call<'_>, response: &Response) -> Result<Session, RegistryError> {
        let Some(given) = response.header("Location") else {
            return Err(RegistryError::Answer {
                doing: call.doing.to_string(),
                host: call.access.host.clone(),
                problem: "does not say where to send the content",
            });
        };
        let url = location::resolve(&response.url, given)
            .map_err(|source| RegistryError::Location { doing: call.doing.to_string(), source })?;
        let least = response.header("OCI-Chunk-Min-Length").and_then(|text| text.trim().parse().ok());
        Ok(Session { url, least_chunk_bytes: least.unwrap_or(0) })
    }

    /// Compare what the registry says to have stored.
    pub(super) fn stored(&self, upload: &Upload<'_>, response: &Response) -> Result<(), RegistryError> {
        let want = upload.descriptor.digest;
        match response.header(CONTENT_DIGEST).map(|text| self.shown(text)) {
            // It had the digest in the address and must have compared it.
            None => Ok(()),
            Some(told) if told == want.to_string() => Ok(()),
            Some(got) => {
                let host = upload.access.host.clone();
                Err(RegistryError::Digest { host, what: "a blob".into(), want, got })
            }
        }
    }
}

/// A session that is gone is begun again.
fn or_restart(error: RegistryError) -> Again<RegistryError> {
    match error {
        RegistryError::Refused { status: 404, .. } => Again::After { error, retry_after: None },
        error => Again::No(error),
    }
}

/// How many bytes an answer says to have arrived: `Range: 0-99` are 100. Source: OCI distribution specification,
/// "Pushing a blob in chunks".
fn received(response: &Response) -> Option<u64> {
    received_in(response.header("Range")?)
}

fn received_in(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (first.trim() == "0").then(|| last.checked_add(1)).flatten()
}

/// Fill the buffer as far as the source has bytes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_arrived() {
        for (range, want) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            (" 0 - 4128767 ", Some(4_128_768)),
            ("0-0", Some(1)),
            ("1-99", None),
            ("0-18446744073709551615", None),
            ("99", None),
            ("0-", None),
            ("", None),
        ] {
            assert_eq!(received_in(range), want, "{range}");
        }
    }
}
