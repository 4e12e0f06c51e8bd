//! Which code location an image is for, and how it is loaded: written next to the image, not into it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The annotation of a manifest in `index.json` with a [`Loading`]. It does not change the digest of the image.
pub const LOCATION: &str = "dev.pexpress.location";
/// Keys of the location document that bear on loading.
const KEYS: [&str; 4] = ["code_source", "attribute", "executable_path", "working_directory"];

/// What is needed to load the code location of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loading {
    /// Name of the code location.
    pub name: String,
    /// What its document says about loading.
    pub document: Map<String, Value>,
}

impl Loading {
    /// What is needed of a location document.
    pub fn new(name: &str, document: &Map<String, Value>) -> Loading {
        let wanted = document.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
        let document = wanted.map(|(key, value)| (key.clone(), value.clone())).collect();
        Loading { name: name.to_string(), document }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_on_loading_is_kept_of_a_document() {
        let document = serde_json::json!({
            "code_source": { "module_name": "a" }, "container_context": { "k8s": {} }, "attribute": "defs",
        });
        let loading = Loading::new("prod", document.as_object().unwrap());
        let keys: Vec<&String> = loading.document.keys().collect();
        assert_eq!(keys, ["code_source", "attribute"]);
    }
}
