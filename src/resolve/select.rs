//! Chooses one file for each package of a lock: the best wheel for the target, or the source archive.

use super::markers;
use super::pylock::{Package, Pylock, Vcs};
use super::{Artifact, Distribution, Download, Resolution, ResolveError};
use crate::target::Target;
use crate::wheel::{Tags, WheelName};
use pep508_rs::MarkerEnvironment;
use pep508_rs::pep440_rs::VersionSpecifiers;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

/// The settings for the choice.
pub struct Choice<'a> {
    /// Target Python and platform.
    pub target: Target,
    /// The lock file, for messages and for paths relative to it.
    pub lock: &'a Path,
    /// Names (or `:all:`) to be built from source.
    pub no_binary: &'a [String],
    /// Names (or `:all:`) never to be built from source.
    pub only_binary: &'a [String],
    /// `sha256:HEX` digests that the user listed, by normalised name.
    pub hashes: &'a BTreeMap<String, Vec<String>>,
}

impl Choice<'_> {
    /// Choose a file for every package of `lock` that applies to the target, except local directories.
    ///
    /// # Errors
    /// When a package has no usable file, two entries for one name apply, or a marker cannot be read.
    pub fn all(&self, lock: &Pylock) -> Result<Resolution, ResolveError> {
        let environment = self.target.marker_environment();
        self.check_python(lock.requires_python.as_deref(), &environment, None)?;
        let mut chosen: BTreeMap<&str, Distribution> = BTreeMap::new();
        for package in &lock.packages {
            // Local packages are built into the source PEX instead.
            if package.directory.is_some() || !self.applies(package, &environment)? {
                continue;
            }
            self.check_python(package.requires_python.as_deref(), &environment, Some(&package.name))?;
            let artifact = self.artifact(package)?;
            let distribution =
                Distribution { name: package.name.clone(), version: package.version.clone(), artifact };
            // PEP 751 requires markers of one name to exclude each other.
            if chosen.insert(&package.name, distribution).is_some() {
                return Err(ResolveError::Twice {
                    file: self.lock.to_path_buf(),
                    name: package.name.clone(),
                });
            }
        }
        Ok(Resolution { distributions: chosen.into_values().collect() })
    }

    fn applies(&self, package: &Package, environment: &MarkerEnvironment) -> Result<bool, ResolveError> {
        let Some(marker) = &package.marker else { return Ok(true) };
        markers::holds(marker, environment).map_err(|reason| ResolveError::Marker {
            file: self.lock.to_path_buf(),
            name: package.name.clone(),
            marker: marker.clone(),
            reason,
        })
    }

    fn check_python(
        &self,
        specifiers: Option<&str>,
        environment: &MarkerEnvironment,
        package: Option<&str>,
    ) -> Result<(), ResolveError> {
        let Some(text) = specifiers else { return Ok(()) };
        let python = &environment.python_full_version().version;
        let fits = VersionSpecifiers::from_str(text).is_ok_and(|specifiers| specifiers.contains(python));
        if fits {
            return Ok(());
        }
        Err(ResolveError::RequiresPython {
            what: package.map_or_else(|| self.lock.display().to_string(), str::to_string),
            requires: text.to_string(),
            python: self.target.python,
        })
    }

    fn artifact(&self, package: &Package) -> Result<Artifact, ResolveError> {
        if let Some(vcs) = &package.vcs {
            return self.repository(package, vcs);
        }
        let base = self.lock.parent().unwrap_or(Path::new("/"));
        if let Some(archive) = &package.archive {
            let download = archive.download(base).ok_or_else(|| self.no_file(package))?;
            return Ok(match download.file_name.ends_with(".whl") {
                true => Artifact::Wheel(download),
                false => Artifact::Sdist { download, subdirectory: archive.subdirectory.clone() },
            });
        }
        let wheels = package.wheels.iter().filter_map(|wheel| wheel.download(base));
        let sdist = package.sdist.iter().filter_map(|sdist| sdist.download(base));
        let wheel =
            (!names(self.no_binary, &package.name)).then(|| self.best_wheel(package, wheels)).flatten();
        if let Some(wheel) = wheel {
            return Ok(Artifact::Wheel(wheel));
        }
        // `--hash` must hold for the file that is used, wheel or source.
        let mut sdist = sdist.filter(|sdist| self.listed(package, sdist));
        match sdist.next() {
            Some(download) if !names(self.only_binary, &package.name) => {
                Ok(Artifact::Sdist { download, subdirectory: None })
            }
            _ => Err(self.no_file(package)),
        }
    }

    /// The wheel with the best tag; among equals the one with the highest build number.
    fn best_wheel(&self, package: &Package, wheels: impl Iterator<Item = Download>) -> Option<Download> {
        let tags = Tags::for_target(&self.target);
        let usable = wheels.filter(|wheel| self.listed(package, wheel)).filter_map(|wheel| {
            let name = wheel.file_name.parse::<WheelName>().ok()?;
            Some((tags.preference(&name)?, wheel))
        });
        usable.max_by(|left, right| left.0.cmp(&right.0)).map(|(_, wheel)| wheel)
    }

    /// Whether the user allows this digest for the package. Without a list, all are allowed.
    fn listed(&self, package: &Package, download: &Download) -> bool {
        let Some(listed) = self.hashes.get(&package.name) else { return true };
        let digest = download.sha256.as_ref().map(|hex| format!("sha256:{hex}"));
        // A file without a SHA-256 cannot be on the list.
        digest.is_some_and(|digest| listed.contains(&digest))
    }

    fn repository(&self, package: &Package, vcs: &Vcs) -> Result<Artifact, ResolveError> {
        let address = vcs.url.clone().or_else(|| vcs.path.clone());
        match (vcs.r#type.as_str(), address) {
            ("git", Some(url)) => Ok(Artifact::Git {
                url,
                commit: vcs.commit_id.clone(),
                subdirectory: vcs.subdirectory.clone(),
            }),
            _ => Err(ResolveError::Vcs { name: package.name.clone(), kind: vcs.r#type.clone() }),
        }
    }

    fn no_file(&self, package: &Package) -> ResolveError {
        let offered: BTreeSet<String> = (package.wheels.iter().chain(&package.sdist))
            .filter_map(|file| file.download(Path::new("/")))
            .map(|download| download.file_name)
            .collect();
        ResolveError::NoFile {
            name: package.name.clone(),
            version: package.version.clone().unwrap_or_default(),
            target: self.target,
            offered: offered.into_iter().collect(),
            hashes_listed: self.hashes.contains_key(&package.name),
        }
    }
}

/// Whether a `--no-binary` or `--only-binary` list has this package.
fn names(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == ":all:" || crate::wheel::filename::normalized_name(entry) == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn lock(wheels: &[&str], sdist: bool) -> Pylock {
        let list: Vec<String> = (wheels.iter().enumerate())
            .map(|(at, name)| {
                format!("{{ url = 'https://e.example/{name}', hashes = {{ sha256 = '{at:064x}' }} }}")
            })
            .collect();
        let sdist = if sdist {
            format!(
                "sdist = {{ url = 'https://e.example/a-1.0.tar.gz', hashes = {{ sha256 = '{:064x}' }} }}",
                255
            )
        } else {
            String::new()
        };
        let text = format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1.0'\n{sdist}\nwheels = [{}]",
            list.join(",")
        );
        Pylock::parse(&text, Path::new("/p/pylock.toml")).unwrap()
    }

    fn choose(
        lock: &Pylock,
        no_binary: &[String],
        hashes: &BTreeMap<String, Vec<String>>,
    ) -> Result<String, ResolveError> {
        let target = Target::serverless("3.11".parse().unwrap());
        let file = PathBuf::from("/p/pylock.toml");
        let choice = Choice { target, lock: &file, no_binary, only_binary: &[], hashes };
        let resolution = choice.all(lock)?;
        Ok(match &resolution.distributions[0].artifact {
            Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.file_name.clone(),
            Artifact::Git { url, .. } => url.clone(),
        })
    }

    #[test]
    fn the_newest_glibc_that_fits_wins_then_abi3_then_generic() {
        let names = [
            "a-1.0-py3-none-any.whl",
            "a-1.0-cp38-abi3-manylinux_2_17_x86_64.whl",
            "a-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            "a-1.0-cp311-cp311-manylinux_2_39_x86_64.whl",
            "a-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
            "a-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        ];
        for (count, want) in [(7, names[3]), (3, names[2]), (2, names[1]), (1, names[0])] {
            assert_eq!(choose(&lock(&names[..count], true), &[], &BTreeMap::new()).unwrap(), want);
        }
    }

    #[test]
    fn without_a_fitting_wheel_the_source_is_built() {
        let foreign = lock(&["a-1.0-cp311-cp311-win_amd64.whl"], true);
        assert_eq!(choose(&foreign, &[], &BTreeMap::new()).unwrap(), "a-1.0.tar.gz");
        let generic = lock(&["a-1.0-py3-none-any.whl"], true);
        assert_eq!(choose(&generic, &["A".to_string()], &BTreeMap::new()).unwrap(), "a-1.0.tar.gz");
    }

    #[test]
    fn no_usable_file_is_an_error_that_lists_what_there_is() {
        let error =
            choose(&lock(&["a-1.0-cp311-cp311-win_amd64.whl"], false), &[], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("a-1.0-cp311-cp311-win_amd64.whl"), "{error}");
    }

    #[test]
    fn listed_hashes_decide_which_file() {
        let both = lock(&["a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "a-1.0-py3-none-any.whl"], true);
        let listed = BTreeMap::from([("a".to_string(), vec![format!("sha256:{:064x}", 1)])]);
        assert_eq!(choose(&both, &[], &listed).unwrap(), "a-1.0-py3-none-any.whl");
        let other = BTreeMap::from([("a".to_string(), vec!["sha256:00ff".to_string()])]);
        assert!(matches!(choose(&both, &[], &other), Err(ResolveError::NoFile { hashes_listed: true, .. })));
    }
}
