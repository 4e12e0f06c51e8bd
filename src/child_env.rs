//! Decides which variables a child process gets. No other place does.
//!
//! A child that only answers a question or does our own work gets the variables on a list. A child that runs the user's
//! code (a `setup.py`, a build backend, the definitions) gets the user's variables, because it is impossible to list
//! what such code reads (`VERSION`, `GITHUB_SHA`, `CC`, `MATURIN_*`), but no credential of this run or the runner.
//! Credentials of package indexes go to the programs that download packages, and are inherited by their children.
//!
//! Two programs are exceptions: `-m MODULE`, which gets everything like a command in the user's shell
//! ([`Host::full_env`]), and a cloning `git`, which gets GitHub's tokens by name (`build/git_source.rs`).

use crate::env_vars;
use crate::host::Host;
use crate::redact::Secret;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The purpose of a child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a question or do our own work: an interpreter, pex's tools.
    Own,
    /// To answer a question about a work tree: git, with its own variables.
    Git,
    /// To answer a question about Pythons or make an empty environment: uv, with its own variables.
    Uv,
    /// To download packages or repositories and perhaps build them, which runs the user's code: uv, pip, git.
    Fetch,
    /// To run the user's code without downloading anything.
    Code,
    /// To ask a credential helper for a password of a registry: it may ask a cloud, with the cloud's own credentials.
    Credentials,
    /// To start a container: docker or podman, with their own variables.
    Container,
}

/// Variables for [`Purpose::Own`], [`Purpose::Git`] and [`Purpose::Uv`]: programs, home directories, temporary files,
/// language, and variables with which loaders and interpreters find their files.
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
/// Prefixes of such names: locale, loader, certificates, XDG directories, and tools with shims for Python.
const PREFIXES: [&str; 11] =
    ["LC_", "LD_", "DYLD_", "SSL_", "OPENSSL_", "XDG_", "PYTHON", "PYENV_", "ASDF_", "MISE_", "NIX_"];

/// Prefixes of variables with credentials of the runner, or addresses of its services. Source: "OpenID Connect
/// reference" (GitHub's manual) and the toolkit that the runner's own actions use.
const RUNNER_PREFIXES: [&str; 1] = ["ACTIONS_"];
/// The files with which a step talks to the runner. Their content becomes variables and programs of later steps.
/// Source: "Workflow commands for GitHub Actions" (GitHub's manual).
const RUNNER_FILES: [&str; 5] =
    ["GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];
/// Prefixes of credentials for publishing packages, which nothing here does. Source: manuals of uv, twine, flit,
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
/// Prefixes of variables with package sources, with or without credentials.
const INDEXES: [&str; 7] = [
    env_vars::UV_INDEX,
    env_vars::UV_DEFAULT_INDEX,
    env_vars::UV_EXTRA_INDEX_URL,
    env_vars::UV_FIND_LINKS,
    env_vars::PIP_INDEX_URL,
    env_vars::PIP_EXTRA_INDEX_URL,
    env_vars::PIP_FIND_LINKS,
];

/// Prefixes of variables with which helpers for Amazon ECR, Google Artifact Registry, Azure and GHCR, and those that keep
/// passwords on this machine, find what they need. Source: manuals of the clouds' SDKs, of pass and of secret services.
const CLOUDS: [&str; 16] = [
    "AWS_",
    "AMAZON_",
    "ECS_",
    "GOOGLE_",
    "CLOUDSDK_",
    "GCLOUD_",
    "GCE_",
    "AZURE_",
    "ARM_",
    "ACR_",
    "MSI_",
    "IDENTITY_",
    "DOCKER_",
    "GNUPG",
    "PASSWORD_STORE_",
    "DBUS_",
];

/// Prefixes of variables with which docker and podman find their daemon, settings and storage. Source: their manuals.
const CONTAINERS: [&str; 3] = ["DOCKER_", "CONTAINER", "PODMAN_"];

/// The variables of a child with this purpose.
pub fn for_child(host: &Host, purpose: Purpose) -> BTreeMap<OsString, OsString> {
    let secrets = host.tokens();
    let gets = |name: &str, value: &OsStr| match purpose {
        Purpose::Own => is_listed(name),
        Purpose::Git => is_listed(name) || name.starts_with("GIT_"),
        Purpose::Uv => {
            is_listed(name) || (name.starts_with("UV_") && !is_index(name) && !is_publishing(name))
        }
        // A token of this run may also be the password of a private index, but only under a name for that.
        Purpose::Fetch => !is_ours(name, host) && (may_have_index_token(name) || !holds_any(value, &secrets)),
        Purpose::Code => {
            // The user's code does not need package sources, and they often hold passwords.
            let sources = name.starts_with("UV_") || name.starts_with("PIP_") || name == env_vars::NETRC;
            !is_ours(name, host) && !sources && !holds_any(value, &secrets)
        }
        Purpose::Credentials => {
            let is_of_cloud = CLOUDS.iter().any(|prefix| name.starts_with(prefix));
            (is_listed(name) || is_of_cloud) && !is_ours(name, host) && !holds_any(value, &secrets)
        }
        Purpose::Container => {
            let is_of_theirs = CONTAINERS.iter().any(|prefix| name.starts_with(prefix));
            (is_listed(name) || is_of_theirs) && !holds_any(value, &secrets)
        }
    };
    let all = host.full_env().filter(|(name, value)| gets(&name.to_string_lossy(), value));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a variable has package sources, perhaps with credentials.
pub fn is_index(name: &str) -> bool {
    INDEXES.iter().any(|start| name.starts_with(start))
}

fn is_listed(name: &str) -> bool {
    // Programs read these in lower or upper case.
    let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
    is_proxy || NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it is a credential of this run or the runner, or one that no child needs.
fn is_ours(name: &str, host: &Host) -> bool {
    env_vars::is_token(name)
        || RUNNER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || RUNNER_FILES.contains(&name)
        || is_publishing(name)
        // Inputs of this action. Outside of a runner, such a name may mean anything.
        || (host.on_runner() && name.starts_with("INPUT_"))
}

fn is_publishing(name: &str) -> bool {
    PUBLISHING.iter().any(|start| name.starts_with(start))
}

/// Whether a variable of uv, pip or git may have a token on purpose: `UV_INDEX_X_PASSWORD`, `GIT_CONFIG_VALUE_0`.
fn may_have_index_token(name: &str) -> bool {
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

    /// The names of the variables among `vars` that a child gets. `NAME=VALUE` sets a value.
    fn names(purpose: Purpose, vars: &[&str]) -> Vec<String> {
        let env = vars.iter().map(|var| var.split_once('=').unwrap_or((var, "plain")));
        let env = env.map(|(name, value)| (name.into(), value.into())).collect();
        let sink = || Box::new(std::io::sink());
        let host = Host::for_test(env, Path::new("/"), sink(), sink(), Arc::new(SystemClock));
        for_child(&host, purpose).keys().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// Every credential of this run, under its own name or another.
    const OURS: [&str; 19] = [
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
        "PEXPRESS_REGISTRY_PASSWORD",
        "INPUT_REGISTRY_PASSWORD",
        "GITHUB_ENV",
        "GITHUB_OUTPUT",
        "UV_PUBLISH_TOKEN",
        "TWINE_PASSWORD",
        "MY_NAME_FOR_IT=canary-of-the-organization",
        "AUTHORIZATION=Bearer canary-of-the-organization",
    ];

    #[test]
    fn no_child_gets_a_credential_of_this_run_or_of_the_runner() {
        for child in [
            Purpose::Own,
            Purpose::Git,
            Purpose::Uv,
            Purpose::Fetch,
            Purpose::Code,
            Purpose::Credentials,
            Purpose::Container,
        ] {
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
    fn index_credentials_only_go_to_programs_that_download() {
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
    fn a_child_that_only_answers_gets_listed_variables() {
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
    fn a_credential_helper_gets_the_variables_of_its_cloud() {
        let vars =
            ["AWS_SECRET_ACCESS_KEY", "CLOUDSDK_CONFIG", "DOCKER_CONFIG", "HOME", "PATH", "XDG_RUNTIME_DIR"];
        assert_eq!(names(Purpose::Credentials, &vars), vars);
        let others = ["MY_DATABASE_PASSWORD", "UV_INDEX_X_PASSWORD", "AWS_TOKEN=canary-of-the-organization"];
        let others = [others.as_slice(), &["GITHUB_TOKEN=canary-of-the-organization"]].concat();
        assert_eq!(names(Purpose::Credentials, &others), [""; 0]);
    }

    #[test]
    fn docker_and_podman_find_their_daemon() {
        let vars = ["CONTAINER_HOST", "DOCKER_HOST", "HOME", "PATH", "XDG_RUNTIME_DIR"];
        assert_eq!(names(Purpose::Container, &vars), vars);
        assert_eq!(names(Purpose::Container, &["AWS_PROFILE", "MY_DATABASE_PASSWORD"]), [""; 0]);
    }

    #[test]
    fn a_short_value_is_not_taken_for_a_token() {
        assert_eq!(names(Purpose::Code, &["GITHUB_TOKEN=x", "VERSION=x1"]), ["VERSION"]);
        assert!(TOKEN.len() >= crate::host::SHORTEST_SECRET_BYTES);
    }
}
