//! Resolver settings from variables and pip's files, as far as uv alone does not apply them to the end.
//!
//! uv lists both wheel and sdist of packages in `UV_NO_BINARY`, and does not read pip's settings.
//! Source: uv's documentation, "Environment variables"; pip's, "Configuration" and "pip install".

use super::requirement::scheme;
use crate::env_vars;
use crate::host::Host;
use crate::project::ResolveSettings;
use crate::tools::{PipConfig, is_true};
use std::path::Path;

/// Which packages must be built from source, and which must not.
pub(super) fn read(host: &Host) -> ResolveSettings {
    let pip = PipConfig::read(host);
    let list = |all: &str, packages: &str, of_pip: Vec<String>| {
        if host.var(all).is_some_and(is_true) {
            return vec![":all:".to_string()];
        }
        let named = host.var(packages).unwrap_or_default().split_whitespace().map(str::to_string);
        named.chain(of_pip).collect()
    };
    ResolveSettings {
        no_binary: list(env_vars::UV_NO_BINARY, env_vars::UV_NO_BINARY_PACKAGE, pip.no_binary),
        only_binary: list(env_vars::UV_NO_BUILD, env_vars::UV_NO_BUILD_PACKAGE, pip.only_binary),
        ..ResolveSettings::default()
    }
}

/// A file of constraints that is named by no other file.
#[derive(Debug)]
pub(super) struct ConstraintFile {
    /// Absolute path, or URL.
    pub(super) file: String,
    /// What names it, for messages.
    pub(super) setting: &'static str,
}

/// Files of constraints that pip's settings and uv's variable name. uv is not given its variable: read here, a line of
/// it is known by its place, and counts in what tells requirement sets apart.
pub(super) fn constraints(host: &Host) -> Vec<ConstraintFile> {
    let setting = "pip's setting `constraint` (PIP_CONSTRAINT or pip.conf)";
    let of_pip = PipConfig::read(host).constraints.into_iter().map(|file| ConstraintFile { file, setting });
    of_pip.chain(of_uv(host, env_vars::UV_CONSTRAINT)).collect()
}

/// Files of overrides that uv's variable names, read here for the same reasons.
pub(super) fn overrides(host: &Host) -> Vec<ConstraintFile> {
    of_uv(host, env_vars::UV_OVERRIDE).collect()
}

/// The files that a variable of uv's names, several with white space between.
fn of_uv(host: &Host, setting: &'static str) -> impl Iterator<Item = ConstraintFile> {
    host.var(setting).unwrap_or_default().split_whitespace().map(move |file| {
        let file = file.strip_prefix("file://").unwrap_or(file);
        let path = || host.absolute(Path::new(file)).to_string_lossy().into_owned();
        ConstraintFile { file: scheme(file).map_or_else(path, |_| file.to_string()), setting }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testing::host;

    #[test]
    fn variables_of_uv_and_pip_say_what_is_built() {
        let lists = |vars: &[(&str, &str)]| {
            let vars = [vars, &[("PIP_CONFIG_FILE", "/dev/null"), ("HOME", "/h")]].concat();
            let settings = read(&host(&vars).0);
            (settings.no_binary.join(" "), settings.only_binary.join(" "))
        };
        for (vars, no_binary, only_binary) in [
            (vec![], "", ""),
            (vec![("UV_NO_BINARY", "true")], ":all:", ""),
            (vec![("UV_NO_BINARY", "0"), ("UV_NO_BUILD", "1")], "", ":all:"),
            (vec![("UV_NO_BINARY_PACKAGE", "a b"), ("UV_NO_BUILD_PACKAGE", "c")], "a b", "c"),
            (vec![("PIP_NO_BINARY", "a,b"), ("PIP_ONLY_BINARY", ":all:")], "a b", ":all:"),
            (vec![("PIP_NO_BINARY", ":none:")], "", ""),
        ] {
            assert_eq!(lists(&vars), (no_binary.into(), only_binary.into()), "{vars:?}");
        }
    }
}
