//! Python's tracebacks → places in the user's own files.
//!
//! A source PEX has the build directory as `working_directory/root`, and built local packages at the top of
//! site-packages. This is the same here and in the agent, whatever directory it is unpacked to.

use crate::builder::manifest::Origin;
use crate::error::Place;
use std::path::PathBuf;

/// Path of the build directory in a source PEX.
const ROOT: &str = "/working_directory/root/";
/// Path of packages in any environment.
const PACKAGES: &str = "/site-packages/";
/// Where a package's directory has its modules.
const LAYOUTS: [&str; 2] = ["", "src"];
/// Python's lines between two exceptions of a chain, innermost first.
const BETWEEN: [&str; 2] = ["\nThe above exception was ", "\nDuring handling of the above exception"];

/// The line that names the exception: `SyntaxError: expected ':'`. Syntax errors have lines of code before it.
pub fn error_line(error: &str) -> &str {
    let is_code = |line: &str| line.starts_with([' ', '\t']) || line.starts_with("File \"");
    let mut lines = error.lines().filter(|line| !line.trim().is_empty());
    lines.find(|line| !is_code(line)).or(error.lines().next()).unwrap_or_default().trim()
}

/// `text` with the user's files instead of their copies, and paths of dependencies from `site-packages` on.
pub fn with_user_files(text: &str, origin: &Origin) -> String {
    let mapped = text.split('\n').map(|line| match Frame::read(line) {
        Some(Frame { before, file, after, .. }) => format!("{before}{}{after}", shown(file, origin)),
        None if line.contains(ROOT) || line.contains(PACKAGES) => {
            line.split_inclusive(is_delimiter).map(|word| in_words(word, origin)).collect()
        }
        None => line.to_string(),
    });
    mapped.collect::<Vec<_>>().join("\n")
}

/// Characters that end a path in a message.
fn is_delimiter(char: char) -> bool {
    char.is_whitespace() || "'\"`(),:;".contains(char)
}

/// The same for one word of a message, with its delimiter.
fn in_words(word: &str, origin: &Origin) -> String {
    let path = word.trim_end_matches(is_delimiter);
    match path.starts_with('/') {
        true => format!("{}{}", shown(path, origin), &word[path.len()..]),
        false => word.to_string(),
    }
}

fn shown(file: &str, origin: &Origin) -> String {
    match (user_file(file, origin), file.rsplit_once(PACKAGES)) {
        (Some(file), _) => file.display().to_string(),
        (None, Some((_, rest))) => format!("site-packages/{rest}"),
        (None, None) => file.to_string(),
    }
}

/// The last line of the user's own files in the first of `texts` that has one.
pub fn last_place<'a>(texts: impl IntoIterator<Item = &'a str>, origin: &Origin) -> Option<Place> {
    texts.into_iter().find_map(|text| {
        let mut frames = text.lines().rev().filter_map(Frame::read);
        frames.find_map(|frame| {
            let file = user_file(frame.file, origin)?;
            Some(Place { file, line: Some(frame.line), column: None })
        })
    })
}

/// The parts of a traceback as Python prints it, innermost exception first.
pub fn parts(traceback: &str) -> Vec<&str> {
    let mut parts = vec![traceback];
    for words in BETWEEN {
        parts = parts.into_iter().flat_map(|part| part.split(words)).collect();
    }
    parts
}

/// `  File "PATH", line N, in f`.
struct Frame<'a> {
    before: &'a str,
    file: &'a str,
    after: &'a str,
    line: usize,
}

impl Frame<'_> {
    fn read(line: &str) -> Option<Frame<'_>> {
        let start = line.find("File \"").filter(|at| line[..*at].trim().is_empty())? + "File \"".len();
        let length = line[start..].find("\", line ")?;
        let (file, after) = line[start..].split_at(length);
        let digits = after["\", line ".len()..].split(|char: char| !char.is_ascii_digit()).next()?;
        Some(Frame { before: &line[..start], file, after, line: digits.parse().ok()? })
    }
}

/// The user's file from which `file` in an environment was copied.
fn user_file(file: &str, origin: &Origin) -> Option<PathBuf> {
    if let Some((_, rest)) = file.split_once(ROOT) {
        let own = origin.directory.join(rest);
        // If it was built on another machine, the path below the build directory still helps.
        return Some(if own.is_file() { own } else { PathBuf::from(rest) });
    }
    let (_, rest) = file.rsplit_once(PACKAGES)?;
    let candidates =
        origin.packages.iter().flat_map(|package| LAYOUTS.map(|layout| package.join(layout).join(rest)));
    candidates.into_iter().find(|own| own.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_exception_is_found_after_lines_of_code() {
        for (error, want) in [
            ("KeyError: 'X'", "KeyError: 'X'"),
            (
                "File \"/a/b.py\", line 4\n    def f()\n           ^\nSyntaxError: expected ':'",
                "SyntaxError: expected ':'",
            ),
            (
                "  File \"/a/b.py\", line 4\n    x\nIndentationError: unexpected indent\n",
                "IndentationError: unexpected indent",
            ),
            (
                "ConfigError: no such variable\n\nStack Trace:\n  File \"x.py\"",
                "ConfigError: no such variable",
            ),
            ("", ""),
        ] {
            assert_eq!(error_line(error), want);
        }
    }

    #[test]
    fn copies_are_named_by_the_files_that_they_were_made_from() {
        let project = tempfile::tempdir().unwrap();
        for file in ["app/shop/definitions.py", "lib/src/tools/io.py", "flat/other.py"] {
            let file = project.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        let at = |name: &str| project.path().join(name);
        let origin = Origin {
            directory: at("app"),
            packages: vec![at("app"), at("lib"), at("flat")],
            dependencies: None,
        };
        let traceback = "\
Traceback (most recent call last):
  File \"/tmp/p/source.pex/lib/python3.11/site-packages/working_directory/root/shop/definitions.py\", line 7, in <module>
    import tools.io
  File \"/venvs/ab/lib/python3.11/site-packages/tools/io.py\", line 12, in f
  File \"/venvs/ab/lib/python3.11/site-packages/pandas/core.py\", line 3, in g
  File \"<frozen importlib._bootstrap>\", line 1
ImportError: cannot import name 'x' from 'shop' (/tmp/p/site-packages/working_directory/root/shop/definitions.py)

The above exception was the direct cause of the following exception:

  File \"/venvs/ab/lib/python3.11/site-packages/other.py\", line 2
ValueError: x";
        let shown =
            with_user_files(traceback, &origin).replace(&*project.path().to_string_lossy(), "[PROJECT]");
        insta::assert_snapshot!(shown, @r#"
        Traceback (most recent call last):
          File "[PROJECT]/app/shop/definitions.py", line 7, in <module>
            import tools.io
          File "[PROJECT]/lib/src/tools/io.py", line 12, in f
          File "site-packages/pandas/core.py", line 3, in g
          File "<frozen importlib._bootstrap>", line 1
        ImportError: cannot import name 'x' from 'shop' ([PROJECT]/app/shop/definitions.py)

        The above exception was the direct cause of the following exception:

          File "[PROJECT]/flat/other.py", line 2
        ValueError: x
        "#);
        let place = |texts: &[&str]| {
            let place = last_place(texts.iter().copied(), &origin)?;
            Some(place.to_string().replace(&format!("{}/", project.path().display()), ""))
        };
        let parts = parts(traceback);
        assert_eq!(parts.len(), 2);
        assert_eq!(place(&parts).as_deref(), Some("lib/src/tools/io.py:12"));
        assert_eq!(place(&["nothing", parts[1]]).as_deref(), Some("flat/other.py:2"));
        assert_eq!(place(&["File \"/x/site-packages/pandas/core.py\", line 3"]), None);
        // Built on another machine.
        assert_eq!(
            place(&["File \"/x/working_directory/root/gone/a.py\", line 3"]).as_deref(),
            Some("gone/a.py:3")
        );
    }
}
