//! Which image each code location gets: (code locations, images that the user names) → images. Pure.

use crate::deployment::images::{ImageArgs, reference};
use crate::error::{Explain, Fault, Place};
use crate::near_names::closest;
use crate::project::Location;
use std::path::{Path, PathBuf};

/// A code location and the image that it is to run.
#[derive(Debug, Clone)]
pub struct ImageLocation {
    /// The code location.
    pub location: Location,
    /// The whole reference.
    pub image: String,
    /// What names it.
    pub named_by: NamedBy,
    /// Whether the image replaces another one that `image:` in the project file names.
    pub replaces_own: bool,
}

/// What names an image, or made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// `--image-of`.
    Flag,
    /// `--image-tag`, with `build.registry`.
    Tag,
    /// `image:` in the project file.
    Entry,
    /// This run, which pushed it.
    Build,
}

impl NamedBy {
    /// The setting, for messages.
    pub fn setting(self) -> &'static str {
        match self {
            NamedBy::Flag => "--image-of",
            NamedBy::Tag => "--image-tag, with `build.registry`,",
            NamedBy::Entry => "`image:`",
            NamedBy::Build => "this run",
        }
    }
}

/// The images are not those of the code locations.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ImagesError {
    #[error("--image-of names the code location `{name}`, which is not in `{}`", file.display())]
    Unknown { name: String, file: PathBuf, near: Option<String>, known: Vec<String> },
    #[error("--image-of names the code location `{name}` twice")]
    Twice { name: String },
    #[error("no image is named for {}", quoted(names))]
    Missing { names: Vec<String>, has_tag: bool, place: Place },
    #[error(
        "`build.registry` of the code location `{name}` and --image-tag make `{image}`, which cannot be used"
    )]
    Reference { name: String, image: String, problem: String, place: Place },
}

/// The code locations that are named in an error; more would hide what is wrong.
const MOST_NAMES: usize = 10;

fn quoted(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    let what = if names.len() == 1 { "the code location" } else { "the code locations" };
    match names.len() - shown.len() {
        0 => format!("{what} {}", shown.join(", ")),
        rest => format!("{what} {} and {rest} more", shown.join(", ")),
    }
}

impl Explain for ImagesError {
    fn fault(&self) -> Fault {
        match self {
            ImagesError::Reference { .. } => Fault::Project,
            _ => Fault::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ImagesError::Unknown { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            ImagesError::Unknown { known, .. } => Some(format!("it has {}", quoted(known))),
            ImagesError::Twice { .. } => Some("leave one of them out".into()),
            ImagesError::Missing { has_tag: true, .. } => Some(
                "--image-tag needs `build: {registry: …}` in the entry of a code location; or name its image with --image-of".into(),
            ),
            ImagesError::Missing { has_tag: false, .. } => Some(
                "name their images with --image-of, or deploy only the others with --location; one run deploys images or PEX files, not both".into(),
            ),
            ImagesError::Reference { problem, .. } => Some(format!("it {problem}")),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ImagesError::Missing { place, .. } | ImagesError::Reference { place, .. } => Some(place.clone()),
            _ => None,
        }
    }
}

/// The image of each of `locations`: the one named for it, otherwise the tag in its registry, otherwise the `image:` of
/// its entry. `known` are the names of all code locations of `file`.
///
/// # Errors
/// A name that is not known, and code locations without an image.
pub fn decide(
    locations: Vec<Location>,
    known: &[String],
    file: &Path,
    args: &ImageArgs,
) -> Result<Vec<ImageLocation>, ImagesError> {
    check_names(known, file, args)?;
    let mut missing: Vec<(String, Place)> = Vec::new();
    let mut chosen = Vec::new();
    for location in locations {
        match choose(&location, args)? {
            Some((image, named_by)) => {
                let own = location.document.get("image").and_then(|image| image.as_str());
                let replaces_own = own.is_some_and(|own| own != image);
                chosen.push(ImageLocation { location, image, named_by, replaces_own });
            }
            None => missing.push((location.name, location.place)),
        }
    }
    match missing.first() {
        None => Ok(chosen),
        Some((_, place)) => Err(ImagesError::Missing {
            place: place.clone(),
            names: missing.into_iter().map(|(name, _)| name).collect(),
            has_tag: args.image_tag.is_some(),
        }),
    }
}

fn check_names(known: &[String], file: &Path, args: &ImageArgs) -> Result<(), ImagesError> {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    for (at, named) in args.image_of.iter().enumerate() {
        let name = named.location.clone();
        if args.image_of.iter().take(at).any(|other| other.location == name) {
            return Err(ImagesError::Twice { name });
        }
        if !known.contains(&name) {
            let near = closest(&name, &names).map(String::from);
            return Err(ImagesError::Unknown { name, file: file.into(), near, known: known.to_vec() });
        }
    }
    Ok(())
}

/// The image of a code location, and what names it.
fn choose(location: &Location, args: &ImageArgs) -> Result<Option<(String, NamedBy)>, ImagesError> {
    if let Some(named) = args.image_of.iter().find(|named| named.location == location.name) {
        return Ok(Some((named.reference.clone(), NamedBy::Flag)));
    }
    if let Some(image) = tagged(location, args)? {
        return Ok(Some((image, NamedBy::Tag)));
    }
    let own = location.document.get("image").and_then(|image| image.as_str());
    Ok(own.map(|own| (own.to_string(), NamedBy::Entry)))
}

/// `REGISTRY:TAG`. Source: `ci set-build-output --image-tag` of dagster-cloud-cli 1.13.27.
fn tagged(location: &Location, args: &ImageArgs) -> Result<Option<String>, ImagesError> {
    let registry = location.document.get("build").and_then(|build| build.get("registry"));
    let registry = registry.and_then(|registry| registry.as_str()).map(str::trim);
    let (Some(tag), Some(registry)) = (&args.image_tag, registry) else { return Ok(None) };
    let image = format!("{}:{tag}", registry.trim_end_matches('/'));
    match reference(&image) {
        Ok(()) => Ok(Some(image)),
        Err(problem) => {
            let (name, place) = (location.name.clone(), location.place.clone());
            Err(ImagesError::Reference { name, image, problem, place })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::images::NamedImage;
    use crate::error::error_text;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn location(name: &str, document: Value) -> Location {
        let Value::Object(document) = document else { panic!() };
        let place = Place { file: "dagster_cloud.yaml".into(), line: Some(2), column: Some(5) };
        Location {
            name: name.into(),
            directory: "/p".into(),
            document,
            dg: None,
            place,
            places: BTreeMap::new(),
        }
    }

    fn decided(tag: Option<&str>, named: &[&str]) -> Result<Vec<String>, String> {
        let locations = vec![
            location("one", json!({"build": {"registry": "ghcr.io/acme/one/"}})),
            location("two", json!({"image": "own:1"})),
            location("three", json!({"image": "own:1", "build": {"registry": "ghcr.io/acme/three"}})),
        ];
        let known = ["one", "two", "three"].map(String::from);
        let image_of = named.iter().map(|text| NamedImage::parse(text).unwrap()).collect();
        let args = ImageArgs { image_of, image_tag: tag.map(String::from) };
        let line = |one: ImageLocation| {
            format!("{} {}{}", one.location.name, one.image, if one.replaces_own { " replaces" } else { "" })
        };
        decide(locations, &known, Path::new("dagster_cloud.yaml"), &args)
            .map(|all| all.into_iter().map(line).collect())
            .map_err(|error| error_text(&error, false))
    }

    #[test]
    fn an_image_that_is_named_wins_over_the_tag_and_that_over_the_file() {
        assert_eq!(
            decided(Some("t"), &[]).unwrap(),
            ["one ghcr.io/acme/one:t", "two own:1", "three ghcr.io/acme/three:t replaces"]
        );
        assert_eq!(
            decided(Some("t"), &["two=a:1", "three=own:1"]).unwrap(),
            ["one ghcr.io/acme/one:t", "two a:1 replaces", "three own:1"]
        );
        assert_eq!(decided(None, &["one=a:1"]).unwrap(), ["one a:1", "two own:1", "three own:1"]);
    }

    #[test]
    fn images_that_do_not_fit_the_code_locations_are_errors() {
        let errors = [
            decided(None, &["two=a:1"]),
            decided(None, &["tow=a:1"]),
            decided(None, &["seventeen=a:1"]),
            decided(None, &["one=a:1", "one=a:2"]),
        ];
        let errors: Vec<String> = errors.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        error: no image is named for the code location `one`
          at: dagster_cloud.yaml:2:5
        hint: name their images with --image-of, or deploy only the others with --location; one run deploys images or PEX files, not both
        error: --image-of names the code location `tow`, which is not in `dagster_cloud.yaml`
        hint: did you mean `two`?
        error: --image-of names the code location `seventeen`, which is not in `dagster_cloud.yaml`
        hint: it has the code locations `one`, `two`, `three`
        error: --image-of names the code location `one` twice
        hint: leave one of them out
        "#);
    }
}
