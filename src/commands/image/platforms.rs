//! What `image` and `deploy` have in common: the same images for each platform that is asked for.

use crate::builder::BuildError;
use crate::builder::image::base::{Base, BaseFacts, BaseName, BaseNote};
use crate::builder::image::build::{Images, Options};
use crate::builder::image::observer::LayerObserver;
use crate::builder::image::platforms;
use crate::builder::observer::Observer;
use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::deploy::{Planned, prepare_for};
use crate::commands::progress::Progress;
use crate::host::Host;
use crate::image::Platform;
use crate::registry::Registries;
use crate::target::PythonVersion;
use crate::tools::Tools;
use std::collections::BTreeSet;
use std::path::Path;

/// What is built for one platform.
pub(in crate::commands) struct Prepared<'h> {
    /// What the images are for.
    pub(in crate::commands) platform: Platform,
    /// The base image for it.
    pub(in crate::commands) base: Base,
    /// The Python in it.
    pub(in crate::commands) facts: BaseFacts,
    /// Code locations and their requirements on it.
    pub(in crate::commands) planned: Planned<'h>,
}

impl Prepared<'_> {
    /// The same for these code locations.
    pub(in crate::commands) fn only(mut self, names: &BTreeSet<String>) -> Self {
        self.planned.plan = self.planned.plan.only(|location| names.contains(&location.name));
        self
    }
}

/// Read the project and the base image for each platform, at least for one. What there is to say about the project is
/// said through the first host, and recorded in `progress`; through the second one it would be said once more. `notes` gives
/// those of images over the base, and is called after the base was asked for.
///
/// # Errors
/// When the project or a base image cannot be read, or has no Python that fits.
pub(in crate::commands) fn prepare<'h>(
    args: &DeployArgs,
    registries: &Registries,
    [first, others]: [&'h Host; 2],
    notes: &dyn Fn() -> Vec<BaseNote>,
    progress: &Progress,
) -> Result<Vec<Prepared<'h>>, Error> {
    let mut all: Vec<Prepared<'h>> = Vec::new();
    for platform in args.image_options.platforms() {
        let (host, progress) = match all.is_empty() {
            true => (first, progress.clone()),
            false => (others, Progress::default()),
        };
        let mut chosen = None;
        let mut target = |python: PythonVersion, is_default: bool| {
            let (base, facts) =
                base(args, &platform, (python, is_default), registries, notes, &Tools::new(host))?;
            let target = (facts.version, facts.platform);
            chosen = Some((base, facts));
            Ok(target)
        };
        let mut planned = prepare_for(args, host, &progress, &mut target)?;
        planned.check_all_files()?;
        all.extend(chosen.map(|(base, facts)| Prepared { platform, base, facts, planned }));
    }
    Ok(all)
}

/// The base image, and the Python in it. Where nothing asks for a Python version, that of a named base is taken.
fn base(
    args: &DeployArgs,
    platform: &Platform,
    (python, is_default): (PythonVersion, bool),
    registries: &Registries,
    notes: &dyn Fn() -> Vec<BaseNote>,
    tools: &Tools,
) -> Result<(Base, BaseFacts), Error> {
    let official = || BaseName::parse(&BaseName::official(python)).map_err(Error::BaseName);
    let (name, wanted) = match args.image_options.base_image.clone() {
        Some(name) => (name, Some(python).filter(|_| !is_default)),
        None => (official()?, Some(python)),
    };
    let base = Base::find(name, platform, tools.host().cwd(), registries).map_err(BuildError::from)?;
    let base = base.with_notes(&notes());
    let facts = base.facts(wanted, &args.image_options.told(&args.build), tools)?;
    Ok((base, facts))
}

/// Say which base images are used.
pub(in crate::commands) fn tell(prepared: &[Prepared<'_>], host: &Host) {
    for Prepared { platform, base, facts, .. } in prepared {
        let which = if prepared.len() > 1 { format!(" for {platform}") } else { String::new() };
        host.note(format!("Base image{which}: {} (Python {} at {})", base.name, facts.version, facts.python));
    }
}

/// The images of all code locations, each for all platforms, and the warnings of their builds. `observer` knows what
/// earlier runs resolved and built; finished layers are reported to `layers`.
///
/// # Errors
/// When the output directory or temporary files cannot be written.
pub(in crate::commands) fn build(
    prepared: &[Prepared<'_>],
    options: &Options,
    out_dir: &Path,
    observer: &dyn Observer,
    layers: &dyn LayerObserver,
) -> Result<(platforms::Images, Vec<String>), Error> {
    let (mut built, mut warnings) = (Vec::new(), BTreeSet::new());
    for Prepared { platform, base, facts, planned } in prepared {
        let mut context = planned.building.context(out_dir)?.observed_by(observer);
        if let Some(max_age) = options.recipe_max_age {
            context = context.trusting_recipes(max_age);
        }
        let is_part = prepared.len() > 1;
        let images =
            Images { base, facts, options, context: &context, is_part, layers }.build(&planned.plan)?;
        warnings.extend(context.warnings());
        built.push((platform.clone(), images));
    }
    Ok((platforms::together(built), warnings.into_iter().collect()))
}
