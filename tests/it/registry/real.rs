//! Debian's `docker-registry`, with `skopeo` as reader.

use super::{Client, anonymous, client_in, two_tags};
use crate::support::docker_registry::{Kind, PASSWORD, Registry, USER, is_equipped};
use crate::support::fault_registry::http::{Reply, serve};
use flate2::Compression;
use flate2::write::GzEncoder;
use pexpress::error::error_text;
use pexpress::image::config::RootFs;
use pexpress::image::manifest::media_type;
use pexpress::image::{Descriptor, Digest, Index, Manifest, Platform, Reference, Repository};
use pexpress::registry::{Artifact, Blob, Push, Pushed, RegistryError, Tagged};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

fn client_of(registry: &Registry, kind: Kind) -> Client {
    if kind == Kind::Open {
        return anonymous();
    }
    let env = [("PEXPRESS_REGISTRY_USERNAME", USER), ("PEXPRESS_REGISTRY_PASSWORD", PASSWORD)];
    client_in(|_| (), &env, Some(&format!("{}/any", registry.host)))
}

/// A real image: layers that are compressed tars, and a config that fits.
struct Image {
    blobs: Vec<(Descriptor, Vec<u8>)>,
    manifest: Vec<u8>,
    parsed: Manifest,
}

impl Image {
    fn new(name: &str, sizes: &[usize]) -> Image {
        let tars: Vec<Vec<u8>> = sizes.iter().map(|size| tar(name, *size)).collect();
        let layers: Vec<(Descriptor, Vec<u8>)> = tars
            .iter()
            .map(|tar| {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(tar).unwrap();
                let bytes = gzip.finish().unwrap();
                (Descriptor::of(media_type::LAYER_GZIP, &bytes), bytes)
            })
            .collect();
        let diff_ids = tars.iter().map(Digest::of).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"name": name}},
            "rootfs": RootFs { kind: "layers".into(), diff_ids }});
        let config = config.to_string().into_bytes();
        let parsed = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.into(),
            artifact_type: None,
            config: Descriptor::of(media_type::CONFIG, &config),
            layers: layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let config = (parsed.config.clone(), config);
        let blobs = layers.into_iter().chain([config]).collect();
        Image { blobs, manifest: parsed.to_bytes(), parsed }
    }

    fn blobs(&self) -> Vec<Blob<'static>> {
        self.blobs
            .iter()
            .map(|(descriptor, content)| Blob::of_bytes(&descriptor.media_type, content.as_slice()))
            .collect()
    }
}

/// A tar of one file whose bytes do not compress.
fn tar(name: &str, size: usize) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut field = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{size:011o}\0"));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut state = 1_u32;
    let content = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let padding = size.next_multiple_of(512) - size + 1024;
    header.into_iter().chain(content.take(size)).chain(std::iter::repeat_n(0, padding)).collect()
}

fn push_all_of(
    client: &Client,
    to: &Repository,
    image: &Image,
    from: &[Repository],
) -> (Vec<Pushed>, Vec<Tagged>) {
    let tags = two_tags();
    let push = Push {
        repository: to,
        media_type: media_type::MANIFEST,
        manifest: &image.manifest,
        tags: &tags,
        mount_from: from,
    };
    let pushed = client.registries.push_image(&push, image.blobs());
    let pushed = pushed.unwrap_or_else(|error| panic!("{}", error_text(&error, false)));
    (pushed.blobs, pushed.tags)
}

#[test]
#[ignore = "docker-registry, skopeo, htpasswd and openssl are packages of Debian"]
fn what_is_pushed_is_read_by_skopeo_and_by_us() {
    if !is_equipped() {
        return;
    }
    for kind in [Kind::Open, Kind::Basic, Kind::Token] {
        let registry = Registry::start(kind);
        let client = client_of(&registry, kind);
        let to = registry.repository("team/app");
        let image = Image::new("file", &[3_000_000, 70_000, 10]);
        assert_eq!(push_all_of(&client, &to, &image, &[]).0, [Pushed::Sent; 4], "{kind:?}");
        // Again, to another repository, and changed.
        let (blobs, tags) = push_all_of(&client_of(&registry, kind), &to, &image, &[]);
        assert_eq!((blobs.len(), tags.as_slice()), (0, &[Tagged::Existing; 2][..]));
        let other = registry.repository("team/other");
        let fresh = client_of(&registry, kind);
        let (blobs, _) = push_all_of(&fresh, &other, &image, std::slice::from_ref(&to));
        assert_eq!(blobs, [Pushed::Mounted; 4], "{kind:?}");
        assert_eq!(fresh.registries.sent_bytes(), 2 * image.manifest.len() as u64);

        // skopeo reads it and checks every digest.
        let name = format!("docker://{other}:app-commit");
        let raw = registry.skopeo("inspect", kind, &["--raw", &name]);
        assert_eq!(raw, image.manifest, "{kind:?}");
        let copy = registry.dir.path().join("copy");
        registry.skopeo("copy", kind, &[&name, &format!("oci:{}:x", copy.display())]);
        for (descriptor, content) in &image.blobs {
            let copied = std::fs::read(copy.join("blobs/sha256").join(descriptor.digest.hex())).unwrap();
            assert_eq!(&copied, content);
        }

        // A small artifact, which is replaced.
        let at: Reference = format!("{other}:small").parse().unwrap();
        for text in ["first", "second"] {
            let artifact = Artifact {
                artifact_type: "application/vnd.test+json",
                media_type: "application/vnd.test+json",
                content: text.as_bytes(),
                annotations: BTreeMap::new(),
            };
            fresh.registries.put_small(&at, &artifact).unwrap();
            let read = fresh.registries.small(&at, "application/vnd.test+json").unwrap();
            assert_eq!(read.as_deref(), Some(text.as_bytes()), "{kind:?}");
        }
        let copy = registry.dir.path().join("small");
        registry.skopeo("copy", kind, &[&format!("docker://{at}"), &format!("oci:{}:x", copy.display())]);
        assert!(copy.join("blobs/sha256").join(Digest::of("second").hex()).exists());

        // So do we, by tag and by digest; and an index.
        let reference: Reference = format!("{other}:app-commit").parse().unwrap();
        let amd64 = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        let read = fresh.registries.image(&reference, &amd64).unwrap();
        assert_eq!(read.manifest, image.parsed);
        let mut entry = Descriptor::of(media_type::MANIFEST, &image.manifest);
        entry.platform = Some(amd64.clone());
        let index = Index {
            schema_version: 2,
            media_type: media_type::INDEX.into(),
            manifests: vec![entry.clone()],
            annotations: BTreeMap::new(),
        };
        let at: Reference = format!("{other}:index").parse().unwrap();
        fresh.registries.put_manifest(&at, media_type::INDEX, &index.to_bytes()).unwrap();
        let read = fresh.registries.image(&at, &amd64).unwrap();
        assert_eq!((read.digest, read.manifest), (Digest::of(index.to_bytes()), image.parsed.clone()));
        let (_, config) = fresh.registries.config(&other, &image.parsed).unwrap();
        assert_eq!(config.rootfs.diff_ids.len(), 3);
        for (descriptor, content) in &image.blobs {
            assert_eq!(&fresh.registries.small_blob(&other, descriptor).unwrap(), content);
        }

        // An artifact, which this registry lists by a tag.
        let artifact = Artifact {
            artifact_type: "application/spdx+json",
            media_type: "application/spdx+json",
            content: b"{}\n",
            annotations: BTreeMap::new(),
        };
        let digest = fresh.registries.put_referrer(&other, &entry, &artifact).unwrap();
        let listed = fresh.registries.referrers(&other, entry.digest).unwrap();
        assert_eq!(listed.iter().map(|each| each.digest).collect::<Vec<_>>(), [digest]);

        // From here to another registry, streamed.
        let second = Registry::start(Kind::Open);
        let there = second.repository("copied/app");
        for descriptor in read_all(&image) {
            assert_eq!(fresh.registries.copy_blob(&other, &there, descriptor).unwrap(), Pushed::Sent);
        }
        assert!(!client.heard.text().contains("canary") && !fresh.heard.text().contains("canary"));
    }
}

fn read_all(image: &Image) -> impl Iterator<Item = &Descriptor> {
    image.blobs.iter().map(|(descriptor, _)| descriptor)
}

#[test]
#[ignore = "docker-registry, skopeo, htpasswd and openssl are packages of Debian"]
fn a_wrong_password_is_refused() {
    if !is_equipped() {
        return;
    }
    for kind in [Kind::Basic, Kind::Token] {
        let registry = Registry::start(kind);
        let env = [("PEXPRESS_REGISTRY_USERNAME", USER), ("PEXPRESS_REGISTRY_PASSWORD", "canary-wrong")];
        let client = client_in(|_| (), &env, Some(&format!("{}/any", registry.host)));
        let image = Image::new("file", &[10]);
        let blob = image.blobs().remove(0);
        let to = registry.repository("team/app");
        let error = client.registries.push_blob(&to, &blob.descriptor, &*blob.open, &[]).unwrap_err();
        assert!(matches!(error, RegistryError::Denied { status: 401, .. }), "{error:?}");
        let text = error_text(&error, false);
        assert!(text.contains("PEXPRESS_REGISTRY_USERNAME") && !text.contains("canary"), "{text}");
    }
}

/// A proxy before a registry that refuses bodies of more than `limit` bytes. Its address.
fn limiting_proxy(registry: &Registry, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream = registry.host.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, upstream) = (stream.unwrap(), upstream.clone());
            std::thread::spawn(move || {
                serve(&stream, &|request| {
                    let length = request.length.unwrap_or(0);
                    if request.is_announced {
                        return Reply::go_on();
                    }
                    if length > limit {
                        return Reply::new(413);
                    }
                    forward(&upstream, request)
                });
            });
        }
    });
    address
}

fn forward(upstream: &str, request: &crate::support::fault_registry::Request) -> Reply {
    let mut stream = TcpStream::connect(upstream).unwrap();
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    let mut head =
        format!("{} {}{mark}{query} HTTP/1.1\r\nConnection: close\r\n", request.method, request.path);
    for (name, value) in request.headers.iter().filter(|(name, _)| *name != "connection" && *name != "expect")
    {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", &request.body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.filter(|(name, _)| !name.eq_ignore_ascii_case("connection"));
    headers
        .fold(Reply::new(status), |reply, (name, value)| reply.header(name, value))
        .body(&answer[end + 4..])
}

#[test]
#[ignore = "docker-registry, skopeo, htpasswd and openssl are packages of Debian"]
fn a_proxy_that_limits_requests_gets_chunks() {
    if !is_equipped() {
        return;
    }
    let registry = Registry::start(Kind::Open);
    let proxy = limiting_proxy(&registry, 5 << 20);
    let client = anonymous();
    let to: Repository = format!("{proxy}/team/app").parse().unwrap();
    let image = Image::new("file", &[11_000_000, 1000, 7_000_000]);
    assert_eq!(push_all_of(&client, &to, &image, &[]).0, [Pushed::Sent; 4]);
    let direct = registry.repository("team/app");
    for (descriptor, content) in image.blobs.iter().filter(|(descriptor, _)| descriptor.size < 8 << 20) {
        assert_eq!(&client.registries.small_blob(&direct, descriptor).unwrap(), content);
    }
    assert!(client.registries.has_blob(&direct, &image.parsed.layers[0]).unwrap());
}

/// Content of any size without memory.
struct Endless(u32);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
        Ok(buffer.len())
    }
}

/// Where the process that is measured finds the registry.
const MEASURED: &str = "REGISTRY_OF_THE_MEASURED_PROCESS";

#[test]
#[ignore = "docker-registry, skopeo, htpasswd and openssl are packages of Debian"]
fn six_uploads_at_once_take_little_memory() {
    const SIZE: u64 = 50 << 20;
    if let Ok(host) = std::env::var(MEASURED) {
        let client = anonymous();
        let to: Repository = format!("{host}/team/app").parse().unwrap();
        let blobs = (0..8_u32).map(|seed| {
            let mut hasher = Vec::new();
            let content = move || Endless(seed).take(SIZE);
            // By parts, so that the content is never in memory.
            let digest = {
                use sha2::Digest as _;
                let mut sha = sha2::Sha256::new();
                let mut content = content();
                hasher.resize(1 << 16, 0);
                loop {
                    match content.read(&mut hasher).unwrap() {
                        0 => break Digest::from_hasher(sha),
                        length => sha.update(&hasher[..length]),
                    }
                }
            };
            let descriptor = Descriptor::new(media_type::LAYER_GZIP, digest, SIZE);
            Blob { descriptor, open: Box::new(move || Ok(Box::new(content()))) }
        });
        let blobs: Vec<Blob<'_>> = blobs.collect();
        assert_eq!(client.registries.push_all(&to, blobs, &[]).unwrap(), [Pushed::Sent; 8]);
        // More through the proxy, which refuses some after they came.
        assert!(client.registries.sent_bytes() >= 8 * SIZE);
        return;
    }
    if !is_equipped() {
        return;
    }
    let registry = Registry::start(Kind::Open);
    for host in [registry.host.clone(), limiting_proxy(&registry, 5 << 20)] {
        let name = "registry::real::six_uploads_at_once_take_little_memory";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--include-ignored"])
            .env(MEASURED, &host)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak = 0;
        let status = loop {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success());
        eprintln!("peak {peak} KiB");
        assert!((1..=64 << 10).contains(&peak), "{peak} KiB");
        // The second round sends the same, so the registry must not have it.
        if host == registry.host {
            std::fs::remove_dir_all(registry.dir.path().join("data")).unwrap();
        }
    }
}
