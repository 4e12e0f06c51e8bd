//! One requirement as a user writes it: a name with a version, a URL, a repository, or a path.
//!
//! Sources: "Dependency specifiers" (PyPA specification) for names; pip's documentation, "Requirements file format"
//! and "VCS support", for the rest (paths with extras and markers, `#egg=`, `#subdirectory=`).

mod advice;
mod link;

use super::error::CollectError;
use crate::error::Place;
use crate::paths::resolved;
use crate::project::Origin;
use crate::wheel;
pub(super) use crate::wheel::requirement::Link;
use advice::advice;
pub(super) use link::scheme;
use link::{
    archive_name, direct_link, expand_roots, file_url_path, is_archive, is_direct, looks_like_path, take_egg,
};
pub(in crate::project) use link::{file_url, git_url};
use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName, Requirement, VersionOrUrl};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How much of an overlong line is shown in its error.
const SHOWN_CHARACTERS: usize = 80;

/// A parsed requirement. Later code uses this value and not its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ParsedRequirement {
    /// As the resolver takes it: `name[extra]>=1 ; marker`, `name @ URL`. For something local, as written.
    pub(super) text: String,
    /// The thing required.
    pub(super) what: What,
    /// Name of the distribution, where the requirement says it.
    pub(super) name: Option<PackageName>,
    /// Extras of it.
    pub(super) extras: Vec<ExtraName>,
    /// Where it counts.
    pub(super) marker: MarkerTree,
    /// Where it is written.
    pub(super) place: Place,
    /// Digests given with it, `sha256:HEX`.
    pub(super) hashes: Vec<String>,
}

/// The thing that a requirement is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// A distribution of an index, in one of these versions (any, if there are none).
    Versions(VersionSpecifiers),
    /// What a URL leads to: an archive or a repository.
    Link(String),
    /// A directory, absolute; it exists.
    Directory(PathBuf),
    /// A wheel or sdist, absolute; it exists.
    Distribution(PathBuf),
}

/// What a requirement is read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Relative paths start here: the directory of the project.
    pub(super) directory: &'a Path,
    /// Or here, when nothing is there: the directory of the file that the requirement is in.
    pub(super) file_directory: Option<&'a Path>,
    /// Or here: the root of the project's workspace, which `uv export` writes paths from.
    pub(super) root: Option<&'a Path>,
    /// Environment markers of the target.
    pub(super) environment: &'a MarkerEnvironment,
}

impl<'a> Scope<'a> {
    /// The project in `directory`, with no file in particular.
    pub(super) fn at(directory: &'a Path, environment: &'a MarkerEnvironment) -> Scope<'a> {
        Scope { directory, file_directory: None, root: None, environment }
    }

    fn path(&self, text: &str) -> PathBuf {
        let path = resolved(self.directory, text);
        if path.exists() {
            return path;
        }
        let others = self.file_directory.into_iter().chain(self.root);
        others.map(|directory| resolved(directory, text)).find(|other| other.exists()).unwrap_or(path)
    }
}

/// Read one requirement. `None`: a path whose marker is false for the target.
///
/// # Errors
/// It is in none of the forms that pip accepts, or names a path that does not exist.
pub(super) fn read(
    text: &str,
    scope: Scope<'_>,
    place: &Place,
) -> Result<Option<ParsedRequirement>, CollectError> {
    let text = expand_roots(text.trim(), scope.directory);
    let text = text.as_str();
    if let Some(scheme) = scheme(text) {
        return read_url(text, scheme, scope, place);
    }
    check_no_scp_form(text, place)?;
    if looks_like_path(text) {
        // A directory may have brackets or a semicolon in its name.
        let as_written = scope.path(text);
        if as_written.exists() {
            return local(text, &as_written, None, Vec::new(), place).map(Some);
        }
        let (path, marker) = split_marker(text, ";");
        let (path, extras) = split_extras(path.trim(), place)?;
        return holds(marker, scope, place)?
            .then(|| local(text, &scope.path(path), None, extras, place))
            .transpose();
    }
    let text = tidied(text);
    let requirement = parse(&text, place)?;
    match requirement.version_or_url.clone() {
        Some(VersionOrUrl::Url(Link(link))) => read_direct_reference(text, requirement, link, scope, place),
        Some(VersionOrUrl::VersionSpecifier(versions)) => {
            Ok(Some(ParsedRequirement::of_name(text, requirement, What::Versions(versions), place)))
        }
        None => Ok(Some(ParsedRequirement::of_name(
            text,
            requirement,
            What::Versions(VersionSpecifiers::empty()),
            place,
        ))),
    }
}

impl ParsedRequirement {
    /// `name`, with a version or `@ URL`.
    fn of_name(text: String, requirement: Requirement<Link>, what: What, place: &Place) -> ParsedRequirement {
        let Requirement { name, extras, marker, .. } = requirement;
        ParsedRequirement {
            text,
            what,
            name: Some(name),
            extras,
            marker,
            place: place.clone(),
            hashes: Vec::new(),
        }
    }

    /// The same distribution, taken from a URL.
    pub(super) fn linked(self, link: String) -> ParsedRequirement {
        let name = self.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let extras: Vec<_> = self.extras.iter().map(ToString::to_string).collect();
        let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
        let marker = self.marker.try_to_string().map(|marker| format!(" ; {marker}")).unwrap_or_default();
        ParsedRequirement { text: format!("{name}{extras} @ {link}{marker}"), what: What::Link(link), ..self }
    }

    /// Where it is written, for errors of the resolver; `None` if it has no name.
    pub(super) fn origin(&self, kind: &'static str) -> Option<Origin> {
        let (text, name) = (self.text.clone(), self.name.as_ref()?.to_string());
        Some(Origin { text, name, kind, place: self.place.clone() })
    }

    /// Whether it counts on the target.
    pub(super) fn applies(&self, environment: &MarkerEnvironment) -> bool {
        self.marker.evaluate(environment, &[])
    }
}

/// What pip accepts and the specification does not: a comma after the last version, no space between a URL and its
/// marker.
fn tidied(text: &str) -> String {
    if is_direct(text) {
        return match text.split_once("; ") {
            Some((link, marker)) if !link.ends_with(' ') => format!("{link} ; {marker}"),
            _ => text.to_string(),
        };
    }
    // Editors and web pages leave Unicode blanks that look like a space.
    let text = text.replace(|each: char| each.is_whitespace() && !each.is_ascii(), " ");
    match split_marker(&text, ";") {
        (body, Some(marker)) if body.trim_end().ends_with(',') => {
            format!("{};{marker}", body.trim_end().trim_end_matches(','))
        }
        (body, None) if body.ends_with(',') => body.trim_end_matches(',').to_string(),
        _ => text,
    }
}

/// Read what `-e` names: a path even without a separator in it.
pub(super) fn read_editable(
    text: &str,
    scope: Scope<'_>,
    place: &Place,
) -> Result<Option<ParsedRequirement>, CollectError> {
    let (path, _) = split_extras(split_marker(text, ";").0.trim(), place)?;
    if scheme(text).is_none() && !looks_like_path(text) && scope.path(path).is_dir() {
        return read(&format!("./{text}"), scope, place);
    }
    read(text, scope, place)
}

/// Read a PEP 508 requirement.
pub(super) fn parse(text: &str, place: &Place) -> Result<Requirement<Link>, CollectError> {
    check(text, place)?;
    Requirement::<Link>::from_str(text).map_err(|error| CollectError::Invalid {
        problem: format!("`{text}` is not a requirement: {}", error.message),
        place: place.clone(),
        hint: Some(advice(text)),
    })
}

/// Refuse a requirement that is too large or too tangled to be read.
fn check(text: &str, place: &Place) -> Result<(), CollectError> {
    refuse(text, wheel::requirement::check(text), place)
}

/// Likewise a marker.
pub(super) fn check_marker(text: &str, place: &Place) -> Result<(), CollectError> {
    refuse(text, wheel::requirement::check_marker(text), place)
}

fn refuse(
    text: &str,
    checked: Result<(), wheel::requirement::TooComplex>,
    place: &Place,
) -> Result<(), CollectError> {
    checked.map_err(|error| {
        let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
        CollectError::invalid(place.clone(), format!("`{shown} …` cannot be used: {error}"))
    })
}

/// `git@host:path` is how Git's own commands name a repository, and nothing here.
fn check_no_scp_form(text: &str, place: &Place) -> Result<(), CollectError> {
    let link = direct_link(text).filter(|link| link.contains("git@")).unwrap_or(text);
    let link = link.strip_prefix("git+").unwrap_or(link);
    match link.strip_prefix("git@").and_then(|rest| rest.split_once(':')) {
        Some((host, path)) if !host.contains('/') => Err(CollectError::invalid_with(
            place.clone(),
            format!("`{text}` is not a requirement"),
            format!("write `git+ssh://git@{host}/{path}`"),
        )),
        _ => Ok(()),
    }
}

/// `name @ LINK`: something local, or a line as it is.
fn read_direct_reference(
    text: String,
    requirement: Requirement<Link>,
    link: String,
    scope: Scope<'_>,
    place: &Place,
) -> Result<Option<ParsedRequirement>, CollectError> {
    let local_path = match scheme(&link) {
        Some("file") => file_url_path(&link, scope, place)?,
        Some(_) => None,
        None => Some(scope.path(&link)),
    };
    let Some(path) = local_path else {
        return Ok(Some(ParsedRequirement::of_name(text, requirement, What::Link(link), place)));
    };
    requirement
        .marker
        .evaluate(scope.environment, &[])
        .then(|| local(&text, &path, Some(requirement.name), requirement.extras, place))
        .transpose()
}

/// A URL without a name before it; `#egg=name` says the name of a repository's project.
fn read_url(
    text: &str,
    scheme: &str,
    scope: Scope<'_>,
    place: &Place,
) -> Result<Option<ParsedRequirement>, CollectError> {
    let (url, marker) = split_marker(text, "; ");
    let (url, marker) = if marker.is_none() { split_marker(text, " ;") } else { (url, marker) };
    let url = url.trim();
    if let Some(other) = ["hg+", "svn+", "bzr+"].into_iter().find(|prefix| scheme.starts_with(*prefix)) {
        return Err(CollectError::invalid_with(
            place.clone(),
            format!("`{text}`: repositories of type `{}` are not supported", other.trim_end_matches('+')),
            "use a Git repository, or a source archive",
        ));
    }
    let (link, egg) = take_egg(url);
    let (name, extras) = match &egg {
        Some(egg) => {
            let (name, extras) = split_extras(egg, place)?;
            (PackageName::new(name.to_string()).ok(), extras)
        }
        None => (None, Vec::new()),
    };
    if scheme == "file" {
        if !holds(marker, scope, place)? {
            return Ok(None);
        }
        if let Some(path) = file_url_path(&link, scope, place)? {
            let (path, extras) = match path.to_str().filter(|_| extras.is_empty() && !path.exists()) {
                Some(text) => {
                    let (path, extras) = split_extras(text, place)?;
                    (PathBuf::from(path), extras)
                }
                None => (path.clone(), extras),
            };
            return local(text, &path, name, extras, place).map(Some);
        }
    }
    let text = match &name {
        None => text.to_string(),
        Some(_) => {
            let marker = marker.map(|marker| format!(" ; {}", marker.trim())).unwrap_or_default();
            format!("{} @ {link}{marker}", egg.unwrap_or_default())
        }
    };
    let marker = parse_marker(marker, place)?;
    let what = What::Link(link);
    Ok(Some(ParsedRequirement { text, what, name, extras, marker, place: place.clone(), hashes: Vec::new() }))
}

/// A directory, wheel or sdist of the user's.
pub(super) fn local(
    text: &str,
    path: &Path,
    name: Option<PackageName>,
    extras: Vec<ExtraName>,
    place: &Place,
) -> Result<ParsedRequirement, CollectError> {
    let what = if path.is_dir() {
        What::Directory(path.to_path_buf())
    } else if !path.exists() {
        return Err(CollectError::NoSuchPath {
            requirement: text.to_string(),
            path: path.to_path_buf(),
            place: place.clone(),
        });
    } else if is_archive(path) {
        What::Distribution(path.to_path_buf())
    } else {
        return Err(CollectError::invalid_with(
            place.clone(),
            format!("`{text}` is neither a directory nor a wheel or source archive"),
            "another requirements file is named with `-r FILE`",
        ));
    };
    let name = name.or_else(|| match &what {
        What::Distribution(path) => archive_name(path),
        _ => None,
    });
    // Only what counts on the target comes here.
    let (text, marker) = (text.to_string(), MarkerTree::TRUE);
    Ok(ParsedRequirement { text, what, name, extras, marker, place: place.clone(), hashes: Vec::new() })
}

/// Split at the first `separator`, as pip does for what it takes besides PEP 508.
fn split_marker<'t>(text: &'t str, separator: &str) -> (&'t str, Option<&'t str>) {
    match text.split_once(separator) {
        Some((body, marker)) => (body, Some(marker)),
        None => (text, None),
    }
}

/// Split `path[a,b]` into the path and its extras.
pub(super) fn split_extras<'t>(
    text: &'t str,
    place: &Place,
) -> Result<(&'t str, Vec<ExtraName>), CollectError> {
    let Some((path, extras)) =
        text.strip_suffix(']').and_then(|text| text.rsplit_once('[')).filter(|(path, _)| !path.is_empty())
    else {
        return Ok((text, Vec::new()));
    };
    let extras = extras
        .split(',')
        .map(str::trim)
        .filter(|extra| !extra.is_empty())
        .map(|extra| {
            ExtraName::new(extra.to_string())
                .map_err(|error| CollectError::invalid(place.clone(), format!("`{text}`: {error}")))
        })
        .collect::<Result<_, _>>()?;
    Ok((path.trim_end(), extras))
}

/// Whether a marker, if there is one, holds for the target.
pub(super) fn holds(marker: Option<&str>, scope: Scope<'_>, place: &Place) -> Result<bool, CollectError> {
    Ok(parse_marker(marker, place)?.evaluate(scope.environment, &[]))
}

/// A marker, if there is one.
fn parse_marker(marker: Option<&str>, place: &Place) -> Result<MarkerTree, CollectError> {
    let marker = marker.map(str::trim).filter(|marker| !marker.is_empty());
    let Some(marker) = marker else { return Ok(MarkerTree::TRUE) };
    check_marker(marker, place)?;
    MarkerTree::parse_str::<Link>(marker).map_err(|error| {
        CollectError::invalid(place.clone(), format!("`{marker}` is not a marker: {}", error.message))
    })
}

/// The normalised name that a requirement begins with.
pub(super) fn leading_name(line: &str) -> String {
    let line = line.trim_start();
    let end = line.find(|each: char| !(each.is_ascii_alphanumeric() || "-_.".contains(each)));
    wheel::filename::normalized_name(line.get(..end.unwrap_or(line.len())).unwrap_or_default())
}

#[cfg(test)]
mod tests;
