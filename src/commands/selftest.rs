//! `selftest`: what a build and a deploy would use, and whether it works; one line per check.

use super::Error;
use crate::child_env::Purpose;
use crate::cli::Format;
use crate::env_vars;
use crate::error::{Explain, Fault};
use crate::host::Host;
use crate::net::{Agent, Request, SafeUrl};
use crate::pex::PEX_VERSION;
use crate::render::Exit;
use crate::target::PythonVersion;
use crate::tools::process::Process;
use crate::tools::{Tools, Uv};
use serde::Serialize;
use std::path::Path;
use url::Url;

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    check: String,
    status: Status,
    detail: String,
    /// Whose fault a failure is.
    #[serde(skip)]
    fault: Option<Fault>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Something that only some projects need is missing.
    Warn,
    /// No deploy can work.
    Fail,
}

impl Check {
    fn ok(check: &str, detail: impl Into<String>) -> Check {
        Check { check: check.into(), status: Status::Ok, detail: detail.into(), fault: None }
    }

    fn warn(check: &str, detail: impl Into<String>) -> Check {
        Check { status: Status::Warn, ..Check::ok(check, detail) }
    }

    fn fail(check: &str, error: &impl Explain) -> Check {
        let detail = one_line(error);
        Check { status: Status::Fail, fault: Some(error.fault()), ..Check::ok(check, detail) }
    }
}

/// Run every check. Exit code 0 if a deploy can work, 3 if only the network stands in the way, else 4.
///
/// # Errors
/// When stdout cannot be written; what fails otherwise is in the report.
pub fn run(tools: &Tools, format: Format, host: &Host) -> Result<Exit, Error> {
    let checks = checks(tools, host);
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&checks).map_err(|error| Error::Stdout(error.into()))?,
        Format::Text => lines(&checks),
    };
    host.data(&text).map_err(Error::Stdout)?;
    Ok(exit(&checks))
}

fn exit(checks: &[Check]) -> Exit {
    let mut faults = checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.fault);
    match faults.next() {
        None => Exit(0),
        Some(Some(Fault::Remote)) if faults.all(|fault| fault == Some(Fault::Remote)) => {
            Exit(Fault::Remote.exit_code())
        }
        Some(_) => Exit(Fault::Tool.exit_code()),
    }
}

fn lines(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    let line = |check: &Check| {
        let mark = match check.status {
            Status::Ok => "ok  ",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        format!("{mark}  {:width$}  {}\n", check.check, check.detail)
    };
    checks.iter().map(line).collect()
}

fn checks(tools: &Tools, host: &Host) -> Vec<Check> {
    let agent = Agent::new(host);
    let mut checks = vec![
        Check::ok(
            "pexpress",
            format!(
                "{} for {} on {}",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::ARCH,
                std::env::consts::OS
            ),
        ),
        cache(tools),
    ];
    let uv = tools.uv();
    checks.push(match &uv {
        Ok(uv) => Check::ok("uv", format!("{} at {}", uv.version(), uv.program().display())),
        Err(error) => Check::fail("uv", error),
    });
    if let Ok(uv) = uv {
        checks.push(index(uv, host));
    }
    checks.push(match tools.pex_runtime_archive() {
        Ok(path) => Check::ok("PEX runtime", format!("pex {PEX_VERSION} at {}", path.display())),
        Err(error) => Check::fail("PEX runtime", &error),
    });
    checks.extend(pythons(tools));
    checks.push(git(host));
    checks.push(Check::ok("certificates", agent.trust().to_string()));
    checks.push(proxy(&agent));
    checks.push(github(host));
    checks.push(dagster(&agent, host));
    checks
}

/// Whether the cache can be written, and how much room there is.
fn cache(tools: &Tools) -> Check {
    let written = tools.cache().dir("").and_then(|dir| {
        crate::cache::write_atomically::<crate::cache::CacheError>(&dir.join(".selftest"), |_| Ok(()))?;
        // Whether it can be removed again does not matter to a build.
        let _ = std::fs::remove_file(dir.join(".selftest"));
        Ok(dir)
    });
    match written {
        Ok(dir) => match free_bytes(&dir) {
            // Only a warning: a small project needs much less.
            Some(free) if free < ROOM_BYTES => {
                Check::warn("cache", format!("{}, only {} MB free", dir.display(), free / 1_000_000))
            }
            Some(free) => Check::ok("cache", format!("{}, {:.1} GB free", dir.display(), free as f64 / 1e9)),
            None => Check::ok("cache", dir.display().to_string()),
        },
        Err(error) => Check::fail("cache", &error),
    }
}

/// Disk space that one larger project needs: its wheels, and the PEX built from them.
const ROOM_BYTES: u64 = 1_000_000_000;

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// The package to look up in the index: every code location needs it.
const ASKED_FOR: &str = "dagster";

/// Whether the package index answers: uv looks up one package without its cache.
fn index(uv: &Uv, host: &Host) -> Check {
    let began = host.clock.now();
    // Through uv and not our own client: a build reaches the index with uv's settings and credentials.
    match uv.ask_index(ASKED_FOR) {
        Ok(()) => {
            let took = host.clock.now().duration_since(began).unwrap_or_default();
            Check::ok(
                "package index",
                format!("{} answers, in {:.1} s", index_name(uv, host), took.as_secs_f64()),
            )
        }
        Err(error) => Check::fail("package index", &error),
    }
}

/// The index that is asked, as far as the environment says.
fn index_name(uv: &Uv, host: &Host) -> String {
    let by_uv = [env_vars::UV_DEFAULT_INDEX, env_vars::UV_INDEX_URL].iter().find_map(|name| host.var(name));
    match by_uv.or(uv.pip_config().index_url.as_deref()) {
        Some(url) => SafeUrl::parse(url).to_string(),
        None => "uv's default index".into(),
    }
}

/// Each Python that a build could use, and a warning where the default one is missing.
fn pythons(tools: &Tools) -> Vec<Check> {
    let found = tools.pythons();
    let mut checks: Vec<_> = found
        .iter()
        .map(|python| {
            let (major, minor, patch) = python.version;
            let place = python.executable.display();
            Check::ok("Python", format!("{major}.{minor}.{patch} at {place} ({})", python.source))
        })
        .collect();
    let default = PythonVersion::DEFAULT;
    if !found.iter().any(|python| python.is(default)) {
        checks.push(Check::warn(
            "Python",
            format!("no {default}, the default of a code location: needed to build sdists and setup.py projects; uv will try to install it"),
        ));
    }
    checks
}

fn git(host: &Host) -> Check {
    match Process::new(host, Purpose::Git, "git")
        .subcommand(&["--version"])
        .run(host)
        .and_then(|output| output.text())
    {
        Ok(text) => Check::ok("git", text.trim().trim_start_matches("git version ").to_string()),
        Err(_) => Check::warn("git", "not found: needed for requirements from Git repositories"),
    }
}

/// How an `https` server is reached.
fn proxy(agent: &Agent) -> Check {
    let anywhere = Url::parse("https://server.invalid/");
    match anywhere.ok().map(|url| agent.proxy_for(&url)) {
        Some(Ok(Some(proxy))) => Check::ok("proxy", proxy.to_string()),
        Some(Err(error)) => Check::fail("proxy", &error),
        Some(Ok(None)) | None => Check::ok("proxy", "none"),
    }
}

fn github(host: &Host) -> Check {
    let var = |name| host.var(name).unwrap_or("?");
    if !host.on_runner() {
        return Check::ok("GitHub", "not on a runner");
    }
    let (event, repository) = (var(env_vars::GITHUB_EVENT_NAME), var(env_vars::GITHUB_REPOSITORY));
    let text = format!("{event} of {repository} at {}", var(env_vars::GITHUB_REF));
    match host.path_var(env_vars::GITHUB_EVENT_PATH).filter(|path| path.is_file()) {
        Some(_) => Check::ok("GitHub", text),
        None => Check::warn("GitHub", format!("{text}; the event payload is missing")),
    }
}

/// Whether Dagster+ answers at all, if it is configured. Permissions of the token are only checked by a deploy.
fn dagster(agent: &Agent, host: &Host) -> Check {
    let (Some(address), Some(_)) =
        (host.var(env_vars::DAGSTER_CLOUD_URL), host.var(env_vars::DAGSTER_CLOUD_API_TOKEN))
    else {
        let names = format!("{} and {}", env_vars::DAGSTER_CLOUD_URL, env_vars::DAGSTER_CLOUD_API_TOKEN);
        return Check::ok("Dagster+", format!("not configured ({names})"));
    };
    let Ok(url) = Url::parse(address) else {
        return Check::fail("Dagster+", &NotAUrl(SafeUrl::parse(address)));
    };
    match agent.send(Request::get(&url)) {
        Ok(response) if response.status < 500 => {
            Check::ok("Dagster+", format!("{} answers", SafeUrl::from(&url)))
        }
        Ok(response) => Check::fail("Dagster+", &response.status_error(host.clock.now())),
        Err(error) => Check::fail("Dagster+", &error),
    }
}

/// An invalid URL.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a URL: `{}`", env_vars::DAGSTER_CLOUD_URL, .0)]
struct NotAUrl(SafeUrl);

impl Explain for NotAUrl {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// An error with its causes and its hint, on one line.
fn one_line(error: &impl Explain) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    if let Some(hint) = error.hint() {
        text += &format!(" ({hint})");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
