//! Tests of `cli.rs`.

use super::*;

fn parsed(words: &[&str]) -> Invocation {
    parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_description_is_consistent() {
    command().debug_assert();
}

#[test]
fn predecessor_modules_are_commands() {
    let run = parsed(&[
        "builder.pex",
        "-m",
        "builder.deploy",
        "dagster_cloud.yaml",
        "out",
        "--python-version=3.10",
    ]);
    let Command::Deploy(args) = run.command else { panic!("not deploy: {run:?}") };
    assert_eq!(args.build.python_version, Some("3.10".parse().unwrap()));
}

#[test]
fn other_modules_pass_their_arguments_through() {
    let run = parsed(&["pexpress", "-m", "dagster", "--version", "--format", "x"]);
    let Command::Module(args) = run.command else { panic!("not a module: {run:?}") };
    assert_eq!(
        args,
        ModuleArgs {
            module: "dagster".into(),
            args: vec!["--version".into(), "--format".into(), "x".into()]
        }
    );
}

#[test]
fn deploying_takes_the_predecessors_spellings() {
    let run = parsed(&[
        "builder.pex",
        "-m",
        "builder.deploy",
        "y",
        "out",
        "--upload-pex",
        "--update-code-location",
        "--deps-cache-tag-read",
        "acme/proj",
        "--deps-cache-tag-write=acme/proj",
        "--code-location-details",
        "deployment=prod,commit_hash=ab12",
        "--api-token",
        "user:secret",
    ]);
    assert!(!format!("{run:?}").contains("secret"));
    let Command::Deploy(args) = run.command else { panic!() };
    assert!(args.publish.upload_pex && args.publish.update_code_location);
    assert_eq!(args.publish.deps_cache_from, Vec::from_iter(args.publish.deps_cache_to));
}

fn refused(words: &[&str]) -> String {
    let words: Vec<_> = ["pexpress"].iter().chain(words).map(OsString::from).collect();
    parse(&words).unwrap_err().to_string()
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for (words, says) in [
        (
            &["deploy", "p", "o", "--locked", "--no-locked"][..],
            "'--locked' cannot be used with '--no-locked'",
        ),
        (&["deps", "p", "o", "--no-locked", "--locked"], "cannot be used with"),
        (&["deploy", "p", "o", "--dry-run", "--verify"], "cannot be used with"),
    ] {
        let said = refused(words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

#[test]
fn locations_may_be_separated_by_commas_and_a_patch_release_of_python_does_not_count() {
    let words =
        ["x", "deploy", "p", "o", "--location", "a,b", "--location", "c", "--python-version", "3.12.4"];
    let Command::Deploy(args) = parsed(&words).command else { panic!() };
    assert_eq!(args.locations, ["a", "b", "c"]);
    assert_eq!(args.build.python_version, Some("3.12".parse().unwrap()));
    for wrong in ["3.12.", "3.12.x", "3", "2.7.1", "3.12.4.1"] {
        assert!(python_version(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_value_that_is_not_understood_is_refused_with_what_to_write() {
    for (words, says) in [
        (["--python-version", "3.1"], "there is no Python 3.1 here: did you mean 3.10?"),
        (["--extra", "[dev]"], "write `dev`, without brackets"),
        (["--group", "a b"], "`a b` is not a name: it may have letters, digits, `-`, `_` and `.`"),
    ] {
        let said = refused(&["deps", "p", "o", words[0], words[1]]);
        assert!(said.contains(says) && !said.contains("YAML"), "{said}");
    }
}

#[test]
fn out_dir_may_be_missing_only_in_a_dry_run() {
    assert!(parse(&["pexpress".into(), "deps".into(), "p".into()]).is_err());
    assert!(matches!(parsed(&["pexpress", "deps", "p", "--dry-run"]).command, Command::Deps(_)));
}
