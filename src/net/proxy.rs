//! Chooses the proxy for a URL, from the variables that curl and Python's requests read.
//!
//! `HTTPS_PROXY` or `HTTP_PROXY` depending on the scheme, otherwise `ALL_PROXY`; lower-case names first. `NO_PROXY`
//! lists exceptions. Source: curl's manual, "Environment"; requests' documentation, "Proxies".

use super::Error;
use super::SafeUrl;
use crate::env_vars;
use crate::host::Host;
use std::net::IpAddr;
use ureq::Proxy;
use url::{Host as UrlHost, Url};

/// The proxies of this environment.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    https: Option<Setting>,
    http: Option<Setting>,
    exceptions: Vec<Exception>,
}

/// A proxy variable that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    variable: &'static str,
    value: String,
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`
    All,
    /// A host and its subdomains, on any port or on one.
    Domain(String, Option<u16>),
    /// Addresses with this many common leading bits.
    Network(IpAddr, u8),
}

impl Proxies {
    /// Read the variables.
    pub fn new(host: &Host) -> Proxies {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|variable| {
                let value = host.var(variable)?.trim().to_string();
                Some(Setting { variable, value })
            })
        };
        let no_proxy =
            // curl reads the lower-case names first.
            host.var(env_vars::NO_PROXY_LOWER).or(host.var(env_vars::NO_PROXY)).unwrap_or_default();
        let all = [env_vars::ALL_PROXY_LOWER, env_vars::ALL_PROXY];
        Proxies {
            https: first(&[env_vars::HTTPS_PROXY_LOWER, env_vars::HTTPS_PROXY]).or_else(|| first(&all)),
            http: first(&[env_vars::HTTP_PROXY_LOWER, env_vars::HTTP_PROXY]).or_else(|| first(&all)),
            exceptions: no_proxy.split([',', ' ']).filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy for `url`, and its URL for messages; `None` to connect directly.
    ///
    /// # Errors
    /// When the variable's value is not a proxy URL.
    pub fn for_url(&self, url: &Url) -> Result<Option<(Proxy, SafeUrl)>, Error> {
        let setting = if url.scheme() == "https" { &self.https } else { &self.http };
        let Some(setting) = setting else { return Ok(None) };
        if self.exceptions.iter().any(|exception| exception.covers(url)) {
            return Ok(None);
        }
        let shown = SafeUrl::parse(&setting.value);
        match Proxy::new(&setting.value) {
            Ok(proxy) => Ok(Some((proxy, shown))),
            Err(source) => {
                Err(Error::BadProxy { variable: setting.variable, value: shown, source: Box::new(source) })
            }
        }
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Exception> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Exception::All);
        }
        let (address, bits) =
            text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, b.parse().ok()));
        if let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Exception::Network(address, bits.unwrap_or(u8::MAX)));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        // curl and requests treat `.example.org`, `*.example.org` and `example.org` alike.
        let name = name.trim_start_matches('*').trim_start_matches('.');
        (!name.is_empty()).then(|| Exception::Domain(name.to_string(), port))
    }

    fn covers(&self, url: &Url) -> bool {
        match (self, url.host()) {
            (Exception::All, _) => true,
            (Exception::Domain(name, port), Some(host)) => {
                let host = host.to_string();
                let below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (host == *name || below())
                    && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            (Exception::Network(network, bits), Some(UrlHost::Ipv4(address))) => {
                shares_prefix(*network, IpAddr::V4(address), *bits)
            }
            (Exception::Network(network, bits), Some(UrlHost::Ipv6(address))) => {
                shares_prefix(*network, IpAddr::V6(address), *bits)
            }
            _ => false,
        }
    }
}

/// Whether two addresses of one family have the same first `bits`.
fn shares_prefix(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    let leading = |different: u32| different >= u32::from(bits);
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a == b || leading((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => a == b || leading((a.to_bits() ^ b.to_bits()).leading_zeros()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::host;
    use std::path::Path;

    fn route(env: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::new(&host(Path::new("/"), env));
        proxies.for_url(&Url::parse(url).unwrap()).unwrap().map(|(_, shown)| shown.to_string())
    }

    #[test]
    fn the_proxy_is_chosen_by_scheme_and_lower_case_comes_first() {
        let all: &[_] = &[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://me:pw@lower:2"),
            ("HTTP_PROXY", "plain:3"),
            ("ALL_PROXY", "socks5://rest:4"),
        ];
        for (env, url, want) in [
            (all, "https://a.example/", Some("http://***@lower:2/")),
            (all, "http://a.example/", Some("plain:3")),
            (&all[3..], "https://a.example/", Some("socks5://rest:4")),
            (&all[2..3], "https://a.example/", None),
            (&[("HTTPS_PROXY", " ")], "https://a.example/", None),
        ] {
            assert_eq!(route(env, url).as_deref(), want, "{env:?} {url}");
        }
    }

    #[test]
    fn no_proxy_takes_names_ports_addresses_and_networks() {
        for (no_proxy, url, direct) in [
            ("example.com", "https://example.com/", true),
            ("example.com", "https://sub.example.com/", true),
            (".example.com", "https://sub.Example.com/", true),
            ("*.example.com", "https://sub.example.com/", true),
            ("example.com", "https://badexample.com/", false),
            ("example.com:8443", "https://example.com/", false),
            ("example.com:8443", "https://example.com:8443/", true),
            ("a, b ,example.com", "https://example.com/", true),
            ("*", "https://anything/", true),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("127.0.0.1", "https://127.0.0.1:99/", true),
            ("127.0.0.1", "https://127.0.0.2:99/", false),
            ("0.0.0.0/0", "https://10.1.2.3/", true),
            ("[::1]", "https://[::1]:1/", true),
            ("fe80::/10", "https://[fe80::7]/", true),
        ] {
            let env = [("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", no_proxy)];
            assert_eq!(route(&env, url).is_none(), direct, "{no_proxy} {url}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_a_url_is_an_error_with_the_variable() {
        let proxies = Proxies::new(&host(Path::new("/"), &[("ALL_PROXY", "ftp://x:pw@p")]));
        let error = proxies.for_url(&Url::parse("https://a.example/").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`ALL_PROXY` is not the URL of a proxy: `ftp://***@p/`");
    }
}
