//! The settings of this machine that can change what uv resolves: its variables, and its and pip's configuration files.

use crate::env_vars;
use crate::host::Host;
use crate::redact::without_userinfo;
use crate::tools::{PipConfig, configuration_files};
use std::path::Path;

/// Prefixes and endings of uv's variables that change where uv keeps files, how fast it is or who it is, and not what it
/// resolves. Credentials differ in every job.
const WITHOUT_EFFECT: [&str; 12] = [
    "UV_CACHE_DIR",
    "UV_COMPILE_BYTECODE",
    "UV_CONCURRENT_",
    "UV_HTTP_",
    "UV_INSTALLER_",
    "UV_KEYRING_PROVIDER",
    "UV_LINK_MODE",
    "UV_NO_PROGRESS",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_TOOL_",
    "UV_VENV_",
];
/// Variables that name files with lines.
const FILES_OF_LINES: [&str; 6] = [
    env_vars::UV_CONFIG_FILE,
    env_vars::UV_CONSTRAINT,
    "UV_OVERRIDE",
    "UV_BUILD_CONSTRAINT",
    "UV_EXCLUDE",
    env_vars::PIP_CONSTRAINT,
];

/// These settings as text, with the content of the files that they name and without credentials.
pub fn settings(host: &Host) -> String {
    let mut text = String::new();
    for (name, value) in host.full_env() {
        let name = name.to_string_lossy();
        let has_effect = name.starts_with("UV_")
            && !WITHOUT_EFFECT.iter().any(|prefix| name.starts_with(prefix))
            && !["_USERNAME", "_PASSWORD", "_TOKEN"].iter().any(|ending| name.ends_with(ending));
        if has_effect {
            text += &format!("{name}={}\n", without_userinfo(&value.to_string_lossy()));
        }
    }
    let pip = PipConfig::read(host);
    text += &without_userinfo(&format!(
        "{:?} {:?} {:?} {} {:?} {:?} {:?}\n",
        pip.index_url,
        pip.extra_index_urls,
        pip.find_links,
        pip.no_index,
        pip.constraints,
        pip.no_binary,
        pip.only_binary
    ));
    let named = FILES_OF_LINES.iter().filter_map(|name| host.var(name)).flat_map(str::split_whitespace);
    let named = named.map(|path| host.absolute(Path::new(path)));
    let of_pip = pip.constraints.iter().map(|path| Path::new(path).to_path_buf());
    for file in configuration_files(host).into_iter().chain(named).chain(of_pip) {
        if let Ok(content) = std::fs::read_to_string(file) {
            text += &without_userinfo(&content);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn what_changes_a_resolution_is_in_the_text_and_what_differs_in_every_job_is_not() {
        let text = |vars: &[(&str, &str)]| settings(&host(vars));
        let plain = text(&[]);
        for vars in [
            [("UV_EXTRA_INDEX_URL", "https://h/simple")],
            [("UV_PRERELEASE", "allow")],
            [("PIP_INDEX_URL", "https://h/simple")],
        ] {
            assert_ne!(text(&vars), plain, "{vars:?}");
        }
        for vars in [
            [("UV_CACHE_DIR", "/x")],
            [("UV_INDEX_PRIVATE_PASSWORD", "secret")],
            [("UV_HTTP_TIMEOUT", "3")],
            [("HOME", "/h")],
        ] {
            assert_eq!(text(&vars), plain, "{vars:?}");
        }
        let with = |token: &str| text(&[("UV_EXTRA_INDEX_URL", &format!("https://aws:{token}@h/simple"))]);
        assert_eq!(with("one"), with("two"));
    }
}
