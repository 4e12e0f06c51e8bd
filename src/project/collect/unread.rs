//! Files at the top of the build directory that steer other tools and count for nothing here, each with a way out.
//!
//! Sources: dagster-cloud-cli 1.13.27, whose Docker builds run the two scripts; the manuals of PDM, Rye and Pipenv.

use super::error::whole;
use crate::project::Warning;
use std::path::Path;

/// A lock file, what wrote it, and what to do instead.
const LOCKS: [(&str, &str); 3] = [
    ("pdm.lock", "write a pylock.toml beside it with `pdm export -f pylock -o pylock.toml`"),
    ("requirements.lock", "run `uv lock`, or write its pins into requirements.txt"),
    ("Pipfile.lock", "write its pins into requirements.txt with `pipenv requirements >requirements.txt`"),
];

/// Scripts of Docker builds.
const SCRIPTS: [&str; 2] = ["dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh"];

/// The lock files in `directory` that could have decided versions. For a project where nothing else does.
pub(super) fn locks(directory: &Path) -> Vec<Warning> {
    // An exported requirements.txt beside such a lock has its pins.
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

/// The files in `directory` that only a Docker build uses.
pub(super) fn of_docker(directory: &Path) -> Vec<Warning> {
    let script = |name: &&str| {
        Warning {
        message:
            "this script is not run: it belongs to Docker builds, and a PEX file holds Python packages only. List those in the project's requirements; \
             for anything else use a base image (--base-image-tag, input `base_image_tag`) or a step of the workflow before this one"
                .into(),
        place: Some(whole(&directory.join(name))),
    }
    };
    let dockerfile = Warning {
        message: "this file is not used: PEX files run on Dagster's own image. For system packages use a base image \
                  (--base-image-tag, input `base_image_tag`); if it is for something else, name it in .pexignore"
            .into(),
        place: Some(whole(&directory.join("Dockerfile"))),
    };
    let scripts = SCRIPTS.iter().filter(|name| directory.join(name).is_file()).map(script);
    let is_ignored = std::fs::read_to_string(directory.join(".pexignore"))
        .is_ok_and(|text| text.lines().any(|line| line.trim().trim_start_matches('/') == "Dockerfile"));
    let dockerfile = (directory.join("Dockerfile").is_file() && !is_ignored).then_some(dockerfile);
    scripts.chain(dockerfile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| std::fs::write(dir.path().join(name), "Dockerfile\n").unwrap());
        let warnings = locks(dir.path()).into_iter().chain(of_docker(dir.path()));
        warnings.map(|warning| warning.message).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_file_has_a_way_out() {
        insta::assert_snapshot!(found(&["pdm.lock", "requirements.lock", "Pipfile.lock"]), @"
        this lock file is not read, and the newest versions are taken; write a pylock.toml beside it with `pdm export -f pylock -o pylock.toml`
        this lock file is not read, and the newest versions are taken; run `uv lock`, or write its pins into requirements.txt
        this lock file is not read, and the newest versions are taken; write its pins into requirements.txt with `pipenv requirements >requirements.txt`
        ");
        insta::assert_snapshot!(found(&["dagster_cloud_pre_install.sh", "Dockerfile"]), @"
        this script is not run: it belongs to Docker builds, and a PEX file holds Python packages only. List those in the project's requirements; for anything else use a base image (--base-image-tag, input `base_image_tag`) or a step of the workflow before this one
        this file is not used: PEX files run on Dagster's own image. For system packages use a base image (--base-image-tag, input `base_image_tag`); if it is for something else, name it in .pexignore
        ");
    }

    #[test]
    fn what_is_read_or_ignored_is_not_named() {
        for files in [&["pdm.lock", "requirements.txt"][..], &["Dockerfile", ".pexignore"], &["setup.py"]] {
            assert_eq!(found(files), "", "{files:?}");
        }
    }
}
