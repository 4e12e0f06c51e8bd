//! Where our own client looks for packages: the sources that uv's and pip's settings name, or else the index that the
//! pip at hand asks by default. So there is no index URL here.

use super::pip_config::PipConfig;
use super::pip_index;
use super::uv_config::ConfiguredSources;
use crate::env_vars;
use crate::host::Host;
use crate::net::credentials::split_indexes;
use crate::net::{Credentials, IndexUrl};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use url::Url;

/// The package sources of this machine.
#[derive(Clone)]
pub struct PackageSources {
    /// The host with pip's settings as the variables that our client reads: proxy, certificates, trusted hosts.
    pub host: Host,
    /// The host as it is.
    own: Host,
    /// The index that settings name as the default.
    default: Option<IndexUrl>,
    /// Further indexes.
    further: Vec<IndexUrl>,
    /// Directories and pages of files.
    find_links: Vec<String>,
    /// Whether no index may be asked.
    no_index: bool,
}

impl PackageSources {
    /// Read the settings. As for uv, its variables come first, then pip's settings, then uv's configuration files.
    pub fn read(host: &Host) -> PackageSources {
        let pip = PipConfig::read(host);
        let vars = pip.uv_env(host).into_iter();
        let own = host.clone();
        let host = host.with_vars(vars.map(|(name, value)| (OsString::from(name), OsString::from(value))));
        let configured = ConfiguredSources::read(&host);
        let named = |names: &[&str]| -> Vec<IndexUrl> {
            names.iter().filter_map(|name| host.var(name)).flat_map(split_indexes).collect()
        };
        let default = named(&[env_vars::UV_DEFAULT_INDEX, env_vars::UV_INDEX_URL]).into_iter().next();
        let mut further = named(&[env_vars::UV_INDEX, env_vars::UV_EXTRA_INDEX_URL]);
        further.extend(configured.further);
        let links = host.var(env_vars::UV_FIND_LINKS).unwrap_or_default();
        let mut find_links: Vec<String> =
            links.split(',').map(str::trim).filter(|link| !link.is_empty()).map(str::to_string).collect();
        find_links.extend(configured.find_links);
        let default = default.or(configured.default);
        PackageSources {
            default,
            further,
            find_links,
            no_index: pip.no_index || configured.no_index,
            host,
            own,
        }
    }

    /// The same with those of a project: its default index instead of the machine's, and its others in front.
    #[must_use]
    pub fn with_project(
        &self,
        default: Option<&IndexUrl>,
        indexes: impl IntoIterator<Item = IndexUrl>,
        find_links: &[String],
        no_index: bool,
    ) -> PackageSources {
        let mut both = self.clone();
        both.default = default.cloned().or(both.default);
        both.further = indexes.into_iter().chain(both.further).collect();
        both.find_links = find_links.iter().cloned().chain(both.find_links).collect();
        both.no_index |= no_index;
        both
    }

    /// The credentials for all of them.
    pub fn credentials(&self) -> Credentials {
        let indexes: Vec<IndexUrl> = self.default.iter().chain(&self.further).cloned().collect();
        Credentials::new(&self.host, &indexes)
    }

    /// The default index: that of the settings, or else that of the pip at hand, which may have to be asked. `None` if
    /// none may be asked, none is known, or its URL has a scheme that our client does not speak.
    pub fn default_index(&self) -> Option<Url> {
        match &self.default {
            _ if self.no_index => None,
            Some(index) => web_url(&index.url),
            None => pip_index::default_index(&self.host),
        }
    }

    /// The variable that names the default index, if that is neither a web address nor a path.
    pub fn unusable_default(&self) -> Option<&'static str> {
        let names = [env_vars::UV_DEFAULT_INDEX, env_vars::UV_INDEX_URL, env_vars::PIP_INDEX_URL];
        let variable =
            names.into_iter().find(|name| self.own.var(name).is_some_and(|text| !text.is_empty()))?;
        let url = &self.default.as_ref()?.url;
        let is_local = url.starts_with("file:") || self.host.absolute(Path::new(url)).exists();
        (web_url(url).is_none() && !is_local).then_some(variable)
    }

    /// Further indexes.
    pub fn further_indexes(&self) -> impl Iterator<Item = Url> + '_ {
        self.further.iter().filter(|_| !self.no_index).filter_map(|index| web_url(&index.url))
    }

    /// Pages with links to files.
    pub fn pages(&self) -> impl Iterator<Item = Url> + '_ {
        self.find_links.iter().filter_map(|link| web_url(link))
    }

    /// Directories with files.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let path = |link: &String| match Url::parse(link) {
            Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
            Ok(_) => None,
            Err(_) => Some(self.host.absolute(Path::new(link))),
        };
        self.find_links.iter().filter_map(path)
    }

    /// Whether files can only come from the default index.
    pub fn is_default_alone(&self) -> bool {
        self.further.is_empty() && self.find_links.is_empty() && !self.no_index
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::testing::host;

    fn sources(vars: &[(&str, &str)]) -> PackageSources {
        let vars = [vars, &[("PIP_CONFIG_FILE", "/dev/null"), ("HOME", "/nowhere")]].concat();
        PackageSources::read(&host(&vars).0)
    }

    #[test]
    fn variables_of_uv_come_before_those_of_pip() {
        for (vars, want) in [
            (
                &[("UV_DEFAULT_INDEX", "https://a/s"), ("PIP_INDEX_URL", "https://b/s")][..],
                Some("https://a/s"),
            ),
            (&[("UV_DEFAULT_INDEX", "own=https://a/s")], Some("https://a/s")),
            (&[("UV_INDEX_URL", "https://a/s"), ("PIP_INDEX_URL", "https://b/s")], Some("https://a/s")),
            (&[("PIP_INDEX_URL", "https://b/s")], Some("https://b/s")),
            (&[("PIP_INDEX_URL", "https://b/s"), ("PIP_NO_INDEX", "1")], None),
            (&[("PIP_INDEX_URL", "file:///w")], None),
            (&[("UV_DEFAULT_INDEX", "h.example/simple")], None),
            (&[], None),
        ] {
            let found = sources(vars).default_index();
            assert_eq!(found.as_ref().map(Url::as_str), want, "{vars:?}");
        }
    }

    #[test]
    fn a_default_that_is_no_address_is_told_by_its_variable() {
        for (vars, want) in [
            (&[("UV_DEFAULT_INDEX", "h.example/simple")][..], Some("UV_DEFAULT_INDEX")),
            (&[("UV_INDEX_URL", "http://u:p@[::1")], Some("UV_INDEX_URL")),
            (&[("PIP_INDEX_URL", "ftp://h.example/simple")], Some("PIP_INDEX_URL")),
            (&[("PIP_INDEX_URL", "file:///w")], None),
            (&[("UV_DEFAULT_INDEX", "https://h.example/simple")], None),
            (&[], None),
        ] {
            assert_eq!(sources(vars).unusable_default(), want, "{vars:?}");
        }
    }

    #[test]
    fn further_sources_are_of_both() {
        let found = sources(&[
            ("UV_INDEX", "n=https://u:p@c/s https://d/s"),
            ("PIP_EXTRA_INDEX_URL", "https://e/s"),
            ("PIP_FIND_LINKS", "~/wheels https://f/links file:///w"),
        ]);
        let urls = |urls: Vec<Url>| urls.into_iter().map(String::from).collect::<Vec<_>>();
        // uv's variable stands for pip's.
        assert_eq!(urls(found.further_indexes().collect()), ["https://u:p@c/s", "https://d/s"]);
        assert_eq!(urls(found.pages().collect()), ["https://f/links"]);
        let directories: Vec<_> = found.directories().collect();
        assert_eq!(directories, [Path::new("/nowhere/wheels"), Path::new("/w")]);
        assert!(!found.is_default_alone() && sources(&[]).is_default_alone());
    }
}
