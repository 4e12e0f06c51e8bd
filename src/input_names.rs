//! Replaces flags in messages by the inputs of the action, for runs of the action.
//!
//! Messages are written with flags; only this module knows the input with the same meaning. A sentence has to read well
//! with both: "choose another with --platform".

/// Each flag, and its input or setting below `with:`.
const INPUTS: &[(&str, &str)] = &[
    ("--organization", "the input `organization`"),
    ("--url", "the input `dagster_cloud_url`"),
    ("--python-version", "the input `python_version`"),
    ("--platform", "the input `platform`"),
    ("--extra", "the input `extras`"),
    ("--all-extras", "`extras: '*'`"),
    ("--group", "the input `groups`"),
    ("--locked", "`locked: true`"),
    ("--no-locked", "`locked: false`"),
    ("--location", "the input `locations`"),
    ("--image", "the input `image`"),
    ("--image-of", "the input `images`"),
    ("--image-registry", "the input `image_registry`"),
    ("--image-platform", "the input `image_platform`"),
    ("--base-image", "the input `base_image`"),
    ("--image-include", "the input `image_include`"),
    ("--image-env", "the input `image_env`"),
    ("--image-label", "the input `image_labels`"),
    ("--image-owner", "the input `image_owner`"),
    ("--image-python", "the input `image_python`"),
    ("--image-compression", "the input `image_compression`"),
    ("--no-image-bytecode", "`image_bytecode: false`"),
    ("--sbom", "`sbom: true`"),
    ("--ignore-dockerfile", "`ignore_dockerfile: true`"),
    ("--strategy", "the input `strategy`"),
    ("--aws-role", "the input `aws_role`"),
    ("--gcp-workload-identity-provider", "the input `gcp_workload_identity_provider`"),
    ("--gcp-service-account", "the input `gcp_service_account`"),
    ("--azure-client-id", "the input `azure_client_id`"),
    ("--azure-tenant-id", "the input `azure_tenant_id`"),
    ("--image-tag", "the input `image_tag`"),
    ("--verify", "`verify: true`"),
    ("--refresh-defs-state", "`refresh_defs_state: true`"),
    ("--defs-state-info", "the input `defs_state_info`"),
    ("--base-image-tag", "the input `base_image_tag`"),
    ("--deployment", "the input `deployment`"),
    ("--base-deployment", "the input `base_deployment`"),
    ("--deployment-for-branch", "`branch_deployment: true`"),
    ("--full-deployment", "`branch_deployment: false`"),
    ("--location-load-timeout", "the input `location_load_timeout`"),
    ("--agent-heartbeat-timeout", "the input `agent_heartbeat_timeout`"),
    ("--allow-untrusted-code", "`allow_untrusted_code: true`"),
    ("--prune", "`prune: true`"),
    ("--repository", "the input `repository`"),
    ("--resolve-max-age", "the input `resolve_max_age`"),
    ("--force-rebuild-deps", "`force_rebuild_deps: true`"),
];

/// `text` with inputs instead of flags. Quotations do not change (commands in backticks, indented foreign lines). A
/// flag in brackets is removed if its input is already in the line.
pub fn for_flags(text: &str) -> String {
    let lines = text.split('\n').map(|line| match line.starts_with([' ', '\t']) {
        true => line.to_string(),
        false => in_line(line),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn in_line(line: &str) -> String {
    let mut line = line.to_string();
    for (flag, input) in [("--extra", "extras"), ("--group", "groups")] {
        line = with_value(line, &format!("build with {flag} "), input);
    }
    for (flag, input) in INPUTS {
        if line.contains(input) {
            line = line.replace(&format!(" ({flag})"), "");
        }
    }
    let parts = line.split('`').enumerate().map(|(at, part)| match at % 2 {
        0 => in_words(part),
        _ => part.to_string(),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Replace a flag with a value: `build with --group orch: …`.
fn with_value(line: String, words: &str, input: &str) -> String {
    let Some((before, after)) = line.split_once(words) else { return line };
    let end = after.find([' ', ':', ';', ',']).unwrap_or(after.len());
    let (value, rest) = after.split_at(end);
    format!("{before}set the input `{input}: {value}`{rest}")
}

fn in_words(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let flag = word.trim_start_matches('(').trim_end_matches([')', ',', ';', '.', ':']);
        match INPUTS.iter().find(|(name, _)| *name == flag) {
            Some((name, input)) => word.replacen(name, input, 1),
            None => word.to_string(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_outside_of_quotations_become_inputs() {
        for (given, want) in [
            ("hint: build with --no-locked", "hint: build with `locked: false`"),
            (
                "build with --group orch: that dependency group has `dagster`",
                "set the input `groups: orch`: that dependency group has `dagster`",
            ),
            ("build with --extra x", "set the input `extras: x`"),
            ("--locked was given, but `a` has none", "`locked: true` was given, but `a` has none"),
            (
                "set `branch_deployment: false` (--full-deployment) for it",
                "set `branch_deployment: false` for it",
            ),
            ("the extras a, b (--extra)", "the extras a, b (the input `extras`)"),
            (
                "choose another with --platform, or --python-version.",
                "choose another with the input `platform`, or the input `python_version`.",
            ),
            (
                "run `uv export --locked` or leave --locked out",
                "run `uv export --locked` or leave `locked: true` out",
            ),
            (
                "error: x\n  caused by: `a --locked`\n    --locked",
                "error: x\n  caused by: `a --locked`\n    --locked",
            ),
            ("pip's --extra-index-url and --locked-x", "pip's --extra-index-url and --locked-x"),
        ] {
            assert_eq!(for_flags(given), want);
        }
    }

    #[test]
    fn the_inputs_are_those_of_the_action() {
        let action = include_str!("../action.yml");
        for (flag, input) in INPUTS {
            let name = input.trim_start_matches("the input ").trim_matches('`').split(':').next().unwrap();
            assert!(action.contains(&format!("\n  {name}:\n")), "{flag}: {name}");
        }
    }

    #[test]
    fn every_flag_about_images_has_an_input() {
        let command = crate::cli::command();
        let deploy = command.find_subcommand("deploy").unwrap();
        let of_images = |arg: &&clap::Arg| {
            arg.get_help_heading().is_some_and(|heading| ["Images", "Registries"].contains(&heading))
        };
        let flags: Vec<String> = deploy
            .get_arguments()
            .filter(of_images)
            .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
            .collect();
        assert!(flags.len() > 10, "{flags:?}");
        for flag in flags {
            assert!(INPUTS.iter().any(|(known, _)| *known == flag), "{flag}");
        }
    }
}
