//! Base images for tests: layouts that look like those of registries, made of a few files.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// What a base is like.
pub struct Base {
    pub architecture: &'static str,
    pub config: Value,
    /// Paths of its files, with their contents; `PATH -> TARGET` is a link.
    pub files: Vec<(&'static str, &'static str)>,
    /// Docker's media types instead of OCI's.
    pub is_dockers: bool,
    /// In an index with an attestation.
    pub in_index: bool,
    /// Its layer is compressed by Zstandard.
    pub is_zstd: bool,
}

impl Base {
    /// Like the official image of a Python version, whose config says everything but the C library.
    pub fn official(version: &str) -> Base {
        Base {
            architecture: "amd64",
            config: json!({
                "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", format!("PYTHON_VERSION={version}.9")],
                "Cmd": ["python3"],
            }),
            files: vec![
                ("usr/local/bin/python3.11", ""),
                ("lib/libc.so.6", "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"),
            ],
            is_dockers: false,
            in_index: false,
            is_zstd: false,
        }
    }

    /// The same for another processor.
    pub fn on(self, architecture: &'static str) -> Base {
        Base { architecture, ..self }
    }

    /// Write the layout.
    pub fn write(&self, directory: &Path) {
        let manifest = self.put(directory);
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    }

    /// Write a layout of an image index with these images.
    pub fn write_all(bases: &[Base], directory: &Path) {
        let manifests = bases.iter().map(|base| {
            let mut manifest = base.put(directory);
            manifest["platform"] = json!({"os": "linux", "architecture": base.architecture});
            manifest
        });
        let kind = "application/vnd.oci.image.index.v1+json";
        let manifests: Vec<Value> = manifests.collect();
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        let index = blob(directory, kind, index.to_string().as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [index]});
        std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    }

    /// Write the blobs of the image. Returns what leads to it.
    fn put(&self, directory: &Path) -> Value {
        std::fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        let kind = |oci: &'static str, docker: &'static str| if self.is_dockers { docker } else { oci };
        let archive = archive(&self.files);
        let layer = if self.is_zstd {
            blob(directory, "application/vnd.oci.image.layer.v1.tar+zstd", &zstd(&archive))
        } else {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(&archive).unwrap();
            let (oci, docker) = (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            );
            blob(directory, kind(oci, docker), &gzip.finish().unwrap())
        };
        let config = json!({
            "architecture": self.architecture, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest(&archive)]},
            "history": [{"created_by": "ADD rootfs"}, {"created_by": "CMD", "empty_layer": true}],
        });
        let config = blob(
            directory,
            kind(
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.docker.container.image.v1+json",
            ),
            config.to_string().as_bytes(),
        );
        let manifest_type = kind(
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        );
        let manifest =
            json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer]});
        let mut manifest = blob(directory, manifest_type, manifest.to_string().as_bytes());
        if self.in_index {
            manifest["platform"] = json!({"os": "linux", "architecture": self.architecture});
            let mut attestation = manifest.clone();
            attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
            let kind = "application/vnd.oci.image.index.v1+json";
            let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [attestation, manifest]});
            manifest = blob(directory, kind, index.to_string().as_bytes());
        }
        manifest
    }
}

/// A frame of Zstandard with one block that is not compressed. Source: RFC 8878, sections 3.1.1.1 and 3.1.1.2.
fn zstd(content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap();
    assert!(size <= 128 << 10, "larger content needs several blocks");
    // A single segment, with its size in four bytes.
    let head = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes()].concat();
    // The last block, raw.
    let block = (size << 3 | 1).to_le_bytes();
    [&head, &block[..3], content].concat()
}

/// Write a blob. Returns its descriptor.
pub fn blob(directory: &Path, media_type: &str, content: &[u8]) -> Value {
    let digest = digest(content);
    std::fs::write(directory.join("blobs/sha256").join(&digest[7..]), content).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": content.len()})
}

pub fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold("sha256:".to_string(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A tar archive of these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    use pexpress::image::tar::{Kind, Owner, padding, write_header};
    let mut out = Vec::new();
    for (path, content) in files {
        if let Some((path, target)) = path.split_once(" -> ") {
            write_header(&mut out, path, Kind::Link { target }, Owner::default());
            continue;
        }
        let size_bytes = content.len() as u64;
        write_header(&mut out, path, Kind::File { size_bytes, executable: true }, Owner::default());
        out.extend(content.bytes());
        out.extend(padding(size_bytes));
    }
    out.extend([0; 1024]);
    out
}
