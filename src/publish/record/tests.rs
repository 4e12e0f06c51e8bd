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
