//! Caches uv's answers for as long as the public index allows.
//!
//! uv's default index lets clients cache its pages for ten minutes (`max-age=600`), and uv does so. An answer made from
//! them in that time is as good as a new one, and needs no process and no network. Other sources make no such promise
//! (people publish to a private index and deploy a minute later). So with any index, find-links page, repository, URL
//! or uv configuration of the user, uv is asked each time.

use crate::cache::{Cache, CacheError};
use crate::env_vars;
use crate::hex::hex;
use crate::host::Host;
use crate::tools::{CompileRequest, Tools, Uv, configuration_files};
use crate::wheel::requirement::{self, Link};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How long an answer is valid.
const FRESH: Duration = Duration::from_secs(600);

/// uv variables that name other sources, or turn off caching.
const OTHER_SOURCES: [&str; 8] = [
    env_vars::UV_INDEX,
    env_vars::UV_DEFAULT_INDEX,
    env_vars::UV_INDEX_URL,
    env_vars::UV_EXTRA_INDEX_URL,
    env_vars::UV_FIND_LINKS,
    env_vars::UV_CONFIG_FILE,
    env_vars::UV_REFRESH,
    env_vars::UV_NO_CACHE,
];

/// Where the answer to one request is stored.
#[derive(Debug)]
pub struct Memo {
    cache: Cache,
    /// Below the cache directory.
    name: String,
}

impl Memo {
    /// Where the answer to `request` is stored; `None` when uv has to be asked each time.
    pub fn for_request(request: &CompileRequest, uv: &Uv, tools: &Tools) -> Option<Memo> {
        let host = tools.host();
        let pip = uv.pip_config();
        let other = OTHER_SOURCES.iter().any(|name| host.path_var(name).is_some())
            || pip.index_url.is_some()
            || !(pip.extra_index_urls.is_empty() && pip.find_links.is_empty())
            || configuration_files(host).iter().any(|file| file.is_file());
        if other || !is_public(request) {
            return None;
        }
        let mut digest = Sha256::new();
        digest.update(format!("{} {request:?}\n", uv.version()));
        for (name, value) in host.full_env().filter(|(name, _)| name.to_string_lossy().starts_with("UV_")) {
            digest.update(format!("{name:?}={value:?}\n"));
        }
        Some(Memo { cache: tools.cache().clone(), name: format!("resolutions/{}", hex(digest.finalize())) })
    }

    /// The answer, if there is an undamaged one that is still valid.
    pub fn recall(&self, host: &Host) -> Option<String> {
        let path = self.cache.root().join(&self.name);
        let written = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
        // A time in the future (a changed clock) is an error here, so the answer is not used.
        let age = host.clock.now().duration_since(written).ok()?;
        if age < FRESH { self.cache.recall(&self.name) } else { None }
    }

    /// Store an answer for later runs.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep(&self, text: &str) -> Result<(), CacheError> {
        self.cache.keep(&self.name, text)
    }
}

/// Whether all requirements are names that come from the default index.
fn is_public(request: &CompileRequest) -> bool {
    let index = &request.index;
    let named = |line: &String| {
        let named = |found: pep508_rs::Requirement<Link>| {
            !matches!(found.version_or_url, Some(pep508_rs::VersionOrUrl::Url(_)))
        };
        requirement::check(line).is_ok() && line.parse().is_ok_and(named)
    };
    let mut lines =
        [&request.requirements, &request.constraints, &request.overrides, &request.build_constraints]
            .into_iter()
            .flatten();
    index.default_index.is_none()
        && index.indexes.is_empty()
        && index.find_links.is_empty()
        && request.index_pins.is_empty()
        && request.unnamed.is_empty()
        && lines.all(named)
}
