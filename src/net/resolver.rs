//! Resolves host names to addresses, each at most once per minute.
//!
//! ureq 3 resolves the name for every request, even over an open connection. A hundred parallel downloads cause a burst
//! of hundreds of DNS packets. Name servers drop some, and each dropped packet delays its download by the 5 s until the
//! system's resolver retries (seen: 10 s instead of 0.7 s for 71 wheels).

use crate::threads::lock;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

const KEPT_FOR: Duration = Duration::from_secs(60);

/// The known addresses of one scheme, host and port. Locked during the lookup, so that other threads wait for the
/// answer.
type Lookup = Arc<Mutex<Option<(Instant, ResolvedSocketAddrs)>>>;

/// Caches the answers of another resolver. Clones share the cache.
#[derive(Clone)]
pub(super) struct CachingResolver {
    inner: Arc<dyn Resolver>,
    known: Arc<Mutex<HashMap<String, Lookup>>>,
}

impl Default for CachingResolver {
    fn default() -> Self {
        CachingResolver::around(Arc::new(DefaultResolver::default()))
    }
}

impl CachingResolver {
    fn around(inner: Arc<dyn Resolver>) -> CachingResolver {
        CachingResolver { inner, known: Arc::default() }
    }
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let key = format!("{:?} {:?}", uri.scheme(), uri.authority());
        let entry = Arc::clone(lock(&self.known).entry(key).or_default());
        let mut entry = lock(&entry);
        if let Some((asked, addresses)) = &*entry
            && asked.elapsed() < KEPT_FOR
        {
            return Ok(addresses.clone());
        }
        let addresses = self.inner.resolve(uri, config, timeout)?;
        *entry = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachingResolver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use ureq::Timeout;

    /// Resolves every host except `missing`, and counts calls.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Resolver for Counting {
        fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if uri.host() == Some("missing") {
                return Err(Error::HostNotFound);
            }
            let mut addresses = self.empty();
            addresses.push(([127, 0, 0, 1], 80).into());
            Ok(addresses)
        }
    }

    #[test]
    fn a_name_is_looked_up_once_and_a_failure_is_not_kept() {
        let counting = Arc::new(Counting::default());
        let resolver = CachingResolver::around(Arc::<Counting>::clone(&counting));
        let ask = |uri: &str| {
            let config = ureq::Agent::config_builder().build();
            let timeout = NextTimeout { reason: Timeout::Resolve, ..NextTimeout::default() };
            resolver.clone().resolve(&uri.parse().unwrap(), &config, timeout).map(|found| found.len())
        };
        for (uri, ok, lookups) in [
            ("https://a.example/x", true, 1),
            ("https://a.example/y?z", true, 1),
            ("http://a.example/", true, 2),
            ("https://b.example/", true, 3),
            ("https://missing/", false, 4),
            ("https://missing/", false, 5),
            ("https://b.example/", true, 5),
        ] {
            assert_eq!(ask(uri).is_ok(), ok, "{uri}");
            assert_eq!(counting.0.load(Ordering::SeqCst), lookups, "{uri}");
        }
    }
}
