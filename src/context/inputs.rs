//! Dagster+'s token and timeouts, from flags and variables. Each text becomes a type here.
//!
//! Source: dagster-cloud-cli's variables. [`super::address`] reads the address.

use super::ContextError;
use super::args::DagsterArgs;
use crate::env_vars;
use crate::host::Host;
use crate::redact::Secret;
use std::time::Duration;

/// The name of a deployment, as in a URL.
///
/// # Errors
/// When it is empty or has characters that no deployment has.
pub fn deployment_name(setting: &str, name: &str) -> Result<String, ContextError> {
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) || name.chars().all(|c| c == '.') {
        return Err(ContextError::BadDeployment { setting: setting.to_string(), name: name.to_string() });
    }
    Ok(name.to_string())
}

/// The API token, and the name of its setting.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// `DAGSTER_CLOUD_API_TOKEN`, `--api-token-file`, the input's name …
    pub setting: String,
}

/// The API token.
///
/// # Errors
/// When there is none, its file cannot be read, or it is not a token.
pub fn token(args: &DagsterArgs, host: &Host) -> Result<Token, ContextError> {
    let (given, setting) = match (&args.api_token, &args.api_token_file) {
        (Some(token), _) => {
            let setting = args.setting("--api-token", "dagster_cloud_api_token");
            (Some(token.reveal().to_string()), setting)
        }
        (None, Some(path)) => {
            let path = host.absolute(path);
            let setting = format!("the file `{}` (--api-token-file)", path.display());
            let text = std::fs::read(&path).map_err(|source| ContextError::TokenFile { path, source })?;
            // Not an error here: `token_problem` explains what is wrong with such a text.
            let text = String::from_utf8_lossy(&text);
            (Some(text.trim_start_matches('\u{feff}').to_string()), setting)
        }
        (None, None) => {
            let setting = env_vars::DAGSTER_CLOUD_API_TOKEN;
            (host.var(setting).map(String::from), setting.to_string())
        }
    };
    let token = given.map(|token| token.trim().to_string()).filter(|token| !token.is_empty());
    let Some(token) = token else {
        let is_file = args.api_token.is_none() && args.api_token_file.is_some();
        return Err(match is_file {
            true => ContextError::BadToken { setting, problem: "it is empty" },
            false => ContextError::NoToken { by_inputs: args.by_inputs },
        });
    };
    match token_problem(&token) {
        Some(problem) => Err(ContextError::BadToken { setting, problem }),
        None => Ok(Token { secret: Secret::new(token), setting }),
    }
}

/// Why a text is not a token: it is often copied together with the text around it.
fn token_problem(token: &str) -> Option<&'static str> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let is_assignment =
        token.split_once('=').is_some_and(|(name, _)| is_name(name.trim_start_matches("export ").trim()));
    match token {
        _ if token.starts_with('#') => {
            Some("its first line is a comment, but it must contain only the token")
        }
        _ if token.starts_with('{') => Some("it is JSON, but it must contain only the token"),
        _ if token.starts_with("https://") || token.starts_with("http://") => Some("it is a URL"),
        // After the checks for a comment, JSON and a URL, which explain such a file better.
        _ if token.lines().count() > 1 => Some("it has more than one line"),
        _ if is_assignment => Some("it is `NAME=value`, but the token is only the value"),
        _ if token.contains(['"', '\'', '`']) => Some("it has quotes, which a token never has"),
        _ if token.contains(char::is_whitespace) => Some("it has a space, which a token never has"),
        _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some("it has invalid characters (control characters or non-ASCII ones)")
        }
        _ => None,
    }
}

/// How long to wait after an update. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// Until an agent is running.
    pub agent: Option<Duration>,
    /// Until the code locations have loaded.
    pub load: Option<Duration>,
    /// Whether to wait at all: not when both limits are 0.
    pub wait: bool,
}

/// Default limit for Serverless agents, which may be asleep.
pub const SERVERLESS_AGENT_LIMIT: Duration = Duration::from_secs(900);

/// Whether a limit for the agent is set.
pub fn agent_limit_is_given(args: &DagsterArgs, host: &Host) -> bool {
    args.agent_heartbeat_timeout.is_some()
        || host.var(env_vars::DAGSTER_CLOUD_AGENT_HEARTBEAT_TIMEOUT).is_some()
}

/// Timeouts from flags and variables. The defaults are those of Dagster+'s own tools: for loading 600 s, and 3,600 s in
/// the action; for the agent 90 s, or 600 s on the first run of a workflow, as long as the type of agent is not known.
/// 0 means no limit, and both 0 no waiting.
///
/// # Errors
/// When a variable is not a whole number of seconds.
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
    let default_load = if args.by_inputs { 3600 } else { 600 };
    let load =
        seconds(args.location_load_timeout, env_vars::DAGSTER_CLOUD_LOCATION_LOAD_TIMEOUT, default_load)?;
    let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    Ok(WaitLimits { agent: limit(agent), load: limit(load), wait: agent > 0 || load > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let args = DagsterArgs::default();
        let given = token(&args, &host(&[("DAGSTER_CLOUD_API_TOKEN", " user:abc\n")])).unwrap();
        assert_eq!((given.secret.reveal(), given.setting.as_str()), ("user:abc", "DAGSTER_CLOUD_API_TOKEN"));
        assert!(!format!("{given:?}").contains("abc"));
        for env in [&[][..], &[("DAGSTER_CLOUD_API_TOKEN", "  ")]] {
            let error = token(&args, &host(env)).unwrap_err();
            assert!(error.to_string().contains("DAGSTER_CLOUD_API_TOKEN"), "{error}");
        }
    }

    /// Users saw only a 401, or the name of a variable that they had not used.
    #[test]
    fn a_token_with_text_around_it_is_refused_with_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token.txt");
        let of_file = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            let args = DagsterArgs { api_token_file: Some(file.clone()), ..DagsterArgs::default() };
            token(&args, &host(&[]))
        };
        assert_eq!(of_file(b"\xEF\xBB\xBFuser:abc\r\n").unwrap().secret.reveal(), "user:abc");
        let mut errors: Vec<String> = [
            &b"\"user:abc\""[..],
            b"DAGSTER_CLOUD_API_TOKEN=user:abc\n",
            b"export TOKEN=user:abc",
            b"user:abc\nuser:def\n",
            b"Bearer user:abc",
            b"user:\xFF\xFE",
            b"",
            b"# of the organization\nuser:abc\n",
            b"{\"token\": \"user:abc\"}",
            b"https://acme.dagster.cloud/prod\n",
        ]
        .iter()
        .map(|bytes| of_file(bytes).unwrap_err().to_string())
        .map(|text| text.replace(&file.display().to_string(), "[FILE]"))
        .collect();
        let input =
            DagsterArgs { api_token: Some(Secret::new("'a'")), by_inputs: true, ..DagsterArgs::default() };
        errors.push(token(&input, &host(&[])).unwrap_err().to_string());
        let none = DagsterArgs { by_inputs: true, ..DagsterArgs::default() };
        errors.push(token(&none, &host(&[])).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r#"
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it has quotes, which a token never has
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it is `NAME=value`, but the token is only the value
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it is `NAME=value`, but the token is only the value
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it has more than one line
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it has a space, which a token never has
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it has invalid characters (control characters or non-ASCII ones)
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it is empty
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: its first line is a comment, but it must contain only the token
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it is JSON, but it must contain only the token
        the file `[FILE]` (--api-token-file) is not a token of Dagster+: it is a URL
        the input `dagster_cloud_api_token` is not a token of Dagster+: it has quotes, which a token never has
        no token for Dagster+: the input `dagster_cloud_api_token` is empty, and DAGSTER_CLOUD_API_TOKEN is not set
        "#);
    }

    #[test]
    fn timeouts_default_to_those_of_dagsters_tools() {
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
        let action = DagsterArgs { by_inputs: true, ..DagsterArgs::default() };
        assert_eq!(seconds(wait_limits(&action, &host(&[])).unwrap().load), Some(3600));
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
