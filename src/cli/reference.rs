//! The command line as text: completions, manual pages, and the short help of commands with many flags.

use super::{Cli, Global};
use clap::{Args, Command, CommandFactory};

/// The flags that `-h` shows of a command, by their ids; `--help` shows all.
const SHORT: [(&str, &[&str]); 6] = [
    ("deploy", &["upload_pex", "update_code_location", "deployment", "locations", "verify"]),
    ("plan", &["shards", "all", "locations", "deps_cache_from", "deployment"]),
    ("source", &["python_version", "extras", "groups", "locked", "dry_run"]),
    ("deps", &["python_version", "extras", "groups", "locked", "dry_run"]),
    ("status", &["branch", "deployment", "organization", "url", "api_token_file"]),
    ("branch-deployment", &["create", "close", "base_deployment", "organization", "api_token_file"]),
];

/// clap's description of the command line.
pub fn command() -> Command {
    // Those that every command takes.
    let all = Cli::command().mut_args(|arg| arg.hide_short_help(true));
    SHORT.into_iter().fold(all, |command, (name, shown)| {
        let is_spare = |arg: &clap::Arg| arg.get_long().is_some() && !shown.contains(&arg.get_id().as_str());
        command.mut_subcommand(name, |command| {
            command
                .mut_args(|arg| if is_spare(&arg) { arg.hide_short_help(true) } else { arg })
                .after_help(format!("`pexpress {name} --help` shows all flags"))
                .after_long_help("")
        })
    })
}

/// The same without hidden commands, for completions and manual pages.
pub fn visible() -> Command {
    // Not `command()`: a manual page has no help of flags that the short help leaves out.
    let all = Cli::command();
    let base = Command::new("pexpress").version(env!("CARGO_PKG_VERSION"));
    let base = match all.get_about() {
        Some(about) => base.about(about.clone()),
        None => base,
    };
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Global::augment_args(base).subcommands(shown.collect::<Vec<_>>())
}

/// The completion script of a shell.
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(), "pexpress", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of a command, or of the program, in roff. `None` if there is no such command.
pub fn manual(name: Option<&str>) -> Option<String> {
    let mut program = visible().disable_help_subcommand(true);
    program.build();
    let command = match name {
        None => program,
        Some(name) => program.find_subcommand(name)?.clone(),
    };
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = clap_mangen::Man::new(command).render(&mut page);
    Some(String::from_utf8_lossy(&page).into_owned())
}

/// Parser for clap: a command that has a manual page.
pub(super) fn with_manual(text: &str) -> Result<String, String> {
    match visible().find_subcommand(text) {
        Some(_) => Ok(text.to_string()),
        None => {
            let names: Vec<String> =
                visible().get_subcommands().map(|command| command.get_name().to_string()).collect();
            Err(format!("the commands are {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_shows_flags_that_exist() {
        for (name, shown) in SHORT {
            let command = command();
            let command = command.find_subcommand(name).unwrap();
            for id in shown {
                let arg = command.get_arguments().find(|arg| arg.get_id() == *id);
                assert!(arg.is_some_and(|arg| !arg.is_hide_short_help_set()), "{name} {id}");
            }
        }
        let deploy = command().find_subcommand("deploy").unwrap().clone();
        insta::assert_snapshot!(deploy.term_width(100).render_help().to_string(), @r"
        Build the PEX files or the image of every code location of a `dagster_cloud.yaml`, dg project or
        workspace

        Usage: deploy [OPTIONS] [DAGSTER_CLOUD_YAML] [OUT_DIR]

        Arguments:
          [DAGSTER_CLOUD_YAML]  `dagster_cloud.yaml`, or a directory with one or with a dg project or
                                workspace. Default: the nearest one from the working directory upwards
          [OUT_DIR]             Directory for what is built, created if missing. Default: a directory for
                                this project in the cache

        Options:
              --location <NAME>  Only use this code location (repeatable, or separated by commas)
              --verify[=<WHEN>]  Load code locations from their PEX files or images before they are updated
                                 [possible values: never, auto, always]
          -h, --help             Print help (see more with '--help')

        Deploying:
              --upload  Upload the PEX files to the registry of the organization, and push the images
                        [alias: --upload-pex]
              --update  Update the code locations to the PEX files or images, and wait until they have
                        loaded [alias: --update-code-location]

        Dagster+:
              --deployment <NAME>  Name of the full deployment. Default: the one in the URL,
                                   DAGSTER_CLOUD_DEPLOYMENT, `prod`, or the only one

        `pexpress deploy --help` shows all flags
        ");
    }

    #[test]
    fn hidden_commands_are_neither_completed_nor_in_the_manual() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let script = completions(*shell);
            assert!(script.contains("branch-deployment"), "{shell}");
            assert!(!script.contains("INPUT_") && !script.contains("pexpress__action"), "{shell}");
        }
        assert!(!manual(None).unwrap().contains("INPUT_"));
        assert_eq!(manual(Some("action")), None);
    }

    #[test]
    fn the_manual_of_a_command_has_its_name_and_flags() {
        let page = manual(Some("deploy")).unwrap();
        assert!(page.contains(".TH pexpress-deploy 1"), "{page}");
        assert!(page.contains(r"\fB\-\-update\fR"), "{page}");
        // One that the short help leaves out.
        assert!(page.contains("File with the API token"), "{page}");
        assert_eq!(with_manual("deploy"), Ok("deploy".into()));
        assert!(with_manual("action").unwrap_err().starts_with("the commands are "));
    }
}
