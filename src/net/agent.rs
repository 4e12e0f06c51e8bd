//! One HTTP client for everything: trusted certificates, proxies, time-outs, connection reuse, redirects.
//!
//! Redirects are followed here rather than by ureq, so that each hop gets its own proxy and no secret header reaches
//! another origin. A status is not an error at this level: each operation knows what it means.

use super::proxy::Proxies;
use super::resolver::CachingResolver;
use super::response::{LONGEST_ANSWER, Response};
use super::trust::Trust;
use super::{Error, SafeUrl, Secret, credentials};
use crate::env_vars;
use crate::host::Host;
use crate::threads::lock;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use ureq::http::{self, Method};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Body, SendBody, Timeout};
use url::{Host as UrlHost, Url};

const USER_AGENT: &str = concat!("pexpress/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 10;

/// How long to wait in each phase. A whole transfer has no limit: large files over slow lines are fine, silence is not.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For proxy, TCP and TLS together.
    pub connect: Duration,
    /// For each read or write: until the answer begins, and between its parts.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(30), silence: Duration::from_secs(60) }
    }
}

/// The HTTP client. Cheap to clone; clones share connections. Nothing is read or opened before the first request.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    timeouts: Timeouts,
    proxies: Proxies,
    insecure_hosts: Vec<String>,
    trust: OnceLock<Trust>,
    resolver: CachingResolver,
    clients: Mutex<HashMap<Route, ureq::Agent>>,
}

/// What distinguishes clients: each has its own connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Route {
    proxy: Option<ureq::Proxy>,
    security: Security,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Security {
    Plain,
    Verified,
    /// TLS without checking the certificate, for hosts that the user lists as insecure.
    Unverified,
}

/// A request.
pub struct Request<'a> {
    method: Method,
    url: Url,
    headers: Vec<(String, String)>,
    secret_headers: Vec<(String, Secret)>,
    is_secret: bool,
    body: RequestBody<'a>,
}

enum RequestBody<'a> {
    None,
    Bytes(&'a [u8]),
    Reader { reader: &'a mut dyn Read, length: u64 },
}

impl<'a> Request<'a> {
    /// `GET url`. User information in the URL is sent as a header instead, as for the other methods.
    pub fn get(url: &Url) -> Request<'a> {
        Request::new(Method::GET, url, RequestBody::None)
    }

    /// `HEAD url`.
    pub fn head(url: &Url) -> Request<'a> {
        Request::new(Method::HEAD, url, RequestBody::None)
    }

    /// `POST url` with this body.
    pub fn post(url: &Url, body: &'a [u8]) -> Request<'a> {
        Request::new(Method::POST, url, RequestBody::Bytes(body))
    }

    /// `PUT url` with `length` bytes of `reader` as body, streamed.
    pub fn put(url: &Url, reader: &'a mut dyn Read, length: u64) -> Request<'a> {
        Request::new(Method::PUT, url, RequestBody::Reader { reader, length })
    }

    /// `PATCH url` with this body.
    pub fn patch(url: &Url, body: &'a [u8]) -> Request<'a> {
        Request::new(Method::PATCH, url, RequestBody::Bytes(body))
    }

    /// `PATCH url` with `length` bytes of `reader` as body, streamed.
    pub fn patch_from(url: &Url, reader: &'a mut dyn Read, length: u64) -> Request<'a> {
        Request::new(Method::PATCH, url, RequestBody::Reader { reader, length })
    }

    /// `DELETE url`.
    pub fn delete(url: &Url) -> Request<'a> {
        Request::new(Method::DELETE, url, RequestBody::None)
    }

    fn new(method: Method, url: &Url, body: RequestBody<'a>) -> Request<'a> {
        let (url, user) = credentials::split(url);
        let secret_headers =
            user.map(|user| (AUTHORIZATION.to_string(), user.header())).into_iter().collect();
        Request { method, url, headers: Vec::new(), secret_headers, is_secret: false, body }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a header that is only sent to the origin of the URL, never after a redirect to another, and never
    /// unencrypted over a network. Replaces a header of that name.
    pub fn secret_header(mut self, name: &str, value: Secret) -> Self {
        self.secret_headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.secret_headers.push((name.into(), value));
        self
    }

    /// The same for a URL that is a credential itself, such as a presigned one: it is never sent unencrypted either.
    pub fn confidential(mut self) -> Self {
        self.is_secret = true;
        self
    }

    fn follows_redirects(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

impl Agent {
    /// An agent for the environment of `host`.
    pub fn new(host: &Host) -> Agent {
        Agent::with_timeouts(host, Timeouts::default())
    }

    /// The same with other time-outs.
    pub fn with_timeouts(host: &Host, timeouts: Timeouts) -> Agent {
        let insecure_hosts = [env_vars::UV_INSECURE_HOST, env_vars::PIP_TRUSTED_HOST]
            .iter()
            .filter_map(|variable| host.var(variable))
            .flat_map(|value| value.split([' ', ',']))
            .filter(|name| !name.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        Agent {
            inner: Arc::new(Inner {
                host: host.clone(),
                timeouts,
                proxies: Proxies::new(host),
                insecure_hosts,
                trust: OnceLock::new(),
                resolver: CachingResolver::default(),
                clients: Mutex::default(),
            }),
        }
    }

    /// The trusted certificate authorities; read at the first call.
    pub fn trust(&self) -> &Trust {
        self.inner.trust.get_or_init(|| {
            let trust = Trust::load(&self.inner.host);
            for warning in &trust.warnings {
                self.inner.host.say(&format!("warning: {warning}"));
            }
            trust
        })
    }

    /// The proxy for `url`, or `None` for a direct connection.
    ///
    /// # Errors
    /// When a proxy variable cannot be read.
    pub fn proxy_for(&self, url: &Url) -> Result<Option<SafeUrl>, Error> {
        Ok(self.inner.proxies.for_url(url)?.map(|(_, shown)| shown))
    }

    /// Send `request` and read the headers of the answer, whatever its status. Redirects are followed for `GET`
    /// and `HEAD`.
    ///
    /// # Errors
    /// If no answer came, or a redirect may not be followed.
    pub fn send(&self, mut request: Request<'_>) -> Result<Response, Error> {
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send_once(&mut request)?;
            let location = response.header(LOCATION.as_str());
            let (true, true, Some(location)) =
                (request.follows_redirects(), (301..=308).contains(&response.status), location)
            else {
                return Ok(response);
            };
            let next = redirect_target(&request.url, location)?;
            // As in curl: another host must not get the credentials. Source: curl's manual, `--location-trusted`.
            if next.origin() != request.url.origin() {
                request.secret_headers.clear();
            }
            request.url = next;
        }
        let url = SafeUrl::from(&request.url);
        Err(Error::Redirect { location: url.clone(), url, problem: "too many redirects in a row" })
    }

    fn send_once(&self, request: &mut Request<'_>) -> Result<Response, Error> {
        let url = request.url.clone();
        let is_secret = request.is_secret || !request.secret_headers.is_empty();
        if is_secret && url.scheme() != "https" && !self.may_be_unencrypted(&url) {
            return Err(Error::Unencrypted { url: SafeUrl::from(&url) });
        }
        let proxy = self.inner.proxies.for_url(&url)?;
        let client = self.client(&url, proxy.as_ref().map(|(proxy, _)| proxy.clone()));
        let answer = run(&client, request);
        let silence = self.inner.timeouts.silence;
        match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                let sent_secrets = request.secret_headers.iter().map(|(_, secret)| secret.clone()).collect();
                Ok(Response {
                    url,
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    body,
                    silence,
                    sent_secrets,
                })
            }
            Err(source) => Err(self.failure(&url, proxy.map(|(_, shown)| shown), source)),
        }
    }

    fn failure(&self, url: &Url, proxy: Option<SafeUrl>, source: ureq::Error) -> Error {
        let url = SafeUrl::from(url);
        match source {
            ureq::Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => {
                Error::TimedOut { url, waited: self.inner.timeouts.silence }
            }
            // ureq ends this phase by a limit for all headers, not for each read, hence the longer time.
            ureq::Error::Timeout(Timeout::RecvResponse) => {
                Error::TimedOut { url, waited: self.inner.timeouts.silence.saturating_mul(LONGEST_ANSWER) }
            }
            source => Error::Unreachable { url, proxy, source: Box::new(source) },
        }
    }

    /// Whether secrets may go to `url` in the clear: to this machine itself, and to hosts that the user trusts.
    fn may_be_unencrypted(&self, url: &Url) -> bool {
        is_loopback(url) || self.is_insecure_host(url)
    }

    /// Whether the user lists the host in `UV_INSECURE_HOST` or `PIP_TRUSTED_HOST`, with its port or without.
    fn is_insecure_host(&self, url: &Url) -> bool {
        let name = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let with_port = format!("{name}:{}", url.port_or_known_default().unwrap_or_default());
        self.inner.insecure_hosts.iter().any(|host| *host == name || *host == with_port)
    }

    fn client(&self, url: &Url, proxy: Option<ureq::Proxy>) -> ureq::Agent {
        let proxy_uses_tls = proxy.as_ref().is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        let security = match url.scheme() == "https" || proxy_uses_tls {
            false => Security::Plain,
            true if self.is_insecure_host(url) => Security::Unverified,
            true => Security::Verified,
        };
        let route = Route { proxy, security };
        let mut clients = lock(&self.inner.clients);
        clients.entry(route).or_insert_with_key(|route| self.new_client(route)).clone()
    }

    fn new_client(&self, route: &Route) -> ureq::Agent {
        let tls = TlsConfig::builder();
        let tls = match route.security {
            Security::Plain => tls,
            Security::Verified => tls.root_certs(self.trust().roots()),
            Security::Unverified => tls.disable_verification(true),
        };
        let timeouts = self.inner.timeouts;
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .proxy(route.proxy.clone())
            .user_agent(USER_AGENT)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(timeouts.connect))
            .timeout_per_read(Some(timeouts.silence))
            .timeout_per_write(Some(timeouts.silence))
            .timeout_recv_response(Some(timeouts.silence.saturating_mul(LONGEST_ANSWER)))
            .max_idle_connections_per_host(8)
            .build();
        ureq::Agent::with_parts(config, DefaultConnector::default(), self.inner.resolver.clone())
    }
}

/// Method, URL and headers of `request`.
fn request_head(request: &Request<'_>) -> Result<http::request::Builder, http::Error> {
    let mut url = request.url.clone();
    url.set_fragment(None);
    let mut head = http::Request::builder().method(request.method.clone()).uri(url.as_str());
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    for (name, value) in &request.secret_headers {
        let mut value = http::HeaderValue::from_str(value.reveal())?;
        value.set_sensitive(true);
        head = head.header(name, value);
    }
    Ok(head)
}

fn run(client: &ureq::Agent, request: &mut Request<'_>) -> Result<http::Response<Body>, ureq::Error> {
    let head = request_head(request)?;
    match &mut request.body {
        RequestBody::None => client.run(head.body(())?),
        RequestBody::Bytes(bytes) => client.run(head.body(*bytes)?),
        RequestBody::Reader { reader, length } => {
            let head = head.header(CONTENT_LENGTH, *length);
            client.run(head.body(SendBody::from_reader(reader))?)
        }
    }
}

fn redirect_target(from: &Url, location: &str) -> Result<Url, Error> {
    let refuse =
        |problem| Error::Redirect { url: SafeUrl::from(from), location: SafeUrl::parse(location), problem };
    let next = from.join(location).map_err(|_| refuse("that is not a URL"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        (_, "http") => Err(refuse("that is not encrypted")),
        _ => Err(refuse("that is neither http nor https")),
    }
}

/// Whether `url` points at this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        Some(UrlHost::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leaves_encryption() {
        let leads = |from: &str, location: &str| redirect_target(&Url::parse(from).unwrap(), location);
        for (from, location, want) in [
            ("https://a.example/x", "/y", "https://a.example/y"),
            ("https://a.example/x", "//b.example/y", "https://b.example/y"),
            ("http://a.example/x", "https://b.example/y", "https://b.example/y"),
        ] {
            assert_eq!(leads(from, location).unwrap().as_str(), want);
        }
        for location in ["http://a.example/y", "HTTP://127.0.0.1/", "file:///etc/passwd", "https://"] {
            assert!(
                matches!(leads("https://a.example/x", location), Err(Error::Redirect { .. })),
                "{location}"
            );
        }
    }
}
