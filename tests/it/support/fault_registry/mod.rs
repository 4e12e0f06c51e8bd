//! A registry on loopback that is as strict as the real ones, and that can fail in their ways.
//!
//! It keeps everything in memory. What a client must never do (credentials for another host, a manifest before its
//! blobs, a stale session) is written down in [`FaultRegistry::problems`] as well as refused. A second listener plays
//! another host: object storage, or a server for uploads.
//! Sources: OCI distribution specification 1.1; quirks of real registries as listed in `docs/images-registry.md`.

pub mod http;
mod protocol;
mod tokens;

use http::Reply;
pub use http::Request;

use pexpress::image::{Digest, Repository};
use protocol::Store;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// User name and password that are taken. The password has a colon in it.
pub const USER: (&str, &str) = ("robot$me", "canary:password-of-registry");
/// The identity token that is taken.
pub const IDENTITY: &str = "canary-identity-token";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nothing is asked for, and nothing may be sent.
    Open,
    Basic,
    /// Tokens for user name and password, or for nobody to pull.
    Token,
    /// Tokens for an identity token, by POST.
    Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    Granted,
    /// 202, with a session for an upload.
    Refused,
    /// 401, as for a repository of another project.
    Forbidden,
    /// Token servers give nothing if one of several scopes is not allowed.
    NoToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    Relative,
    Absolute,
    OtherHost,
    /// Not encrypted and not on this machine: must not be followed.
    Unencrypted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestHeader {
    Right,
    Wrong,
    Absent,
}

/// How it behaves.
#[derive(Debug, Clone)]
pub struct Ways {
    pub auth: Auth,
    pub mount: Mount,
    pub location: Location,
    pub digest_header: DigestHeader,
    /// Larger bodies get this status instead.
    pub largest_put: Option<(usize, u16)>,
    pub largest_patch: Option<usize>,
    /// Too large bodies are refused before they are read, and the connection is closed.
    pub is_abrupt: bool,
    pub has_patch: bool,
    pub has_head: bool,
    pub has_referrers: bool,
    /// Blobs are at another host.
    pub redirects_blobs: bool,
    /// Tags cannot be moved.
    pub is_immutable: bool,
    /// Manifests are taken before their blobs, which is a problem of the client.
    pub checks_manifests: bool,
    /// Blobs are read with a byte changed.
    pub corrupts_blobs: bool,
    /// Each PATCH keeps only this many bytes.
    pub keeps_of_patch: Option<usize>,
    /// `OCI-Chunk-Min-Length`.
    pub least_chunk: Option<usize>,
    /// Repositories are not made by pushing.
    pub wants_repositories: bool,
}

impl Default for Ways {
    fn default() -> Ways {
        Ways {
            auth: Auth::Open,
            mount: Mount::Granted,
            location: Location::Relative,
            digest_header: DigestHeader::Right,
            largest_put: None,
            largest_patch: None,
            is_abrupt: false,
            has_patch: true,
            has_head: true,
            has_referrers: false,
            redirects_blobs: false,
            is_immutable: false,
            checks_manifests: true,
            corrupts_blobs: false,
            keeps_of_patch: None,
            least_chunk: None,
            wants_repositories: false,
        }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// This status instead, with `Retry-After`.
    Status(u16, Option<u64>),
    /// The connection is closed before anything is done.
    CutBefore,
    /// It is done, and the answer gets lost.
    CutAfter,
    /// The answer breaks off after this many bytes of its body.
    CutBody(usize),
    /// All tokens end now.
    ExpireTokens,
    /// All sessions end now.
    ForgetSessions,
}

type Faults = Box<dyn FnMut(&Request) -> Option<Trouble> + Send>;

/// The registry. It stops when dropped.
pub struct FaultRegistry {
    store: Arc<Mutex<Store>>,
    main: Listener,
    _other: Listener,
}

struct Listener {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultRegistry {
    pub fn new(ways: Ways) -> FaultRegistry {
        FaultRegistry::with_faults(ways, |_| None)
    }

    /// `faults` is asked for each request to the registry, not for those to its token server.
    pub fn with_faults(
        ways: Ways,
        faults: impl FnMut(&Request) -> Option<Trouble> + Send + 'static,
    ) -> FaultRegistry {
        let [main, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [&main, &other].map(|listener| listener.local_addr().unwrap().to_string());
        let store = Arc::new(Mutex::new(Store::new(ways, addresses, Box::new(faults))));
        let [main, other] = [(main, false), (other, true)].map(|(listener, is_other)| {
            let store = Arc::clone(&store);
            Listener::new(listener, move |request| store.lock().unwrap().answer(request, is_other))
        });
        FaultRegistry { store, main, _other: other }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.main.address.to_string()
    }

    pub fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.host()).parse().unwrap()
    }

    /// Change how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Ways)) {
        change(&mut self.store.lock().unwrap().ways);
    }

    /// What clients did that they must not do.
    pub fn problems(&self) -> Vec<String> {
        self.store.lock().unwrap().problems.clone()
    }

    /// `METHOD PATH?QUERY` of each request so far, without hosts, and with sessions and digests cut.
    pub fn requests(&self) -> Vec<String> {
        self.store.lock().unwrap().requests.clone()
    }

    /// Bytes of bodies that arrived at the registry.
    pub fn received_bytes(&self) -> u64 {
        self.store.lock().unwrap().received_bytes
    }

    pub fn put_blob(&self, path: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.store.lock().unwrap().add_blob(path, &digest.to_string(), content.to_vec());
        digest
    }

    pub fn put_manifest(&self, path: &str, tag: &str, media_type: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.store.lock().unwrap().add_manifest(path, tag, media_type, content.to_vec());
        digest
    }

    pub fn blob(&self, path: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.store.lock().unwrap().blob(path, &digest.to_string()).cloned()
    }

    pub fn manifest(&self, path: &str, digest: &str) -> Option<Vec<u8>> {
        self.store.lock().unwrap().manifest(path, digest).cloned()
    }

    /// Lose a blob, without a word about the images that need it.
    pub fn lose_blob(&self, path: &str, digest: &str) {
        assert!(self.store.lock().unwrap().lose_blob(path, digest), "{path} has no {digest}");
    }

    /// What a tag means.
    pub fn tag(&self, path: &str, tag: &str) -> Option<String> {
        self.store.lock().unwrap().tag(path, tag)
    }

    /// Tags of all repositories, and whether everything that each needs is there.
    pub fn tags(&self) -> Vec<(String, bool)> {
        self.store.lock().unwrap().tags()
    }
}

impl Listener {
    fn new(listener: TcpListener, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Listener {
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let accepting = std::thread::spawn({
            let stopped = Arc::clone(&stopped);
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                    std::thread::spawn(move || http::serve(&stream, &*answer));
                }
            }
        });
        Listener { address, stopped, accepting: Some(accepting) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A connection wakes the thread that accepts them.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
