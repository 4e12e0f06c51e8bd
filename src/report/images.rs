//! What was built and pushed of images, for people and as JSON.

use super::table::{Table, size, time};
use crate::builder::image::build::{BuiltImage, ImageLayer};
use crate::builder::image::contents;
use crate::publish::images::PushedImage;
use crate::registry::Tagged;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The image of a code location, in the report of `pexpress image`.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// The code location.
    pub name: String,
    /// Its image.
    #[serde(flatten)]
    pub image: ImageFacts,
}

/// What is known of an image that was built.
#[derive(Debug, Clone, Serialize)]
pub struct ImageFacts {
    /// By its content tag, in the first registry that it was pushed to.
    pub reference: Option<String>,
    /// All references with their tags, in the order of `--push`.
    pub references: Vec<String>,
    /// Of the manifest, or of the image index.
    pub digest: String,
    /// The images of an image index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformReport>,
    /// The directory of its OCI layout.
    pub layout: PathBuf,
    /// The list of what is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<PathBuf>,
    /// The layers above those of the base, in order.
    pub layers: Vec<LayerReport>,
    /// Size of the layers of the base.
    pub base_bytes: u64,
    /// Bytes of request bodies to registries.
    pub sent_bytes: u64,
    /// Requests to registries, those for tokens included.
    pub requests: u64,
    #[serde(skip)]
    elapsed: Duration,
}

/// The image of one platform.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformReport {
    /// `linux/arm64`.
    pub platform: String,
    /// Of its manifest.
    pub digest: String,
    /// The list of what is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<PathBuf>,
}

/// A layer of an image.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Of the compressed archive.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// What its bytes follow from.
    pub key: String,
    /// Whether it was there before this run.
    pub reused: bool,
    /// Whether the layout has it; if not, only the registry does.
    pub in_layout: bool,
    /// `pandas==2.3.3, …`, `venv`, `source`.
    pub what: String,
}

impl ImageFacts {
    /// Put the parts together.
    pub fn new(image: &BuiltImage, pushed: &[PushedImage], requests: u64, sent_bytes: u64) -> ImageFacts {
        let all = |pushed: &PushedImage| {
            // A tag that stays with another image is not one of this image.
            let commit = pushed.commit.as_ref().filter(|(_, tagged)| !matches!(tagged, Tagged::KeptOther(_)));
            let commit = commit.map(|(reference, _)| reference.to_string());
            [Some(pushed.reference.to_string()), commit].into_iter().flatten().collect::<Vec<_>>()
        };
        ImageFacts {
            reference: pushed.first().map(|pushed| pushed.reference.to_string()),
            references: pushed.iter().flat_map(all).collect(),
            digest: image.digest().to_string(),
            platforms: image.parts.iter().map(PlatformReport::new).collect(),
            layout: image.directory.clone(),
            sbom: image.sbom.clone(),
            layers: image.layers.iter().map(LayerReport::new).collect(),
            base_bytes: image.base_bytes,
            sent_bytes,
            requests,
            elapsed: image.elapsed,
        }
    }

    /// The distributions in it, by normalised name.
    pub fn distributions(&self) -> BTreeMap<String, String> {
        self.layers.iter().flat_map(|layer| contents::distributions(&layer.what)).collect()
    }

    /// What was sent: `1.2 MB sent`, of how many layers.
    pub fn sent(&self) -> String {
        let reused = self.layers.iter().filter(|layer| layer.reused).count();
        let sent = if self.sent_bytes == 0 { "nothing".to_string() } else { size(self.sent_bytes) };
        format!("{sent} sent, {reused} of {} layers reused", self.layers.len())
    }

    /// Where it is: its reference, or its layout if no registry has it.
    pub fn place(&self) -> String {
        self.reference.clone().unwrap_or_else(|| self.layout.display().to_string())
    }
}

impl PlatformReport {
    fn new(image: &BuiltImage) -> PlatformReport {
        let platform = image.manifest.platform.as_ref().map(ToString::to_string);
        let (platform, digest) = (platform.unwrap_or_default(), image.digest().to_string());
        PlatformReport { platform, digest, sbom: image.sbom.clone() }
    }
}

impl LayerReport {
    fn new(layer: &ImageLayer) -> LayerReport {
        LayerReport {
            digest: layer.written.digest.to_string(),
            size: layer.written.size_bytes,
            key: layer.key.clone(),
            reused: layer.reused,
            in_layout: layer.path.is_some(),
            what: layer.what.clone(),
        }
    }
}

/// `code location  image  layers  size  reused  sent  time`, a line a code location.
pub fn table(reports: &[ImageReport]) -> Table<7> {
    let header = ["code location", "image", "layers", "size", "new", "sent", "time"].map(String::from);
    let row = |ImageReport { name, image: report }: &ImageReport| {
        let bytes = |is_new: bool| {
            let layers = report.layers.iter().filter(|layer| !is_new || !layer.reused);
            layers.map(|layer| layer.size).sum::<u64>()
        };
        let digest = report.digest.trim_start_matches("sha256:");
        [
            name.clone(),
            report.reference.clone().unwrap_or_else(|| digest.chars().take(16).collect()),
            report.layers.len().to_string(),
            size(bytes(false)),
            size(bytes(true)),
            if report.requests == 0 { "-".to_string() } else { size(report.sent_bytes) },
            time(report.elapsed),
        ]
    };
    Table {
        rows: std::iter::once(header).chain(reports.iter().map(row)).collect(),
        right: [false, false, true, true, true, true, true],
        spare: &[6, 2, 4],
    }
}
