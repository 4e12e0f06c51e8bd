//! The plan and a base image → one image layout for each code location.

use super::base::{Base, BaseFacts};
use super::distributions::{Distributions, Layers};
use super::loading::{LOCATION, Loading};
use super::observer::{LayerObserver, LayerSource};
pub use super::options::{FromDockerfile, Options};
use super::place::{APP, VENV};
use super::sbom::{self, Packages};
use super::source::Sources;
use super::stored;
pub use super::stored::ImageLayer;
use super::venv::Venv;
use super::{ImageError, contents, key, name};
use crate::builder::{BuildError, Context, in_parallel, source};
use crate::cache::{CacheError, write_atomically};
use crate::image::json::canonical;
use crate::image::layout::REF_NAME;
use crate::image::manifest::{BASE_NOTE, LAYER_KEY, Manifest, media_type};
use crate::image::{AddedLayer, Additions, Descriptor, Digest, Layout, Tag};
use crate::plan::{Plan, PlannedLocation, SourceJob};
use crate::project::Location;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Layers of a base that are fetched at once.
const BASE_LAYERS: usize = 4;
/// The label with the digest of the base. Source: OCI image specification, annotations.md.
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// The label with the name of the base.
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// A finished image.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// The code location.
    pub name: String,
    /// Its layout.
    pub directory: PathBuf,
    /// The manifest, as `index.json` has it.
    pub manifest: Descriptor,
    /// The tag that follows from the content.
    pub tag: Tag,
    /// The list of what is in it.
    pub sbom: Option<PathBuf>,
    /// The layers above those of the base, in order.
    pub layers: Vec<ImageLayer>,
    /// Layers that the layout lacks: the repository that the image is for has them, or those of the base its registry.
    pub elsewhere: BTreeSet<Digest>,
    /// Size of the layers of the base.
    pub base_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The images of an image index, one a platform; none for a single image.
    pub parts: Vec<BuiltImage>,
}

/// Builds the images of one plan.
pub struct Images<'a> {
    /// The base.
    pub base: &'a Base,
    /// Its Python.
    pub facts: &'a BaseFacts,
    /// What the user asks for.
    pub options: &'a Options,
    /// The surroundings.
    pub context: &'a Context<'a>,
    /// Whether images for other platforms follow, and [`super::platforms::together`] finishes the layouts.
    pub is_part: bool,
    /// Learns of finished layers.
    pub layers: &'a dyn LayerObserver,
}

impl Images<'_> {
    /// Build all images of a plan, in the order of its locations. One failure does not stop the others.
    ///
    /// # Errors
    /// When temporary files cannot be written.
    pub fn build(&self, plan: &Plan) -> Result<Vec<Result<BuiltImage, Arc<BuildError>>>, BuildError> {
        let started = Instant::now();
        let scratch = source::scratch(self.context)?;
        let numbered: Vec<(usize, &SourceJob)> = plan.sources.iter().enumerate().collect();
        let (sources, distributions) = std::thread::scope(|scope| {
            let sources = scope.spawn(|| {
                in_parallel(&numbered, 1, |(number, job)| {
                    self.source_layers(job, &scratch.path().join(number.to_string())).map_err(Arc::new)
                })
            });
            // Those of a registry are fetched meanwhile.
            scope.spawn(|| self.base_layers(plan));
            let Images { base, facts, options, context, layers: observer, .. } = *self;
            let layers = Layers { base, facts, options, context, observer };
            let jobs: Vec<usize> = (0..plan.deps.len()).collect();
            let distributions =
                in_parallel(&jobs, 2, |number| layers.distributions(plan, *number).map_err(Arc::new));
            (crate::threads::joined(sources), distributions)
        });
        let shared = Shared { images: self, sources, distributions, started };
        Ok(plan.locations.iter().map(|planned| shared.image(planned)).collect())
    }

    fn venv(&self) -> Venv {
        Venv { python: self.facts.version }
    }

    /// Fetch the layers of the base that are wanted. An error is reported where the layer is put into a layout.
    fn base_layers(&self, plan: &Plan) {
        let names: Vec<&str> = plan.locations.iter().map(|one| one.location.name.as_str()).collect();
        let known = self.options.known.of(names.iter().copied());
        let is_wanted = |layer: &&Descriptor| !self.options.only_known && !known.has(&layer.digest);
        let layers: Vec<&Descriptor> = self.base.manifest.layers.iter().filter(is_wanted).collect();
        in_parallel(&layers, BASE_LAYERS, |layer| {
            let source = match (self.base_stays(), self.base.known_file(&layer.digest)) {
                (true, None) => LayerSource::BaseRegistry,
                (true, Some(path)) => LayerSource::File(path),
                (false, _) => match self.base.file(layer, self.context.tools.cache()) {
                    Ok(path) => LayerSource::File(path),
                    Err(_) => return,
                },
            };
            self.layers.finished(layer, source, &names);
        });
    }

    /// Whether the layers of the base are not put into layouts.
    fn base_stays(&self) -> bool {
        self.options.base_stays && self.base.reference().is_some()
    }

    /// The layers of a build directory, that of its own files last.
    fn source_layers(&self, job: &SourceJob, scratch: &Path) -> Result<Vec<ImageLayer>, BuildError> {
        let _phase = self.context.display.phase(format!("Reading {}", job.directory.display()));
        let Options { packing, owner, includes, .. } = self.options;
        let has_bytecode = self.options.bytecode;
        let sources = Sources { venv: self.venv(), owner: *owner, includes, has_bytecode };
        let source = sources.of(job, scratch, self.context)?;
        let mut layers = Vec::new();
        let all = source.wheels.into_iter().chain([("source".to_string(), source.files)]);
        for (what, files) in all {
            let cache = self.context.tools.cache();
            let (key, stored) = stored::keep_content(
                cache,
                |output| files.write(output, *packing),
                |written| key::of_content(*packing, written.diff_id),
            )?;
            layers.push(ImageLayer::new(key, what, false, stored));
        }
        Ok(layers)
    }
}

/// What the images of a plan have in common.
struct Shared<'a> {
    images: &'a Images<'a>,
    /// By index of [`Plan::sources`].
    sources: Vec<Result<Vec<ImageLayer>, Arc<BuildError>>>,
    /// By index of [`Plan::deps`].
    distributions: Vec<Result<Distributions, Arc<BuildError>>>,
    started: Instant,
}

impl Shared<'_> {
    fn image(&self, planned: &PlannedLocation) -> Result<BuiltImage, Arc<BuildError>> {
        let Distributions { mut layers, packages } = self.distributions[planned.deps].clone()?;
        layers.extend(self.sources[planned.source].clone()?);
        let mut image = self.layout(&planned.location, layers).map_err(Arc::new)?;
        image.sbom = self.sbom(&image.name, packages.as_ref()).map_err(Arc::new)?;
        Ok(image)
    }

    /// Write the list of what is in an image next to its layout. Without one, that of an earlier build is removed.
    fn sbom(&self, name: &str, packages: Option<&Packages>) -> Result<Option<PathBuf>, BuildError> {
        let Images { base, context, .. } = self.images;
        let platform = self.images.is_part.then(|| base.config.platform());
        let path = context.out_dir.join(sbom::file_name(name, platform.as_ref()));
        let fail = |action| {
            let path = path.clone();
            move |source| CacheError { action, path, source }
        };
        let Some(packages) = packages else {
            if path.exists() {
                std::fs::remove_file(&path).map_err(fail("remove"))?;
            }
            return Ok(None);
        };
        let base_name = base.reference().map(ToString::to_string);
        let document = packages.document(name, (base_name.as_deref(), &base.digest));
        write_atomically(&path, |file| file.write_all(&document).map_err(fail("write")))?;
        Ok(Some(path))
    }

    /// Write the layout of one location.
    fn layout(&self, location: &Location, layers: Vec<ImageLayer>) -> Result<BuiltImage, BuildError> {
        let name = location.name.as_str();
        let Images { base, context, .. } = self.images;
        let known = self.images.options.known.of([name]);
        let mut elsewhere = BTreeSet::new();
        let directory = context.out_dir.join(name::component(name));
        let layout = Layout::create(&directory).map_err(ImageError::from)?;
        layout.sweep(context.tools.host().clock.now());
        let cache = context.tools.cache();
        let mut descriptors = Vec::new();
        for layer in &base.manifest.layers {
            let is_known = known.has(&layer.digest);
            if self.images.options.only_known && !is_known {
                return Err(ImageError::NewLayer { what: "the base image".into() }.into());
            }
            match is_known || self.images.base_stays() {
                true => drop(elsewhere.insert(layer.digest)),
                false => drop(layout.put_file(layer, &base.file(layer, cache)?).map_err(ImageError::from)?),
            }
            let mut descriptor = layer.clone();
            descriptor.media_type = media_type::of_the_specification(&layer.media_type).to_string();
            // A base that was made in this way too: its layers are not ours.
            descriptor.annotations.remove(LAYER_KEY);
            descriptors.push(descriptor);
        }
        for ImageLayer { key, written, path, .. } in &layers {
            let mut descriptor = stored::descriptor(written);
            match path {
                Some(path) => drop(layout.put_file(&descriptor, path).map_err(ImageError::from)?),
                None => drop(elsewhere.insert(descriptor.digest)),
            }
            descriptor.annotations.insert(LAYER_KEY.to_string(), key.clone());
            descriptors.push(descriptor);
        }
        let config = self.additions(&location.directory, &layers).over(&base.config).to_bytes();
        let note = base.note().map(|note| String::from_utf8_lossy(&canonical(&note)).into_owned());
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_string(),
            artifact_type: None,
            config: layout.put(media_type::CONFIG, &config).map_err(ImageError::from)?,
            layers: descriptors,
            subject: None,
            annotations: note.into_iter().map(|note| (BASE_NOTE.to_string(), note)).collect(),
        };
        let mut manifest =
            layout.put(media_type::MANIFEST, &manifest.to_bytes()).map_err(ImageError::from)?;
        let tag = name::content_tag(name, &manifest.digest);
        let loading = canonical(&Loading::new(name, &location.document));
        manifest.annotations.insert(REF_NAME.to_string(), tag.to_string());
        manifest.annotations.insert(LOCATION.to_string(), String::from_utf8_lossy(&loading).into_owned());
        match self.images.is_part {
            true => manifest.platform = Some(base.config.platform()),
            false => layout.finish(vec![manifest.clone()]).map_err(ImageError::from)?,
        }
        let (name, elapsed) = (name.to_string(), self.started.elapsed());
        let (sbom, parts) = (None, Vec::new());
        let layers_of_base = &base.manifest.layers;
        let base_bytes = layers_of_base.iter().map(|layer| layer.size).sum();
        Ok(BuiltImage { name, directory, manifest, tag, sbom, layers, elsewhere, base_bytes, elapsed, parts })
    }

    fn additions(&self, directory: &Path, layers: &[ImageLayer]) -> Additions {
        let Images { base, options, .. } = self.images;
        let dockerfile = options.dockerfiles.get(directory).cloned().unwrap_or_default();
        let mut env = dockerfile.env;
        env.extend(options.env.clone());
        env.insert("VIRTUAL_ENV".into(), format!("/{VENV}"));
        let mut labels: BTreeMap<String, Option<String>> = BTreeMap::new();
        labels.insert(BASE_DIGEST.into(), Some(base.digest.to_string()));
        // The path of a layout must not decide about the digest of the image.
        labels.insert(BASE_NAME.into(), base.reference().map(ToString::to_string));
        labels.extend(dockerfile.labels.into_iter().map(|(key, value)| (key, Some(value))));
        labels.extend(options.labels.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
        let added = |layer: &ImageLayer| AddedLayer {
            diff_id: layer.written.diff_id,
            created_by: contents::step(&layer.what),
        };
        Additions {
            first_on_path: format!("/{VENV}/bin"),
            working_dir: format!("/{APP}"),
            env,
            labels,
            layers: layers.iter().map(added).collect(),
        }
    }
}

impl BuiltImage {
    /// The digest of the image.
    pub fn digest(&self) -> Digest {
        self.manifest.digest
    }
}
