//! Merges `defaults` into a code location, like Dagster+'s own `ci template` and `dg plus deploy`.
//!
//! Mappings merge, scalars replace, lists are joined without duplicates. Some lists below `container_context` have
//! named items, where the location's item replaces the one in `defaults` with the same name; command lines are
//! replaced. Source: dagster-cloud-cli 1.13.27, observed through `tests/it/project/workspace_oracle.rs`. One deliberate
//! difference: an environment variable in `defaults` with a `=` in its value (`A=b=c`) is an error there.

use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Why a location cannot be merged with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Keys from the location's top down to the value.
    pub path: Vec<String>,
    /// What does not fit.
    pub problem: String,
}

/// How to join the lists at a path, if not by dropping duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListRule {
    /// `NAME=value` or `NAME`: by the part before the `=`.
    EnvironmentVariables,
    /// Mappings: by the value of this key.
    By(&'static str),
    /// The location's list alone.
    Replace,
}

const LIST_RULES: &[(&str, ListRule)] = &[
    ("container_context.docker.env_vars", ListRule::EnvironmentVariables),
    ("container_context.ecs.env_vars", ListRule::EnvironmentVariables),
    ("container_context.ecs.run_ecs_tags", ListRule::By("key")),
    ("container_context.ecs.run_sidecar_containers", ListRule::By("name")),
    ("container_context.ecs.secrets", ListRule::By("name")),
    ("container_context.ecs.server_ecs_tags", ListRule::By("key")),
    ("container_context.ecs.server_sidecar_containers", ListRule::By("name")),
    ("container_context.ecs.volumes", ListRule::By("name")),
    ("container_context.k8s.env_vars", ListRule::EnvironmentVariables),
    ("container_context.k8s.image_pull_secrets", ListRule::By("name")),
    ("container_context.k8s.run_k8s_config.container_config.args", ListRule::Replace),
    ("container_context.k8s.run_k8s_config.container_config.command", ListRule::Replace),
    ("container_context.k8s.server_k8s_config.container_config.args", ListRule::Replace),
    ("container_context.k8s.server_k8s_config.container_config.command", ListRule::Replace),
    ("container_context.k8s.volume_mounts", ListRule::By("name")),
    ("container_context.k8s.volumes", ListRule::By("name")),
];

/// Merge a location over its defaults. Neither may contain nulls. Keys of `defaults` come first.
///
/// # Errors
/// When both have values at one path that cannot be joined.
pub fn merge(
    defaults: &Map<String, Value>,
    own: &Map<String, Value>,
) -> Result<Map<String, Value>, Conflict> {
    let mut merged = defaults.clone();
    merge_mapping(&mut Vec::new(), &mut merged, own)?;
    Ok(merged)
}

fn merge_mapping(
    path: &mut Vec<String>,
    onto: &mut Map<String, Value>,
    own: &Map<String, Value>,
) -> Result<(), Conflict> {
    for (key, value) in own {
        path.push(key.clone());
        match (onto.get_mut(key), value) {
            (Some(Value::Object(default)), Value::Object(own)) => merge_mapping(path, default, own)?,
            (Some(Value::Array(default)), Value::Array(own)) => {
                // The rule for a list depends on its path, so `path` includes the key here.
                *default = merge_list(path, default, own)?;
            }
            // Only mappings and lists conflict with another type. A plain value of the location replaces any default.
            (Some(default), Value::Object(_) | Value::Array(_)) => {
                let problem = format!("is {} here and {} in `defaults`", kind(value), kind(default));
                return Err(Conflict { path: path.clone(), problem });
            }
            _ => {
                onto.insert(key.clone(), value.clone());
            }
        }
        path.pop();
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn merge_list(path: &[String], default: &[Value], own: &[Value]) -> Result<Vec<Value>, Conflict> {
    let place = path.join(".");
    match LIST_RULES.iter().find(|(rule_place, _)| *rule_place == place) {
        None => Ok(without_duplicates(default.iter().chain(own))),
        Some((_, ListRule::Replace)) => Ok(own.to_vec()),
        Some((_, ListRule::EnvironmentVariables)) => merge_environment(path, default, own),
        Some((_, ListRule::By(key))) => merge_by(path, key, default, own),
    }
}

fn without_duplicates<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let mut seen = HashSet::new();
    values.filter(|value| seen.insert(identity(value))).cloned().collect()
}

/// A text that is equal for two values exactly if they are equal in Python: `1`, `1.0` and `True` are.
fn identity(value: &Value) -> String {
    match value {
        // Python compares these with `==`: `True` equals `1`, and `1.0` equals `1`.
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Number(number) => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation)]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                (float as i64).to_string()
            }
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(identity).collect::<Vec<_>>().join(",")),
        Value::Object(entries) => {
            let mut pairs: Vec<_> =
                entries.iter().map(|(key, value)| format!("{key:?}:{}", identity(value))).collect();
            // Two mappings are equal in any order of their keys.
            pairs.sort_unstable();
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    }
}

fn merge_environment(path: &[String], default: &[Value], own: &[Value]) -> Result<Vec<Value>, Conflict> {
    let name = |value: &Value| match value {
        Value::String(text) => Ok(text.split('=').next().unwrap_or_default().to_string()),
        other => Err(Conflict {
            path: path.to_vec(),
            problem: format!(
                "holds {}, where `defaults` and location are merged by the names of variables",
                kind(other)
            ),
        }),
    };
    let own_names = own.iter().map(name).collect::<Result<HashSet<_>, _>>()?;
    let mut merged = Vec::new();
    for value in default {
        if !own_names.contains(&name(value)?) {
            merged.push(value.clone());
        }
    }
    merged.extend_from_slice(own);
    Ok(merged)
}

fn merge_by(path: &[String], key: &str, default: &[Value], own: &[Value]) -> Result<Vec<Value>, Conflict> {
    let default = by_key(path, key, default)?;
    let own = by_key(path, key, own)?;
    let own_names: HashSet<_> = own.iter().map(|(name, _)| name.clone()).collect();
    let surviving = default.into_iter().filter(|(name, _)| !own_names.contains(name));
    Ok(surviving.chain(own).map(|(_, item)| item.clone()).collect())
}

/// Items with their names. Of several with one name, the last one takes the position of the first.
fn by_key<'a>(path: &[String], key: &str, items: &'a [Value]) -> Result<Vec<(String, &'a Value)>, Conflict> {
    let mut kept: Vec<(String, &Value)> = Vec::new();
    let mut positions = HashMap::new();
    for item in items {
        let Some(name) = item.get(key).filter(|name| !name.is_object() && !name.is_array()) else {
            let problem =
                format!("holds {} without `{key}`, by which `defaults` and location are merged", kind(item));
            return Err(Conflict { path: path.to_vec(), problem });
        };
        let name = identity(name);
        match positions.get(&name).and_then(|at: &usize| kept.get_mut(*at)) {
            // The last of several items with one key wins, in the place of the first, as in a Python dict.
            Some(old) => old.1 = item,
            None => {
                positions.insert(name.clone(), kept.len());
                kept.push((name, item));
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn merged(defaults: Value, own: Value) -> Result<Value, Conflict> {
        let map = |value: Value| value.as_object().unwrap().clone();
        merge(&map(defaults), &map(own)).map(Value::Object)
    }

    #[test]
    fn lists_and_mappings_are_joined_by_the_rule_of_their_place() {
        let k8s = |value: Value| json!({"container_context": {"k8s": value}});
        for (defaults, own, want) in [
            (json!({"image": "a"}), json!({"image": "b"}), json!({"image": "b"})),
            (json!({"a": {"x": 1, "y": 2}}), json!({"a": {"y": 3}}), json!({"a": {"x": 1, "y": 3}})),
            (json!({"a": [1, 2, 2]}), json!({"a": [2, 3]}), json!({"a": [1, 2, 3]})),
            (json!({"a": [1, "1"]}), json!({"a": [true, 1.0]}), json!({"a": [1, "1"]})),
            (
                json!({"a": [{"x": 1, "y": 2}]}),
                json!({"a": [{"y": 2, "x": 1}]}),
                json!({"a": [{"x": 1, "y": 2}]}),
            ),
            (json!({"a": {"x": 1}}), json!({"a": 1}), json!({"a": 1})),
            (
                k8s(json!({"env_vars": ["A=1", "B", "C=3=4"]})),
                k8s(json!({"env_vars": ["B=2", "A"]})),
                k8s(json!({"env_vars": ["C=3=4", "B=2", "A"]})),
            ),
            (
                k8s(json!({"volumes": [{"name": "a", "x": 1}, {"name": "b"}]})),
                k8s(json!({"volumes": [{"name": "c"}, {"name": "a"}, {"name": "c", "last": true}]})),
                k8s(json!({"volumes": [{"name": "b"}, {"name": "c", "last": true}, {"name": "a"}]})),
            ),
            (
                k8s(json!({"run_k8s_config": {"container_config": {"args": [1], "ports": [1]}}})),
                k8s(json!({"run_k8s_config": {"container_config": {"args": [2], "ports": [2]}}})),
                k8s(json!({"run_k8s_config": {"container_config": {"args": [2], "ports": [1, 2]}}})),
            ),
        ] {
            assert_eq!(merged(defaults, own).unwrap(), want);
        }
    }

    #[test]
    fn values_that_cannot_be_joined_are_refused_with_their_path() {
        for (defaults, own, path, problem) in [
            (
                json!({"a": {"b": 1}}),
                json!({"a": {"b": {}}}),
                "a.b",
                "is a mapping here and a number in `defaults`",
            ),
            (json!({"a": "x"}), json!({"a": []}), "a", "is a list here and text in `defaults`"),
            (
                json!({"container_context": {"k8s": {"volumes": [{"x": 1}]}}}),
                json!({"container_context": {"k8s": {"volumes": []}}}),
                "container_context.k8s.volumes",
                "holds a mapping without `name`, by which `defaults` and location are merged",
            ),
        ] {
            let conflict = merged(defaults, own).unwrap_err();
            assert_eq!((conflict.path.join(".").as_str(), conflict.problem.as_str()), (path, problem));
        }
    }

    /// Possible content of `container_context.k8s`, including the special lists.
    fn k8s() -> impl Strategy<Value = Map<String, Value>> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            "[ab]".prop_map(Value::from)
        ];
        let lists = prop::collection::vec(scalar.clone(), 0..4).prop_map(Value::from);
        let variables = prop::collection::vec("[AB](=[xy]){0,2}", 0..4).prop_map(Value::from);
        let volumes = prop::collection::vec(("[ab]", 0..3), 0..4).prop_map(|volumes| {
            volumes.into_iter().map(|(name, size)| json!({"name": name, "size": size})).collect::<Value>()
        });
        let entries = prop_oneof![
            ("[pq]", scalar),
            ("[rs]", lists),
            (Just("env_vars".to_string()), variables),
            (Just("volumes".to_string()), volumes),
        ];
        prop::collection::vec(entries, 0..6).prop_map(|entries| {
            let k8s: Map<_, _> = entries.into_iter().collect();
            json!({"container_context": {"k8s": k8s}}).as_object().cloned().unwrap_or_default()
        })
    }

    proptest! {
        #[test]
        fn merging_nothing_changes_nothing(own in k8s()) {
            prop_assert_eq!(merge(&Map::new(), &own), Ok(own.clone()));
            prop_assert_eq!(merge(&own, &Map::new()), Ok(own));
        }

        #[test]
        fn merging_twice_is_merging_once(defaults in k8s(), own in k8s()) {
            let once = merge(&defaults, &own).unwrap();
            let settled = merge(&once, &once).unwrap();
            prop_assert_eq!(merge(&settled, &settled), Ok(settled.clone()));
        }

        #[test]
        fn every_scalar_of_the_location_survives(defaults in k8s(), own in k8s()) {
            let merged = Value::Object(merge(&defaults, &own).unwrap());
            let own = Value::Object(own);
            for key in ["p", "q"] {
                let path = format!("/container_context/k8s/{key}");
                if let Some(value) = own.pointer(&path) {
                    prop_assert_eq!(merged.pointer(&path), Some(value));
                }
            }
        }
    }
}
