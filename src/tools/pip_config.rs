//! Reads the user's settings for pip (variables and files), so that uv and our downloads use them too.
//!
//! uv does not read pip's settings. Users with a mirror often have only those, so each is passed to uv as the matching
//! `UV_` variable, unless the user has set that variable.
//!
//! Source: "Configuration" in pip's user guide (files, order, sections), compared with pip 23.2. Later wins in global <
//! user < virtual environment < `PIP_CONFIG_FILE` < variables; an existing `PIP_CONFIG_FILE` replaces the user's files;
//! `PIP_CONFIG_FILE=/dev/null` turns off all files; a subcommand's section wins over `[global]`. Only the sections
//! `[global]` and `[install]` are used.

use crate::env_vars;
use crate::host::Host;
use crate::net::IndexUrl;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// pip's settings about package sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipConfig {
    /// `index-url`. May contain credentials.
    pub index_url: Option<String>,
    /// `extra-index-url`, in the user's order. May contain credentials.
    pub extra_index_urls: Vec<String>,
    /// `find-links`: URLs, or paths made absolute.
    pub find_links: Vec<String>,
    /// `no-index`.
    pub no_index: bool,
    /// `cert`: a file of CA certificates.
    pub cert: Option<PathBuf>,
    /// `trusted-host`: `host` or `host:port`, reached without checking certificates.
    pub trusted_hosts: Vec<String>,
    /// `proxy`. May contain credentials.
    pub proxy: Option<String>,
    /// `constraint`: files (made absolute) or URLs of lines that limit versions.
    pub constraints: Vec<String>,
    /// `no-binary`: names, or `:all:`.
    pub no_binary: Vec<String>,
    /// `only-binary`: names, or `:all:`.
    pub only_binary: Vec<String>,
}

impl PipConfig {
    /// Read pip's files and variables. Like pip, skip files that cannot be read.
    pub fn read(host: &Host) -> PipConfig {
        let mut values = BTreeMap::new();
        for file in config_files(host) {
            if let Ok(text) = std::fs::read_to_string(&file) {
                host.detail(format!("pip settings: {}", file.display()));
                values.extend(parse(&text));
            }
        }
        for key in KEYS {
            let name = format!("PIP_{}", key.to_uppercase().replace('-', "_"));
            if let Some(value) = host.var(&name) {
                values.insert(key.to_string(), value.to_string());
            }
        }
        PipConfig::from_values(host, &values)
    }

    fn from_values(host: &Host, values: &BTreeMap<String, String>) -> PipConfig {
        let one = |key: &str| values.get(key).map(|value| value.trim().to_string()).filter(|v| !v.is_empty());
        let many = |key: &str| -> Vec<String> {
            values
                .get(key)
                .map(|value| value.split_whitespace().map(String::from).collect())
                .unwrap_or_default()
        };
        let names = |key: &str| -> Vec<String> {
            let all = values.get(key).map(String::as_str).unwrap_or_default();
            let names = all.split([',', ' ', '\n']).map(str::trim).filter(|name| !name.is_empty());
            // As the only value, `:none:` means no package.
            names.filter(|name| *name != ":none:").map(str::to_string).collect()
        };
        let place = |link: String| {
            let path = link.strip_prefix("file://").map_or(link.as_str(), |path| path);
            if link.contains("://") && path == link { link.clone() } else { absolute(host, path) }
        };
        PipConfig {
            index_url: one("index-url"),
            extra_index_urls: many("extra-index-url"),
            find_links: many("find-links").into_iter().map(place).collect(),
            no_index: one("no-index").is_some_and(|value| is_true(&value)),
            cert: one("cert").map(|path| PathBuf::from(absolute(host, &path))),
            trusted_hosts: many("trusted-host"),
            proxy: one("proxy"),
            constraints: many("constraint").into_iter().map(place).collect(),
            no_binary: names("no-binary"),
            only_binary: names("only-binary"),
        }
    }

    /// Its index and find-links URLs, which may have credentials that downloads need too.
    pub fn index_urls(&self) -> Vec<IndexUrl> {
        let urls = self.index_url.iter().chain(&self.extra_index_urls).chain(&self.find_links);
        let urls = urls.filter(|url| url.contains("://")).cloned();
        urls.map(|url| IndexUrl { name: None, url }).collect()
    }

    /// The variables with the same settings for uv, without those that the user has set for uv.
    ///
    /// `no-index` has no variable in uv: callers pass the flag. Source: uv 0.13, "Environment variables".
    pub fn uv_env(&self, host: &Host) -> Vec<(&'static str, String)> {
        let mut env = Vec::new();
        let mut set = |unless: &[&str], name: &'static str, value: Option<String>| {
            if let Some(value) = value.filter(|_| unless.iter().all(|name| host.var(name).is_none())) {
                env.push((name, value));
            }
        };
        let joined = |values: &[String], by: &str| (!values.is_empty()).then(|| values.join(by));
        set(&["UV_DEFAULT_INDEX", "UV_INDEX_URL"], "UV_DEFAULT_INDEX", self.index_url.clone());
        set(&["UV_INDEX", "UV_EXTRA_INDEX_URL"], "UV_EXTRA_INDEX_URL", joined(&self.extra_index_urls, " "));
        set(&["UV_FIND_LINKS"], "UV_FIND_LINKS", joined(&self.find_links, ","));
        set(&["UV_INSECURE_HOST"], "UV_INSECURE_HOST", joined(&self.trusted_hosts, " "));
        // uv reads neither the variable of requests nor that of curl.
        let bundle = [env_vars::REQUESTS_CA_BUNDLE, env_vars::CURL_CA_BUNDLE];
        let bundle = bundle.into_iter().find_map(|name| host.path_var(name)).map(|path| host.absolute(&path));
        // In pip too, `cert` wins over these variables.
        let cert = self.cert.clone().or(bundle);
        let variable =
            if cert.as_deref().is_some_and(Path::is_dir) { "SSL_CERT_DIR" } else { "SSL_CERT_FILE" };
        let cert = cert.map(|path| path.to_string_lossy().into_owned());
        set(&["SSL_CERT_FILE", "SSL_CERT_DIR"], variable, cert);
        let proxies = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
        set(&proxies, "ALL_PROXY", self.proxy.clone());
        env
    }
}

/// The keys in [`PipConfig`].
const KEYS: [&str; 10] = [
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "cert",
    "trusted-host",
    "proxy",
    "constraint",
    "no-binary",
    "only-binary",
];

fn absolute(host: &Host, path: &str) -> String {
    let path = match (path.strip_prefix("~/"), host.path_var(env_vars::HOME)) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    };
    host.absolute(&path).to_string_lossy().into_owned()
}

/// Whether pip and uv read the value as true.
pub fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
}

/// pip's files, the least important first.
fn config_files(host: &Host) -> Vec<PathBuf> {
    let named = host.path_var(env_vars::PIP_CONFIG_FILE).map(|path| host.absolute(&path));
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut files = Vec::new();
    let mac = cfg!(target_os = "macos");
    if mac {
        files.push("/Library/Application Support/pip/pip.conf".into());
    } else {
        let dirs = host.var(env_vars::XDG_CONFIG_DIRS).unwrap_or("/etc/xdg");
        files.extend(dirs.split(':').map(|dir| Path::new(dir).join("pip/pip.conf")));
        files.push("/etc/pip.conf".into());
    }
    // An existing `PIP_CONFIG_FILE` replaces the user's own files.
    if !named.as_ref().is_some_and(|file| file.exists())
        && let Some(home) = host.path_var(env_vars::HOME)
    {
        files.push(home.join(".pip/pip.conf"));
        let support = home.join("Library/Application Support/pip");
        let config = host.path_var(env_vars::XDG_CONFIG_HOME).unwrap_or_else(|| home.join(".config"));
        // On macOS pip prefers Library, but only if the directory exists.
        files.push(if mac && support.is_dir() { support } else { config.join("pip") }.join("pip.conf"));
    }
    files.extend(host.path_var(env_vars::VIRTUAL_ENV).map(|env| env.join("pip.conf")));
    files.extend(named);
    files
}

/// The keys of `[global]`, overridden by those of `[install]`. Names are lower-case with hyphens.
///
/// The format is that of Python's `configparser` without interpolation: `key = value` or `key: value`, comments on
/// their own lines (`#`, `;`), continuation lines indented.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    let mut key: Option<String> = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let values = sections.entry(section.clone()).or_default();
        if line.starts_with(char::is_whitespace)
            && let Some(key) = &key
        {
            // pip splits such values at white space, which includes the line break.
            let value = values.entry(key.clone()).or_default();
            *value += "\n";
            *value += trimmed;
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_string();
            key = None;
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            let name = name.trim().to_lowercase().replace('_', "-");
            // pip allows the keys to be written like its flags.
            let name = name.strip_prefix("--").unwrap_or(&name).to_string();
            values.insert(name.clone(), value.trim().to_string());
            key = Some(name);
        }
    }
    let mut values = sections.remove("global").unwrap_or_default();
    values.extend(sections.remove("install").unwrap_or_default());
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testing::host;

    #[test]
    fn files_read_as_configparser_reads_them() {
        let text = "# c\n[global]\nindex_url = https://a/simple\nExtra-Index-Url =\n    https://b/simple\n    # not this\n    https://c/simple\n; c\ntimeout: 60\n[freeze]\nindex-url = no\n[install]\n--find-links: ~/wheels\nindex-url = https://d/?x=1\n";
        let values = parse(text);
        let get = |key: &str| values.get(key).map(String::as_str);
        assert_eq!(get("index-url"), Some("https://d/?x=1"));
        assert_eq!(get("extra-index-url"), Some("\nhttps://b/simple\nhttps://c/simple"));
        assert_eq!(get("find-links"), Some("~/wheels"));
        assert_eq!(get("timeout"), Some("60"));
    }

    fn config(files: &[(&str, &str)], vars: &[(&str, &str)]) -> PipConfig {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        for (name, text) in files {
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        }
        let vars: Vec<(&str, String)> = [("HOME", "home"), ("XDG_CONFIG_DIRS", "etc")]
            .iter()
            .chain(vars)
            .map(|(name, value)| (*name, value.replace("home", &at("home")).replace("etc", &at("etc"))))
            .collect();
        let vars: Vec<_> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
        PipConfig::read(&host(&vars).0)
    }

    #[test]
    fn later_places_win() {
        let global = ("etc/pip/pip.conf", "[global]\nindex-url = global\nproxy = p\n");
        let user = ("home/.config/pip/pip.conf", "[global]\nindex-url = user\nextra-index-url = x\n");
        let named = ("home/named.conf", "[global]\nindex-url = named\n");
        for (files, vars, index_url, extra) in [
            (vec![global], vec![], Some("global"), vec![]),
            (vec![global, user], vec![], Some("user"), vec!["x"]),
            (vec![global, user, named], vec![("PIP_CONFIG_FILE", "home/named.conf")], Some("named"), vec![]),
            (vec![global, user], vec![("PIP_CONFIG_FILE", "home/none.conf")], Some("user"), vec!["x"]),
            (vec![global, user], vec![("PIP_INDEX_URL", "var")], Some("var"), vec!["x"]),
            (vec![global, user], vec![("PIP_CONFIG_FILE", "/dev/null")], None, vec![]),
        ] {
            let found = config(&files, &vars);
            assert_eq!(found.index_url.as_deref(), index_url, "{files:?} {vars:?}");
            assert_eq!(found.extra_index_urls, extra, "{files:?} {vars:?}");
        }
    }

    #[test]
    fn uv_gets_pips_settings_unless_its_own_are_set() {
        let pip = |vars: &[(&str, &str)]| {
            let vars = [vars, &[("PIP_CONFIG_FILE", "/dev/null"), ("HOME", "/h")]].concat();
            let (host, _, _) = host(&vars);
            PipConfig::read(&host).uv_env(&host)
        };
        assert_eq!(
            pip(&[
                ("PIP_INDEX_URL", "https://u:p@m/simple"),
                ("PIP_EXTRA_INDEX_URL", "https://a https://b"),
                ("PIP_FIND_LINKS", "~/wheels https://w/ file:///x"),
                ("PIP_CERT", "ca.pem"),
                ("PIP_TRUSTED_HOST", "m:8080 n"),
            ]),
            [
                ("UV_DEFAULT_INDEX", "https://u:p@m/simple".to_string()),
                ("UV_EXTRA_INDEX_URL", "https://a https://b".into()),
                ("UV_FIND_LINKS", "/h/wheels,https://w/,/x".into()),
                ("UV_INSECURE_HOST", "m:8080 n".into()),
                ("SSL_CERT_FILE", "/ca.pem".into()),
            ]
        );
        assert_eq!(pip(&[("PIP_INDEX_URL", "https://p"), ("UV_INDEX_URL", "https://u")]), []);
        assert_eq!(pip(&[("PIP_CERT", "/ca.pem"), ("SSL_CERT_FILE", "/own.pem")]), []);
        for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
            assert_eq!(pip(&[(name, "/ca.pem")]), [("SSL_CERT_FILE", "/ca.pem".to_string())]);
            assert_eq!(pip(&[(name, "/")]), [("SSL_CERT_DIR", "/".to_string())]);
            assert_eq!(pip(&[(name, "/ca.pem"), ("SSL_CERT_DIR", "/own")]), []);
        }
    }
}
