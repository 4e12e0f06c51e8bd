use super::*;
use crate::context::tests::host;
use crate::resolve::testing::resolution_with;
use std::path::Path;
use std::sync::Arc;

const DAY: Duration = Duration::from_secs(86_400);

fn line(text: &str) -> RequirementLine {
    let name = text.split(['=', '<', '>', ' ', '[']).next().map(String::from);
    RequirementLine { text: text.into(), name, is_link: text.contains("://"), places: Vec::new() }
}

fn job(lines: &[&str]) -> DepsJob {
    let lines = lines.iter().copied().map(line).collect();
    DepsJob {
        requirements: Arc::new(Requirements { lines, ..Requirements::default() }),
        requirements_hash: String::new(),
        directory: "/p".into(),
    }
}

fn target() -> Target {
    Target::serverless("3.11".parse().unwrap())
}

fn asked<'a>(job: &'a DepsJob, vars: &[(&str, &str)]) -> Option<Asked<'a>> {
    Asked::of(job, target(), "pex 1", &host(vars))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn record(pins: &str) -> Record {
    let entry = CacheEntry { deps_pex_name: "deps-0f.pex".into(), dagster_version: "1.13.27".into() };
    let resolution = resolution_with(pins);
    Record { entry, resolved_at: at(1_000_000), resolution }
}

#[test]
fn a_record_is_read_as_it_was_written_without_addresses() {
    let job = job(&["dagster>=1"]);
    let asked = asked(&job, &[]).unwrap();
    let text = asked.text(&record("dagster 1.13.27"), "pex 1").unwrap();
    assert!(!text.contains("https://"), "{text}");
    let found = asked.usable(&text, at(1_000_060), DAY).unwrap();
    assert_eq!((found.entry.deps_pex_name.as_str(), found.resolved_at), ("deps-0f.pex", at(1_000_000)));
    assert_eq!(found.resolution.version_of("dagster"), Some("1.13.27"));
}

/// A record named a repository for `six`, whose `setup.py` was run; or the wheel of another package, and `six` was missing.
#[test]
fn a_record_brings_in_no_other_files_than_those_of_its_packages() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let line = format!("tool @ git+https://me:secret@git.example/tool.git@{commit}#subdirectory=py");
    let digest = "ab".repeat(32);
    let archive = format!("own @ https://files.example/archive.zip#sha256={digest}");
    let job = job(&["six", &line, &archive]);
    let asked = asked(&job, &[]).unwrap();
    let download = |file_name: &str, sha256: &str| Download {
        file_name: file_name.into(),
        url: String::new(),
        sha256: Some(sha256.into()),
        size_bytes: None,
    };
    let git = |url: &str, commit: &str, subdirectory: Option<&str>| Artifact::Git {
        url: url.into(),
        commit: commit.into(),
        subdirectory: subdirectory.map(String::from),
    };
    let sdist = |name: &str| Artifact::Sdist { download: download(name, &digest), subdirectory: None };
    let wheel = |name: &str| Artifact::Wheel(download(name, &digest));
    let tool = "https://git.example/tool.git";
    for (name, artifact, fits) in [
        ("six", wheel("six-1.0-py2.py3-none-any.whl"), true),
        ("six", wheel("six-1-py3-none-any.whl"), true),
        ("six", wheel("idna-1-py3-none-any.whl"), false),
        ("six", wheel("six-2-py3-none-any.whl"), false),
        ("six", wheel("../six-1-py3-none-any.whl"), false),
        ("six", sdist("six-1.tar.gz"), true),
        ("six", sdist("idna-1.tar.gz"), false),
        ("six", sdist("archive.zip"), false),
        ("own", sdist("archive.zip"), true),
        ("six", git("file:///tmp/evil", commit, None), false),
        ("six", git(tool, commit, Some("py")), false),
        ("tool", git(tool, commit, Some("py")), true),
        ("tool", git(tool, commit, None), false),
        ("tool", git(tool, &"f".repeat(40), Some("py")), false),
        ("tool", git("https://git.example/tool.git2", commit, Some("py")), false),
    ] {
        let distribution = Distribution { name: name.into(), version: Some("1".into()), artifact };
        let text = format!("{distribution:?}");
        let resolution = Resolution { distributions: vec![distribution] };
        assert_eq!(asked.misfit(&resolution).is_ok(), fits, "{text}");
    }
}

#[test]
fn a_record_that_is_old_or_changed_or_of_other_requirements_is_not_used() {
    let job = job(&["dagster>=1", "six; python_version < '3'"]);
    let own = asked(&job, &[]).unwrap();
    let text = own.text(&record("dagster 1.13.27"), "pex 1").unwrap();
    let usable = |text: &str, now: u64| own.usable(text, at(now), DAY).map(drop);
    assert_eq!(usable(&text, 1_000_000 + 86_400), Ok(()));
    for (text, now, says) in [
        (text.clone(), 1_090_001, "it is 25 h old; the requirements are resolved again (--resolve-max-age)"),
        (text.clone(), 900_000, "it is from the future"),
        (text.replace("deps-0f", "deps-0e"), 1_000_060, "it is not a record of these requirements"),
        (text.replace("1000000", "1000060"), 1_000_060, "it is not a record of these requirements"),
        (text.replace("1.13.27", "1.13.26"), 1_000_060, "it is not a record of these requirements"),
        (text[..text.len() / 2].to_string(), 1_000_060, "it is not a record of these requirements"),
        ("{}".into(), 1_000_060, "it is not a record of these requirements"),
    ] {
        assert_eq!(usable(&text, now), Err(says.to_string()), "{text}");
    }
    let other = super::tests::job(&["dagster>=2"]);
    let other = asked(&other, &[]).unwrap();
    assert!(other.usable(&text, at(1_000_060), DAY).is_err());
    // Even one that was written for these requirements has to be a resolution of them.
    for (pins, says) in [
        ("six 1", "it lacks `dagster`"),
        ("dagster 0.9", "it has `dagster` 0.9, which `dagster>=1` excludes"),
    ] {
        let text = own.text(&record(pins), "pex 1").unwrap();
        assert_eq!(usable(&text, 1_000_060), Err(says.to_string()));
    }
}

#[test]
fn requirements_that_can_change_without_a_word_have_no_record() {
    let commit = "git+https://h/r@0123456789abcdef0123456789abcdef01234567";
    for (lines, lasting) in [
        (vec!["dagster"], true),
        (vec!["x @ https://h/x.whl#sha256=ab"], true),
        (vec![commit], true),
        (vec!["dagster", "x @ https://h/x.whl"], false),
        (vec!["x @ git+https://h/r@main"], false),
        (vec!["git+ssh://git@h/r"], false),
    ] {
        assert_eq!(asked(&job(&lines), &[]).is_some(), lasting, "{lines:?}");
    }
}

/// A lock with another line next to it was taken for one that decides everything.
#[test]
fn only_a_record_whose_versions_are_all_pinned_does_not_grow_old() {
    use crate::project::Lock;
    let locked = |lines: &[&str], constraints: &[&str], content: LockContent| {
        let mut job = job(lines);
        let requirements = Arc::make_mut(&mut job.requirements);
        requirements.lock = Some(Lock { file: "/p/x.lock".into(), content, remedy: "x lock".into() });
        requirements.settings.constraints = constraints.iter().map(ToString::to_string).collect();
        job
    };
    let partial = || LockContent::Pylock { text: String::new(), complete: false };
    let pins = ["a==1", "b==2"];
    for (lines, constraints, content, lasts) in [
        (&["a==1"][..], &pins[..], LockContent::Constraints, true),
        (&["a==1", "b==2"], &[], partial(), true),
        (&["a==1", "b>=1; python_version == '3.11'"], &[], partial(), false),
        (&["a==1", "b==2.*"], &[], partial(), false),
        // Nothing pins what `a` needs.
        (&["a==1"], &[], partial(), false),
        (&["a==1"], &[], LockContent::Constraints, false),
    ] {
        let job = locked(lines, constraints, content);
        let own = asked(&job, &[]).unwrap();
        let text = own.text(&record("a 1, b 2"), "pex 1").unwrap();
        for (now, age) in [(9_000_000, DAY), (1_000_000, Duration::ZERO)] {
            assert_eq!(own.usable(&text, at(now), age).is_ok(), lasts, "{lines:?} {constraints:?} {age:?}");
        }
    }
    let old = asked(&locked(&pins, &[], partial()), &[]).unwrap().hash;
    let changed = LockContent::Pylock { text: "other digests".into(), complete: false };
    assert_ne!(asked(&locked(&pins, &[], changed), &[]).unwrap().hash, old);
}

#[test]
fn a_branch_that_only_an_override_or_a_package_names_is_resolved_in_each_run() {
    let with = |overrides: &[&str]| {
        let mut job = job(&["a>=1"]);
        Arc::make_mut(&mut job.requirements).settings.overrides =
            overrides.iter().map(ToString::to_string).collect();
        job
    };
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (line, lasting) in [
        ("b==1".to_string(), true),
        (format!("b @ git+https://h/r@{commit}"), true),
        ("b @ git+https://h/r@main".into(), false),
        ("b @ https://h/b-1-py3-none-any.whl".into(), false),
    ] {
        assert_eq!(asked(&with(&[&line]), &[]).is_some(), lasting, "{line}");
    }
    let mut found = record("a 1, b 2");
    let (url, commit) = ("https://h/r".into(), commit.to_string());
    let artifact = Artifact::Git { url, commit: commit.clone(), subdirectory: None };
    found.resolution.distributions[1].artifact = artifact;
    let written = |job: &DepsJob| asked(job, &[]).unwrap().text(&found, "pex 1").is_some();
    assert!(written(&with(&[&format!("b @ git+https://h/r@{commit}")])));
    // The metadata of `a` names a branch.
    assert!(!written(&with(&[])));
}

#[test]
fn local_wheels_count_whoever_names_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (path, url) = (dir.path().to_str().unwrap(), Url::from_file_path(dir.path()).unwrap().to_string());
    let plain = job(&["a"]);
    let mut linked = job(&["a"]);
    Arc::make_mut(&mut linked.requirements).settings.find_links = vec![url.clone()];
    let all = [
        (&plain, ("UV_FIND_LINKS", path)),
        (&plain, ("UV_FIND_LINKS", url.as_str())),
        (&plain, ("PIP_FIND_LINKS", path)),
        (&linked, ("HOME", "/nowhere")),
    ];
    let hashes = || all.map(|(job, variable)| asked(job, &[variable]).unwrap().hash);
    let before = hashes();
    std::fs::write(dir.path().join("a-1-py3-none-any.whl"), "1").unwrap();
    let after = hashes();
    for (at, (one, other)) in before.iter().zip(&after).enumerate() {
        assert_ne!(one, other, "{at}");
    }
}

#[test]
fn the_hash_follows_requirements_settings_and_local_files() {
    let hash = |lines: &[&str], vars: &[(&str, &str)]| asked(&job(lines), vars).unwrap().hash;
    let plain = hash(&["dagster"], &[]);
    assert_eq!(plain, hash(&["dagster"], &[("UV_CACHE_DIR", "/elsewhere")]));
    assert_ne!(plain, hash(&["dagster>1"], &[]));
    assert_ne!(plain, hash(&["dagster"], &[("UV_EXCLUDE_NEWER", "2026-01-01")]));
    let dir = tempfile::tempdir().unwrap();
    let linked = |link: &Path| {
        let mut requirements = Requirements { lines: vec![line("dagster")], ..Requirements::default() };
        requirements.settings.find_links = vec![link.display().to_string()];
        requirements.settings.default_index = Some("https://me:token@h/simple".into());
        DepsJob {
            requirements: Arc::new(requirements),
            requirements_hash: String::new(),
            directory: "/p".into(),
        }
    };
    let hash = || asked(&linked(dir.path()), &[]).map(|asked| asked.hash);
    let empty = hash().unwrap();
    std::fs::write(dir.path().join("a-1-py3-none-any.whl"), "1").unwrap();
    let one = hash().unwrap();
    std::fs::write(dir.path().join("a-1-py3-none-any.whl"), "2").unwrap();
    assert!(empty != one && one != hash().unwrap());
    assert!(asked(&linked(&dir.path().join("missing")), &[]).is_none());
    let mut rotated = linked(dir.path());
    Arc::make_mut(&mut rotated.requirements).settings.default_index =
        Some("https://me:other@h/simple".into());
    assert_eq!(asked(&rotated, &[]).map(|asked| asked.hash), hash());
}

#[test]
fn a_schedule_resolves_and_other_events_do_not() {
    let age = |vars: &[(&str, &str)]| max_age(DAY, &host(vars));
    assert_eq!(age(&[("GITHUB_EVENT_NAME", "schedule")]), Duration::ZERO);
    assert_eq!((age(&[("GITHUB_EVENT_NAME", "push")]), age(&[])), (DAY, DAY));
}
