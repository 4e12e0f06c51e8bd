//! The wheels of a requirement set: named by the resolution, and fetched only where a layer of them has to be written.

use super::ImageError;
use super::recorded::{NamedWheel, Recorded};
use crate::builder::fetch_job::FetchedWheel;
use crate::builder::{BuildError, Context};
use crate::cache::is_sha256;
use crate::project::ResolveSettings;
use crate::resolve::{Artifact, Distribution, Download, Resolution};
use crate::wheel::{Tags, WheelName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;
use url::Url;

/// The wheels of a resolution, by position in it.
pub struct Wheels<'a> {
    resolution: &'a Resolution,
    settings: &'a ResolveSettings,
    context: &'a Context<'a>,
    named: Vec<NamedWheel>,
    /// Positions of those that only a record names: built again, they may be others.
    claimed: BTreeSet<usize>,
    fetched: BTreeMap<usize, FetchedWheel>,
}

impl<'a> Wheels<'a> {
    /// The wheels of a resolution. Those that neither it nor `built` names by digest and size are fetched or built now, and
    /// all where `if_needed` is false. With `only_named` nothing is, and the first that is not named is an error.
    ///
    /// # Errors
    /// When one cannot be fetched or built.
    pub fn of(
        Recorded { resolution, built, .. }: &'a Recorded,
        settings: &'a ResolveSettings,
        context: &'a Context<'a>,
        (if_needed, only_named): (bool, bool),
    ) -> Result<Wheels<'a>, BuildError> {
        let tags = Tags::for_target(&context.target);
        let of = |one: &Distribution| match &one.artifact {
            _ if !if_needed => None,
            Artifact::Wheel(download) => named(download, &tags),
            Artifact::Sdist { .. } | Artifact::Git { .. } => built
                .get(&one.name)
                .filter(|wheel| wheel.name == one.name && is_sha256(&wheel.sha256))
                .cloned(),
        };
        let known: Vec<Option<NamedWheel>> = resolution.distributions.iter().map(of).collect();
        let unknown: Vec<usize> = (0..known.len()).filter(|at| known[*at].is_none()).collect();
        if let Some(first) = unknown.first().filter(|_| only_named) {
            let what = resolution.distributions[*first].name.clone();
            return Err(ImageError::NewLayer { what }.into());
        }
        let is_source = |at: &usize| !matches!(resolution.distributions[*at].artifact, Artifact::Wheel(_));
        let claimed = (0..known.len()).filter(|at| known[*at].is_some()).filter(is_source).collect();
        let (named, fetched) = (Vec::new(), BTreeMap::new());
        let mut wheels = Wheels { resolution, settings, context, named, claimed, fetched };
        wheels.fetch(unknown)?;
        for (at, known) in known.into_iter().enumerate() {
            let named = known.map_or_else(|| wheels.name(at), Ok)?;
            wheels.named.push(named);
        }
        Ok(wheels)
    }

    /// All of them, in the order of the resolution.
    pub fn named(&self) -> &[NamedWheel] {
        &self.named
    }

    /// What a later run needs to name the same wheels: also the size of each, which an index may not say, and what was
    /// built.
    pub fn recorded(&self, resolved_at: SystemTime) -> Recorded {
        let (mut resolution, mut built) = (self.resolution.clone(), BTreeMap::new());
        for (distribution, named) in resolution.distributions.iter_mut().zip(&self.named) {
            match &mut distribution.artifact {
                Artifact::Wheel(download) => download.size_bytes = Some(named.size_bytes),
                Artifact::Sdist { .. } | Artifact::Git { .. } => {
                    built.insert(distribution.name.clone(), named.clone());
                }
            }
        }
        Recorded { resolved_at, resolution, built }
    }

    /// Build those of these that only a record names. Returns whether there are any.
    ///
    /// # Errors
    /// When one cannot be fetched or built.
    pub fn build_claimed(&mut self, positions: impl Iterator<Item = usize>) -> Result<bool, BuildError> {
        let claimed: Vec<usize> = positions.filter(|at| self.claimed.contains(at)).collect();
        self.fetch(claimed.clone())?;
        for at in &claimed {
            self.claimed.remove(at);
            self.named[*at] = self.name(*at)?;
        }
        Ok(!claimed.is_empty())
    }

    /// Fetch those at these positions, unless they are here.
    ///
    /// # Errors
    /// When one cannot be fetched or built.
    pub fn fetch(&mut self, mut positions: Vec<usize>) -> Result<(), BuildError> {
        positions.retain(|at| !self.fetched.contains_key(at));
        positions.sort_unstable();
        if positions.is_empty() {
            return Ok(());
        }
        let context = self.context;
        let wheels = context.fetcher.fetch_some(
            self.resolution,
            &positions,
            context.target,
            self.settings,
            context.display,
        )?;
        self.fetched.extend(positions.into_iter().zip(wheels));
        Ok(())
    }

    /// One that was fetched.
    pub fn fetched(&self, at: usize) -> Option<&FetchedWheel> {
        self.fetched.get(&at)
    }

    /// All that were fetched, in the order of the resolution.
    pub fn all_fetched(&self) -> Vec<FetchedWheel> {
        self.fetched.values().cloned().collect()
    }

    /// What a fetched wheel is.
    fn name(&self, at: usize) -> Result<NamedWheel, ImageError> {
        let FetchedWheel { name, version, path, sha256, .. } = &self.fetched[&at];
        let told = match &self.resolution.distributions[at].artifact {
            Artifact::Wheel(download) => size(download),
            Artifact::Sdist { .. } | Artifact::Git { .. } => None,
        };
        let of_file = || {
            let data = path.metadata();
            data.map(|data| data.len()).map_err(|source| ImageError::Read { path: path.clone(), source })
        };
        let (name, version, sha256) = (name.clone(), version.clone(), sha256.clone());
        Ok(NamedWheel { name, version, sha256, size_bytes: told.map_or_else(of_file, Ok)? })
    }
}

/// A wheel that fits the target, by what the resolution says of it.
fn named(download: &Download, tags: &Tags) -> Option<NamedWheel> {
    let name: WheelName = download.file_name.parse().ok()?;
    tags.rank(&name)?;
    let sha256 = download.sha256.clone().filter(|sha256| is_sha256(sha256))?;
    let (version, size_bytes) = (name.version().to_string(), size(download)?);
    Some(NamedWheel { name: name.name(), version, sha256, size_bytes })
}

/// The size of a file: as its index says, or that of a local one.
fn size(download: &Download) -> Option<u64> {
    let of_file = || {
        let path =
            Url::parse(&download.url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()?;
        path.metadata().ok().map(|data| data.len())
    };
    download.size_bytes.or_else(of_file)
}
