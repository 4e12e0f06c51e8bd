//! Docker images that a workflow builds for agents of the user: the inputs `image_tag` and `images`.

use super::condition::{Left, NOT_CLOSED, of_step};
use super::facts::{Facts, FoundLocation};
use super::inputs::Inputs;
use super::old::DeployJob;
use super::vendor::{Kind, Setting};
use super::workflow::{entry, mapping, text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The image of one code location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) location: Option<String>,
    tag: String,
    /// The whole reference, if a step names it.
    reference: Option<String>,
}

/// Set the inputs. Returns steps that build images which Dagster+'s own actions built.
pub fn settle(jobs: &[DeployJob<'_>], facts: &Facts, inputs: &mut Inputs<'_, '_>) -> Vec<String> {
    let images = named(jobs);
    inputs.notes.extend(sometimes_pushed(jobs));
    let locations = facts.project.as_ref().map(|project| project.locations.as_slice()).unwrap_or_default();
    let pushed = pushed(jobs);
    if images.is_empty() {
        if pushed.is_empty() {
            inputs.set("image_tag", "${{ github.sha }}");
            let has_pulls = jobs.iter().any(|job| job.scope.pull);
            return built_here(has_pulls, locations, inputs);
        }
        by_name(locations, &pushed, inputs);
        return Vec::new();
    }
    let tags: Vec<&String> = images.iter().map(|image| &image.tag).collect();
    let has_registries =
        !locations.is_empty() && locations.iter().all(|location| location.registry.is_some());
    let all_named = locations.iter().all(|location| {
        images.iter().any(|image| image.location.is_none() || image.location.as_ref() == Some(&location.name))
    });
    if let Some(first) =
        tags.first().filter(|first| has_registries && all_named && tags.iter().all(|tag| tag == *first))
    {
        inputs.set("image_tag", first);
        return Vec::new();
    }
    let mut references = Map::new();
    for image in &images {
        let Some(name) = image.location.clone().or_else(|| only(locations)) else { continue };
        let registry = locations
            .iter()
            .find(|location| location.name == name)
            .and_then(|location| location.registry.clone());
        let of_push =
            pushed.iter().find(|reference| reference.ends_with(&format!(":{}", image.tag))).cloned();
        let reference =
            image.reference.clone().or(of_push).or_else(|| Some(format!("{}:{}", registry?, image.tag)));
        match reference {
            Some(reference) => {
                references.insert(name, reference.into());
            }
            None => inputs.notes.push(format!(
                "no step names the whole image of `{name}`, and its `build` has no `registry`: add it to the input `images`"
            )),
        }
    }
    match references.is_empty() {
        true => inputs.set("image_tag", tags.first().map_or("${{ github.sha }}", |tag| tag.as_str())),
        false => {
            leave_out_others(locations, &references, inputs);
            set_images(inputs, &references);
        }
    }
    Vec::new()
}

/// Leave out code locations without an image: one run deploys images or PEX files.
fn leave_out_others(
    locations: &[FoundLocation],
    references: &Map<String, Value>,
    inputs: &mut Inputs<'_, '_>,
) {
    let others: Vec<String> = locations
        .iter()
        .filter(|location| !references.contains_key(&location.name))
        .map(|location| format!("`{}`", location.name))
        .collect();
    if !others.is_empty() {
        let names: Vec<&str> = references.keys().map(String::as_str).collect();
        inputs.set("locations", &names.join("\n"));
        inputs.notes.push(format!(
            "the old workflow has no image for {}: `locations` leaves it out",
            others.join(", ")
        ));
    }
}

/// Lines `LOCATION: IMAGE`.
fn set_images(inputs: &mut Inputs<'_, '_>, references: &Map<String, Value>) {
    let lines: String = references.iter().map(|(name, image)| format!("{name}: {}\n", text(image))).collect();
    inputs.set("images", &lines);
}

/// No step says which image is for which code location: those whose tag ends with its name.
fn by_name(locations: &[FoundLocation], pushed: &[String], inputs: &mut Inputs<'_, '_>) {
    let plain = |name: &str| name.replace('_', "-");
    let mut references = Map::new();
    for location in locations {
        let fits = |reference: &&String| plain(reference).ends_with(&plain(&location.name));
        if let Some(reference) = pushed.iter().find(fits).or(pushed.first().filter(|_| pushed.len() == 1)) {
            references.insert(location.name.clone(), reference.as_str().into());
        }
    }
    inputs.notes.push(match references.len() == locations.len() && !references.is_empty() {
        true => "the old workflow does not say which image is for which code location: look at the input `images`".into(),
        false => "the old workflow does not say which image is for which code location: name them in the input `images`".into(),
    });
    set_images(inputs, &references);
}

fn only(locations: &[FoundLocation]) -> Option<String> {
    match locations {
        [only] => Some(only.name.clone()),
        _ => None,
    }
}

/// The images that steps name, each once.
pub(super) fn named(jobs: &[DeployJob<'_>]) -> Vec<Image> {
    let mut images: Vec<Image> = Vec::new();
    for job in jobs {
        for (_, call, env) in job.calls().filter(|(_, call, _)| call.kind == Kind::ImageOutput) {
            let resolved =
                |setting| call.ask(setting).map(|given| env.resolve(given)).filter(|given| !given.is_empty());
            let reference = resolved(Setting::Image);
            let of_reference = || {
                reference
                    .as_ref()
                    .and_then(|reference| reference.rsplit_once(':'))
                    .map(|(_, tag)| tag.to_string())
            };
            let Some(tag) = resolved(Setting::ImageTag).or_else(of_reference) else { continue };
            let image = Image { location: resolved(Setting::Location), tag, reference };
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    images
}

/// All `tags:` of steps that push an image.
pub(super) fn pushed(jobs: &[DeployJob<'_>]) -> Vec<String> {
    let mut references = Vec::new();
    for job in jobs {
        for step in &job.steps {
            let env = job.env.with(step.step);
            if entry(step.step, "uses").is_some_and(|uses| uses.starts_with("docker/build-push-action")) {
                let tags =
                    mapping(step.step, "with").find(|(name, _)| *name == "tags").map(|(_, tags)| text(tags));
                let tags = tags.unwrap_or_default();
                references.extend(
                    tags.split(['\n', ',']).map(|tag| env.resolve(tag)).filter(|tag| !tag.is_empty()),
                );
            }
        }
    }
    references
}

/// A note about images that are not pushed in every run: the inputs name them always.
fn sometimes_pushed(jobs: &[DeployJob<'_>]) -> Option<String> {
    let mut names = Vec::new();
    for job in jobs {
        let ids = super::steps::session_ids(job);
        let is_sometimes = |step: &&super::old::Step<'_>| {
            let pushes =
                entry(step.step, "uses").is_some_and(|uses| uses.starts_with("docker/build-push-action"));
            let left = entry(step.step, "if").map(|condition| of_step(&condition, &ids));
            pushes && matches!(left, Some(Left::Run(Some(rest))) if rest != NOT_CLOSED)
        };
        names.extend(job.steps.iter().filter(is_sometimes).map(|step| super::steps::name(step.step)));
    }
    let (first, more) = names.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    Some(format!(
        "{first}{more} push an image only under a condition, and the new workflow deploys all images in every run: remove the conditions, or name in `images` and `locations` only what a run has pushed"
    ))
}

/// Steps that build what `actions/hybrid_…` built: an image of each build directory, with the commit as its tag.
fn built_here(has_pulls: bool, locations: &[FoundLocation], inputs: &mut Inputs<'_, '_>) -> Vec<String> {
    let mut directories: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for location in locations {
        match &location.registry {
            Some(registry) => {
                directories.entry((registry, &location.directory)).or_default().push(&location.name);
            }
            None => inputs.notes.push(format!(
                "`{}` has no `registry` under `build`: its image is neither built nor deployed; add it there",
                location.name
            )),
        }
    }
    let has_same = |registry: &str| directories.keys().filter(|(other, _)| *other == registry).count() > 1;
    if directories.keys().any(|(registry, _)| has_same(registry)) {
        inputs.notes.push("two build directories have one `registry`, so their images would have one name: give each its own".into());
    }
    let step = |((registry, directory), names): ((&str, &str), Vec<&str>)| {
        let mut step = Map::new();
        step.insert("name".into(), format!("Build and push the image of {}", names.join(", ")).into());
        if has_pulls {
            step.insert("if".into(), NOT_CLOSED.into());
        }
        step.insert(
            "run".into(),
            "docker build --tag \"$IMAGE\" \"$DIRECTORY\"\ndocker push \"$IMAGE\"\n".into(),
        );
        let image = format!("{registry}:${{{{ github.sha }}}}");
        step.insert("env".into(), json!({ "IMAGE": image, "DIRECTORY": directory }));
        super::keep::written(&json!([step]))
    };
    directories.into_iter().map(step).collect()
}
