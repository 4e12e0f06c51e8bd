//! Links and paths as text: schemes, `file:` URLs, archives by their suffix, `#egg=`.

use super::Scope;
use crate::error::Place;
use crate::paths::lexically_normal;
use crate::project::collect::error::CollectError;
use pep508_rs::PackageName;
use std::path::{Path, PathBuf};

/// Take `egg=…` out of a URL's fragment.
pub(super) fn take_egg(url: &str) -> (String, Option<String>) {
    let Some((head, fragment)) = url.split_once('#') else { return (url.to_string(), None) };
    let (egg, rest): (Vec<&str>, Vec<&str>) = fragment.split('&').partition(|part| part.starts_with("egg="));
    let link = if rest.is_empty() { head.to_string() } else { format!("{head}#{}", rest.join("&")) };
    let egg = egg.first().and_then(|egg| egg.strip_prefix("egg=")).filter(|egg| !egg.is_empty());
    (link, egg.map(|egg| percent_decoded(egg).replace(' ', "")))
}

/// The path of a `file:` URL, relative ones against the project; `#subdirectory=` applied.
/// `None` if it names another host.
pub(super) fn file_url_path(
    url: &str,
    scope: Scope<'_>,
    place: &Place,
) -> Result<Option<PathBuf>, CollectError> {
    let rest = url.get("file:".len()..).unwrap_or_default();
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) if rest.starts_with(['/', '.']) => rest,
        Some(rest) => match rest.split_once('/') {
            Some(("localhost", _)) => &rest["localhost".len()..],
            Some((host, _)) if !scope.directory.join(host).exists() => {
                return Err(CollectError::invalid_with(
                    place.clone(),
                    format!("`{url}` names the host `{host}`"),
                    "write `file:///ABSOLUTE/PATH`, or a relative path such as `./PATH`",
                ));
            }
            _ => rest,
        },
    };
    let path = scope.path(&percent_decoded(path));
    let subdirectory = fragment.split('&').find_map(|part| part.strip_prefix("subdirectory="));
    Ok(Some(match subdirectory {
        Some(subdirectory) if path.is_dir() => lexically_normal(&path.join(percent_decoded(subdirectory))),
        _ => path,
    }))
}

/// Suffixes of the archives that pip takes.
const ARCHIVES: &[&str] = &[
    ".whl",
    ".tar.gz",
    ".tgz",
    ".zip",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tlz",
    ".tar.lz",
    ".tar.lzma",
    ".tar",
    ".tar.zst",
];

/// Whether the path is that of a wheel or sdist, by its suffix.
pub(super) fn is_archive(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ARCHIVES.iter().any(|suffix| name.ends_with(suffix))
}

/// `NAME-VERSION-…whl`, `NAME-VERSION.tar.gz`.
pub(super) fn archive_name(path: &Path) -> Option<PackageName> {
    let file = path.file_name()?.to_str()?;
    let name = match file.strip_suffix(".whl") {
        Some(wheel) => wheel.split('-').next()?,
        None => {
            let suffix = ARCHIVES.iter().find(|suffix| file.to_lowercase().ends_with(*suffix))?;
            file.get(..file.len() - suffix.len())?.rsplit_once('-')?.0
        }
    };
    PackageName::new(name.to_string()).ok()
}

/// The scheme of a URL: `https`, `file`, `git+ssh`, … One letter is a Windows drive.
pub(in super::super) fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let known = rest.starts_with("//") || scheme == "file" || scheme.contains('+');
    let well_formed = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each));
    (known && well_formed).then_some(scheme)
}

/// What stands behind the `@` of `name[extras] @ …`, marker included.
///
/// Source: "Dependency specifiers" (PyPA specification): letters, digits and `-_.`, then extras in brackets.
pub(super) fn direct_link(text: &str) -> Option<&str> {
    let is_name = |each: char| each.is_ascii_alphanumeric() || "-_.".contains(each);
    let rest = text.trim_start_matches(is_name).trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']')?.1.trim_start(),
        None => rest,
    };
    let is_named = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    rest.strip_prefix('@').filter(|_| is_named).map(str::trim_start)
}

/// Whether a requirement is of the form `name @ …`.
pub(super) fn is_direct(text: &str) -> bool {
    direct_link(text).is_some()
}

/// pip's rule: a separator in it or a dot before it, unless it is `name @ …`.
pub(super) fn looks_like_path(text: &str) -> bool {
    let body = text.split(';').next().unwrap_or(text);
    let path = body.split('[').next().unwrap_or(body);
    let pathlike = path.starts_with('.') || path.contains('/') || is_archive(Path::new(path.trim()));
    pathlike && !is_direct(text)
}

/// Write out what build backends put for the project's own directory: Hatch `{root:uri}` and `{root:parent:uri}`,
/// PDM `file:///${PROJECT_ROOT}`; uv reads `${PROJECT_ROOT}` as the absolute path that it is.
/// Sources: Hatch's documentation on context formatting; PDM's on local dependencies.
pub(super) fn expand_roots(text: &str, directory: &Path) -> String {
    if !text.contains("{root") && !text.contains("${PROJECT_ROOT}") {
        return text.to_string();
    }
    let root = file_url(directory);
    let mut text = text
        .replace("file:///${PROJECT_ROOT}", &root)
        .replace("file://${PROJECT_ROOT}", &root)
        .replace("${PROJECT_ROOT}", &directory.to_string_lossy())
        .replace("{root:uri}", &root);
    // Hatch takes the directory that it is run in, which has no links.
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    for parents in 1..=6 {
        let parent = directory.ancestors().nth(parents).unwrap_or(Path::new("/"));
        text = text.replace(&format!("{{root{}:uri}}", ":parent".repeat(parents)), &file_url(parent));
    }
    text
}

/// The `file:` URL of an absolute path, or of a relative one (`file:../x`, which only this program reads).
pub(in crate::project) fn file_url(path: &Path) -> String {
    let mut url = String::from(if path.is_absolute() { "file://" } else { "file:" });
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' | b'+' | b'@' => {
                url.push(byte as char);
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A repository as a direct reference has it: `git@host:path` becomes `git+ssh://git@host/path`.
pub fn git_url(url: &str) -> String {
    if url.starts_with("git+") {
        return url.to_string();
    }
    match url.split_once(':') {
        Some((host, path)) if !path.starts_with("//") && !host.contains('/') && url.contains('@') => {
            format!("git+ssh://{host}/{path}")
        }
        _ => format!("git+{url}"),
    }
}
