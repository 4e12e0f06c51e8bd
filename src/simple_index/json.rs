//! A page as JSON (PEP 691, PEP 700).

use super::{IndexFile, Problem, resolve};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use url::Url;

/// A file as the page has it.
#[derive(Deserialize)]
struct Document {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    size: Option<u64>,
    /// `false`, `true`, or the reason.
    #[serde(default)]
    yanked: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    #[serde(default)]
    api_version: String,
}

/// Read the wanted files.
pub(super) fn read(
    body: impl Read,
    base: &Url,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<IndexFile>, Problem> {
    let mut json = serde_json::Deserializer::from_reader(body);
    let read = Page { base, is_wanted }.deserialize(&mut json);
    read.and_then(|files| json.end().map(|()| files)).map_err(|error| match error.classify() {
        serde_json::error::Category::Io => Problem::Read(error.into()),
        // serde_json takes the end of a body that was cut short for an end of the text.
        serde_json::error::Category::Eof => {
            Problem::Read(io::Error::new(io::ErrorKind::UnexpectedEof, error))
        }
        _ => Problem::Format(error.to_string()),
    })
}

/// The whole document.
struct Page<'a> {
    base: &'a Url,
    is_wanted: &'a dyn Fn(&str) -> bool,
}

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = Vec<IndexFile>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = Vec<IndexFile>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `files`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut files = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "files" => {
                    let seed = Files(Page { base: self.base, is_wanted: self.is_wanted });
                    files = Some(map.next_value_seed(seed)?);
                }
                "meta" => {
                    let Meta { api_version } = map.next_value()?;
                    // A minor version only adds keys (PEP 629).
                    if !api_version.starts_with("1.") {
                        return Err(A::Error::custom(format!("its version `{api_version}` is not 1")));
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        files.ok_or_else(|| A::Error::missing_field("files"))
    }
}

/// The list of files. Each is dropped at once unless it is wanted.
struct Files<'a>(Page<'a>);

impl<'de> DeserializeSeed<'de> for Files<'_> {
    type Value = Vec<IndexFile>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_> {
    type Value = Vec<IndexFile>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let Page { base, is_wanted } = self.0;
        let mut files = Vec::new();
        while let Some(document) = list.next_element::<Document>()? {
            if is_wanted(&document.filename) {
                files.extend(document.read(base));
            }
        }
        Ok(files)
    }
}

impl Document {
    fn read(self, base: &Url) -> Option<IndexFile> {
        let (url, in_url) = resolve(base, &self.url)?;
        Some(IndexFile {
            file_name: self.filename,
            url: url.into(),
            sha256: self.hashes.get("sha256").map(|digest| digest.to_lowercase()).or(in_url),
            size_bytes: self.size,
            is_yanked: !matches!(self.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Result<Vec<IndexFile>, Problem> {
        let base = Url::parse("https://h.example/simple/a/").unwrap();
        read(text.as_bytes(), &base, &|name| name.starts_with("a-1"))
    }

    #[test]
    fn only_wanted_files_are_kept() {
        let text = r#"{"meta": {"api-version": "1.4"}, "name": "a", "files": [
            {"filename": "a-1.whl", "url": "../../f/a-1.whl#sha256=ab", "hashes": {}, "yanked": "broken"},
            {"filename": "a-1.tar.gz", "url": "https://f.example/a-1.tar.gz", "hashes": {"sha256": "CD"}, "size": 7, "yanked": false, "more": [{}]},
            {"filename": "a-2.whl", "url": "https://f.example/a-2.whl", "hashes": {"sha256": "ef"}}]}"#;
        let found: Vec<_> = files(text)
            .unwrap()
            .into_iter()
            .map(|file| (file.url, file.sha256.unwrap(), file.size_bytes, file.is_yanked))
            .collect();
        assert_eq!(
            found,
            [
                ("https://h.example/f/a-1.whl".to_string(), "ab".to_string(), None, true),
                ("https://f.example/a-1.tar.gz".to_string(), "cd".to_string(), Some(7), false),
            ]
        );
    }

    #[test]
    fn what_is_not_a_page_is_told_from_a_page_that_was_cut_short() {
        for text in
            ["[]", "{\"files\": 1}", "{}", "<html>", r#"{"meta": {"api-version": "2.0"}, "files": []}"#]
        {
            assert!(matches!(files(text), Err(Problem::Format(_))), "{text}");
        }
        for text in ["", "{\"files\": [", r#"{"files": [{"filename": "a-"#] {
            assert!(matches!(files(text), Err(Problem::Read(_))), "{text}");
        }
    }
}
