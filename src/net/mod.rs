//! HTTP for this program: one [`Agent`] (certificates, proxies, timeouts), retries, credentials, downloads.
//!
//! Nothing here knows what is downloaded or sent, or which failures to retry: each operation states that next to its
//! URL.

pub mod agent;
pub mod credentials;
pub mod download;
pub mod login;
pub mod netrc;
pub mod progress;
pub mod proxy;
mod resolver;
mod response;
pub mod retry;
pub mod trust;

pub use crate::redact::{SafeUrl, Secret};
pub use agent::{Agent, Request, is_loopback};
pub use credentials::{Credentials, IndexUrl};
pub use download::{DownloadError, Downloader};
pub use progress::{Activity, Progress, Silent};
pub use response::Response;

use crate::env_vars;
use crate::error::{Explain, Fault};
use std::io;
use std::time::Duration;

/// A request without an answer, or with an unusable one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or one that was closed before the answer started.
    #[error("could not reach {url}{}", proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default())]
    Unreachable {
        /// The requested URL.
        url: SafeUrl,
        /// The proxy used.
        proxy: Option<SafeUrl>,
        /// Why it failed.
        #[source]
        source: Box<ureq::Error>,
    },
    /// Connected, but no data for too long.
    #[error("{url} did not answer within {} s", waited.as_secs())]
    TimedOut {
        /// The requested URL.
        url: SafeUrl,
        /// How long nothing was received.
        waited: Duration,
    },
    /// The answer was cut short, or stalled.
    #[error("the answer of {url} broke off")]
    Interrupted {
        /// The requested URL.
        url: SafeUrl,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An answer with a status that the caller cannot use.
    #[error("{url} answered {status}{}", reason(*status))]
    Status {
        /// The requested URL.
        url: SafeUrl,
        /// HTTP status.
        status: u16,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// A redirect that must not be followed.
    #[error("{url} redirects to `{location}`: {problem}")]
    Redirect {
        /// The requested URL.
        url: SafeUrl,
        /// Where it points.
        location: SafeUrl,
        /// Why not.
        problem: &'static str,
    },
    /// The answer is longer than the limit.
    #[error("the answer of {url} is longer than the {limit} bytes expected")]
    TooLong {
        /// The requested URL.
        url: SafeUrl,
        /// Bytes allowed.
        limit: u64,
    },
    /// Credentials would be sent unencrypted.
    #[error("refused to send credentials to {url} without encryption")]
    Unencrypted {
        /// The requested URL.
        url: SafeUrl,
    },
    /// A proxy variable that cannot be read.
    #[error("`{variable}` is not the URL of a proxy: `{value}`")]
    BadProxy {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: SafeUrl,
        /// Why it failed.
        #[source]
        source: Box<ureq::Error>,
    },
}

/// Whether a failure is transient, and which requests may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transience {
    /// Not transient: it will fail again.
    Lasting,
    /// The server did not start to answer: any request may be repeated, as in dagster-cloud-cli.
    Unanswered,
    /// The server may have acted: only an idempotent request may be repeated.
    Ambiguous,
    /// The server answered with a status; the caller knows which ones are transient.
    Status(u16),
}

impl Error {
    /// Whether the failure is transient.
    pub fn transience(&self) -> Transience {
        match self {
            // A certificate that is not trusted now will not be trusted at the next attempt.
            Error::Unreachable { source, .. } if is_tls_failure(source) => Transience::Lasting,
            Error::Unreachable { .. } => Transience::Unanswered,
            Error::TimedOut { .. } | Error::Interrupted { .. } => Transience::Ambiguous,
            Error::Status { status, .. } => Transience::Status(*status),
            Error::Redirect { .. }
            | Error::TooLong { .. }
            | Error::Unencrypted { .. }
            | Error::BadProxy { .. } => Transience::Lasting,
        }
    }

    /// The pause that the server asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Whether TLS failed. rustls' own errors are wrapped in `InvalidData`.
fn is_tls_failure(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        _ => false,
    }
}

/// ` Not Found` for 404; empty for a status without a standard reason.
fn reason(status: u16) -> String {
    ureq::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map(|reason| format!(" {reason}"))
        .unwrap_or_default()
}

impl Explain for Error {
    fn fault(&self) -> Fault {
        match self {
            Error::Unencrypted { .. } | Error::BadProxy { .. } => Fault::Usage,
            _ => Fault::Remote,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Unreachable { source, .. } if is_tls_failure(source) => Some(format!(
                "if a company proxy or a private server uses its own certificate authority, set {} to its PEM file",
                env_vars::SSL_CERT_FILE
            )),
            Error::Unreachable { proxy: Some(_), .. } => Some(format!(
                "check the proxy variables; {} lists hosts to reach directly",
                env_vars::NO_PROXY
            )),
            Error::Unreachable { .. } => Some(format!(
                "check the network; if this machine needs a proxy, set {}",
                env_vars::HTTPS_PROXY
            )),
            Error::Status { status: 401 | 403, .. } => Some(format!(
                "check the credentials: in the index URL, in UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD, or in the file {} names",
                env_vars::NETRC
            )),
            Error::Status { status: 407, .. } => {
                Some(format!("add the proxy's user name and password to {}", env_vars::HTTPS_PROXY))
            }
            Error::Unencrypted { .. } => Some(format!(
                "use https, or list the host in {} if its network is trusted",
                env_vars::UV_INSECURE_HOST
            )),
            Error::BadProxy { .. } => Some("write it like `http://proxy.example:8080`".into()),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::{Clock, Host};
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    /// A clock that records pauses and does not wait.
    #[derive(Default)]
    pub struct RecordingClock(Mutex<Vec<Duration>>);

    impl RecordingClock {
        pub fn slept(&self) -> Vec<Duration> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Clock for RecordingClock {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
        fn sleep(&self, time: Duration) {
            self.0.lock().unwrap().push(time);
        }
    }

    /// A host in `dir` with only these variables.
    pub fn host(dir: &Path, env: &[(&str, &str)]) -> Host {
        host_with_clock(dir, env, Arc::new(RecordingClock::default()))
    }

    pub fn host_with_clock(dir: &Path, env: &[(&str, &str)], clock: Arc<dyn Clock>) -> Host {
        let env = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Host::for_test(env, dir, Box::new(io::sink()), Box::new(io::sink()), clock)
    }

    #[test]
    fn transience_depends_on_how_much_of_the_answer_arrived() {
        let url = || SafeUrl::parse("https://index.example/x");
        let unreachable = |source| Error::Unreachable { url: url(), proxy: None, source: Box::new(source) };
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let certificate = io::Error::from(io::ErrorKind::InvalidData);
        for (error, want) in [
            (unreachable(ureq::Error::Io(refused)), Transience::Unanswered),
            (unreachable(ureq::Error::HostNotFound), Transience::Unanswered),
            (unreachable(ureq::Error::Io(certificate)), Transience::Lasting),
            (Error::TimedOut { url: url(), waited: Duration::from_secs(60) }, Transience::Ambiguous),
            (Error::Status { url: url(), status: 503, retry_after: None }, Transience::Status(503)),
            (Error::Unencrypted { url: url() }, Transience::Lasting),
        ] {
            assert_eq!(error.transience(), want, "{error}");
        }
    }

    #[test]
    fn a_status_is_named() {
        let error = Error::Status {
            url: SafeUrl::parse("https://i.example/x?sig=1"),
            status: 404,
            retry_after: None,
        };
        assert_eq!(error.to_string(), "https://i.example/x?*** answered 404 Not Found");
    }
}
