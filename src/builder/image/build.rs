//! The plan and a base image → one image layout for each code location.

use super::base::{Base, BaseFacts};
use super::bytecode::Compiler;
use super::collisions;
use super::files::LayerFiles;
use super::groups::groups;
use super::install::Install;
use super::loading::{LOCATION, Loading};
use super::place::{APP, VENV};
use super::sbom::{self, Packages};
use super::source::Sources;
use super::stored::{self, StoredLayer};
use super::venv::Venv;
use super::{ImageError, Include, contents, key, name};
use crate::builder::fetch_job::FetchedWheel;
use crate::builder::{BuildError, Context, deps, in_parallel, parallelism, source};
use crate::cache::{CacheError, write_atomically};
use crate::image::json::canonical;
use crate::image::layout::REF_NAME;
use crate::image::manifest::{LAYER_KEY, Manifest, media_type};
use crate::image::tar::Owner;
use crate::image::{AddedLayer, Additions, Descriptor, Digest, Layout, Packing, Tag};
use crate::plan::{DepsJob, Plan, PlannedLocation, SourceJob};
use crate::project::Location;
use crate::wheel::Archive;
use std::collections::BTreeMap;
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

/// What the user asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How layers are compressed.
    pub packing: Packing,
    /// Owner of the code location's files.
    pub owner: Owner,
    /// Variables of the image.
    pub env: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Further files.
    pub includes: Vec<Include>,
    /// Whether modules of distributions are compiled.
    pub bytecode: bool,
    /// Whether a list of what is in the image is written.
    pub sbom: bool,
    /// What Dockerfiles say, by build directory. [`Options::env`] and [`Options::labels`] win.
    pub dockerfiles: BTreeMap<PathBuf, FromDockerfile>,
}

/// What is taken over from a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FromDockerfile {
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// The layers of a requirement set, and what is in them.
#[derive(Debug, Clone)]
struct Distributions {
    layers: Vec<ImageLayer>,
    /// `None` if no list of them is wanted.
    packages: Option<Packages>,
}

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
    /// Size of the layers of the base.
    pub base_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The images of an image index, one a platform; none for a single image.
    pub parts: Vec<BuiltImage>,
}

/// A layer above those of the base.
#[derive(Debug, Clone)]
pub struct ImageLayer {
    /// What the bytes follow from.
    pub key: String,
    /// `pandas==2.3.3, …`, `venv`, `source`.
    pub what: String,
    /// Whether it was there before this run.
    pub reused: bool,
    /// The file.
    pub stored: StoredLayer,
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
            // Those of a registry are fetched meanwhile. An error is reported where the layer is put into a layout.
            scope.spawn(|| {
                let layers = &self.base.manifest.layers;
                in_parallel(layers, BASE_LAYERS, |layer| {
                    self.base.file(layer, self.context.tools.cache()).is_ok()
                })
            });
            let distributions = in_parallel(&plan.deps, 2, |job| self.distributions(job).map_err(Arc::new));
            (crate::threads::joined(sources), distributions)
        });
        let shared = Shared { images: self, sources, distributions, started };
        Ok(plan.locations.iter().map(|planned| shared.image(planned)).collect())
    }

    fn venv(&self) -> Venv {
        Venv { python: self.facts.version }
    }

    /// The layers of a requirement set, the environment first.
    fn distributions(&self, job: &DepsJob) -> Result<Distributions, BuildError> {
        let (context, settings) = (self.context, &job.requirements.settings);
        let resolution = deps::resolve(job, context)?;
        let wheels = context.fetcher.fetch(&resolution, context.target, settings, context.display)?;
        if let Some(behind) = deps::behind(job, &resolution, context) {
            context.warn(behind);
        }
        let _phase = context.display.phase(format!("Writing the layers of {} distributions", wheels.len()));
        let compiler = match self.options.bytecode {
            true => {
                let site_packages = format!("/{}", self.venv().site_packages());
                Some(Compiler::new(context.tools, self.venv().python, &site_packages)?)
            }
            false => None,
        };
        let size = |wheel: &FetchedWheel| {
            let path = &wheel.path;
            path.metadata()
                .map(|data| data.len())
                .map_err(|source| ImageError::Read { path: path.clone(), source })
        };
        let sizes = wheels.iter().map(size).collect::<Result<Vec<u64>, _>>()?;
        let named: Vec<(&str, u64)> = wheels.iter().map(|wheel| wheel.name.as_str()).zip(sizes).collect();
        // The environment and the source are there besides, and one local package may be.
        let packages = match self.options.sbom {
            true => Some(Packages::read(&resolution, &wheels, &job.requirements.lines, &context.target)?),
            false => None,
        };
        let others = self.base.manifest.layers.len() + 3;
        let groups = groups(&named, others);
        let order: Vec<&FetchedWheel> = groups.iter().flatten().map(|at| &wheels[*at]).collect();
        collisions::warnings(&order, context).into_iter().for_each(|warning| context.warn(warning));
        let group = |group: &Vec<usize>| {
            let wheels: Vec<&FetchedWheel> = group.iter().map(|at| &wheels[*at]).collect();
            self.layer_of_wheels(&wheels, compiler.as_ref())
        };
        let mut layers = vec![self.skeleton()?];
        for layer in in_parallel(&groups, parallelism(), group) {
            layers.push(layer?);
        }
        Ok(Distributions { layers, packages })
    }

    fn skeleton(&self) -> Result<ImageLayer, BuildError> {
        let (packing, python) = (self.options.packing, &self.facts.python);
        let key = key::of_skeleton(self.venv(), packing, python);
        self.layer(key, "venv".to_string(), || Ok(self.venv().skeleton(python)))
    }

    fn layer_of_wheels(
        &self,
        wheels: &[&FetchedWheel],
        compiler: Option<&Compiler<'_>>,
    ) -> Result<ImageLayer, BuildError> {
        let bytecode = compiler.map(Compiler::key);
        let digests = wheels.iter().map(|wheel| wheel.sha256.as_str());
        let key = key::of_wheels(self.venv(), self.options.packing, bytecode.as_deref(), digests);
        let what = contents::of_distributions(
            wheels.iter().map(|wheel| (wheel.name.as_str(), wheel.version.as_str())),
        );
        self.layer(key, what, || {
            let mut files = LayerFiles::default();
            let site_packages = self.venv().site_packages();
            // Of two files with one path the later stays, here and in the layers above.
            for wheel in wheels {
                let archive = Archive::open(&wheel.path)?;
                let extra =
                    compiler.map(|compiler| compiler.bytecode(&archive, &wheel.sha256)).transpose()?;
                let install = Install {
                    file_name: &wheel.file_name,
                    archive: &archive,
                    extra: extra.as_ref(),
                    venv: self.venv(),
                    replaced: BTreeMap::new(),
                    is_editable: false,
                };
                for path in files.extend(install.files()?) {
                    let host = self.context.tools.host();
                    host.detail(format!("`/{path}` of {} replaces that of another distribution", wheel.name));
                }
                if let (Some(compiler), Some(extra)) = (compiler, &extra) {
                    let made = extra.members().iter().map(|member| &member.name);
                    made.for_each(|pyc| files.kept(&format!("{site_packages}/{pyc}")));
                    let lacking = compiler.lacking(&archive, extra);
                    lacking.iter().for_each(|pyc| files.removed(&format!("{site_packages}/{pyc}")));
                }
            }
            Ok(files)
        })
    }

    /// The layer of this key, from the cache or written now.
    fn layer(
        &self,
        key: String,
        what: String,
        files: impl FnOnce() -> Result<LayerFiles, BuildError>,
    ) -> Result<ImageLayer, BuildError> {
        let cache = self.context.tools.cache();
        if let Some(stored) = stored::recall(cache, &key) {
            return Ok(ImageLayer { key, what, reused: true, stored });
        }
        let files = files()?;
        let stored = stored::keep(cache, &key, |output| files.write(output, self.options.packing))?;
        Ok(ImageLayer { key, what, reused: false, stored })
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
            layers.push(ImageLayer { key, what, reused: false, stored });
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
        let directory = context.out_dir.join(name::component(name));
        let layout = Layout::create(&directory).map_err(ImageError::from)?;
        layout.sweep(context.tools.host().clock.now());
        let cache = context.tools.cache();
        let mut descriptors = Vec::new();
        for layer in &base.manifest.layers {
            layout.put_file(layer, &base.file(layer, cache)?).map_err(ImageError::from)?;
            let mut descriptor = layer.clone();
            descriptor.media_type = media_type::of_the_specification(&layer.media_type).to_string();
            // A base that was made in this way too: its layers are not ours.
            descriptor.annotations.remove(LAYER_KEY);
            descriptors.push(descriptor);
        }
        for ImageLayer { key, stored, .. } in &layers {
            let mut descriptor = stored.descriptor();
            layout.put_file(&descriptor, &stored.path).map_err(ImageError::from)?;
            descriptor.annotations.insert(LAYER_KEY.to_string(), key.clone());
            descriptors.push(descriptor);
        }
        let config = self.additions(&location.directory, &layers).over(&base.config).to_bytes();
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.to_string(),
            artifact_type: None,
            config: layout.put(media_type::CONFIG, &config).map_err(ImageError::from)?,
            layers: descriptors,
            subject: None,
            annotations: BTreeMap::new(),
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
        let base_bytes = base.manifest.layers.iter().map(|layer| layer.size).sum();
        let (name, elapsed) = (name.to_string(), self.started.elapsed());
        let (sbom, parts) = (None, Vec::new());
        Ok(BuiltImage { name, directory, manifest, tag, sbom, layers, base_bytes, elapsed, parts })
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
            diff_id: layer.stored.written.diff_id,
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
