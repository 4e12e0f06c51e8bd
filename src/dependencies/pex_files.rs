//! The distributions of deps PEX files, from memory, a file on this machine, or parts of one in Dagster+'s registry.

use super::{Distributions, same_version};
use crate::builder::DepsPexFile;
use crate::dagster::Client;
use crate::dagster::operations::{Method, PresignedUrl};
use crate::pex::inspect::{self, InspectError, Span};
use crate::resolve::{Artifact, Distribution, Resolution};
use crate::wheel::filename::normalized_name;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where distributions can be read.
pub(super) enum Listed {
    /// In memory.
    Known(Distributions),
    /// In the deps PEX at this path.
    Local(PathBuf),
    /// In the registry.
    Stored,
}

impl Listed {
    /// A resolution that lacks a version is not used; the file itself is read then.
    pub(super) fn from_deps(deps: &DepsPexFile) -> Listed {
        let distributions = deps.resolution().distributions.iter();
        let named = distributions.map(|one| Some((one.name.clone(), one.version.clone()?))).collect();
        match (named, deps.file()) {
            (Some(named), _) => Listed::Known(named),
            (None, Some(file)) => Listed::Local(file.path.clone()),
            (None, None) => Listed::Stored,
        }
    }
}

/// What these files of the registry hold.
pub(super) fn read_stored(client: &Client, files: &[&str]) -> BTreeMap<String, Distributions> {
    if files.is_empty() {
        return BTreeMap::new();
    }
    let urls = match client.presigned_urls(files, Method::Get) {
        Ok(urls) => urls,
        Err(error) => {
            client.host().detail(format!("{error}; the report does not say which dependencies changed"));
            return BTreeMap::new();
        }
    };
    let named = files.iter().zip(&urls);
    named.filter_map(|(name, url)| Some((name.to_string(), stored(client, name, url)?))).collect()
}

/// The distributions in a deps PEX; `None`, with a detail message, if they cannot be read.
pub fn stored(client: &Client, name: &str, url: &PresignedUrl) -> Option<Distributions> {
    let read = inspect::distributions(|span| match span {
        Span::Last(bytes) => client.piece(name, url, None, bytes),
        Span::At { start, bytes } => client.piece(name, url, Some(start), bytes),
    });
    ok_or_detail(client, name, read)
}

/// Whether these are the distributions of a resolution.
pub fn are_those_of(resolution: &Resolution, held: &Distributions) -> bool {
    let has = |one: &Distribution| {
        let held = held.get(&normalized_name(&one.name));
        // The version of a commit may depend on how much of the history a build sees.
        let version = one.version.as_ref().filter(|_| !matches!(one.artifact, Artifact::Git { .. }));
        held.is_some_and(|held| version.is_none_or(|version| same_version(held, version)))
    };
    held.len() == resolution.distributions.len() && resolution.distributions.iter().all(has)
}

pub(super) fn read_local(path: &Path) -> Result<Distributions, InspectError<std::io::Error>> {
    let mut file = std::fs::File::open(path)?;
    inspect::distributions(|span| {
        let size = file.seek(SeekFrom::End(0))?;
        let (start, bytes) = match span {
            Span::Last(bytes) => (size.saturating_sub(bytes), bytes),
            Span::At { start, bytes } => (start, bytes),
        };
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        (&mut file).take(bytes).read_to_end(&mut piece)?;
        Ok((piece, size))
    })
}

/// The value; a failure is only a detail message.
pub(super) fn ok_or_detail<T>(
    client: &Client,
    name: &str,
    result: Result<T, impl std::error::Error>,
) -> Option<T> {
    let tell = |error: &_| {
        client.host().detail(format!("could not list the distributions in {name}: {error}"));
    };
    result.inspect_err(tell).ok()
}
