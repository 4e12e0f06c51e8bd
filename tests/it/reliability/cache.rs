//! Damage to any file of the cache, or of an output directory, is found and repaired, and never gets into a build.

use super::small_runs::{Runs, files};
use crate::support::seed::{Random, seed, sized};
use crate::support::{files_named, json, pexpress_with_uv, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One bit is flipped, at a position in thousandths of the file.
    Bit(u64),
    /// The file is empty.
    Emptied,
    /// The second half is missing.
    Halved,
    /// The second half is zeros, as after a power cut.
    Zeroed,
}

impl Damage {
    fn any(random: &mut Random) -> Damage {
        match random.below(6) {
            0 => Damage::Emptied,
            1 => Damage::Halved,
            2 => Damage::Zeroed,
            _ => Damage::Bit(random.below(1000)),
        }
    }

    fn to(self, bytes: &[u8], random: &mut Random) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        let half = bytes.len() / 2;
        match self {
            Damage::Bit(place) => {
                let at = bytes.len() * usize::try_from(place).unwrap() / 1000;
                damaged[at] ^= 1 << random.below(8);
            }
            Damage::Emptied => damaged.clear(),
            Damage::Halved => damaged.truncate(half),
            Damage::Zeroed => damaged[half..].fill(0),
        }
        damaged
    }
}

type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// The files of a directory, but not its `.gitignore`, which belongs to the user once it is written.
fn contents(dir: &Path) -> Contents {
    let kept = |path: &PathBuf| !path.ends_with(".gitignore");
    files(dir).into_iter().filter(kept).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Overwrite a file with any mode.
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Run, and expect the same result as without damage. Each file of the cache must be undamaged or removed.
fn assert_repairs(runs: &Runs, whole: &Contents, built: &Contents, what: &str) {
    let output = runs.deploy().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    assert!(contents(&runs.path("out")) == *built, "{what}: something else was built\n{said}");
    for (path, bytes) in contents(&runs.path("cache")) {
        // Files that did not exist before do not concern this test.
        let is_whole = |known: &Vec<u8>| *known == bytes || is_made_again(known, &bytes);
        assert!(whole.get(&path).is_none_or(is_whole), "{what}: {} stays", path.display());
    }
}

/// Whether these are two recipes of one build: only the time and the digest over it differ.
fn is_made_again(known: &[u8], bytes: &[u8]) -> bool {
    let timeless = |bytes: &[u8]| {
        // The first line is the digest of the rest.
        let (_, text) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let mut document: serde_json::Value = serde_json::from_str(text).ok()?;
        document.as_object_mut()?.remove("digest")?;
        document["recipe"].as_object_mut()?.remove("built_at")?;
        Some(document)
    };
    timeless(known).is_some_and(|known| timeless(bytes) == Some(known))
}

#[test]
fn damage_to_any_file_of_the_cache_is_repaired_and_never_built_in() {
    let seed = seed();
    eprintln!("PEXPRESS_SEED={seed}");
    let mut random = Random::new(seed);
    let runs = Runs::new();
    runs.succeed();
    let (whole, built) = (contents(&runs.path("cache")), contents(&runs.path("out")));
    for kind in ["wheels/", "built/", "fingerprints/"] {
        let of_kind = |path: &&PathBuf| path.to_string_lossy().contains(kind);
        assert!(whole.keys().filter(of_kind).count() >= 2, "no {kind}: {:?}", whole.keys());
    }
    assert_eq!(built.len(), 5, "{:?}", built.keys());
    let all: Vec<(&PathBuf, &Vec<u8>)> = whole.iter().chain(&built).collect();
    for (path, bytes) in &all {
        for _ in 0..sized(1, 12) {
            let damage = Damage::any(&mut random);
            overwrite(path, &damage.to(bytes, &mut random));
            if path.extension().is_some_and(|extension| extension == "gz") {
                // A wheel built from it would be used, and the archive would not be read.
                std::fs::remove_dir_all(runs.path("cache/built")).unwrap();
            }
            if path.ends_with(pexpress::pex::WHEEL_FILE_NAME) {
                // Its files are in an archive of their own, and the wheel would not be read.
                std::fs::remove_dir_all(runs.path("cache/runtime")).unwrap();
            }
            assert_repairs(&runs, &whole, &built, &format!("{damage:?} of {}", path.display()));
        }
    }
    for _ in 0..sized(2, 20) {
        for (path, bytes) in &all {
            overwrite(path, &Damage::any(&mut random).to(bytes, &mut random));
        }
        assert_repairs(&runs, &whole, &built, "damage of everything");
    }
    eprintln!("{} files: {:#?}", all.len(), whole.keys());
}

#[test]
fn a_flipped_bit_in_a_built_pex_does_not_pass_verify() {
    let mut random = Random::new(seed());
    let runs = Runs::new();
    runs.succeed();
    for prefix in ["deps-", "source-"] {
        let path = files_named(&runs.path("out"), prefix).remove(0);
        let sound = std::fs::read(&path).unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&sound)).unwrap();
        let (start, length) = (0..archive.len())
            .map(|index| {
                let member = archive.by_index(index).unwrap();
                (member.data_start(), member.compressed_size())
            })
            .filter(|(_, length)| *length > 64)
            .nth(usize::try_from(random.below(40)).unwrap())
            .unwrap();
        let at = usize::try_from(start + length / 2).unwrap();
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << random.below(8);
        overwrite(&path, &damaged);
        let output = pexpress_with_uv().arg("verify").arg(runs.path("out")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains(&format!("`{}` is damaged", path.display())), "{said}");
        overwrite(&path, &sound);
    }
}

/// Set the time of everything in a directory back by a week.
fn age(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        age(&entry.path());
    }
    let week_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7 * 86_400);
    std::fs::File::open(path).unwrap().set_modified(week_ago).unwrap();
}

#[test]
fn prunes_next_to_a_running_deploy_cost_it_nothing() {
    let runs = Runs::new();
    runs.succeed();
    let built = contents(&runs.path("out"));
    let prune = || {
        let mut command = pexpress_with_uv();
        command.args(["cache", "prune", "--unused-for", "1", "--max-size", "0", "--format", "json"]);
        let output = run(command.env("PEXPRESS_CACHE_DIR", runs.path("cache")));
        json(&output)["removed"].as_array().unwrap().len()
    };
    assert_eq!(prune(), 0, "what was just used");
    let mut removed = 0;
    for round in 0..4 {
        age(&runs.path("cache"));
        std::fs::remove_dir_all(runs.path("out")).unwrap();
        let mut deploy = runs.deploy().stderr(Stdio::piped()).spawn().unwrap();
        // A prune at each stage of the run: before, while and after it finds what it needs.
        while deploy.try_wait().unwrap().is_none() {
            removed += prune();
        }
        let output = deploy.wait_with_output().unwrap();
        assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(contents(&runs.path("out")) == built, "round {round}");
    }
    assert!(removed > 0);
}
