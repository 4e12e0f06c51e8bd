//! The config of an image: how it is started, and what its layers are.

use super::json::canonical;
use super::{Digest, Platform};
use crate::foreign_json::{self, JsonError};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The config of an image. Members that are not named here are kept as they were.
///
/// Source: OCI image specification, config.md, "Properties".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object with architecture, os and rootfs")]
pub struct Config {
    /// `amd64`, `arm64` …
    pub architecture: String,
    /// `linux` …
    pub os: String,
    /// `v8` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How a container is started; some tools write `null`.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Execution,
    /// The layers.
    pub rootfs: RootFs,
    /// How each layer was made, and steps that made none; some tools write `null`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Members that pexpress does not look at.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// How a container of the image is started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// `NAME=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// What is always started; arguments are added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// What is started when nothing else is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// `name`, `uid`, `uid:gid` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Key → text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Map<String, Value>>,
    /// Members that pexpress does not look at.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// SHA-256 of each layer as an uncompressed tar, from the lowest to the highest.
    pub diff_ids: Vec<Digest>,
}

/// How a layer was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Members that pexpress does not look at.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Why bytes are not a config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON of another form.
    #[error("it is not the config of an image")]
    Form(#[source] serde_json::Error),
}

/// A member that may be `null`.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(member: D) -> Result<T, D::Error> {
    Option::deserialize(member).map(Option::unwrap_or_default)
}

impl Config {
    /// Read a config.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Config, ConfigError> {
        serde_json::from_value(foreign_json::read(bytes)?).map_err(ConfigError::Form)
    }

    /// Its bytes, with sorted keys.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// What the image is for.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
        }
    }

    /// The value of a variable of its environment.
    pub fn env(&self, name: &str) -> Option<&str> {
        let pairs = self.config.env.iter().flatten();
        // Container runtimes let the last one decide.
        pairs
            .rev()
            .find_map(|pair| pair.split_once('=').filter(|(each, _)| *each == name))
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"architecture":"amd64","config":{"Env":["A=1","PATH=/bin","A=2"],"Healthcheck":{"Test":["NONE"]}},
        "docker_version":"20","history":[{"created_by":"RUN x","empty_layer":true,"author":"me"}],"os":"linux",
        "rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"type":"layers"}}"#;

    #[test]
    fn members_of_others_are_kept() {
        let config = Config::parse(TEXT.as_bytes()).unwrap();
        let again: Value = serde_json::from_slice(&config.to_bytes()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(TEXT).unwrap());
    }

    #[test]
    fn null_is_nothing() {
        let text = r#"{"architecture": "amd64", "os": "linux", "config": null, "history": null,
            "rootfs": {"type": "layers", "diff_ids": []}}"#;
        let config = Config::parse(text.as_bytes()).unwrap();
        assert_eq!((config.config, config.history.len()), (Execution::default(), 0));
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let config = Config::parse(TEXT.as_bytes()).unwrap();
        for (name, want) in [("A", Some("2")), ("PATH", Some("/bin")), ("B", None)] {
            assert_eq!(config.env(name), want);
        }
    }

    #[test]
    fn other_documents_are_refused() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["x"]}}"#,
        ] {
            assert!(Config::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
