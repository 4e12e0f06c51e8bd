//! The next step for a code location that does not load, depending on its exception.

/// What is known about a failure to load.
#[derive(Debug, Clone, Default)]
pub struct Cause<'a> {
    /// The line that names the exception.
    pub error: &'a str,
    /// What is missing on this machine, according to the loader.
    pub not_here: Option<&'a str>,
    /// The last line of the user's own files, `FILE:LINE`.
    pub place: Option<&'a str>,
    /// Name and version of the installed distribution whose file raised the error.
    pub library: Option<&'a str>,
    /// Why a module of the project is not found.
    pub project: Option<&'a str>,
    /// The file with the dependencies.
    pub dependencies: Option<&'a str>,
    /// Whether this is a step of a workflow.
    pub in_step: bool,
}

/// The next step; `None` where only the traceback can help.
pub fn hint(cause: &Cause<'_>) -> Option<String> {
    let (kind, message) = cause.error.split_once(": ").unwrap_or((cause.error, ""));
    // Exceptions of libraries have the path of their module.
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let found = match kind {
        "ModuleNotFoundError" => no_module(message, cause),
        "ImportError" => no_import(message, cause),
        "SyntaxError" | "IndentationError" | "TabError" => syntax(cause),
        _ => None,
    };
    found
        .or_else(|| cause.not_here.map(|reason| not_here(reason, cause.in_step)))
        .or_else(|| cause.place.map(|place| format!("look at {place}, the last line of your own files")))
}

fn no_module(message: &str, cause: &Cause<'_>) -> Option<String> {
    let module = quoted(message)?;
    if let Some(problem) = cause.project {
        return Some(format!("`{module}`: {problem}"));
    }
    let file = file_of(cause.dependencies);
    let top = module.split('.').next().unwrap_or(module);
    Some(match cause.library {
        // The package exists, so its version is too old or too new for its user.
        Some(library) if top != module => format!(
            "{library} imports `{module}`, which the installed `{top}` does not have: require compatible versions of both in {file}"
        ),
        Some(library) => {
            format!("{library} imports `{module}`: add the distribution that has that module to {file}")
        }
        None if top != module => format!(
            "`{top}` is installed and has no module `{module}`: correct the name, or require another version of it in {file}"
        ),
        None => format!("add the distribution that has the module `{module}` to {file}"),
    })
}

/// The module exists, but it lacks a name, or one of its libraries does not load.
fn no_import(message: &str, cause: &Cause<'_>) -> Option<String> {
    let file = file_of(cause.dependencies);
    if let Some((library, _)) = message.split_once(": cannot open shared object file") {
        let who = cause.library.unwrap_or("a dependency");
        return Some(format!(
            "{who} needs the system library {library}, which is not on this machine and may be missing in Dagster+ too: choose a distribution that includes it"
        ));
    }
    let library = cause.library?;
    Some(match message.strip_prefix("cannot import name ").and_then(quoted) {
        Some(name) => {
            format!("{library} has no `{name}`: correct the name, or require another version of it in {file}")
        }
        None => {
            format!("{library} cannot be imported: require another version of it in {file}")
        }
    })
}

fn syntax(cause: &Cause<'_>) -> Option<String> {
    match (cause.place, cause.library) {
        (_, Some(library)) => {
            Some(format!("{library} does not support this Python version: require another version of it"))
        }
        (place, None) => place.map(|place| format!("fix {place}")),
    }
}

fn not_here(reason: &str, in_step: bool) -> String {
    let set = if in_step { "set it in `env:` of the step" } else { "set it in the environment" };
    let one = reason
        .strip_prefix("the environment variable ")
        .and_then(|rest| rest.strip_suffix(" is not set here"));
    if let Some(name) = one {
        return format!("{name} is not set here: {set}, or read it at run time");
    }
    if let Some(names) = reason.strip_prefix("environment variables are not set here: ") {
        return format!("not set here: {names}; {}, or read them at run time", set.replace(" it ", " them "));
    }
    if reason.starts_with("a server ") {
        return format!("{reason}: connect inside an asset or a resource, not when the code is imported");
    }
    if reason.starts_with("the file ") {
        return format!("{reason}: read it at run time");
    }
    format!("{reason}: {set}, or read it at run time")
}

/// The file with the dependencies.
fn file_of(file: Option<&str>) -> &str {
    file.unwrap_or("the dependencies of the project")
}

/// The text between the first two quotes.
fn quoted(text: &str) -> Option<&str> {
    text.split('\'').nth(1).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_next_step() {
        let at = "shop/definitions.py:4";
        let base = |error: &'static str| Cause {
            error,
            place: Some(at),
            dependencies: Some("requirements.txt"),
            in_step: true,
            ..Cause::default()
        };
        let variable = Some("the environment variable A_TOKEN is not set here");
        let cases = [
            base("ModuleNotFoundError: No module named 'pandas'"),
            Cause { dependencies: None, ..base("ModuleNotFoundError: No module named 'pandas'") },
            Cause {
                project: Some(
                    "the project has no `shopp`, and no dependency has that name; did you mean `shop`?",
                ),
                ..base("ModuleNotFoundError: No module named 'shopp'")
            },
            Cause {
                library: Some("dagster-aws 0.29"),
                ..base("ModuleNotFoundError: No module named 'boto3'")
            },
            base("ModuleNotFoundError: No module named 'dagster.nothing'"),
            Cause {
                library: Some("pandas 1.0"),
                ..base("ModuleNotFoundError: No module named 'numpy.core'")
            },
            Cause { not_here: variable, ..base("KeyError: 'A_TOKEN'") },
            Cause { not_here: variable, in_step: false, ..base("KeyError: 'A_TOKEN'") },
            Cause {
                not_here: Some("environment variables are not set here: A, B"),
                ..base("AttributeError: x")
            },
            Cause { not_here: Some("a setting is missing here"), ..base("pydantic_core.ValidationError: x") },
            Cause {
                not_here: Some("a server was not reached from here, or did not let this machine in"),
                ..base("ConnectionError: x")
            },
            base("SyntaxError: expected ':'"),
            Cause { library: Some("old 1.0"), ..base("SyntaxError: invalid syntax") },
            base("IndentationError: unexpected indent"),
            Cause {
                library: Some("opencv-python 4.9"),
                ..base("ImportError: libGL.so.1: cannot open shared object file: No such file or directory")
            },
            Cause {
                library: Some("dagster 1.13.27"),
                ..base("ImportError: cannot import name 'nothing' from 'dagster' (/x)")
            },
            base("ImportError: cannot import name 'nothing' from 'shop' (/x)"),
            Cause {
                library: Some("numpy 1.0"),
                ..base("ImportError: numpy.core.multiarray failed to import")
            },
            base("dagster._core.errors.DagsterInvalidDefinitionError: Duplicate asset key"),
            Cause { place: None, ..base("RuntimeError: x") },
        ];
        let hints = cases.map(|cause| format!("{} → {}", cause.error, hint(&cause).unwrap_or("-".into())));
        insta::assert_snapshot!(hints.join("\n"), @r#"
        ModuleNotFoundError: No module named 'pandas' → add the distribution that has the module `pandas` to requirements.txt
        ModuleNotFoundError: No module named 'pandas' → add the distribution that has the module `pandas` to the dependencies of the project
        ModuleNotFoundError: No module named 'shopp' → `shopp`: the project has no `shopp`, and no dependency has that name; did you mean `shop`?
        ModuleNotFoundError: No module named 'boto3' → dagster-aws 0.29 imports `boto3`: add the distribution that has that module to requirements.txt
        ModuleNotFoundError: No module named 'dagster.nothing' → `dagster` is installed and has no module `dagster.nothing`: correct the name, or require another version of it in requirements.txt
        ModuleNotFoundError: No module named 'numpy.core' → pandas 1.0 imports `numpy.core`, which the installed `numpy` does not have: require compatible versions of both in requirements.txt
        KeyError: 'A_TOKEN' → A_TOKEN is not set here: set it in `env:` of the step, or read it at run time
        KeyError: 'A_TOKEN' → A_TOKEN is not set here: set it in the environment, or read it at run time
        AttributeError: x → not set here: A, B; set them in `env:` of the step, or read them at run time
        pydantic_core.ValidationError: x → a setting is missing here: set it in `env:` of the step, or read it at run time
        ConnectionError: x → a server was not reached from here, or did not let this machine in: connect inside an asset or a resource, not when the code is imported
        SyntaxError: expected ':' → fix shop/definitions.py:4
        SyntaxError: invalid syntax → old 1.0 does not support this Python version: require another version of it
        IndentationError: unexpected indent → fix shop/definitions.py:4
        ImportError: libGL.so.1: cannot open shared object file: No such file or directory → opencv-python 4.9 needs the system library libGL.so.1, which is not on this machine and may be missing in Dagster+ too: choose a distribution that includes it
        ImportError: cannot import name 'nothing' from 'dagster' (/x) → dagster 1.13.27 has no `nothing`: correct the name, or require another version of it in requirements.txt
        ImportError: cannot import name 'nothing' from 'shop' (/x) → look at shop/definitions.py:4, the last line of your own files
        ImportError: numpy.core.multiarray failed to import → numpy 1.0 cannot be imported: require another version of it in requirements.txt
        dagster._core.errors.DagsterInvalidDefinitionError: Duplicate asset key → look at shop/definitions.py:4, the last line of your own files
        RuntimeError: x → -
        "#);
    }
}
