//! Images that are pushed already, as the user names them: one for each code location, or one tag for all.
//!
//! Source of the grammar of a reference: the OCI distribution specification ("Pulling manifests") and Docker's
//! `reference` package, as far as agents need it.

use crate::yaml;
use clap::Args;

/// Images to deploy instead of PEX files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Deploying images")]
pub struct ImageArgs {
    /// Deploy this image, which is in its registry already, as this code location: nothing is built (repeatable).
    #[arg(long, value_name = "LOCATION=IMAGE", value_parser = NamedImage::parse, conflicts_with_all = FOR_PEX)]
    pub image_of: Vec<NamedImage>,
    /// Deploy the image with this tag in `build.registry` of each code location: nothing is built.
    #[arg(long, value_name = "TAG", value_parser = tag, conflicts_with_all = FOR_PEX)]
    pub image_tag: Option<String>,
}

/// Flags about PEX files, which an image replaces.
const FOR_PEX: [&str; 3] = ["upload_pex", "image", "base_image_tag"];

impl ImageArgs {
    /// Whether the run deploys images.
    pub fn are_given(&self) -> bool {
        !self.image_of.is_empty() || self.image_tag.is_some()
    }
}

/// The image of one code location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedImage {
    /// `location_name`.
    pub location: String,
    /// The whole reference.
    pub reference: String,
}

impl NamedImage {
    /// Read `LOCATION=IMAGE`.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<NamedImage, String> {
        let (location, image) = text.split_once('=').ok_or("write LOCATION=IMAGE")?;
        NamedImage::new(location, image)
    }

    fn new(location: &str, image: &str) -> Result<NamedImage, String> {
        let (location, image) = (location.trim(), image.trim());
        if location.is_empty() {
            return Err(format!("`{image}` has no code location before it"));
        }
        reference(image).map_err(|problem| format!("the image of `{location}` {problem}"))?;
        Ok(NamedImage { location: location.into(), reference: image.into() })
    }

    /// Read many: a JSON object, or lines `LOCATION: IMAGE`.
    ///
    /// # Errors
    /// A sentence on what is wrong with them.
    pub fn parse_all(text: &str) -> Result<Vec<NamedImage>, String> {
        const FORM: &str = "write a line `LOCATION: IMAGE` for each code location, or a JSON object";
        let document = yaml::read(text.as_bytes()).map_err(|error| format!("{error}; {FORM}"))?;
        if let Some(problem) = document.problems.first() {
            return Err(problem.to_string());
        }
        let root = document.root.filter(|root| !root.is_null());
        let Some(root) = root else { return Err(NONE.into()) };
        let Some(entries) = root.entries() else {
            let tag = root.text().filter(|text| tag(text).is_ok());
            let advice = tag.map(|_| "; a tag for all code locations is the input `image_tag`");
            return Err(format!("{FORM}{}", advice.unwrap_or_default()));
        };
        if entries.is_empty() {
            return Err(NONE.into());
        }
        let read = |entry: &yaml::Entry| match (entry.value.text(), entry.value.is_null()) {
            (Some(image), _) => NamedImage::new(&entry.name, image),
            (None, true) => NamedImage::new(&entry.name, ""),
            (None, false) => {
                Err(format!("the image of `{}` is {} and not text", entry.name, entry.value.describe()))
            }
        };
        entries.iter().map(read).collect()
    }
}

const NONE: &str = "it names no image; leave the input out to deploy PEX files, or skip the step";

/// Read a tag.
///
/// # Errors
/// A sentence about valid tags.
pub fn tag(text: &str) -> Result<String, String> {
    let text = text.trim();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match starts && text.len() <= 128 && text.bytes().all(known) {
        true => Ok(text.into()),
        false => {
            Err(format!("`{text}` is not a tag: it may have letters, digits, `_`, `.` and `-`, 128 at most"))
        }
    }
}

/// Check a whole reference: `HOST/REPOSITORY:TAG`, or with `@sha256:…`.
///
/// # Errors
/// The end of a sentence that begins with what it is the image of.
pub fn reference(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.contains("://") {
        return Err(format!("is an address (`{text}`); write it as HOST/REPOSITORY:TAG"));
    }
    if text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err(format!("has white space in it (`{text}`)"));
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
        return Err(format!("has the digest `{digest}`, which is not `sha256:` and 64 hex digits"));
    }
    let (name, given) = split_tag(rest);
    given
        .map_or(Ok(()), |given| tag(given).map(drop))
        .map_err(|problem| format!("(`{text}`) cannot be used: {problem}"))?;
    match is_name(name) {
        true => Ok(()),
        false => Err(format!(
            "is `{text}`, and `{name}` is not a repository: its parts have lower-case letters, digits, `_`, `.` and `-`"
        )),
    }
}

/// Whether other bytes may be found there tomorrow, according to its name: no tag, or `latest`, and no digest.
pub fn is_moving(reference: &str) -> bool {
    !reference.contains('@') && matches!(split_tag(reference).1, None | Some("latest"))
}

/// A port is also behind a colon, but before a slash.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_name(name: &str) -> bool {
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let path = match name.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => name,
    };
    let is_part = |part: &str| {
        let end =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        end(part.bytes().next())
            && end(part.bytes().next_back())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    path.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_those_that_agents_can_pull() {
        let digest = format!("ghcr.io/acme/one@sha256:{}", "ab".repeat(32));
        for good in [
            "ghcr.io/acme/one:1.0-abc_D",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/hooli:ab12-77-1-one",
            "localhost:5000/one:t",
            "localhost:5000/one",
            "Registry.Example/a__b/c",
            "one",
            digest.as_str(),
        ] {
            assert_eq!(reference(good), Ok(()));
        }
        for (bad, says) in [
            ("", "is empty"),
            ("https://ghcr.io/acme/one:t", "is an address"),
            ("ghcr.io/acme/one: t", "white space"),
            ("ghcr.io/Acme/one:t", "lower-case"),
            ("ghcr.io/acme/one:", "is not a tag"),
            ("ghcr.io/acme/one:a/b:c d", "white space"),
            ("ghcr.io/acme/one:t@sha256:12", "64 hex digits"),
            ("ghcr.io//one:t", "lower-case"),
        ] {
            let problem = reference(bad).unwrap_err();
            assert!(problem.contains(says), "{bad}: {problem}");
        }
    }

    #[test]
    fn a_moving_reference_has_neither_a_digest_nor_a_tag_of_its_own() {
        for (reference, want) in [
            ("one", true),
            ("localhost:5000/one", true),
            ("ghcr.io/acme/one:latest", true),
            ("ghcr.io/acme/one:v1", false),
            ("ghcr.io/acme/one:latest@sha256:12", false),
        ] {
            assert_eq!(is_moving(reference), want, "{reference}");
        }
    }

    #[test]
    fn images_are_lines_or_a_json_object() {
        let want =
            [("one", "ghcr.io/acme/one:a"), ("two", "ghcr.io/acme/two:b")].map(|(location, reference)| {
                NamedImage { location: location.into(), reference: reference.into() }
            });
        for text in [
            "one: ghcr.io/acme/one:a\ntwo: ghcr.io/acme/two:b\n",
            "{\n  \"one\": \"ghcr.io/acme/one:a\",\n  \"two\": \"ghcr.io/acme/two:b\"\n}",
            "# pushed above\n'one': \"ghcr.io/acme/one:a\"\ntwo:   ghcr.io/acme/two:b",
        ] {
            assert_eq!(NamedImage::parse_all(text).unwrap(), want, "{text}");
        }
        assert_eq!(NamedImage::parse("one = ghcr.io/acme/one:a").as_ref(), Ok(&want[0]));
        for (text, says) in [
            ("{}", "names no image"),
            ("null", "names no image"),
            ("v1", "the input `image_tag`"),
            ("[one]", "write a line"),
            ("one:", "the image of `one` is empty"),
            ("one: 12", "the image of `one` is the number 12 and not text"),
            ("one: a:1\none: a:2", "one"),
            ("one: [", "write a line"),
        ] {
            let problem = NamedImage::parse_all(text).unwrap_err();
            assert!(problem.contains(says), "{text}: {problem}");
        }
    }
}
