//! Inputs about images that are built: what they are made of, and who pushes them.

use super::{InputError, Inputs, variables};
use crate::builder::image::base::BaseName;
use crate::cli::imaging::{ImageCompression, ImageOptions, ImagePlatform, absolute, owner, pair};
use crate::publish::registry_login::RegistryArgs;
use clap::ValueEnum;
use std::path::Path;

impl Inputs<'_> {
    /// What the images are like. Relative paths are below `base`.
    pub(super) fn image_options(&self, base: &Path) -> Result<ImageOptions, InputError> {
        let compressions = [("gzip", ImageCompression::Gzip), ("gzip-single", ImageCompression::GzipSingle)];
        Ok(ImageOptions {
            base_image: self.read_by("base_image", BaseName::parse)?,
            image_platform: self.image_platforms()?,
            includes: self.includes(base)?,
            owner: self.read_by("image_owner", owner)?,
            env: self.pairs("image_env")?,
            labels: self.pairs("image_labels")?,
            python: self.read_by("image_python", absolute)?,
            compression: self.word("image_compression", &compressions)?.unwrap_or_default(),
            no_bytecode: !self.flag("image_bytecode", true)?,
            sbom: self.flag("sbom", false)?,
            ignore_dockerfile: self.flag("ignore_dockerfile", false)?,
        })
    }

    /// Who the job is at the clouds' registries.
    pub(super) fn registry(&self) -> RegistryArgs {
        let text = |name| self.text(name).map(String::from);
        RegistryArgs {
            aws_role: text("aws_role"),
            gcp_workload_identity_provider: text("gcp_workload_identity_provider"),
            gcp_service_account: text("gcp_service_account"),
            azure_client_id: text("azure_client_id"),
            azure_tenant_id: text("azure_tenant_id"),
        }
    }

    fn image_platforms(&self) -> Result<Vec<ImagePlatform>, InputError> {
        const NAME: &str = "image_platform";
        let platform = |item: String| {
            <ImagePlatform as ValueEnum>::from_str(&item, true).map_err(|_| {
                self.bad(NAME, "it can be `linux/amd64`, `linux/arm64`, or both with a comma".into())
            })
        };
        self.list(NAME).into_iter().map(platform).collect()
    }

    /// `PATH` or `PATH:DEST`, a line each.
    fn includes(&self, base: &Path) -> Result<Vec<String>, InputError> {
        const NAME: &str = "image_include";
        let read = |(_, line)| {
            let path = variables::fill_in(line, self.host).map_err(|problem| self.bad(NAME, problem))?;
            Ok(base.join(path).to_string_lossy().into_owned())
        };
        self.lines(NAME).map(read).collect()
    }

    /// The lines that are not empty, with their numbers.
    fn lines(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text(name).unwrap_or_default().lines().map(str::trim);
        lines.enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.is_empty())
    }

    /// Lines `NAME=VALUE`. Errors do not show values: one may be a password.
    fn pairs(&self, name: &'static str) -> Result<Vec<(String, String)>, InputError> {
        let read = |(number, line)| {
            pair(line).map_err(|problem| InputError {
                name,
                value: Some("***".into()),
                problem: format!("line {number}: {problem}"),
            })
        };
        self.lines(name).map(read).collect()
    }
}
