//! Variables in old workflows: `${{ env.NAME }}`, `$NAME` and `${NAME}` with what the workflow sets them to.
//!
//! What only the runner knows stays an expression: `$GITHUB_SHA` becomes `${{ github.sha }}`, and a variable that an
//! earlier step sets becomes `${{ env.NAME }}`. A variable of the script itself stays as it is: no expression has it.

use super::script;
use super::workflow::{entry, mapping, text};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Deepest chain of variables that name variables.
const MOST_LEVELS: usize = 8;

/// The `env` of a workflow, a job and a step; the innermost wins.
#[derive(Debug, Clone, Default)]
pub struct Env {
    values: BTreeMap<String, String>,
    /// Variables that only the script of the step knows: they stay as they are written.
    own: BTreeSet<String>,
}

impl Env {
    /// The same with the `env` of `owner` in it.
    #[must_use]
    pub fn with(&self, owner: &Map<String, Value>) -> Env {
        let mut env = self.clone();
        env.values.extend(mapping(owner, "env").map(|(name, value)| (name.clone(), text(value))));
        env.own.extend(entry(owner, "run").iter().flat_map(|script| script::own_variables(script)));
        env
    }

    /// The value of a variable with the variables in it resolved, unless it is empty.
    pub fn get(&self, name: &str) -> Option<String> {
        Some(self.resolve(self.values.get(name)?)).filter(|value| !value.trim().is_empty())
    }

    /// `text` with its variables replaced.
    pub fn resolve(&self, text: &str) -> String {
        let mut resolved = text.to_string();
        for _ in 0..MOST_LEVELS {
            let next = shell_variables(&self.expressions(&resolved), |name| self.variable(name));
            if next == resolved {
                break;
            }
            resolved = next;
        }
        resolved.trim().to_string()
    }

    /// Replace `${{ env.NAME }}`. A name that the workflow does not set stays, as a step may have set it.
    fn expressions(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let Some((expression, after)) = after.split_once("}}") else { break };
            out.push_str(before);
            let name = expression.trim().strip_prefix("env.").unwrap_or_default();
            match self.values.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("${{{{ {} }}}}", expression.trim())),
            }
            rest = after;
        }
        out + rest
    }

    fn variable(&self, name: &str) -> String {
        if self.own.contains(name) {
            return format!("${name}");
        }
        if let Some(value) = self.values.get(name) {
            return value.clone();
        }
        match name.strip_prefix("GITHUB_") {
            Some("WORKSPACE") => "${{ github.workspace }}".to_string(),
            Some(rest) => format!("${{{{ github.{} }}}}", rest.to_lowercase()),
            None => format!("${{{{ env.{name} }}}}"),
        }
    }
}

/// Replace `$NAME` and `${NAME}`, but not `${{ … }}`.
fn shell_variables(text: &str, value: impl Fn(&str) -> String) -> String {
    let is_name = |each: char| each.is_ascii_alphanumeric() || each == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(expression) = after.strip_prefix("{{") {
            let end = expression.find("}}").map_or(expression.len(), |end| end + 2);
            out.push_str("${{");
            out.push_str(&expression[..end]);
            rest = &expression[end..];
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, next) =
            braced.unwrap_or_else(|| after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())));
        if !name.is_empty() && name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&value(name));
            rest = next;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

/// The first variable of a script in a text, as `$NAME`.
pub fn script_variable(text: &str) -> Option<&str> {
    let at = text.match_indices('$').map(|(at, _)| at);
    at.map(|at| &text[at..]).find_map(|rest| {
        let name =
            rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len() - 1);
        (name > 0).then(|| &rest[..=name])
    })
}

/// The expression in a text that is one expression only.
pub fn expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    (!inner.contains("${{")).then(|| inner.trim())
}

/// A text as a term of an expression: `'prod'`, or the expression in it. `None` if it mixes both.
pub fn term(text: &str) -> Option<String> {
    match expression(text) {
        Some(inner) => Some(inner.to_string()),
        None if text.contains("${{") => None,
        None => Some(format!("'{}'", text.replace('\'', "''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_become_values_or_expressions() {
        let owner = json!({"env": {
            "FILE": "dagster_cloud.yaml", "DIR": "a/$FILE", "VERSION": 3.12, "URL": "${{ secrets.URL }}", "EMPTY": "",
        }});
        let env = Env::default().with(owner.as_object().unwrap());
        for (given, want) in [
            (
                "$GITHUB_WORKSPACE/project-repo/$FILE",
                "${{ github.workspace }}/project-repo/dagster_cloud.yaml",
            ),
            ("${{ env.DIR }}", "a/dagster_cloud.yaml"),
            ("${DIR}/x", "a/dagster_cloud.yaml/x"),
            ("${{ env.VERSION }}", "3.12"),
            ("${{env.URL}}", "${{ secrets.URL }}"),
            ("$IMAGE_TAG-etl", "${{ env.IMAGE_TAG }}-etl"),
            ("$GITHUB_SHA", "${{ github.sha }}"),
            ("${{ matrix.x }}", "${{ matrix.x }}"),
            ("$5 and $", "$5 and $"),
        ] {
            assert_eq!(env.resolve(given), want, "{given}");
        }
        assert_eq!(env.get("EMPTY"), None);
    }

    #[test]
    fn a_variable_that_names_itself_ends() {
        let owner = json!({"env": {"A": "x$A"}});
        assert!(Env::default().with(owner.as_object().unwrap()).resolve("$A").starts_with("xxx"));
    }
}
