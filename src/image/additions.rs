//! What is added to the config of a base image: variables, the working directory, labels and layers.

use super::config::History;
use super::{Config, Digest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The time of everything, so that equal images have equal digests.
pub const TIME: &str = "1970-01-01T00:00:00Z";
/// What a shell without a PATH takes. Source: Docker's `DefaultPathEnv`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Members of Docker's configs that describe the container in which the base was built.
const OF_A_CONTAINER: [&str; 2] = ["container", "container_config"];

/// What is added to a base image.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// The directory that comes first on PATH.
    pub first_on_path: String,
    /// Where commands start.
    pub working_dir: String,
    /// Variables, by name. `PATH` replaces that of the base; the first directory is put before it.
    pub env: BTreeMap<String, String>,
    /// Labels. `None` removes one of the base.
    pub labels: BTreeMap<String, Option<String>>,
    /// The layers above those of the base, in order.
    pub layers: Vec<AddedLayer>,
}

/// A layer as the config knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedLayer {
    /// SHA-256 of the archive.
    pub diff_id: Digest,
    /// What is in it.
    pub created_by: String,
}

impl Additions {
    /// The config of the image. Entry point and command of the base are gone: agents give the whole command line, and
    /// on three of them an entry point would stay in force.
    #[must_use]
    pub fn over(&self, base: &Config) -> Config {
        let mut config = base.clone();
        config.created = Some(TIME.to_string());
        for member in OF_A_CONTAINER {
            config.others.shift_remove(member);
        }
        config.config.entrypoint = None;
        config.config.cmd = None;
        config.config.working_dir = Some(self.working_dir.clone());
        config.config.env = Some(self.env(base));
        let mut labels = base.config.labels.clone().unwrap_or_default();
        for (key, value) in &self.labels {
            match value {
                Some(value) => drop(labels.insert(key.clone(), Value::String(value.clone()))),
                None => drop(labels.shift_remove(key)),
            }
        }
        config.config.labels = Some(labels).filter(|labels| !labels.is_empty());
        config.history = history(base);
        for AddedLayer { diff_id, created_by } in &self.layers {
            config.rootfs.diff_ids.push(*diff_id);
            config.history.push(step(created_by));
        }
        config
    }

    /// The variables of the base in their order, each once, then the new ones in the order of their names.
    fn env(&self, base: &Config) -> Vec<String> {
        let path = self.env.get("PATH").map(String::as_str).or(base.env("PATH"));
        let path = path.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_PATH);
        let mut wanted = self.env.clone();
        wanted.insert("PATH".into(), format!("{}:{path}", self.first_on_path));
        let mut env: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for pair in base.config.env.iter().flatten() {
            let name = pair.split_once('=').map_or(pair.as_str(), |(name, _)| name);
            if !seen.insert(name) {
                continue;
            }
            let value = wanted.remove(name).or_else(|| base.env(name).map(String::from));
            env.push(format!("{name}={}", value.unwrap_or_default()));
        }
        env.extend(wanted.into_iter().map(|(name, value)| format!("{name}={value}")));
        env
    }
}

/// The history of a base with exactly one step for each layer that is not empty, which tools insist on. A history that
/// tells of other layers than there are is replaced.
fn history(base: &Config) -> Vec<History> {
    let layers = base.rootfs.diff_ids.len();
    let told = base.history.iter().filter(|step| !step.empty_layer).count();
    match told == layers {
        true => base.history.clone(),
        false => (0..layers).map(|_| step("base image")).collect(),
    }
}

fn step(created_by: &str) -> History {
    let (created, created_by) = (Some(TIME.to_string()), Some(created_by.to_string()));
    History { created, created_by, ..History::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base(config: serde_json::Value, history: serde_json::Value) -> Config {
        let digest = Digest::of("base").to_string();
        let document = json!({
            "architecture": "amd64", "os": "linux", "config": config, "container_config": {"Entrypoint": ["x"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]}, "history": history, "created": "2025-01-01T00:00:00Z",
        });
        Config::parse(document.to_string().as_bytes()).unwrap()
    }

    fn additions() -> Additions {
        Additions {
            first_on_path: "/opt/venv/bin".into(),
            working_dir: "/opt/dagster/app".into(),
            env: [("VIRTUAL_ENV", "/opt/venv"), ("B", "2")]
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .into(),
            labels: [("kept.out".to_string(), None), ("new".to_string(), Some("v".to_string()))].into(),
            layers: vec![AddedLayer { diff_id: Digest::of("ours"), created_by: "pexpress: a==1".into() }],
        }
    }

    #[test]
    fn what_starts_the_base_is_gone_and_the_rest_is_kept() {
        let config = json!({
            "Entrypoint": ["python3"], "Cmd": ["bash"], "User": "app", "WorkingDir": "/", "StopSignal": "SIGINT",
            "Env": ["PATH=/usr/bin", "B=1", "LANG=C.UTF-8", "B=3"], "Labels": {"kept": "k", "kept.out": "x"},
        });
        let history = json!([{"created_by": "ADD rootfs"}, {"created_by": "CMD", "empty_layer": true}]);
        let made = additions().over(&base(config, history));
        let text = String::from_utf8(made.to_bytes()).unwrap();
        let text = text.replace(&Digest::of("base").to_string(), "[BASE]");
        let text = text.replace(&Digest::of("ours").to_string(), "[OURS]");
        insta::assert_snapshot!(text, @r#"{"architecture":"amd64","config":{"Env":["PATH=/opt/venv/bin:/usr/bin","B=2","LANG=C.UTF-8","VIRTUAL_ENV=/opt/venv"],"Labels":{"kept":"k","new":"v"},"StopSignal":"SIGINT","User":"app","WorkingDir":"/opt/dagster/app"},"created":"1970-01-01T00:00:00Z","history":[{"created_by":"ADD rootfs"},{"created_by":"CMD","empty_layer":true},{"created":"1970-01-01T00:00:00Z","created_by":"pexpress: a==1"}],"os":"linux","rootfs":{"diff_ids":["[BASE]","[OURS]"],"type":"layers"}}"#);
    }

    #[test]
    fn a_base_without_variables_gets_the_usual_path() {
        let made = additions().over(&base(json!({}), json!([])));
        let want = format!("/opt/venv/bin:{DEFAULT_PATH}");
        assert_eq!(made.env("PATH"), Some(want.as_str()));
        let mut own = additions();
        own.env.insert("PATH".into(), "/x".into());
        let made = own.over(&base(json!({"Env": ["PATH=/usr/bin"]}), json!([])));
        assert_eq!(made.env("PATH"), Some("/opt/venv/bin:/x"));
    }

    #[test]
    fn every_layer_has_one_step_in_the_history() {
        let empty = json!({"created_by": "ENV", "empty_layer": true});
        let full = json!({"created_by": "ADD"});
        for history in [json!([]), json!([empty]), json!([full, full]), json!([empty, full, empty])] {
            let made = additions().over(&base(json!({}), history));
            let told = made.history.iter().filter(|step| !step.empty_layer).count();
            assert_eq!(told, made.rootfs.diff_ids.len());
        }
    }
}
