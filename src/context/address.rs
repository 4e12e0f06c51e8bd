//! Finds the URL of an organization of Dagster+ from its address and name.
//!
//! All forms that dagster-cloud-cli, `dg` and older workflows write are read here: the organization in the host
//! (`https://acme.dagster.cloud`, with a region `https://acme.eu.dagster.cloud`), in the path of a shared host
//! (`https://dagster.cloud/acme`), or next to it (`https://eu.dagster.cloud` and `DAGSTER_CLOUD_ORGANIZATION`). Other
//! hosts are used unchanged.

use super::ContextError;
use super::args::DagsterArgs;
use super::inputs::deployment_name;
use crate::env_vars;
use crate::host::Host;
use crate::near_names;
use url::{Host as UrlHost, Url};

/// The URL of an organization, and the deployment in its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://ORGANIZATION.dagster.cloud`, without a slash at the end.
    pub organization_url: String,
    /// The deployment at the end of the address, or from its own setting.
    pub deployment: Option<String>,
    /// Name of the setting with the address: `DAGSTER_CLOUD_URL`, `--organization` …
    pub setting: String,
    /// A note if the address was changed.
    pub note: Option<String>,
}

/// Domains with hosts of organizations.
const DOMAINS: [&str; 2] = ["dagster.cloud", "dagster.plus"];
/// Hosts of these domains that are not organizations: regions, and pages for everyone.
const REGIONS: [&str; 1] = ["eu"];
const SHARED: [&str; 2] = ["www", "app"];
/// Schemes that are not typos but cannot be used.
const OTHER_SCHEMES: [&str; 5] = ["ftp", "ssh", "git", "ws", "wss"];
/// Words after the deployment, or in its place, in addresses copied from a browser or a client.
const PAGES: [&str; 10] =
    ["graphql", "locations", "home", "overview", "deployment", "runs", "assets", "jobs", "settings", "login"];

/// A parsed address.
struct Address {
    place: Place,
    deployment: Option<String>,
    is_plain_http: bool,
}

#[derive(Clone)]
enum Place {
    Vendor(VendorHost),
    /// Scheme, host and port of a server elsewhere.
    Other(String),
}

/// A host of Dagster+. Its organization may be set elsewhere.
#[derive(Clone)]
struct VendorHost {
    organization: Option<String>,
    region: Option<String>,
    domain: &'static str,
    port: Option<u16>,
}

impl VendorHost {
    fn url(&self, organization: &str) -> String {
        let region = self.region.as_ref().map(|region| format!(".{region}")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("https://{organization}{region}.{}{port}", self.domain)
    }

    /// `dagster.cloud`, `eu.dagster.cloud`.
    fn shared_name(&self) -> String {
        let region = self.region.as_ref().map(|region| format!("{region}.")).unwrap_or_default();
        format!("{region}{}", self.domain)
    }
}

impl Endpoint {
    /// The address according to flags, inputs and variables. A URL flag wins over the URL variable. If both an address
    /// and an organization are set, they must agree.
    ///
    /// # Errors
    /// When nothing is set, an address is malformed or would send the token unencrypted, there is no organization, or
    /// two settings have different ones.
    pub fn read(args: &DagsterArgs, host: &Host) -> Result<Endpoint, ContextError> {
        let region = host.var(env_vars::DAGSTER_CLOUD_ENV).map(str::trim);
        let by_flag = args.url.as_deref().map(|url| (args.setting("--url", "dagster_cloud_url"), url));
        let by_variable = || variable(env_vars::DAGSTER_CLOUD_URL, host);
        let url = by_flag.or_else(by_variable).filter(|(_, text)| !text.trim().is_empty());
        let mut named = Vec::new();
        for (setting, text) in organizations(args, host, url.is_some()) {
            let (place, deployment) = organization(&setting, text, region)?;
            named.push((setting, place, deployment));
        }
        let mut endpoint = match url {
            Some((setting, text)) => combine(setting, text, region, &named)?,
            None => {
                let Some((setting, place, deployment)) = named.first().cloned() else {
                    return Err(ContextError::NoUrl { by_inputs: args.by_inputs });
                };
                let name = place.organization.clone().unwrap_or_default();
                agree(&setting, &place, &named)?;
                Endpoint { organization_url: place.url(&name), deployment, setting, note: None }
            }
        };
        endpoint.take_deployment(args, host)?;
        Ok(endpoint)
    }

    /// Set the deployment: a flag wins over the address, and the address over the variable.
    fn take_deployment(&mut self, args: &DagsterArgs, host: &Host) -> Result<(), ContextError> {
        let flag = args.deployment.as_deref().map(|name| (args.setting("--deployment", "deployment"), name));
        let variable = || variable(env_vars::DAGSTER_CLOUD_DEPLOYMENT, host);
        let named = match flag {
            Some(flag) => Some(flag),
            None if self.deployment.is_none() => variable(),
            None => None,
        };
        if let Some((setting, name)) = named {
            self.deployment = Some(deployment_name(&setting, name)?);
        }
        Ok(())
    }
}

fn variable<'a>(name: &str, host: &'a Host) -> Option<(String, &'a str)> {
    host.var(name).map(|value| (name.to_string(), value))
}

/// The settings with an organization. The variable of Dagster+'s own action only counts if nothing else is set.
fn organizations<'a>(args: &'a DagsterArgs, host: &'a Host, has_url: bool) -> Vec<(String, &'a str)> {
    let flag = args.organization.as_deref();
    let flag = flag.map(|name| (args.setting("--organization", "organization"), name));
    let named: Vec<_> =
        flag.into_iter().chain(variable(env_vars::DAGSTER_CLOUD_ORGANIZATION, host)).collect();
    let older = || variable(env_vars::ORGANIZATION_ID, host).into_iter().collect();
    if named.is_empty() && !has_url && args.by_inputs { older() } else { named }
}

/// The endpoint for an address and the other settings with an organization.
fn combine(
    setting: String,
    text: &str,
    region: Option<&str>,
    named: &[(String, VendorHost, Option<String>)],
) -> Result<Endpoint, ContextError> {
    let Address { place, deployment, is_plain_http } = parse(&setting, text, region)?;
    let organization_url = match place {
        Place::Other(url) => url,
        Place::Vendor(place) => {
            agree(&setting, &place, named)?;
            let other = named.first().map(|(_, place, _)| place);
            let organization = place.organization.clone().or_else(|| other?.organization.clone());
            let Some(organization) = organization else {
                return Err(ContextError::NoOrganization { setting, host: place.shared_name() });
            };
            let region = place.region.clone().or_else(|| {
                let other = other.filter(|_| place.organization.is_none())?;
                other.region.clone()
            });
            VendorHost { region, ..place }.url(&organization)
        }
    };
    let note = is_plain_http.then(|| {
        format!("{setting} begins with http://; using {organization_url}, because the token must be sent encrypted")
    });
    Ok(Endpoint { organization_url, deployment, setting, note })
}

/// An error if a setting has another organization or region than `place`.
fn agree(
    setting: &str,
    place: &VendorHost,
    named: &[(String, VendorHost, Option<String>)],
) -> Result<(), ContextError> {
    let differ = |one: &Option<String>, other: &Option<String>| match (one, other) {
        (Some(one), Some(other)) => !one.eq_ignore_ascii_case(other),
        _ => false,
    };
    let shown = |place: &VendorHost| match (&place.organization, &place.region) {
        (Some(organization), Some(region)) => format!("{organization}.{region}"),
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => String::new(),
    };
    let contradicts = |other: &VendorHost| {
        differ(&place.organization, &other.organization) || differ(&place.region, &other.region)
    };
    match named.iter().find(|(_, other, _)| contradicts(other)) {
        Some((other_setting, other, _)) => Err(ContextError::Contradiction {
            one: setting.to_string(),
            one_names: shown(place),
            other: other_setting.clone(),
            other_names: shown(other),
        }),
        None => Ok(()),
    }
}

/// The name of an organization: `acme`, `acme.eu`, or its whole address.
fn organization(
    setting: &str,
    text: &str,
    region: Option<&str>,
) -> Result<(VendorHost, Option<String>), ContextError> {
    let bad = || ContextError::BadUrl {
        setting: setting.to_string(),
        why: "the name of an organization is the first part of its address, such as `acme`".into(),
    };
    let text = text.trim().trim_end_matches('/');
    let is_vendors = DOMAINS.iter().any(|domain| text.to_ascii_lowercase().contains(domain));
    if text.contains("://") || is_vendors {
        return match parse(setting, text, region)? {
            Address { place: Place::Vendor(place), deployment, .. } if place.organization.is_some() => {
                Ok((place, deployment))
            }
            _ => Err(bad()),
        };
    }
    let (name, own_region) = match text.split_once('.') {
        Some((name, region)) => (name, Some(region)),
        None => (text, None),
    };
    let region = own_region.or(region);
    if !is_label(name) || region.is_some_and(|region| !region.split('.').all(is_label)) {
        return Err(bad());
    }
    let (organization, region) = (Some(name.to_string()), region.map(String::from));
    Ok((VendorHost { organization, region, domain: DOMAINS[0], port: None }, None))
}

/// Whether a text is a part of a host name. Organizations with an underscore have been seen.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Parse an address: `https://HOST`, `https://HOST/DEPLOYMENT`, with or without slashes and pages after them; for
/// shared hosts `https://HOST/ORGANIZATION` and `https://HOST/ORGANIZATION/DEPLOYMENT`.
fn parse(setting: &str, text: &str, region: Option<&str>) -> Result<Address, ContextError> {
    let bad = |why: String| ContextError::BadUrl { setting: setting.to_string(), why };
    let text = text.trim();
    if let Some(why) = typo(text) {
        return Err(bad(why));
    }
    let with_scheme = match text.split_once("://") {
        Some(_) => text.to_string(),
        None => {
            let (host, path) = text.split_once('/').unwrap_or((text, ""));
            // A single label cannot be a public host, so it is an organization.
            if is_label(host) && host != "localhost" {
                let region = region.map(|region| format!(".{region}")).unwrap_or_default();
                format!("https://{host}{region}.{}/{path}", DOMAINS[0])
            } else {
                format!("https://{text}")
            }
        }
    };
    let url = Url::parse(&with_scheme).map_err(|error| bad(format!("it is not a URL: {error}")))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(bad("the token must be sent over https".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it must not contain a user name or password".into()));
    }
    let is_plain_http = url.scheme() == "http";
    let mut place = place(&url, region).map_err(bad)?;
    if is_plain_http && matches!(place, Place::Other(_)) && !is_loopback(&url) {
        return Err(bad("http:// would send the token unencrypted; use https://".into()));
    }
    let is_plain_http = is_plain_http && matches!(place, Place::Vendor(_));
    let mut segments =
        url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()).peekable();
    if let Place::Vendor(host) = &mut place
        && host.organization.is_none()
        && let Some(first) = segments.next_if(|first| !PAGES.contains(first))
    {
        if !is_label(first) {
            return Err(bad(format!("`{first}` is not the name of an organization")));
        }
        // Host names are case-insensitive, and the organization becomes part of one.
        host.organization = Some(first.to_ascii_lowercase());
    }
    let deployment = segments.next_if(|first| !PAGES.contains(first));
    let deployment = deployment.map(|name| deployment_name(setting, name)).transpose()?;
    if segments.next().is_some_and(|next| deployment.is_some() && !PAGES.contains(&next)) {
        return Err(bad("it has more than a deployment after the host".into()));
    }
    Ok(Address { place, deployment, is_plain_http })
}

/// A typo in an address, with the form that is probably meant. The token is never sent to a guessed host.
fn typo(text: &str) -> Option<String> {
    if text.contains(char::is_whitespace) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let is_domain = |word: &&str| DOMAINS.iter().any(|domain| word.starts_with(domain));
        let meant = words.join(if words.iter().skip(1).any(is_domain) { "." } else { "" });
        return Some(format!("there is a space in it; did you mean `{meant}`?"));
    }
    let end = text.find(|each: char| !each.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (scheme, rest) = text.split_at(end);
    let is_known = ["https", "http"].contains(&scheme.to_ascii_lowercase().as_str());
    let after = rest.trim_start_matches([':', ';', '/', '\\']);
    let separator = &rest[..rest.len() - after.len()];
    let is_near = is_known || near_names::closest(scheme, &["https", "http"]).is_some();
    let is_scheme = match separator {
        "://" => !is_known,
        "" | "/" => false,
        _ => is_near,
    };
    let problem = if OTHER_SCHEMES.contains(&scheme) {
        "the token must be sent over https".to_string()
    } else if is_known {
        format!("`{scheme}{separator}` is not the start of an address")
    } else {
        format!("`{scheme}` is not a known URL scheme")
    };
    is_scheme.then(|| format!("{problem}; did you mean `https://{after}`?"))
}

/// Whether the host belongs to Dagster+, and its organization and region.
fn place(url: &Url, region: Option<&str>) -> Result<Place, String> {
    let host = url.host_str().ok_or("it has no host")?.trim_end_matches('.');
    let Some((before, domain)) = DOMAINS.iter().find_map(|domain| {
        let before = host.strip_suffix(domain)?;
        (before.is_empty() || before.ends_with('.')).then_some((before.trim_end_matches('.'), *domain))
    }) else {
        if is_label(host) && host != "localhost" && !is_loopback(url) {
            return Err(format!(
                "`{host}` is not a complete host name; did you mean https://{host}.{}?",
                DOMAINS[0]
            ));
        }
        return Ok(Place::Other(url[..url::Position::BeforePath].to_string()));
    };
    // The region may be written alone (`eu.dagster.cloud`), where it looks like an organization.
    let is_region = |label: &str| REGIONS.contains(&label) || Some(label) == region;
    let (organization, region) = match before.split_once('.') {
        _ if before.is_empty() || SHARED.contains(&before) => (None, None),
        None if is_region(before) => (None, Some(before)),
        None => (Some(before), None),
        Some((shared, region)) if SHARED.contains(&shared) => (None, Some(region)),
        Some((organization, region)) => (Some(organization), Some(region)),
    };
    let (organization, region) = (organization.map(String::from), region.map(String::from));
    Ok(Place::Vendor(VendorHost { organization, region, domain, port: url.port() }))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name == "localhost",
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
