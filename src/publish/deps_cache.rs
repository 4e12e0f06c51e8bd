//! The deps cache: for each tag, which deps PEX in the registry satisfies a requirement set.
//!
//! Object name and content are those of dagster-cloud-cli (`requirements-HASH-TAG.txt`, a JSON object with two keys).
//! The hash is our own: it is of the exact resolution, so an entry is never stale. docs/deps-cache.md has the reasons.

use super::lookups::Lookups;
use crate::dagster::artifacts::{Content, Stored};
use crate::dagster::operations::PresignedUrl;
use crate::dagster::{Client, DagsterError};
use crate::hex::hex;
use crate::net::Silent;
use crate::pex::{FORMAT_REVISION, PEX_VERSION};
use crate::resolve::{Artifact, Resolution};
use crate::target::Target;
use base64::Engine;
use sha1::{Digest, Sha1};

/// A deps PEX stored by an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// `deps-HASH.pex`.
    pub deps_pex_name: String,
    /// The version of dagster in it.
    pub dagster_version: String,
}

/// The version of what goes into every deps PEX.
pub fn runtime() -> String {
    format!("pex {PEX_VERSION} format {FORMAT_REVISION}")
}

/// Hash of an exact resolution: lower-case hex SHA-1 (as long as dagster-cloud-cli's), or `None` if the resolution is
/// not exact because a file has no digest.
///
/// `runtime` is the version of the PEX runtime. The hashed text starts with `pexpress`, so that our hashes never equal
/// those of another client.
pub fn resolution_hash(resolution: &Resolution, target: Target, runtime: &str) -> Option<String> {
    let exact = |artifact: &Artifact| match artifact {
        Artifact::Wheel(download) | Artifact::Sdist { download, .. } => download.sha256.is_some(),
        Artifact::Git { .. } => true,
    };
    if !resolution.distributions.iter().all(|one| exact(&one.artifact)) {
        return None;
    }
    // Increase the number when the meaning of the text changes: old entries then miss.
    let text = format!("pexpress deps 1\nruntime {runtime}\n{}\n", resolution.digest(target));
    Some(hex(Sha1::digest(text.as_bytes())))
}

/// Name of the cache object for a requirement set and a tag.
///
/// Source: dagster-cloud-cli. The tag is URL-safe base64 with padding.
pub fn object_name(hash: &str, tag: &str) -> String {
    name_of("requirements", hash, tag)
}

/// The same for another kind of object.
pub(super) fn name_of(kind: &str, hash: &str, tag: &str) -> String {
    match tag {
        "" => format!("{kind}-{hash}.txt"),
        tag => format!("{kind}-{hash}-{}.txt", base64::prelude::BASE64_URL_SAFE.encode(tag)),
    }
}

/// Content of a cache object: two keys in this order, a space after `:` and `,`, no line end.
pub(super) fn content(entry: &CacheEntry) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    format!(
        "{{\"deps_pex_name\": {}, \"dagster_version\": {}}}",
        quoted(&entry.deps_pex_name),
        quoted(&entry.dagster_version)
    )
}

/// Read a cache object; `None` for anything that is not an entry.
fn parse(text: &str) -> Option<CacheEntry> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let deps_pex_name = value["deps_pex_name"].as_str()?.to_string();
    is_deps_name(&deps_pex_name).then_some(CacheEntry {
        deps_pex_name,
        dagster_version: value["dagster_version"].as_str()?.to_string(),
    })
}

/// Whether a name is that of a deps PEX. It becomes part of a request and of a PEX tag, so nothing but a plain name is
/// accepted.
pub(super) fn is_deps_name(name: &str) -> bool {
    let digits = name.strip_prefix("deps-").and_then(|name| name.strip_suffix(".pex"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The first entry for a hash, in the order of `tags`, with a deps PEX that is stored completely. Every error is a miss
/// with a note: the cache only saves time. A tag is only read when the ones before it miss.
pub fn read(lookups: &Lookups, tags: &[String], hash: &str) -> Option<CacheEntry> {
    let read = |text: &str| parse(text).ok_or_else(|| "it is not a cache entry".to_string());
    let names: Vec<String> = tags.iter().map(|tag| object_name(hash, tag)).collect();
    read_as(lookups, &names, &read, &|entry| entry)
}

/// The same for objects of these names that say more than the name of a deps PEX. `read` says why an object cannot be
/// used, and `entry_of` returns the part about the deps PEX.
pub(super) fn read_as<T>(
    lookups: &Lookups,
    names: &[String],
    read: &dyn Fn(&str) -> Result<T, String>,
    entry_of: &dyn Fn(&T) -> &CacheEntry,
) -> Option<T> {
    if let Err(error) = lookups.prepare(names) {
        miss_by_error(lookups.client(), "", &error);
        return None;
    }
    // One after the other: usually the first entry hits, and the others need no request.
    names.iter().find_map(|name| {
        let found = read_entry(lookups, name, read)?;
        is_stored(lookups, entry_of(&found)).then_some(found)
    })
}

/// The entry with this object name. `None` if it does not exist, or with a note if it cannot be used.
pub(super) fn read_entry<T>(
    lookups: &Lookups,
    name: &str,
    read: &dyn Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let client = lookups.client();
    match lookups.text(name) {
        Ok(Some(text)) => read(&text).map_err(|why| miss(client, name, &why)).ok(),
        Ok(None) => {
            client.host().detail(format!("deps cache: no entry {name}"));
            None
        }
        Err(error) => {
            miss_by_error(client, name, &error);
            None
        }
    }
}

/// Whether the registry has the complete deps PEX of an entry.
fn is_stored(lookups: &Lookups, entry: &CacheEntry) -> bool {
    let (client, deps) = (lookups.client(), &entry.deps_pex_name);
    match lookups.stored(deps) {
        Ok(Stored::Whole { .. }) => return true,
        // A record and the entry of its resolution name the same file: one note for both.
        Ok(Stored::Absent) => miss_once(client, deps, "it is not in the registry any more"),
        Ok(Stored::Broken) => miss_once(client, deps, "it is not a whole PEX file"),
        Err(error) => miss_by_error(client, deps, &error),
    }
    false
}

fn miss_once(client: &Client, name: &str, why: &str) {
    let error = DagsterError::NotStored { name: name.into() };
    match client.is_first_to_meet(&error, "") {
        true => miss(client, name, why),
        false => client.host().detail(format!("deps cache: `{name}`: {why}")),
    }
}

fn miss(client: &Client, name: &str, why: &str) {
    client.host().note(format!("deps cache: `{name}` is not used: {why}"));
}

/// Report an error as a miss. The same error may occur for each requirement set, so it is reported once; if it ends the
/// run, the run reports it.
fn miss_by_error(client: &Client, name: &str, error: &DagsterError) {
    match !client.is_over() && client.is_first_to_meet(error, name) {
        true => client.host().note(format!("deps cache: {error}; this run does without it")),
        false => client.host().detail(format!("deps cache: {error}")),
    }
}

/// Write an object of the cache.
///
/// # Errors
/// Those of the upload. Callers only warn: a successful deployment must not fail because of its cache entry.
pub fn write(client: &Client, name: &str, content: &str, url: PresignedUrl) -> Result<(), DagsterError> {
    client.upload(name, Content::Text(content), url, &Silent).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Distribution, Download};

    fn wheel(name: &str, sha256: Option<&str>) -> Distribution {
        let download = Download {
            file_name: format!("{name}-1-py3-none-any.whl"),
            url: format!("https://index.example/{name}"),
            sha256: sha256.map(String::from),
            size_bytes: None,
        };
        Distribution { name: name.into(), version: Some("1".into()), artifact: Artifact::Wheel(download) }
    }

    #[test]
    fn cache_objects_have_the_name_and_form_of_dagster_cloud_cli() {
        assert_eq!(object_name("abc", "acme/proj"), "requirements-abc-YWNtZS9wcm9q.txt");
        assert_eq!(object_name("abc", "a"), "requirements-abc-YQ==.txt");
        assert_eq!(object_name("abc", ""), "requirements-abc.txt");
        let entry = CacheEntry { deps_pex_name: "deps-0f.pex".into(), dagster_version: "1.13.27".into() };
        let text = "{\"deps_pex_name\": \"deps-0f.pex\", \"dagster_version\": \"1.13.27\"}";
        assert_eq!((content(&entry).as_str(), parse(text)), (text, Some(entry)));
    }

    #[test]
    fn an_invalid_entry_is_a_miss() {
        for text in [
            "",
            "<html>",
            "[]",
            "{\"deps_pex_name\": \"deps-0f.pex\"}",
            "{\"deps_pex_name\": \"../deps-0f.pex\", \"dagster_version\": \"1\"}",
            "{\"deps_pex_name\": \"deps-.pex\", \"dagster_version\": \"1\"}",
            "{\"deps_pex_name\": 1, \"dagster_version\": \"1\"}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_hash_changes_with_everything_that_changes_the_file() {
        let target = |python: &str| Target::serverless(python.parse().unwrap());
        let hash = |distributions: &[Distribution], python, runtime| {
            let resolution = Resolution { distributions: distributions.to_vec() };
            resolution_hash(&resolution, target(python), runtime)
        };
        let one = [wheel("a", Some("11"))];
        let same = hash(&one, "3.11", "2.59.5").unwrap();
        assert_eq!(same.len(), 40);
        let mut moved = one.clone();
        if let Artifact::Wheel(download) = &mut moved[0].artifact {
            download.url = "https://mirror.example/a".into();
        }
        assert_eq!(hash(&moved, "3.11", "2.59.5"), Some(same.clone()));
        for other in [
            hash(&[wheel("a", Some("22"))], "3.11", "2.59.5"),
            hash(&[wheel("a", Some("11")), wheel("b", Some("11"))], "3.11", "2.59.5"),
            hash(&one, "3.12", "2.59.5"),
            hash(&one, "3.11", "2.60.0"),
        ] {
            assert_ne!(other.unwrap(), same);
        }
        assert_eq!(hash(&[wheel("a", None)], "3.11", "2.59.5"), None);
    }
}
