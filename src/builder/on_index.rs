//! Finds files on package indexes whose names and digests a lock file has, without their URLs.

use super::fetch_error::FetchError;
use crate::net::{Agent, Credentials, IndexUrl};
use crate::project::ResolveSettings;
use crate::resolve::{Distribution, Download};
use crate::simple_index::{IndexFile, ON_INDEX, SimpleIndex};
use crate::tools::PackageSources;
use std::sync::OnceLock;
use url::Url;

/// Looks for files on the index that the lock file names, or else on all package sources of the project and the machine.
pub(super) struct OnIndex {
    sources: PackageSources,
    client: SimpleIndex,
    /// The default index, which may have to be looked up.
    default: OnceLock<Option<Url>>,
}

impl OnIndex {
    pub(super) fn new(
        sources: &PackageSources,
        settings: &ResolveSettings,
        agent: &Agent,
        credentials: Credentials,
    ) -> OnIndex {
        let client = SimpleIndex::new(&sources.host, agent, credentials);
        let index = |name: &Option<String>, url: &String| IndexUrl { name: name.clone(), url: url.clone() };
        let default = settings.default_index.as_ref().map(|url| index(&settings.default_index_name, url));
        let indexes = settings.indexes.iter().map(|one| index(&one.name, &one.url));
        let (links, no_index) = (&settings.find_links, settings.no_index);
        let sources = sources.with_project(default.as_ref(), indexes, links, no_index);
        OnIndex { sources, client, default: OnceLock::new() }
    }

    /// The file with its URL, if it has none yet.
    ///
    /// # Errors
    /// When no index has it, or the first that was asked did not answer.
    pub(super) fn located(
        &self,
        distribution: &Distribution,
        download: &Download,
    ) -> Result<Download, FetchError> {
        let Some(index) = download.url.strip_prefix(ON_INDEX) else { return Ok(download.clone()) };
        let mut first_error = None;
        let indexes = self.indexes(index).into_iter().map(|url| (url, true));
        for (url, is_index) in indexes.chain(self.sources.pages().map(|url| (url, false))) {
            let is_wanted = |name: &str| name == download.file_name;
            let files = match is_index {
                true => self.client.files(&url, &distribution.name, &is_wanted),
                false => self.client.page(&url, &distribution.name, &is_wanted),
            };
            // A file whose digest the index does not say is checked when it is here.
            let fits = |file: &IndexFile| file.sha256.is_none() || file.sha256 == download.sha256;
            match files.map(|files| files.into_iter().find(fits)) {
                Ok(Some(file)) => {
                    let size_bytes = file.size_bytes.or(download.size_bytes);
                    return Ok(Download { url: file.url, size_bytes, ..download.clone() });
                }
                Ok(None) => {}
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        if let Some(url) = self.in_directory(&download.file_name) {
            return Ok(Download { url, ..download.clone() });
        }
        Err(FetchError::NotOnIndex {
            file_name: download.file_name.clone(),
            source: first_error.map(Box::new),
        })
    }

    fn indexes(&self, named: &str) -> Vec<Url> {
        if !named.is_empty() {
            return Url::parse(named).into_iter().collect();
        }
        let default = self.default.get_or_init(|| self.sources.default_index());
        default.iter().cloned().chain(self.sources.further_indexes()).collect()
    }

    fn in_directory(&self, file_name: &str) -> Option<String> {
        let path =
            self.sources.directories().map(|directory| directory.join(file_name)).find(|path| path.is_file());
        Url::from_file_path(path?).ok().map(String::from)
    }
}
