//! The registry client against a strict registry of our own and against Debian's `docker-registry`.

mod auth;
mod faults;
mod pull;
mod push;
mod real;
mod schedules;

use crate::support::fault_registry::{FaultRegistry, IDENTITY, USER};
use crate::support::recording_clock::{Heard, RecordingClock, host_in};
use pexpress::host::Host;
use pexpress::image::manifest::media_type;
use pexpress::image::{Descriptor, Manifest, Tag};
use pexpress::net::Agent;
use pexpress::registry::{Blob, Credentials, Registries, TagKind};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use tempfile::TempDir;

/// No helper is installed.
fn no_helper(_: &str, _: &str, _: &[u8]) -> io::Result<Output> {
    Err(io::ErrorKind::NotFound.into())
}

/// A client, and what it said and waited.
struct Client {
    registries: Registries,
    clock: Arc<RecordingClock>,
    heard: Heard,
    _dir: TempDir,
}

/// A client with these variables, in a home directory of its own that `prepare` fills.
fn client_in(prepare: impl FnOnce(&Path), env: &[(&str, &str)], destination: Option<&str>) -> Client {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let home = dir.path().display().to_string();
    let env: Vec<(&str, &str)> = env.iter().copied().chain([("HOME", home.as_str())]).collect();
    let (host, clock, heard) = host_in(dir.path(), &env);
    let host: Host = host;
    let mut credentials = Credentials::new(&host, no_helper);
    if let Some(destination) = destination {
        credentials.add_destination(&destination.parse().unwrap());
    }
    let registries = Registries::new(&host, &Agent::new(&host), credentials);
    Client { registries, clock, heard, _dir: dir }
}

/// A client without credentials.
fn anonymous() -> Client {
    client_in(|_| (), &[], None)
}

/// A client with the user name and password that the registry takes.
fn known_to(registry: &FaultRegistry) -> Client {
    let env = [("PEXPRESS_REGISTRY_USERNAME", USER.0), ("PEXPRESS_REGISTRY_PASSWORD", USER.1)];
    client_in(|_| (), &env, Some(&format!("{}/any", registry.host())))
}

/// A client with the identity token that the registry takes, in Docker's file.
fn identified_to(registry: &FaultRegistry) -> Client {
    let entry = format!(r#"{{"auths": {{"{}": {{"identitytoken": "{IDENTITY}"}}}}}}"#, registry.host());
    let prepare = |home: &Path| {
        std::fs::create_dir(home.join(".docker")).unwrap();
        std::fs::write(home.join(".docker/config.json"), entry).unwrap();
    };
    client_in(prepare, &[], None)
}

/// A blob in memory.
fn blob(content: &[u8]) -> Blob<'static> {
    Blob::of_bytes(media_type::LAYER_GZIP, content)
}

/// An image in memory: its layers, and then its config.
struct Sample {
    contents: Vec<Vec<u8>>,
    manifest: Vec<u8>,
}

impl Sample {
    /// Layers of these sizes; other images have other bytes.
    fn new(name: &str, sizes: &[usize]) -> Sample {
        let layers: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(number, size)| {
                format!("{name} {number} ").into_bytes().into_iter().cycle().take(*size).collect()
            })
            .collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"name":"{name}"}}"#
        );
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.into(),
            artifact_type: None,
            config: Descriptor::of(media_type::CONFIG, config.as_bytes()),
            layers: layers.iter().map(|layer| Descriptor::of(media_type::LAYER_GZIP, layer)).collect(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let contents = layers.into_iter().chain([config.into_bytes()]).collect();
        Sample { contents, manifest: manifest.to_bytes() }
    }

    fn blobs(&self) -> Vec<Blob<'static>> {
        self.contents.iter().map(|content| blob(content)).collect()
    }
}

/// A content tag and one for people.
fn two_tags() -> [(Tag, TagKind); 2] {
    [("app-0123456789abcdef", TagKind::Content), ("app-commit", TagKind::Commit)]
        .map(|(tag, kind)| (tag.parse().unwrap(), kind))
}
