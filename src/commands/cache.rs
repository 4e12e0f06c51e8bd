//! `pexpress cache`: where the cache is, how large it is, and removing what is not used.

use super::Error;
use crate::cache::Cache;
use crate::cache::contents::PARTS;
use crate::cache::prune::{DAY, Limits, Pruned};
use crate::cli::{CacheCommand, Format};
use crate::host::Host;
use crate::render::Exit;
use crate::report::table::{Table, plural, size};
use serde_json::{Value, json};

/// When the last automatic prune was: the time of this file in the cache directory.
const PRUNED: &str = ".pruned";

/// Run it.
///
/// # Errors
/// When the cache cannot be changed, another run uses it, or stdout cannot be written.
pub fn run(command: &CacheCommand, format: Format, host: &Host) -> Result<Exit, Error> {
    let cache = Cache::new(host);
    let dir = cache.root().display().to_string();
    let (document, text) = match command {
        CacheCommand::Dir => (json!({ "dir": dir }), dir),
        CacheCommand::Size => sizes(&cache, host),
        CacheCommand::Prune(args) => {
            let pruned = cache.prune(&args.limits(), host.clock.now(), args.dry_run)?;
            told(&pruned, args.dry_run)
        }
        CacheCommand::Clean => {
            let removed_bytes =
                cache.clean()?.ok_or(Error::CacheInUse { dir: cache.root().to_path_buf() })?;
            (json!({ "removed_bytes": removed_bytes }), format!("removed {}", size(removed_bytes)))
        }
    };
    match format {
        Format::Json => super::print_json(host, &document)?,
        Format::Text => host.data(&text).map_err(Error::Stdout)?,
    }
    Ok(Exit(0))
}

fn sizes(cache: &Cache, host: &Host) -> (Value, String) {
    let entries = cache.entries();
    let parts = PARTS.iter().map(|part| {
        let of_part: Vec<_> = entries.iter().filter(|entry| entry.part == *part).collect();
        let size_bytes: u64 = of_part.iter().map(|entry| entry.size_bytes).sum();
        (part, of_part.len(), size_bytes)
    });
    let parts: Vec<_> = parts.filter(|(_, count, _)| *count > 0).collect();
    let all: u64 = parts.iter().map(|(.., size_bytes)| size_bytes).sum();
    let mut rows = vec![["part", "size", "entries", ""].map(String::from)];
    rows.extend(parts.iter().map(|(part, count, size_bytes)| {
        [part.name.to_string(), size(*size_bytes), count.to_string(), part.what.to_string()]
    }));
    rows.push(["all".into(), size(all), entries.len().to_string(), cache.root().display().to_string()]);
    let document = json!({
        "dir": cache.root(),
        "size_bytes": all,
        "parts": parts.iter().map(|(part, count, size_bytes)| {
            json!({"name": part.name, "entries": count, "size_bytes": size_bytes})
        }).collect::<Vec<_>>(),
    });
    let table = Table { rows, right: [false, true, true, false], spare: &[3] };
    (document, table.text(host.data_columns()))
}

fn told(pruned: &Pruned, dry_run: bool) -> (Value, String) {
    let (count, bytes) = (pruned.removed.len(), pruned.removed_bytes());
    let document = json!({
        "removed": pruned.removed.iter().map(|entry| &entry.path).collect::<Vec<_>>(),
        "removed_bytes": bytes,
        "left_bytes": pruned.left_bytes,
        "dry_run": dry_run,
    });
    let word = if dry_run { "would remove" } else { "removed" };
    let entries = plural(count, "entry", "entries");
    (document, format!("{word} {entries}, {}; {} left", size(bytes), size(pruned.left_bytes)))
}

/// Prune with the default limits, at most once a day. A failure changes nothing for the run that it follows.
pub fn tidy(host: &Host) {
    let cache = Cache::new(host);
    let stamp = cache.root().join(PRUNED);
    let now = host.clock.now();
    let last = stamp.metadata().and_then(|data| data.modified()).ok();
    if !cache.root().is_dir() || last.is_some_and(|last| now.duration_since(last).unwrap_or_default() < DAY) {
        return;
    }
    // First, so that other runs do not begin one too.
    if let Err(error) = std::fs::write(&stamp, "") {
        return host.detail(format!("the cache is not pruned: {error}"));
    }
    match cache.prune(&Limits::DEFAULT, now, false) {
        Ok(pruned) if pruned.removed.is_empty() => {}
        Ok(pruned) => host.note(format!("Pruned the cache: {}", told(&pruned, false).1)),
        Err(error) => host.detail(format!("the cache is not pruned: {error}")),
    }
}
