//! The scripts in `entry_points.txt`.

use super::WheelError;

/// A script that installers create for a distribution. It imports `module` and calls the object at `attributes`.
///
/// Source: "Entry points specification" (PyPA).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// File name of the script.
    pub name: String,
    /// Dotted name of the module.
    pub module: String,
    /// Attributes to follow from the module. Empty when the module itself is run.
    pub attributes: Vec<String>,
}

/// The groups that become scripts, in the order in which installers write them.
const SCRIPT_GROUPS: [&str; 2] = ["console_scripts", "gui_scripts"];

impl EntryPoint {
    /// The scripts in an `entry_points.txt`, `console_scripts` first. Of two scripts with one name, the last one
    /// counts.
    ///
    /// Lines are read as installers read them: spaces around them are ignored, `#` and `;` start a comment line, the
    /// first `=` separates, names keep their case, `[extras]` are dropped.
    ///
    /// # Errors
    /// When a script has no usable name, or its object reference is malformed.
    pub fn scripts(wheel: &str, text: &str) -> Result<Vec<EntryPoint>, WheelError> {
        let mut scripts: Vec<EntryPoint> = Vec::new();
        for wanted in SCRIPT_GROUPS {
            let mut group = "";
            for line in text.lines().map(str::trim) {
                if line.is_empty() || line.starts_with(['#', ';']) {
                    continue;
                }
                if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                    group = name.trim();
                } else if group == wanted {
                    let script = parse(line).ok_or_else(|| {
                        let reason =
                            format!("`{line}` under [{wanted}] of its entry_points.txt is malformed");
                        WheelError::metadata(wheel, reason)
                    })?;
                    scripts.retain(|earlier| earlier.name != script.name);
                    scripts.push(script);
                }
            }
        }
        Ok(scripts)
    }
}

/// `NAME = MODULE[:ATTRIBUTE[.ATTRIBUTE]…] [EXTRAS]`; the name must be usable as a file name.
fn parse(line: &str) -> Option<EntryPoint> {
    let (name, reference) = line.split_once('=')?;
    let name = name.trim();
    let reference = reference.split('[').next()?.trim();
    let (module, attributes) = match reference.split_once(':') {
        Some((module, attributes)) => (module.trim(), attributes.trim()),
        None => (reference, ""),
    };
    let is_identifier =
        // Not only Python identifiers: some wheels have dashes in module names, and pip accepts them.
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let is_dotted = |text: &str| text.split('.').all(is_identifier);
    let safe_name = !name.is_empty()
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'));
    let has_attributes = !reference.contains(':') || is_dotted(attributes);
    (safe_name && is_dotted(module) && has_attributes).then(|| EntryPoint {
        name: name.to_string(),
        module: module.to_string(),
        attributes: attributes.split('.').filter(|part| !part.is_empty()).map(str::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, module: &str, attributes: &[&str]) -> EntryPoint {
        EntryPoint {
            name: name.into(),
            module: module.into(),
            attributes: attributes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn scripts_of_both_groups_are_read_console_first() {
        let text = "[gui_scripts]\nG = g:run\n\n# a comment\n[console_scripts]\n  Tool=pkg.cli:App.main [extra,x]\n\
                    run-it = pkg . bad\n";
        assert!(EntryPoint::scripts("w", text).is_err());
        let text = text
            .replace("run-it = pkg . bad", "run-it = pkg.__main__\n; more\n[other]\nnot = a script = at all");
        assert_eq!(
            EntryPoint::scripts("w", &text).unwrap(),
            [
                point("Tool", "pkg.cli", &["App", "main"]),
                point("run-it", "pkg.__main__", &[]),
                point("G", "g", &["run"])
            ]
        );
    }

    #[test]
    fn the_last_of_two_scripts_of_one_name_counts() {
        let text = "[console_scripts]\na = x:one\na = x:two\n[gui_scripts]\nb = y:b\n";
        assert_eq!(
            EntryPoint::scripts("w", text).unwrap(),
            [point("a", "x", &["two"]), point("b", "y", &["b"])]
        );
    }

    #[test]
    fn malformed_scripts_are_refused() {
        for line in
            ["a", "= x:y", "../a = x:y", "a/b = x:y", ".. = x:y", "a = ", "a = x:", "a = x:y'z", "a = x y:z"]
        {
            let text = format!("[console_scripts]\n{line}\n");
            let message = EntryPoint::scripts("w.whl", &text).unwrap_err().to_string();
            assert!(message.contains("w.whl") && message.contains("[console_scripts]"), "{message}");
        }
    }
}
