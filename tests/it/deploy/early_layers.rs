//! Layers on their way to a registry while others are still made, and bases from one registry to another.

use super::known_layers::{PLAIN, Scene};
use crate::deploy::whole::{TO_PROD, ran};
use crate::image::base::Base as BaseFiles;
use crate::support::fault_registry::{FaultRegistry, Trouble, Ways};
use crate::support::recording_clock::host_in;
use pexpress::builder::image::base::{Base, BaseName};
use pexpress::builder::image::observer::{LayerObserver, LayerSource};
use pexpress::host::Host;
use pexpress::image::manifest::media_type;
use pexpress::image::{Descriptor, Platform, Repository};
use pexpress::net::Agent;
use pexpress::publish::early_layers::EarlyLayers;
use pexpress::registry::{Credentials, Pushed, Registries};
use std::time::{Duration, Instant};

#[test]
fn a_base_passes_from_registry_to_registry_without_a_file() {
    let scene = Scene::new();
    scene.all_wheels();
    // Without it the layers of this base are read.
    let platform = ["--platform", "manylinux_2_36_x86_64"];
    let cache = tempfile::tempdir().unwrap();
    let first = ran(scene.command(cache.path(), &PLAIN).args(platform).args(TO_PROD));
    assert_eq!((first.code, first.state("one")), (Some(0), "loaded"), "{}", first.stderr);
    assert!(!cache.path().join("blobs").exists(), "the cache has layers of the base");
    let digest = first.document["locations"][0]["digest"].as_str().unwrap().to_string();
    let manifest = scene.registry.manifest("acme/app", &digest).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let base = manifest["layers"][0]["digest"].as_str().unwrap();
    assert!(scene.registry.blob("acme/app", &base.parse().unwrap()).is_some());
    assert!(!cache.path().join("out/one/blobs/sha256").join(&base[7..]).exists());
    let is_read = |one: &&String| one.starts_with("GET") && one.contains(&base[..11]);
    assert_eq!(scene.base.requests().iter().filter(is_read).count(), 1, "{:#?}", scene.base.requests());
    scene.assert_whole();
}

/// A base over which nothing is built here, and a layer in a file.
struct Built {
    dir: tempfile::TempDir,
    base: Base,
    registries: Registries,
    host: Host,
}

impl Built {
    fn new() -> Built {
        let dir = tempfile::tempdir().unwrap();
        BaseFiles::official("3.11").write(&dir.path().join("base"));
        let home = dir.path().display().to_string();
        let (host, _, _) = host_in(dir.path(), &[("HOME", &home)]);
        let no_helper = |_: &str, _: &str, _: &[u8]| Err(std::io::ErrorKind::NotFound.into());
        let registries = Registries::new(&host, &Agent::new(&host), Credentials::new(&host, no_helper));
        let platform = Platform { architecture: "amd64".into(), os: "linux".into(), variant: None };
        let base = Base::find(BaseName::Layout("base".into()), &platform, dir.path(), &registries).unwrap();
        Built { dir, base, registries, host }
    }

    fn layer(&self, content: &str) -> (Descriptor, LayerSource) {
        let path = self.dir.path().join(content);
        std::fs::write(&path, content).unwrap();
        (Descriptor::of(media_type::LAYER_GZIP, content.as_bytes()), LayerSource::File(path))
    }

    fn early(&self, targets: &[(&str, &[Repository])]) -> EarlyLayers<'_> {
        let targets = targets.iter().map(|(name, to)| (name.to_string(), to.to_vec()));
        EarlyLayers::new(targets, &self.base, &self.registries, &|_| (), &self.host)
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_layer_is_sent_while_others_are_made_and_not_asked_about_again() {
    let (built, registry) = (Built::new(), FaultRegistry::new(Ways::default()));
    let to = registry.repository("team/app");
    let early = built.early(&[("one", std::slice::from_ref(&to)), ("two", &[])]);
    let (layer, source) = built.layer("first");
    let made: Result<u8, ()> = early.during(|| {
        for names in [&["one", "two"][..], &["one"], &["other"]] {
            early.finished(&layer, source.clone(), names);
        }
        wait_for(|| registry.blob("team/app", &layer.digest).is_some());
        Ok(7)
    });
    assert_eq!(made, Ok(7));
    // HEAD, POST, PUT; counted for the code location that it was sent for, and not for the client.
    assert_eq!(early.counts("one"), (3, layer.size));
    assert_eq!((early.counts("two"), built.registries.requests()), ((0, 0), 0));
    let open = || Ok(Box::new(std::io::empty()) as Box<dyn std::io::Read + Send>);
    let pushed = built.registries.push_blob(&to, &layer, &open, &[]).unwrap();
    assert_eq!((pushed, built.registries.requests()), (Pushed::Existing, 0));
}

#[test]
fn a_layer_for_two_repositories_is_sent_once_and_mounted() {
    let (built, registry) = (Built::new(), FaultRegistry::new(Ways::default()));
    let [one, two] = ["team/one", "team/two"].map(|path| registry.repository(path));
    let early = built.early(&[("one", &[one]), ("two", &[two])]);
    let (layer, source) = built.layer("shared");
    let made: Result<(), ()> = early.during(|| {
        early.finished(&layer, source, &["one", "two"]);
        Ok(())
    });
    assert_eq!(made, Ok(()));
    assert_eq!(registry.received_bytes(), layer.size);
    for path in ["team/one", "team/two"] {
        assert!(registry.blob(path, &layer.digest).is_some(), "{path}");
    }
    assert_eq!((early.counts("one"), early.counts("two")), ((3, layer.size), (2, 0)));
}

#[test]
fn the_first_refusal_ends_it_and_is_no_failure_of_the_build() {
    let registry = FaultRegistry::with_faults(Ways::default(), |_| Some(Trouble::Status(403, None)));
    let built = Built::new();
    let early = built.early(&[("one", &[registry.repository("team/app")])]);
    let made: Result<(), ()> = early.during(|| {
        let (layer, source) = built.layer("first");
        early.finished(&layer, source, &["one"]);
        wait_for(|| !registry.requests().is_empty());
        // Whatever is finished after the refusal is not tried.
        std::thread::sleep(Duration::from_millis(200));
        for content in ["second", "third"] {
            let (layer, source) = built.layer(content);
            early.finished(&layer, source, &["one"]);
        }
        Ok(())
    });
    assert_eq!((made, registry.requests().len()), (Ok(()), 1), "{:#?}", registry.requests());
}

#[test]
fn a_build_that_fails_leaves_nothing_to_send() {
    let (built, registry) = (Built::new(), FaultRegistry::new(Ways::default()));
    let early = built.early(&[("one", &[registry.repository("team/app")])]);
    let made: Result<(), &str> = early.during(|| Err("failed"));
    let (layer, source) = built.layer("late");
    early.finished(&layer, source, &["one"]);
    assert_eq!((made, registry.requests()), (Err("failed"), vec![]));
}
