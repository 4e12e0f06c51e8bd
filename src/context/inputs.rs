//! Dagster+'s address, token and time-outs, from flags and variables; each text becomes a type here and nowhere deeper.
//!
//! Source: dagster-cloud-cli's variables. `DAGSTER_CLOUD_URL` may name the organization or one of its deployments.

use super::ContextError;
use crate::cli::DagsterArgs;
use crate::env_vars;
use crate::host::Host;
use crate::net::redact::Secret;
use std::time::Duration;
use url::Url;

/// Where an organization is, and the deployment that its address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://ORGANIZATION.dagster.cloud`, without a slash at the end.
    pub organization_url: String,
    /// The deployment at the end of `DAGSTER_CLOUD_URL`, or of the flag or variable that names one.
    pub deployment: Option<String>,
}

/// Words that follow the deployment, or stand in its place, in addresses copied from a browser or a client.
const PAGES: [&str; 9] =
    ["graphql", "locations", "home", "overview", "deployment", "runs", "assets", "jobs", "settings"];

impl Endpoint {
    /// The address that flags and variables give. Flags win over variables, and a URL over an organization's name.
    ///
    /// # Errors
    /// Neither is given, or the URL is malformed or would send the token in clear.
    pub fn read(args: &DagsterArgs, host: &Host) -> Result<Endpoint, ContextError> {
        let from_url = match (&args.url, &args.organization) {
            (Some(url), _) => Some(("--url (`dagster_cloud_url`)", url.as_str())),
            (None, Some(_)) => None,
            (None, None) => {
                host.var(env_vars::DAGSTER_CLOUD_URL).map(|url| (env_vars::DAGSTER_CLOUD_URL, url))
            }
        };
        let organization =
            args.organization.as_deref().or_else(|| host.var(env_vars::DAGSTER_CLOUD_ORGANIZATION));
        let mut endpoint = match (from_url, organization) {
            (Some((setting, url)), _) => Endpoint::parse(setting, url)?,
            (None, Some(name)) => Endpoint::of_organization(name, host.var(env_vars::DAGSTER_CLOUD_ENV))?,
            (None, None) => return Err(ContextError::NoUrl),
        };
        let named = args.deployment.as_deref().map(|name| ("--deployment (`deployment`)", name));
        let named = named.or_else(|| {
            let from_variable = host.var(env_vars::DAGSTER_CLOUD_DEPLOYMENT);
            from_variable.map(|name| (env_vars::DAGSTER_CLOUD_DEPLOYMENT, name))
        });
        if let Some((setting, name)) = named
            && (args.deployment.is_some() || endpoint.deployment.is_none())
        {
            endpoint.deployment = Some(deployment_name(setting, name)?);
        }
        Ok(endpoint)
    }

    fn of_organization(name: &str, env: Option<&str>) -> Result<Endpoint, ContextError> {
        let plain =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let name = name.trim();
        if !plain(name) || !env.is_none_or(plain) {
            return Err(ContextError::BadUrl {
                setting: env_vars::DAGSTER_CLOUD_ORGANIZATION.into(),
                why: "an organization is named by the first part of its address, such as `acme`".into(),
            });
        }
        let env = env.map(|env| format!(".{env}")).unwrap_or_default();
        Ok(Endpoint { organization_url: format!("https://{name}{env}.dagster.cloud"), deployment: None })
    }

    /// Read an address: `https://HOST`, `https://HOST/DEPLOYMENT`, with or without slashes and pages behind them.
    fn parse(setting: &str, text: &str) -> Result<Endpoint, ContextError> {
        let bad = |why: &str| ContextError::BadUrl { setting: setting.to_string(), why: why.to_string() };
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_string() } else { format!("https://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|error| bad(&format!("it is not a URL: {error}")))?;
        let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if url.scheme() == "http" && !loopback {
            // Workflows of the predecessor's time have it so, and were redirected; the token travels over https only.
            url.set_scheme("https").map_err(|()| bad("the token may only travel over https"))?;
        }
        if !matches!(url.scheme(), "https" | "http") {
            return Err(bad("the token may only travel over https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it may not hold a user name or password"));
        }
        let mut segments = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty());
        let deployment = match segments.next() {
            Some(first) if !PAGES.contains(&first) => Some(deployment_name(setting, first)?),
            _ => None,
        };
        if segments.next().is_some_and(|second| deployment.is_some() && !PAGES.contains(&second)) {
            return Err(bad("it has more behind the host than a deployment"));
        }
        Ok(Endpoint { organization_url: url[..url::Position::BeforePath].to_string(), deployment })
    }
}

/// The name of a deployment, as it can stand in a URL.
///
/// # Errors
/// When it is blank or has characters that no deployment has.
pub fn deployment_name(setting: &str, name: &str) -> Result<String, ContextError> {
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) || name.chars().all(|c| c == '.') {
        return Err(ContextError::BadDeployment { setting: setting.to_string(), name: name.to_string() });
    }
    Ok(name.to_string())
}

/// The API token.
///
/// # Errors
/// None is given, its file cannot be read, or it has characters that cannot be in a header.
pub fn token(args: &DagsterArgs, host: &Host) -> Result<Secret, ContextError> {
    let given = match (&args.api_token, &args.api_token_file) {
        (Some(token), _) => Some(token.reveal().to_string()),
        (None, Some(path)) => {
            let path = host.absolute(path);
            Some(std::fs::read_to_string(&path).map_err(|source| ContextError::TokenFile { path, source })?)
        }
        (None, None) => host.var(env_vars::DAGSTER_CLOUD_API_TOKEN).map(String::from),
    };
    let token = given.map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
    let token = token.ok_or(ContextError::NoToken)?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ContextError::BadToken);
    }
    Ok(Secret::new(token))
}

/// How long to wait after an update. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// Until an agent is seen running.
    pub agent: Option<Duration>,
    /// Until the code locations have loaded.
    pub load: Option<Duration>,
    /// Whether to wait at all: not when both limits are given as 0.
    pub wait: bool,
}

/// Time-outs from flags and variables. By default those of the predecessor: 600 s for the load, and for the agent 90 s,
/// or 600 s on the first run of a workflow. 0 is no limit, and both 0 is no wait.
///
/// # Errors
/// A variable that is no whole number of seconds.
pub fn wait_limits(args: &DagsterArgs, host: &Host) -> Result<WaitLimits, ContextError> {
    let first_run = host.var(env_vars::GITHUB_RUN_NUMBER) == Some("1");
    let seconds = |flag: Option<u64>, variable: &'static str, default: u64| match (flag, host.var(variable)) {
        (Some(seconds), _) => Ok(seconds),
        (None, Some(text)) => text
            .trim()
            .parse()
            .map_err(|_| ContextError::BadSeconds { setting: variable, value: text.to_string() }),
        (None, None) => Ok(default),
    };
    let agent = seconds(
        args.agent_heartbeat_timeout,
        env_vars::DAGSTER_CLOUD_AGENT_HEARTBEAT_TIMEOUT,
        if first_run { 600 } else { 90 },
    )?;
    let load = seconds(args.location_load_timeout, env_vars::DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT, 600)?;
    let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    Ok(WaitLimits { agent: limit(agent), load: limit(load), wait: agent > 0 || load > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    fn read(env: &[(&str, &str)], args: &DagsterArgs) -> Result<(String, Option<String>), String> {
        Endpoint::read(args, &host(env))
            .map(|endpoint| (endpoint.organization_url, endpoint.deployment))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_may_name_a_deployment_or_not() {
        for (url, base, deployment) in [
            ("https://acme.dagster.cloud", "https://acme.dagster.cloud", None),
            ("https://acme.dagster.cloud/", "https://acme.dagster.cloud", None),
            ("https://acme.dagster.cloud/prod", "https://acme.dagster.cloud", Some("prod")),
            ("https://acme.dagster.cloud/prod/", "https://acme.dagster.cloud", Some("prod")),
            (" acme.dagster.cloud/prod/locations?x=1 ", "https://acme.dagster.cloud", Some("prod")),
            ("https://acme.dagster.cloud/graphql", "https://acme.dagster.cloud", None),
            ("HTTP://acme.dagster.cloud/prod", "https://acme.dagster.cloud", Some("prod")),
            ("http://127.0.0.1.evil.example", "https://127.0.0.1.evil.example", None),
            ("http://127.0.0.1:8080/prod", "http://127.0.0.1:8080", Some("prod")),
            ("http://localhost:8080", "http://localhost:8080", None),
        ] {
            let got = read(&[("DAGSTER_CLOUD_URL", url)], &DagsterArgs::default());
            assert_eq!(got, Ok((base.to_string(), deployment.map(String::from))), "{url}");
        }
    }

    #[test]
    fn an_address_that_would_leak_or_mislead_is_refused() {
        for url in [
            "ftp://acme.dagster.cloud",
            "https://u:p@acme.dagster.cloud",
            "https://acme.dagster.cloud/a/b",
            "https://acme.dagster.cloud/pr%20od",
            "https://",
        ] {
            let got = read(&[("DAGSTER_CLOUD_URL", url)], &DagsterArgs::default());
            assert!(got.as_ref().is_err_and(|text| text.contains("DAGSTER_CLOUD_URL")), "{url}: {got:?}");
        }
    }

    #[test]
    fn flags_win_over_variables_and_a_url_over_a_name() {
        let env = [("DAGSTER_CLOUD_URL", "https://a.dagster.cloud/one"), ("DAGSTER_CLOUD_DEPLOYMENT", "two")];
        let none = DagsterArgs::default();
        assert_eq!(read(&env, &none).unwrap().1.as_deref(), Some("one"));
        let flag = DagsterArgs { deployment: Some("three".into()), ..DagsterArgs::default() };
        assert_eq!(read(&env, &flag).unwrap().1.as_deref(), Some("three"));
        let organization = DagsterArgs { organization: Some("b".into()), ..DagsterArgs::default() };
        assert_eq!(read(&env, &organization).unwrap().0, "https://b.dagster.cloud");
        let env = [("DAGSTER_CLOUD_ORGANIZATION", "acme"), ("DAGSTER_CLOUD_ENV", "eu")];
        assert_eq!(read(&env, &none).unwrap(), ("https://acme.eu.dagster.cloud".to_string(), None));
        assert!(read(&[], &none).unwrap_err().contains("DAGSTER_CLOUD_URL"));
    }

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let args = DagsterArgs::default();
        let given = token(&args, &host(&[("DAGSTER_CLOUD_API_TOKEN", " user:abc\n")])).unwrap();
        assert_eq!((given.reveal(), format!("{given:?}").as_str()), ("user:abc", "***"));
        for env in [&[][..], &[("DAGSTER_CLOUD_API_TOKEN", "  ")], &[("DAGSTER_CLOUD_API_TOKEN", "a\nb")]] {
            let error = token(&args, &host(env)).unwrap_err();
            assert!(error.to_string().contains("DAGSTER_CLOUD_API_TOKEN"), "{error}");
        }
    }

    #[test]
    fn time_outs_default_to_the_predecessors() {
        let limits = |env: &[(&str, &str)]| wait_limits(&DagsterArgs::default(), &host(env)).unwrap();
        let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
        for (env, agent, load) in [
            (&[][..], Some(90), Some(600)),
            (&[("GITHUB_RUN_NUMBER", "1")], Some(600), Some(600)),
            (&[("DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT", "5")], Some(90), Some(5)),
            (&[("DAGSTER_CLOUD_AGENT_HEARTBEAT_TIMEOUT", "0")], None, Some(600)),
        ] {
            let got = limits(env);
            assert_eq!((seconds(got.agent), seconds(got.load), got.wait), (agent, load, true), "{env:?}");
        }
        let none = DagsterArgs {
            agent_heartbeat_timeout: Some(0),
            location_load_timeout: Some(0),
            ..DagsterArgs::default()
        };
        assert!(!wait_limits(&none, &host(&[])).unwrap().wait);
        let bad = host(&[("DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT", "soon")]);
        assert!(wait_limits(&DagsterArgs::default(), &bad).is_err());
    }
}
