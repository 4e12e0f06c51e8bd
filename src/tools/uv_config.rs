//! uv's configuration files that apply to every project, and the package sources in them.
//!
//! Source: uv 0.13, "Configuration files" and "Settings" (`index`, `index-url`, `extra-index-url`, `find-links`,
//! `no-index`).

use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::env_vars;
use crate::host::Host;
use crate::net::IndexUrl;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Where uv looks for settings that apply to every project, the most important first.
pub fn configuration_files(host: &Host) -> Vec<PathBuf> {
    let home = host.path_var(env_vars::HOME).map(|home| home.join(".config"));
    let own = host.path_var(env_vars::XDG_CONFIG_HOME).or(home);
    let directories =
        own.into_iter().chain([Path::new("/etc").to_path_buf(), Path::new("/etc/xdg").to_path_buf()]);
    directories.map(|directory| directory.join("uv/uv.toml")).collect()
}

/// The package sources in these files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConfiguredSources {
    /// The index that takes the place of the public one.
    pub(super) default: Option<IndexUrl>,
    /// Further indexes.
    pub(super) further: Vec<IndexUrl>,
    /// Directories and pages of files.
    pub(super) find_links: Vec<String>,
    /// Whether no index is asked.
    pub(super) no_index: bool,
}

impl ConfiguredSources {
    /// Read the files. One that is not TOML is skipped here: uv reports it.
    pub(super) fn read(host: &Host) -> ConfiguredSources {
        let mut sources = ConfiguredSources::default();
        let named = host.path_var(env_vars::UV_CONFIG_FILE).map(|file| host.absolute(&file));
        for file in named.map_or_else(|| configuration_files(host), |file| vec![file]) {
            let text = bounded_file::read_text(&file, TEXT_LIMIT_BYTES).unwrap_or_default();
            if let Ok(table) = text.parse::<Table>() {
                sources.add(&table, file.parent().unwrap_or(Path::new("/")));
            }
        }
        sources
    }

    fn add(&mut self, table: &Table, directory: &Path) {
        let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).map(str::to_string);
        let flag = |table: &Table, key: &str| table.get(key).and_then(Value::as_bool).unwrap_or_default();
        let place = |link: &str| match link.contains("://") {
            true => link.to_string(),
            false => directory.join(link).to_string_lossy().into_owned(),
        };
        let indexes = table.get("index").and_then(Value::as_array).into_iter().flatten();
        for index in indexes.filter_map(Value::as_table) {
            let Some(url) = text(index, "url") else { continue };
            let is_flat = text(index, "format").as_deref() == Some("flat");
            let found = IndexUrl { name: text(index, "name"), url };
            match (is_flat, flag(index, "default")) {
                (true, _) => self.find_links.push(place(&found.url)),
                (false, true) => drop(self.default.get_or_insert(found)),
                (false, false) => self.further.push(found),
            }
        }
        let flat = text(table, "index-url").map(|url| IndexUrl { name: None, url });
        self.default = self.default.take().or(flat);
        let list = |key: &str| table.get(key).and_then(Value::as_array).into_iter().flatten();
        let further = list("extra-index-url").filter_map(Value::as_str);
        self.further.extend(further.map(|url| IndexUrl { name: None, url: url.to_string() }));
        self.find_links.extend(list("find-links").filter_map(Value::as_str).map(place));
        self.no_index |= flag(table, "no-index");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_default_wins_and_all_others_are_kept() {
        let index =
            |name: Option<&str>, url: &str| IndexUrl { name: name.map(str::to_string), url: url.into() };
        let mut sources = ConfiguredSources::default();
        for text in [
            "extra-index-url = ['https://x']\nindex = [{ name = 'a', url = 'https://a' }, { url = 'w', format = 'flat' }]\n",
            "index-url = 'https://d'\nno-index = true\nfind-links = ['https://l']\n",
            "[[index]]\nurl = 'https://other'\ndefault = true\n",
        ] {
            sources.add(&text.parse().unwrap(), Path::new("/c"));
        }
        let want = ConfiguredSources {
            default: Some(index(None, "https://d")),
            further: vec![index(Some("a"), "https://a"), index(None, "https://x")],
            find_links: vec!["/c/w".into(), "https://l".into()],
            no_index: true,
        };
        assert_eq!(sources, want);
    }
}
