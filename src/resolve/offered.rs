//! Summarises for which Pythons and systems a package has files.

use super::mentioned::Mentioned;
use crate::tools::ProcessError;
use crate::wheel::WheelName;
use std::collections::BTreeSet;

/// Up to this many file names are listed.
const SHOWN_NAMES: usize = 3;

/// The file names if they are few, otherwise the Pythons and systems that they are for.
pub fn summary(file_names: &[String]) -> String {
    let wheels: Option<Vec<WheelName>> = file_names.iter().map(|name| name.parse().ok()).collect();
    match (file_names, wheels) {
        ([], _) => "nothing".into(),
        (names, Some(wheels)) if names.len() > SHOWN_NAMES => {
            format!(
                "{} wheels, only for {} on {}",
                names.len(),
                pythons(&wheels),
                systems(&wheels).join(", ")
            )
        }
        (names, _) => names.join(", "),
    }
}

fn pythons(wheels: &[WheelName]) -> String {
    let mut minors = BTreeSet::new();
    let mut others = BTreeSet::new();
    for (python, _, _) in wheels.iter().flat_map(WheelName::tags) {
        match python.strip_prefix("cp3").and_then(|minor| minor.parse::<u8>().ok()) {
            Some(minor) => {
                minors.insert(minor);
            }
            None => {
                others.insert(python);
            }
        }
    }
    let known = minors.into_iter().map(|minor| format!("3.{minor}"));
    let known = known.chain(others.into_iter().map(str::to_string)).collect::<Vec<_>>();
    format!("Python {}", known.join(", "))
}

/// The system of a platform tag: `win_amd64`, `macosx_11_0_arm64`, `manylinux_2_17_x86_64`.
fn system(platform: &str) -> &'static str {
    match platform {
        "any" => "any system",
        _ if platform.starts_with("win") => "Windows",
        _ if platform.starts_with("macosx") => "macOS",
        _ if platform.starts_with("musllinux") => "Linux with musl",
        _ if platform.contains("linux") && platform.ends_with("x86_64") => "Linux x86-64",
        _ if platform.contains("linux") => "Linux on other processors",
        _ => "other systems",
    }
}

fn systems(wheels: &[WheelName]) -> Vec<&'static str> {
    let found = wheels.iter().flat_map(WheelName::tags).map(|(_, _, platform)| system(platform));
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The hint for a package that only has files for another system.
pub fn marker_hint(name: &str, file_names: &[String]) -> Option<String> {
    let wheels: Option<Vec<WheelName>> = file_names.iter().map(|name| name.parse().ok()).collect();
    marker_line(name, None, &systems(&wheels?))
}

/// If the requirement `line` is given, the hint shows the whole new line.
fn marker_line(name: &str, line: Option<&str>, systems: &[&str]) -> Option<String> {
    let (system, platform) = match systems {
        ["Windows"] => ("Windows", "win32"),
        ["macOS"] => ("macOS", "darwin"),
        _ => return None,
    };
    let marker = format!("sys_platform == '{platform}'");
    let what = match line.map(|line| line.split_once(';').unwrap_or((line, ""))) {
        Some((line, "")) => format!("write `{} ; {marker}`", line.trim()),
        Some((line, more)) => format!("write `{} ; {marker} and ({})`", line.trim(), more.trim()),
        None => format!("add `; {marker}` to the line that requires it"),
    };
    Some(format!("`{name}` is for {system} only: {what}"))
}

/// [`marker_hint`], from uv's message about available wheels.
///
/// Source: uv 0.13.9: ``Wheels are available for `NAME` (vVERSION) on the following platforms: `win32`, `win_amd64` ``.
pub fn hint_from_uv(error: &ProcessError, mentioned: &Mentioned) -> Option<String> {
    let ProcessError::Failed { stderr: Some(said), .. } = error else { return None };
    said.0.lines().find_map(|line| {
        let (_, rest) = line.split_once("Wheels are available for `")?;
        let (name, rest) = rest.split_once('`')?;
        let (_, platforms) = rest.split_once("on the following platform")?;
        let tags = platforms.split('`').skip(1).step_by(2).map(system).collect::<BTreeSet<_>>();
        marker_line(name, mentioned.line_for(name), &tags.into_iter().collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_summarised_by_python_and_system() {
        let names = |platforms: &[&str]| -> Vec<String> {
            platforms.iter().map(|platform| format!("a-1-cp314-cp314-{platform}.whl")).collect()
        };
        for (platforms, want) in [
            (vec![], "nothing"),
            (vec!["win32"], "a-1-cp314-cp314-win32.whl"),
            (
                vec!["win32", "win_amd64", "macosx_11_0_arm64", "manylinux_2_17_x86_64.manylinux2014_x86_64"],
                "4 wheels, only for Python 3.14 on Linux x86-64, Windows, macOS",
            ),
        ] {
            assert_eq!(summary(&names(&platforms)), want);
        }
        assert_eq!(
            marker_hint("a", &names(&["win32", "win_amd64"])).unwrap(),
            "`a` is for Windows only: add `; sys_platform == 'win32'` to the line that requires it"
        );
        for (line, want) in [
            ("a==306", "`a` is for Windows only: write `a==306 ; sys_platform == 'win32'`"),
            (
                "a>1;python_version<'4'",
                "`a` is for Windows only: write `a>1 ; sys_platform == 'win32' and (python_version<'4')`",
            ),
        ] {
            assert_eq!(marker_line("a", Some(line), &["Windows"]).unwrap(), want);
        }
        assert_eq!(marker_hint("a", &names(&["win32", "manylinux_2_17_x86_64"])), None);
    }
}
