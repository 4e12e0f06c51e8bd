//! Arguments of `image`.

use super::{BuildArgs, DagsterArgs, DeployArgs, PublishArgs, VerifyWhen};
use crate::builder::image::Include;
use crate::builder::image::base::{BaseName, Told};
use crate::builder::image::build::Options;
use crate::builder::image::known::KnownLayers;
use crate::host::Host;
use crate::image::tar::Owner;
use crate::image::{Packing, Platform, Repository};
use crate::publish::registry_login::RegistryArgs;
use clap::{Args, ValueEnum};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Arguments of `image`.
#[derive(Debug, Args)]
pub struct BuildImageArgs {
    /// `dagster_cloud.yaml`, or a directory with one or with a dg project or workspace. Default: the nearest one from
    /// the working directory upwards.
    #[arg(value_name = "DAGSTER_CLOUD_YAML")]
    pub file: Option<PathBuf>,
    /// Directory for the image layouts, one directory each, created if missing. Default: a directory for this project in
    /// the cache.
    #[arg(value_name = "OUT_DIR")]
    pub out_dir: Option<PathBuf>,
    /// Only use this code location (repeatable, or separated by commas).
    #[arg(long = "location", value_name = "NAME", value_delimiter = ',')]
    pub locations: Vec<String>,
    /// Push each image to this repository, with two tags: of its content and of the commit (repeatable).
    #[arg(long, value_name = "HOST/REPOSITORY")]
    pub push: Vec<Repository>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub image: ImageOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub build: BuildArgs,
}

/// What the images are like.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// Base image: `HOST/REPOSITORY:TAG`, `HOST/REPOSITORY@sha256:…`, or `oci:DIR[:TAG]` for an image layout. Default:
    /// the official slim image of the Python version.
    #[arg(long, value_name = "REF", value_parser = BaseName::parse)]
    pub base_image: Option<BaseName>,
    /// What the image runs on (repeatable, or separated by commas): several make an image index. Default: `linux/amd64`.
    #[arg(long, value_name = "PLATFORM", value_enum, value_delimiter = ',')]
    pub image_platform: Vec<ImagePlatform>,
    /// Also put this file or directory into the image (repeatable). Default for DEST: the same place next to the build
    /// directory, which is `/opt/dagster/app` in the image.
    #[arg(long = "image-include", value_name = "PATH[:DEST]")]
    pub includes: Vec<String>,
    /// Owner of the code location's files in the image, by number. Default: 0:0.
    #[arg(long = "image-owner", value_name = "UID[:GID]", value_parser = owner)]
    pub owner: Option<Owner>,
    /// Set a variable in the image (repeatable).
    #[arg(long = "image-env", value_name = "NAME=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// Set a label of the image (repeatable).
    #[arg(long = "image-label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// Path of Python in the base image. Default: found there.
    #[arg(long = "image-python", value_name = "PATH", value_parser = absolute)]
    pub python: Option<String>,
    /// How layers are compressed.
    #[arg(long = "image-compression", value_name = "HOW", value_enum, default_value_t)]
    pub compression: ImageCompression,
    /// Do not compile the modules of distributions. The image is smaller, and starts more slowly.
    #[arg(long = "no-image-bytecode")]
    pub no_bytecode: bool,
    /// Also write a list of what is in each image, as CycloneDX JSON: `OUT_DIR/NAME.cdx.json`. With --push it is
    /// attached to the image.
    #[arg(long)]
    pub sbom: bool,
    /// Do not look at a Dockerfile in the build directory, and at the install scripts of Dagster+ Serverless.
    #[arg(long)]
    pub ignore_dockerfile: bool,
}

/// A platform of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum ImagePlatform {
    /// Intel and AMD, 64 bits.
    #[default]
    #[value(name = "linux/amd64")]
    Amd64,
    /// ARM, 64 bits.
    #[value(name = "linux/arm64")]
    Arm64,
}

impl ImagePlatform {
    /// As in an image index.
    pub fn platform(self) -> Platform {
        let architecture = match self {
            ImagePlatform::Amd64 => "amd64",
            ImagePlatform::Arm64 => "arm64",
        };
        Platform { architecture: architecture.into(), os: "linux".into(), variant: None }
    }
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ImageCompression {
    /// As gzip with many members: what wheels have compressed is copied.
    #[default]
    Gzip,
    /// As gzip with one member, for tools that read only the first one. Takes more time.
    GzipSingle,
}

impl BuildImageArgs {
    /// A build of the same code locations, which reads the project in the same way.
    pub fn deploy(&self) -> DeployArgs {
        DeployArgs {
            file: self.file.clone(),
            out_dir: self.out_dir.clone(),
            locations: self.locations.clone(),
            verify: VerifyWhen::Never,
            build: BuildArgs { reads_dockerfiles: true, ..self.build.clone() },
            publish: PublishArgs::default(),
            dagster: DagsterArgs::default(),
            image_options: self.image.clone(),
            registry: self.registry.clone(),
        }
    }
}

impl ImageOptions {
    /// What the image builder needs to know. Relative paths are below the working directory.
    pub fn options(&self, host: &Host) -> Options {
        let include = |text: &String| {
            // A path may have a colon, and then it exists.
            let whole = host.absolute(text.as_ref());
            match text.rsplit_once(':') {
                Some((path, destination)) if !whole.exists() => Include {
                    source: host.absolute(path.as_ref()),
                    destination: Some(destination.to_string()),
                },
                _ => Include { source: whole, destination: None },
            }
        };
        Options {
            packing: match self.compression {
                ImageCompression::Gzip => Packing::Members,
                ImageCompression::GzipSingle => Packing::Single,
            },
            owner: self.owner.unwrap_or_default(),
            env: self.env.iter().cloned().collect(),
            labels: self.labels.iter().cloned().collect(),
            includes: self.includes.iter().map(include).collect(),
            bytecode: !self.no_bytecode,
            sbom: self.sbom,
            known: KnownLayers::default(),
            base_stays: false,
            only_known: false,
            recipe_max_age: None,
            whole_if_new: false,
            dockerfiles: BTreeMap::new(),
        }
    }

    /// The platforms that are asked for, each once, in an order that does not depend on how they were given.
    pub fn platforms(&self) -> Vec<Platform> {
        let asked: BTreeSet<ImagePlatform> = self.image_platform.iter().copied().collect();
        let asked = if asked.is_empty() { BTreeSet::from([ImagePlatform::default()]) } else { asked };
        asked.into_iter().map(ImagePlatform::platform).collect()
    }

    /// What the user says about the base.
    pub fn told(&self, build: &BuildArgs) -> Told {
        Told { python: self.python.clone(), platform: build.platform }
    }
}

pub(super) fn owner(text: &str) -> Result<Owner, String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok(Owner { uid, gid }),
        _ => Err("an owner is a number, or two like `1000:1000`".to_string()),
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.into(), value.into())),
        _ => Err("write it like `NAME=VALUE`".to_string()),
    }
}

pub(super) fn absolute(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.ends_with('/') {
        true => Ok(text.to_string()),
        false => Err("it is an absolute path in the image, such as `/usr/bin/python3.12`".to_string()),
    }
}
