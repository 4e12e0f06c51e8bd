//! PEX-INFO: the metadata of a PEX.

use super::runtime::{BOOTSTRAP_HASH, PEX_VERSION};
use super::{FORMAT_REVISION, python_json};
use crate::hex::hex;
use crate::target::Target;
use serde::Serialize;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

/// The document `PEX-INFO`.
///
/// Source of the fields: pex 2.59.5 writes exactly these; agents need the three hashes, `distributions` and
/// `requirements`, and refuse a PEX without a hash.
#[derive(Debug, Clone, Serialize)]
pub struct PexInfo {
    build_properties: BTreeMap<String, String>,
    code_hash: String,
    distributions: BTreeMap<String, String>,
    requirements: Vec<String>,
    ignore_errors: bool,
    bootstrap_hash: &'static str,
    deps_are_wheel_files: bool,
    emit_warnings: bool,
    excluded: [String; 0],
    includes_tools: bool,
    inherit_path: &'static str,
    inject_args: [String; 0],
    inject_env: BTreeMap<String, String>,
    inject_python_args: [String; 0],
    interpreter_constraints: [String; 0],
    max_install_jobs: u32,
    overridden: [String; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pex_hash: Option<String>,
    pex_path: &'static str,
    pex_paths: [String; 0],
    strip_pex_env: bool,
    venv: bool,
    venv_bin_path: &'static str,
    venv_copies: bool,
    venv_hermetic_scripts: bool,
    venv_site_packages_copies: bool,
    venv_system_site_packages: bool,
}

/// The fields that differ from one PEX to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// Digest of the user's files.
    pub(super) code_hash: String,
    /// Wheel file name → fingerprint.
    pub(super) distributions: BTreeMap<String, String>,
    /// Where the agent starts to resolve. It does not install what cannot be reached from here.
    pub(super) requirements: Vec<String>,
    /// Whether the agent ignores unsatisfied requirements.
    pub(super) ignore_errors: bool,
}

impl PexInfo {
    /// Put the parts together.
    pub(super) fn new(parts: Parts, target: &Target) -> PexInfo {
        let build_properties = [
            ("pex_version", PEX_VERSION.to_string()),
            // The target has no field of its own in PEX-INFO. Without these two lines, files for two Pythons could have
            // the same hash and share a name.
            ("pexpress_format", FORMAT_REVISION.to_string()),
            ("target_platform", target.platform.to_string()),
            ("target_python", target.python.to_string()),
        ];
        let build_properties = build_properties.map(|(name, value)| (name.to_string(), value)).into();
        PexInfo::with_build_properties(parts, build_properties)
    }

    fn with_build_properties(parts: Parts, build_properties: BTreeMap<String, String>) -> PexInfo {
        let mut requirements = parts.requirements;
        requirements.sort();
        let mut info = PexInfo {
            build_properties,
            code_hash: parts.code_hash,
            distributions: parts.distributions,
            requirements,
            ignore_errors: parts.ignore_errors,
            bootstrap_hash: BOOTSTRAP_HASH,
            // Old agents install nothing from wheel files, and report success.
            deps_are_wheel_files: false,
            emit_warnings: true,
            excluded: [],
            includes_tools: false,
            // Keeps the interpreter's own site-packages out of `sys.path`.
            inherit_path: "false",
            inject_args: [],
            inject_env: BTreeMap::new(),
            inject_python_args: [],
            interpreter_constraints: [],
            max_install_jobs: 1,
            overridden: [],
            pex_hash: None,
            pex_path: "",
            pex_paths: [],
            // The agent passes the deps PEX in PEX_PATH; its child processes need it too.
            strip_pex_env: false,
            venv: false,
            venv_bin_path: "false",
            venv_copies: false,
            venv_hermetic_scripts: true,
            venv_site_packages_copies: false,
            venv_system_site_packages: false,
        };
        // Hashed while the field is `None`, which is how pex computes it too.
        info.pex_hash = Some(hex(Sha1::digest(info.text())));
        info
    }

    /// SHA-1 (lower-case hex) of the text without this field; `HASH` in file names.
    pub fn pex_hash(&self) -> &str {
        self.pex_hash.as_deref().unwrap_or_default()
    }

    /// Wheel file names and fingerprints.
    pub fn distributions(&self) -> &BTreeMap<String, String> {
        &self.distributions
    }

    /// `Name==Version` of each distribution, sorted.
    pub fn requirements(&self) -> &[String] {
        &self.requirements
    }

    /// Digest of the user's files.
    pub fn code_hash(&self) -> &str {
        &self.code_hash
    }

    /// The text of the member `PEX-INFO`.
    pub fn text(&self) -> String {
        python_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(python: &str) -> PexInfo {
        let parts = Parts {
            code_hash: "c".into(),
            distributions: [("ä-1-py3-none-any.whl".to_string(), "f".to_string())].into(),
            requirements: vec!["b==1".into(), "a==1".into()],
            ignore_errors: false,
        };
        PexInfo::new(parts, &Target::serverless(python.parse().unwrap()))
    }

    #[test]
    fn the_document_is_written_as_python_does() {
        let text = info("3.11").text();
        let text = text.replace(info("3.11").pex_hash(), "[HASH]");
        insta::assert_snapshot!(text, @r#"{"bootstrap_hash": "b035fb994b76b27a4661f0548de86c9339d1ae65", "build_properties": {"pex_version": "2.59.5", "pexpress_format": "1", "target_platform": "manylinux_2_36_x86_64", "target_python": "3.11"}, "code_hash": "c", "deps_are_wheel_files": false, "distributions": {"\u00e4-1-py3-none-any.whl": "f"}, "emit_warnings": true, "excluded": [], "ignore_errors": false, "includes_tools": false, "inherit_path": "false", "inject_args": [], "inject_env": {}, "inject_python_args": [], "interpreter_constraints": [], "max_install_jobs": 1, "overridden": [], "pex_hash": "[HASH]", "pex_path": "", "pex_paths": [], "requirements": ["a==1", "b==1"], "strip_pex_env": false, "venv": false, "venv_bin_path": "false", "venv_copies": false, "venv_hermetic_scripts": true, "venv_site_packages_copies": false, "venv_system_site_packages": false}"#);
    }

    #[test]
    fn the_hash_is_that_of_the_text_without_it() {
        let info = info("3.11");
        let without = info.text().replace(&format!("\"pex_hash\": \"{}\", ", info.pex_hash()), "");
        assert!(without.len() < info.text().len());
        assert_eq!(info.pex_hash(), hex(Sha1::digest(without)));
    }

    #[test]
    fn the_target_is_part_of_the_hash() {
        assert_ne!(info("3.11").pex_hash(), info("3.12").pex_hash());
    }
}
