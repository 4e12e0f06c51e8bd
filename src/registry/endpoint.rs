//! What this run knows about one registry.

use super::access::Access;
use super::call::CHUNK_BYTES;
use super::challenge::Challenge;
use crate::image::reference::DOCKER_HUB;
use crate::net::{Secret, is_loopback};
use crate::threads::lock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use url::Url;

/// The host that serves Docker Hub's registry. Source: Docker's manual, "Registry HTTP API".
const HUB_REGISTRY: &str = "registry-1.docker.io";

/// A registry.
pub struct Endpoint {
    /// Address, ending in `/`.
    pub base: Url,
    challenge: Mutex<Option<Challenge>>,
    /// Held while a token is fetched, so that threads that need the same one wait for it.
    pub tokens: Mutex<Vec<Issued>>,
    has_answered: AtomicBool,
    first: Mutex<()>,
    /// The size of the smallest blob that it did not take in one request.
    too_large: AtomicU64,
}

/// A token of this run.
pub struct Issued {
    /// What it is for.
    pub access: Access,
    /// Value of `Authorization`.
    pub header: Secret,
    /// Until when it is used, by the clock's `elapsed`.
    pub until: Duration,
}

impl Endpoint {
    /// The registry of a host. It is asked by https, or by http if it is this machine itself.
    ///
    /// # Errors
    /// When the text is not a host.
    pub fn new(host: &str) -> Result<Endpoint, url::ParseError> {
        let name = if host == DOCKER_HUB { HUB_REGISTRY } else { host };
        let plain = Url::parse(&format!("http://{name}/"))?;
        let base = if is_loopback(&plain) { plain } else { Url::parse(&format!("https://{name}/"))? };
        Ok(Endpoint {
            base,
            challenge: Mutex::default(),
            tokens: Mutex::default(),
            has_answered: AtomicBool::new(false),
            first: Mutex::default(),
            too_large: AtomicU64::new(u64::MAX),
        })
    }

    /// How it wants to be asked, as far as it is known.
    pub fn challenge(&self) -> Option<Challenge> {
        lock(&self.challenge).clone()
    }

    /// Remember how it wants to be asked.
    pub fn set_challenge(&self, challenge: Challenge) {
        *lock(&self.challenge) = Some(challenge);
    }

    /// Waits while another thread sends the first request of all: its answer says how to authenticate, so the others
    /// need not be refused too. Call [`Endpoint::answered`] while the guard is held.
    pub fn first_turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.has_answered.load(Ordering::Acquire) {
            return None;
        }
        let guard = lock(&self.first);
        (!self.has_answered.load(Ordering::Acquire)).then_some(guard)
    }

    /// An answer came, and what it says was learned.
    pub fn answered(&self) {
        self.has_answered.store(true, Ordering::Release);
    }

    /// Whether a blob of this size is to be sent in chunks: because one of its size or less was refused, or because
    /// any was and this one has several chunks, so that it would probably be refused too.
    pub fn wants_chunks(&self, size: u64) -> bool {
        let refused = self.too_large.load(Ordering::Relaxed);
        size >= refused || (refused < u64::MAX && size > CHUNK_BYTES as u64)
    }

    /// Remember that a blob of this size was refused in one request.
    pub fn refused_whole(&self, size: u64) {
        self.too_large.fetch_min(size, Ordering::Relaxed);
    }

    /// Forget a token that was refused.
    pub fn forget(&self, header: &Secret) {
        lock(&self.tokens).retain(|issued| issued.header != *header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_encryption() {
        for (host, want) in [
            ("ghcr.io", "https://ghcr.io/"),
            ("docker.io", "https://registry-1.docker.io/"),
            ("r.example:5000", "https://r.example:5000/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("localhost.example", "https://localhost.example/"),
            ("127.0.0.1.example", "https://127.0.0.1.example/"),
            ("10.0.0.1", "https://10.0.0.1/"),
        ] {
            assert_eq!(Endpoint::new(host).unwrap().base.as_str(), want);
        }
    }
}
