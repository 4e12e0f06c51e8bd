//! The list of what is in an image, for scanners and auditors: its base, and each distribution with its digest.
//!
//! The format is CycloneDX 1.6: it identifies packages by purl, has hashes and a dependency graph, and needs neither a
//! time nor a random number, so the same image has the same list. SPDX needs both. Source: "CycloneDX v1.6 JSON
//! Reference"; package-url, "purl-spec", type `pypi`.

use super::{ImageError, name};
use crate::builder::fetch_job::FetchedWheel;
use crate::image::json::canonical;
use crate::image::{Digest, Platform};
use crate::project::RequirementLine;
use crate::resolve::{Artifact, Resolution};
use crate::target::Target;
use crate::wheel::dist_info::DistInfo;
use crate::wheel::requirement::Link;
use crate::wheel::{Archive, Metadata, WheelError, WheelName};
use pep508_rs::{ExtraName, Requirement};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// Media type of a list. Source: CycloneDX, "Media types".
pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";
/// What the name of a list ends with.
const FILE_ENDING: &str = ".cdx.json";

/// Everything but these is percent-encoded in a purl. Source: purl-spec, "Character encoding".
const IN_PURL: AsciiSet = NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The file of the list of a code location's image, or of its image for one of several platforms.
pub fn file_name(location: &str, platform: Option<&Platform>) -> String {
    // No directory of a code location has a `+` in its name.
    let platform = platform.map(|platform| format!("+{}", platform.to_string().replace('/', "-")));
    format!("{}{}{FILE_ENDING}", name::component(location), platform.unwrap_or_default())
}

/// The distributions of an image, and which of them need which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Sorted by name.
    pub packages: Vec<Package>,
    /// Names of those that the code location requires itself.
    pub roots: BTreeSet<String>,
}

/// One distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Normalised name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the file that the index has: the wheel, or the source archive that it was built from here.
    pub sha256: Option<String>,
    /// Repository and commit, if it was built from one.
    pub commit: Option<(String, String)>,
    /// Names of those that it needs.
    pub needs: BTreeSet<String>,
}

impl Packages {
    /// The packages of a resolution, with the wheels that were fetched for it, in the same order. Requirements are
    /// those that hold for the target, with the extras that something asks for.
    ///
    /// # Errors
    /// When a wheel is damaged.
    pub fn read(
        resolution: &Resolution,
        wheels: &[FetchedWheel],
        lines: &[RequirementLine],
        target: &Target,
    ) -> Result<Packages, ImageError> {
        let mut packages = Vec::new();
        let mut required = BTreeMap::new();
        for (distribution, wheel) in resolution.distributions.iter().zip(wheels) {
            let (sha256, commit) = match &distribution.artifact {
                Artifact::Wheel(_) => (Some(wheel.sha256.clone()), None),
                Artifact::Sdist { download, .. } => (download.sha256.clone(), None),
                Artifact::Git { url, commit, .. } => (None, Some((without_login(url), commit.clone()))),
            };
            let (name, version) = (wheel.name.clone(), wheel.version.clone());
            required.insert(name.clone(), metadata(wheel)?.requires_dist);
            packages.push(Package { name, version, sha256, commit, needs: BTreeSet::new() });
        }
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        // Every line was resolved, so it parses.
        let own: Vec<Requirement<Link>> = lines.iter().filter_map(|line| line.text.parse().ok()).collect();
        let (roots, needs) = graph(&own, &required, target);
        for package in &mut packages {
            package.needs = needs.get(&package.name).cloned().unwrap_or_default();
        }
        Ok(Packages { packages, roots })
    }

    /// The list of the image of a code location. `base` is the name of its base, if it is in a registry, and the digest.
    pub fn document(&self, location: &str, base: (Option<&str>, &Digest)) -> Vec<u8> {
        let location_ref = format!("location:{location}");
        let (base_name, base_digest) = base;
        let base_ref = format!("base:{base_digest}");
        let mut components = vec![json!({
            "type": "container",
            "bom-ref": base_ref,
            "name": base_name.unwrap_or("base image"),
            "version": base_digest.to_string(),
            "hashes": [{ "alg": "SHA-256", "content": base_digest.hex() }],
        })];
        components.extend(self.packages.iter().map(Package::component));
        let purls: BTreeMap<&str, String> =
            self.packages.iter().map(|package| (package.name.as_str(), package.purl())).collect();
        let named = |names: &BTreeSet<String>| -> Vec<Value> {
            names.iter().filter_map(|name| purls.get(name.as_str())).map(|purl| json!(purl)).collect()
        };
        let mut of_location = named(&self.roots);
        of_location.push(json!(base_ref));
        let mut dependencies = vec![json!({ "ref": location_ref, "dependsOn": of_location })];
        dependencies.extend(
            self.packages
                .iter()
                .map(|package| json!({ "ref": package.purl(), "dependsOn": named(&package.needs) })),
        );
        let tool = json!({ "type": "application", "name": "pexpress", "version": env!("CARGO_PKG_VERSION") });
        canonical(&json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "tools": { "components": [tool] },
                "component": { "type": "application", "bom-ref": location_ref, "name": location },
            },
            "components": components,
            "dependencies": dependencies,
        }))
    }
}

impl Package {
    fn purl(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, &IN_PURL).to_string();
        let vcs = self.commit.as_ref().map(|(url, commit)| encoded(&format!("git+{url}@{commit}")));
        let vcs = vcs.map(|vcs| format!("?vcs_url={vcs}")).unwrap_or_default();
        format!("pkg:pypi/{}@{}{vcs}", encoded(&self.name), encoded(&self.version))
    }

    fn component(&self) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": self.purl(),
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
        });
        if let Some(sha256) = &self.sha256 {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        component
    }
}

fn metadata(wheel: &FetchedWheel) -> Result<Metadata, WheelError> {
    let archive = Archive::open(&wheel.path)?;
    let name: WheelName = wheel.file_name.parse()?;
    let text = DistInfo::open(&wheel.file_name, &name, &archive)?.required("METADATA")?;
    Metadata::parse(&wheel.file_name, &text)
}

/// The address of a repository without login, query and fragment.
fn without_login(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    // These fail for addresses that cannot have a login.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

type Names = BTreeSet<String>;

/// What the project requires itself, and what each package needs.
fn graph(
    own: &[Requirement<Link>],
    required: &BTreeMap<String, Vec<Requirement<Link>>>,
    target: &Target,
) -> (Names, BTreeMap<String, Names>) {
    let environment = target.marker_environment();
    let mut extras: BTreeMap<String, BTreeSet<ExtraName>> = BTreeMap::new();
    let mut needs: BTreeMap<String, Names> = BTreeMap::new();
    let mut roots = Names::new();
    // Each is looked at again when something asks for more of its extras.
    let mut queue: Vec<String> = required.keys().cloned().collect();
    for requirement in own.iter().filter(|one| one.marker.evaluate(&environment, &[])) {
        let name = requirement.name.to_string();
        extras.entry(name.clone()).or_default().extend(requirement.extras.iter().cloned());
        roots.insert(name);
    }
    while let Some(name) = queue.pop() {
        let wanted: Vec<ExtraName> = extras.get(&name).into_iter().flatten().cloned().collect();
        for requirement in required.get(&name).into_iter().flatten() {
            if !requirement.marker.evaluate(&environment, &wanted) {
                continue;
            }
            let other = requirement.name.to_string();
            let known = extras.entry(other.clone()).or_default();
            let before = known.len();
            known.extend(requirement.extras.iter().cloned());
            if known.len() > before {
                queue.push(other.clone());
            }
            if other != name {
                needs.entry(name.clone()).or_default().insert(other);
            }
        }
    }
    (roots, needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements(lines: &[&str]) -> Vec<Requirement<Link>> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn the_graph_follows_markers_and_extras() {
        let required: BTreeMap<String, Vec<Requirement<Link>>> = [
            ("a", &["b[x]>1", "gone; python_version < '3'", "a[y]"][..]),
            ("b", &["c; extra == 'x'", "d; extra == 'z'"]),
            ("c", &["b[z]"]),
            ("d", &[]),
        ]
        .map(|(name, lines)| (name.to_string(), requirements(lines)))
        .into();
        let target = Target::serverless(crate::target::PythonVersion::DEFAULT);
        let (roots, needs) = graph(&requirements(&["a", "d; sys_platform == 'win32'"]), &required, &target);
        assert_eq!(roots.into_iter().collect::<Vec<_>>(), ["a"]);
        let needs: Vec<String> = needs
            .iter()
            .map(|(name, needs)| format!("{name}: {}", needs.iter().cloned().collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(needs, ["a: b", "b: c d", "c: b"]);
    }

    #[test]
    fn the_list_is_the_same_every_time_and_tells_no_secrets() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            sha256: Some("0".repeat(64)),
            commit: None,
            needs: BTreeSet::new(),
        };
        let commit = ("https://user:secret@example.com/r.git?x=secret", "1".repeat(40));
        let packages = Packages {
            packages: vec![
                Package { needs: ["b".to_string()].into(), ..package("a", "1!2.0+local") },
                Package {
                    sha256: None,
                    commit: Some((without_login(commit.0), commit.1)),
                    ..package("b", "1")
                },
            ],
            roots: ["a".to_string(), "elsewhere".to_string()].into(),
        };
        let digest = Digest::of(b"base");
        let document = packages.document("prod", (Some("example.com/python:3.12"), &digest));
        assert_eq!(document, packages.clone().document("prod", (Some("example.com/python:3.12"), &digest)));
        let text = String::from_utf8(document).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let text = text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]").replace(&digest.hex(), "[BASE]");
        let value: Value = serde_json::from_str(&text).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap(), @r#"
        {
          "bomFormat": "CycloneDX",
          "components": [
            {
              "bom-ref": "base:sha256:[BASE]",
              "hashes": [
                {
                  "alg": "SHA-256",
                  "content": "[BASE]"
                }
              ],
              "name": "example.com/python:3.12",
              "type": "container",
              "version": "sha256:[BASE]"
            },
            {
              "bom-ref": "pkg:pypi/a@1%212.0%2Blocal",
              "hashes": [
                {
                  "alg": "SHA-256",
                  "content": "0000000000000000000000000000000000000000000000000000000000000000"
                }
              ],
              "name": "a",
              "purl": "pkg:pypi/a@1%212.0%2Blocal",
              "type": "library",
              "version": "1!2.0+local"
            },
            {
              "bom-ref": "pkg:pypi/b@1?vcs_url=git%2Bhttps%3A%2F%2Fexample.com%2Fr.git%401111111111111111111111111111111111111111",
              "name": "b",
              "purl": "pkg:pypi/b@1?vcs_url=git%2Bhttps%3A%2F%2Fexample.com%2Fr.git%401111111111111111111111111111111111111111",
              "type": "library",
              "version": "1"
            }
          ],
          "dependencies": [
            {
              "dependsOn": [
                "pkg:pypi/a@1%212.0%2Blocal",
                "base:sha256:[BASE]"
              ],
              "ref": "location:prod"
            },
            {
              "dependsOn": [
                "pkg:pypi/b@1?vcs_url=git%2Bhttps%3A%2F%2Fexample.com%2Fr.git%401111111111111111111111111111111111111111"
              ],
              "ref": "pkg:pypi/a@1%212.0%2Blocal"
            },
            {
              "dependsOn": [],
              "ref": "pkg:pypi/b@1?vcs_url=git%2Bhttps%3A%2F%2Fexample.com%2Fr.git%401111111111111111111111111111111111111111"
            }
          ],
          "metadata": {
            "component": {
              "bom-ref": "location:prod",
              "name": "prod",
              "type": "application"
            },
            "tools": {
              "components": [
                {
                  "name": "pexpress",
                  "type": "application",
                  "version": "[VERSION]"
                }
              ]
            }
          },
          "specVersion": "1.6",
          "version": 1
        }
        "#);
    }
}
