//! Files at the top of the build directory that are for other tools and ignored here, each with an alternative.
//!
//! Sources: dagster-cloud-cli 1.13.27, whose Docker builds run the two scripts; the manuals of PDM, Rye and Pipenv.

use super::error::whole;
use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::error::Place;
use crate::project::Warning;
use std::path::Path;

/// A lock file, what wrote it, and what to do instead.
const LOCKS: [(&str, &str); 3] = [
    ("pdm.lock", "write a pylock.toml next to it with `pdm export -f pylock -o pylock.toml`"),
    ("requirements.lock", "run `uv lock`, or write its pins into requirements.txt"),
    ("Pipfile.lock", "write its pins into requirements.txt with `pipenv requirements >requirements.txt`"),
];

/// Scripts of Docker builds.
const SCRIPTS: [&str; 2] = ["dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh"];

/// The lock files in `directory` that could have decided versions. For a project where nothing else does.
pub(super) fn locks(directory: &Path) -> Vec<Warning> {
    // An exported requirements.txt next to such a lock has its pins.
    if directory.join("requirements.txt").exists() {
        return Vec::new();
    }
    let found = LOCKS.iter().filter(|(name, _)| directory.join(name).is_file());
    let warning = |(name, way_out): &(&str, &str)| Warning {
        message: format!("this lock file is not read, and the newest versions are taken; {way_out}"),
        place: Some(whole(&directory.join(name))),
    };
    found.map(warning).collect()
}

/// Messages about the files in `directory` that only a Docker build uses.
#[derive(Debug, Default)]
pub(super) struct OfDocker {
    /// Of what has an effect that will be missing.
    pub(super) warnings: Vec<Warning>,
    /// Whether there is a Dockerfile that may well be for something else.
    pub(super) has_idle_dockerfile: bool,
}

/// Look for these files.
pub(super) fn of_docker(directory: &Path) -> OfDocker {
    let read = |name: &str| read_text(&directory.join(name), TEXT_LIMIT_BYTES).ok();
    let mut found = OfDocker::default();
    for name in SCRIPTS.iter().filter(|name| directory.join(name).is_file()) {
        let message = "this script is not run, because PEX files hold Python packages only: list those in the project's \
                       requirements, and for anything else use a base image (--base-image-tag, input `base_image_tag`)";
        found.warnings.push(Warning { message: message.into(), place: Some(whole(&directory.join(name))) });
    }
    let is_ignored = read(".pexignore")
        .is_some_and(|text| text.lines().any(|line| line.trim().trim_start_matches('/') == "Dockerfile"));
    let Some(text) = read("Dockerfile").filter(|_| !is_ignored) else { return found };
    let Some((line, packages)) = system_packages(&text) else {
        found.has_idle_dockerfile = true;
        return found;
    };
    let names: Vec<String> = packages.iter().map(|name| format!("`{name}`")).collect();
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    found.warnings.push(Warning {
        message: format!(
            "the system packages of this file{names} will not be there for PEX files, which run on Dagster's own image: \
             if the code needs them, use a base image that has them (--base-image-tag, input `base_image_tag`); \
             else name the file in .pexignore"
        ),
        place: Some(Place { line: Some(line), ..whole(&directory.join("Dockerfile")) }),
    });
    found
}

/// The system packages that a Dockerfile installs, and the line of the first `install`; `None` without any such line.
fn system_packages(text: &str) -> Option<(usize, Vec<String>)> {
    let mut first = None;
    let mut packages: Vec<String> = Vec::new();
    let mut verb = "";
    let mut installs = false;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let line = line.trim_end();
        let continues = line.ends_with('\\');
        let line = line.trim_end_matches('\\').replace("&&", " ; ").replace([';', '|'], " ; ");
        for word in line.split_whitespace().chain((!continues).then_some(";")) {
            match word {
                ";" => (verb, installs) = ("", false),
                "apt-get" | "apt" | "yum" | "dnf" | "microdnf" if !installs => verb = "install",
                "apk" if !installs => verb = "add",
                _ if !installs && word == verb => {
                    installs = true;
                    first = first.or(Some(number + 1));
                }
                // Options, variables and the names of groups (`apk add --virtual .build`) are not packages.
                _ if installs
                    && word.starts_with(|each: char| each.is_ascii_alphanumeric())
                    && !packages.iter().any(|known| known == word) =>
                {
                    packages.push(word.to_string());
                }
                _ => {}
            }
        }
    }
    first.map(|line| (line, packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| std::fs::write(dir.path().join(name), "Dockerfile\n").unwrap());
        let docker = of_docker(dir.path());
        let warnings = locks(dir.path()).into_iter().chain(docker.warnings).map(|warning| warning.message);
        warnings
            .chain(docker.has_idle_dockerfile.then(|| "Dockerfile".to_string()))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn each_file_has_a_way_out() {
        insta::assert_snapshot!(found(&["pdm.lock", "requirements.lock", "Pipfile.lock"]), @"
        this lock file is not read, and the newest versions are taken; write a pylock.toml next to it with `pdm export -f pylock -o pylock.toml`
        this lock file is not read, and the newest versions are taken; run `uv lock`, or write its pins into requirements.txt
        this lock file is not read, and the newest versions are taken; write its pins into requirements.txt with `pipenv requirements >requirements.txt`
        ");
        insta::assert_snapshot!(found(&["dagster_cloud_pre_install.sh", "Dockerfile"]), @"
        this script is not run, because PEX files hold Python packages only: list those in the project's requirements, and for anything else use a base image (--base-image-tag, input `base_image_tag`)
        Dockerfile
        ");
    }

    #[test]
    fn what_is_read_or_ignored_is_not_named() {
        for files in [&["pdm.lock", "requirements.txt"][..], &["Dockerfile", ".pexignore"], &["setup.py"]] {
            assert_eq!(found(files), "", "{files:?}");
        }
    }

    #[test]
    fn a_dockerfile_that_installs_system_packages_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let text = "FROM python:3.12\n# apt-get install no\nRUN apt-get update && \\\n    apt-get install -y libpq-dev curl && rm -rf x\n";
        std::fs::write(dir.path().join("Dockerfile"), text).unwrap();
        let found = of_docker(dir.path());
        assert!(!found.has_idle_dockerfile);
        let [warning] = found.warnings.as_slice() else { panic!("{found:?}") };
        assert_eq!(warning.place.as_ref().unwrap().line, Some(4));
        insta::assert_snapshot!(warning.message, @"the system packages of this file (`libpq-dev`, `curl`) will not be there for PEX files, which run on Dagster's own image: if the code needs them, use a base image that has them (--base-image-tag, input `base_image_tag`); else name the file in .pexignore");
    }

    #[test]
    fn system_packages_are_found_however_they_are_installed() {
        for (text, want) in [
            ("RUN apk add --no-cache --virtual .build gcc musl-dev; ls", Some((1, "gcc musl-dev"))),
            (
                "\nRUN apt-get -y install \\\n  git \\\n  # why\n  curl=7 \\\n  git\nRUN pip install x",
                Some((2, "git curl=7")),
            ),
            ("RUN yum install -y gcc && dnf install make|cat", Some((1, "gcc make"))),
            ("RUN apt-get install -y $PACKAGES", Some((1, ""))),
            ("RUN pip install x && apt-get update\nRUN uv add y", None),
            ("", None),
        ] {
            let found = system_packages(text).map(|(line, packages)| (line, packages.join(" ")));
            assert_eq!(found, want.map(|(line, packages)| (line, packages.to_string())), "{text}");
        }
    }
}
