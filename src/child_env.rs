//! Which variables a child process gets. The one place that decides it.
//!
//! A child that only answers a question, or does a piece of our own work, gets what is on a list. A child that runs the
//! user's code (a `setup.py`, a build backend, the definitions) gets the user's variables, since nobody can list what
//! such code reads (`VERSION`, `GITHUB_SHA`, `CC`, `MATURIN_*`), less every credential of this run and of the runner.
//! The credentials of package indexes go to the programs that fetch packages; what those start inherits them.
//!
//! Two programs are no concern of this room: `-m MODULE`, which stands in for the user's own shell
//! ([`Host::full_env`]), and a `git` that clones, which is given the tokens of GitHub by name (`build/git_source.rs`).

use crate::env_vars;
use crate::host::Host;
use crate::redact::Secret;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What a child process is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a question or do a piece of our own work: an interpreter, pex's tools.
    Own,
    /// To answer a question about a work tree: git, which has variables of its own.
    Git,
    /// To answer a question about Pythons or make an empty environment: uv, which has variables of its own.
    Uv,
    /// To fetch packages or repositories and perhaps build them, which is the user's code already: uv, pip, git.
    Fetch,
    /// To run the user's code without fetching anything.
    Code,
}

/// Variables for [`Purpose::Own`], [`Purpose::Git`] and [`Purpose::Uv`]: programs, homes, temporary files, language, and how
/// loaders and interpreters find their own files.
const NAMES: [&str; 32] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANG",
    "LANGUAGE",
    "LOCPATH",
    "LOCALE_ARCHIVE",
    "NETRC",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NO_COLOR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "PROGRAMDATA",
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
];
/// Starts of such names: locale, loader, certificates, XDG directories, and the managers whose shims stand for Pythons.
const PREFIXES: [&str; 11] =
    ["LC_", "LD_", "DYLD_", "SSL_", "OPENSSL_", "XDG_", "PYTHON", "PYENV_", "ASDF_", "MISE_", "NIX_"];

/// Starts of names whose values are credentials of the runner, or lead to its services. Source: "OpenID Connect
/// reference" (GitHub's manual) and the toolkit that the runner's own actions use.
const RUNNER_PREFIXES: [&str; 1] = ["ACTIONS_"];
/// The files by which a step speaks to the runner: what is written there becomes variables and programs of later steps.
/// Source: "Workflow commands for GitHub Actions" (GitHub's manual).
const RUNNER_FILES: [&str; 5] =
    ["GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];
/// Starts of names of credentials for publishing packages, which nothing here does. Source: manuals of uv, twine, flit,
/// poetry, hatch, maturin.
const PUBLISHING: [&str; 8] = [
    "UV_PUBLISH_",
    "TWINE_",
    "FLIT_PASSWORD",
    "POETRY_PYPI_TOKEN_",
    "POETRY_HTTP_BASIC_",
    "HATCH_INDEX_AUTH",
    "MATURIN_PYPI_TOKEN",
    "MATURIN_PASSWORD",
];
/// Starts of names that say where packages come from, with credentials or without.
const INDEXES: [&str; 7] = [
    env_vars::UV_INDEX,
    env_vars::UV_DEFAULT_INDEX,
    env_vars::UV_EXTRA_INDEX_URL,
    env_vars::UV_FIND_LINKS,
    env_vars::PIP_INDEX_URL,
    env_vars::PIP_EXTRA_INDEX_URL,
    env_vars::PIP_FIND_LINKS,
];

/// The variables of a child of this kind.
pub fn for_child(host: &Host, purpose: Purpose) -> BTreeMap<OsString, OsString> {
    let secrets = host.tokens();
    let gets = |name: &str, value: &OsStr| match purpose {
        Purpose::Own => is_listed(name),
        Purpose::Git => is_listed(name) || name.starts_with("GIT_"),
        Purpose::Uv => {
            is_listed(name) || (name.starts_with("UV_") && !is_index(name) && !is_publishing(name))
        }
        Purpose::Fetch => !is_ours(name, host) && (speaks_of_sources(name) || !holds_any(value, &secrets)),
        Purpose::Code => {
            let sources = name.starts_with("UV_") || name.starts_with("PIP_") || name == env_vars::NETRC;
            !is_ours(name, host) && !sources && !holds_any(value, &secrets)
        }
    };
    let all = host.full_env().filter(|(name, value)| gets(&name.to_string_lossy(), value));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a variable says where packages come from, perhaps with credentials.
pub fn is_index(name: &str) -> bool {
    INDEXES.iter().any(|start| name.starts_with(start))
}

fn is_listed(name: &str) -> bool {
    let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
    is_proxy || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A credential of this run or of the runner, or one that is no use to any child.
fn is_ours(name: &str, host: &Host) -> bool {
    env_vars::is_token(name)
        || RUNNER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || RUNNER_FILES.contains(&name)
        || is_publishing(name)
        // The inputs of this action; elsewhere the name may mean anything.
        || (host.on_runner() && name.starts_with("INPUT_"))
}

fn is_publishing(name: &str) -> bool {
    PUBLISHING.iter().any(|start| name.starts_with(start))
}

/// Variables of a fetching program that may hold a token on purpose: `UV_INDEX_X_PASSWORD`, `GIT_CONFIG_VALUE_0`.
fn speaks_of_sources(name: &str) -> bool {
    ["UV_", "PIP_", "GIT_"].iter().any(|prefix| name.starts_with(prefix))
}

fn holds_any(value: &OsStr, secrets: &[Secret]) -> bool {
    let value = value.to_string_lossy();
    secrets.iter().any(|secret| value.contains(secret.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemClock;
    use std::path::Path;
    use std::sync::Arc;

    const TOKEN: &str = "canary-of-the-organization";

    /// Names of the variables that a child gets of `vars`, whose value is a plain one unless given.
    fn names(purpose: Purpose, vars: &[&str]) -> Vec<String> {
        let env = vars.iter().map(|var| var.split_once('=').unwrap_or((var, "plain")));
        let env = env.map(|(name, value)| (name.into(), value.into())).collect();
        let sink = || Box::new(std::io::sink());
        let host = Host::for_test(env, Path::new("/"), sink(), sink(), Arc::new(SystemClock));
        for_child(&host, purpose).keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Everything that is a credential of this run, under its own name or another.
    const OURS: [&str; 17] = [
        "DAGSTER_CLOUD_API_TOKEN=canary-of-the-organization",
        "DAGSTER_CLOUD_AGENT_TOKEN",
        "INPUT_DAGSTER_CLOUD_API_TOKEN",
        "INPUT_GITHUB_TOKEN",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "GH_ENTERPRISE_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "CI_JOB_TOKEN",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "UV_PUBLISH_TOKEN",
        "TWINE_PASSWORD",
        "MY_NAME_FOR_IT=canary-of-the-organization",
        "AUTHORIZATION=Bearer canary-of-the-organization",
    ];

    #[test]
    fn no_child_gets_a_credential_of_this_run_or_of_the_runner() {
        for child in [Purpose::Own, Purpose::Git, Purpose::Uv, Purpose::Fetch, Purpose::Code] {
            assert_eq!(names(child, &OURS), [""; 0], "{child:?}");
        }
        let with = names(Purpose::Code, &["GITHUB_ACTIONS=true", "INPUT_DEPLOYMENT", "GITHUB_SHA"]);
        assert_eq!(with, ["GITHUB_ACTIONS", "GITHUB_SHA"]);
        assert_eq!(names(Purpose::Code, &["INPUT_BUCKET"]), ["INPUT_BUCKET"], "not an input of ours");
    }

    #[test]
    fn the_users_code_gets_the_users_variables() {
        let vars = [
            "AWS_PROFILE",
            "CARGO_HOME",
            "CC",
            "CFLAGS",
            "CMAKE_ARGS",
            "GITHUB_SHA",
            "HATCH_BUILD_HOOKS_ENABLE",
            "HTTPS_PROXY",
            "LD_LIBRARY_PATH",
            "MATURIN_PEP517_ARGS",
            "MY_PROJECT_SETTING",
            "PATH",
            "PKG_CONFIG_PATH",
            "SETUPTOOLS_SCM_PRETEND_VERSION",
            "VERSION",
        ];
        assert_eq!(names(Purpose::Code, &vars), vars);
        assert_eq!(names(Purpose::Fetch, &vars), vars);
    }

    #[test]
    fn index_credentials_go_to_what_fetches_and_nowhere_else() {
        let vars = [
            "PIP_EXTRA_INDEX_URL",
            "PIP_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "UV_EXTRA_INDEX_URL",
            "UV_FIND_LINKS",
            "UV_INDEX",
            "UV_INDEX_MINE_PASSWORD",
            "UV_INDEX_URL",
        ];
        assert_eq!(names(Purpose::Fetch, &vars), vars);
        for child in [Purpose::Own, Purpose::Git, Purpose::Uv, Purpose::Code] {
            assert_eq!(names(child, &vars), [""; 0], "{child:?}");
        }
        // A token of this run that is also the password of an index, or of repositories.
        let vars = [
            "GITHUB_TOKEN=canary-of-the-organization",
            "GIT_CONFIG_VALUE_0=AUTHORIZATION: bearer canary-of-the-organization",
            "UV_INDEX_MINE_PASSWORD=canary-of-the-organization",
        ];
        assert_eq!(names(Purpose::Fetch, &vars), ["GIT_CONFIG_VALUE_0", "UV_INDEX_MINE_PASSWORD"]);
        assert_eq!(names(Purpose::Code, &vars), [""; 0]);
    }

    #[test]
    fn what_only_answers_gets_what_is_listed() {
        let vars = [
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_SHA",
            "GIT_DIR",
            "HTTPS_PROXY",
            "LC_ALL",
            "LD_LIBRARY_PATH",
            "MY_DATABASE_PASSWORD",
            "PATH",
            "PYENV_VERSION",
            "SSL_CERT_FILE",
            "UV_PYTHON_INSTALL_DIR",
            "no_proxy",
        ];
        let own = [
            "HTTPS_PROXY",
            "LC_ALL",
            "LD_LIBRARY_PATH",
            "PATH",
            "PYENV_VERSION",
            "SSL_CERT_FILE",
            "no_proxy",
        ];
        assert_eq!(names(Purpose::Own, &vars), own);
        let with = |name| {
            let mut with = [own.as_slice(), &[name]].concat();
            with.sort_unstable();
            with
        };
        assert_eq!(names(Purpose::Git, &vars), with("GIT_DIR"));
        assert_eq!(names(Purpose::Uv, &vars), with("UV_PYTHON_INSTALL_DIR"));
    }

    #[test]
    fn a_short_value_is_not_taken_for_a_token() {
        assert_eq!(names(Purpose::Code, &["GITHUB_TOKEN=x", "VERSION=x1"]), ["VERSION"]);
        assert!(TOKEN.len() >= crate::host::SHORTEST_SECRET_BYTES);
    }
}
