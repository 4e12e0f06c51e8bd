//! Checks the imports of each file against the order of the rooms in `src/lib.rs`.

use crate::support::repository;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The groups of rooms, from the top: imports go to the same or a lower one.
const GROUPS: [&str; 4] = ["commands", "stages", "speakers", "ground floor"];

/// A room: its group as an index of [`GROUPS`], and its place in the list.
type Rooms = BTreeMap<String, (usize, usize)>;

#[test]
fn imports_point_down_the_list_of_rooms() {
    let src = repository().join("src");
    let rooms = rooms(&std::fs::read_to_string(src.join("lib.rs")).unwrap());
    let mut imports = 0;
    let mut wrong = Vec::new();
    for file in source_files(&src) {
        let Some(room) = room_of(file.strip_prefix(&src).unwrap(), &rooms) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for other in named(&text).filter(|other| *other != room && rooms.contains_key(*other)) {
            imports += 1;
            if !may_import(rooms[&room], rooms[other]) {
                wrong.push(format!("{}: crate::{other}", file.strip_prefix(&src).unwrap().display()));
            }
        }
    }
    assert!(imports > 500, "only {imports} imports were found");
    assert!(wrong.is_empty(), "these point up the list in src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn an_import_that_points_up_is_found() {
    let list = "// commands\npub mod cli;\npub mod render;\n// stages, in order\npub mod context;\npub mod builder;\n\
        // speakers\npub mod dagster;\npub mod tools;\n// ground floor\npub mod net;\npub mod host;\n";
    let rooms = rooms(list);
    for (from, to, may) in [
        ("cli", "builder", true),
        ("cli", "render", true),
        ("render", "cli", false),
        ("builder", "cli", false),
        ("builder", "context", true),
        ("context", "builder", false),
        ("builder", "tools", true),
        ("tools", "builder", false),
        ("dagster", "tools", false),
        ("dagster", "host", true),
        ("net", "host", true),
        ("host", "net", false),
    ] {
        assert_eq!(may_import(rooms[from], rooms[to]), may, "{from} of {to}");
    }
    let text = "//! [`crate::host`]\nuse crate::{net::Agent, tools};\nuse crate::builder::Plan;\nlet a = crate::host::b(); // crate::cli\n";
    assert_eq!(named(text).collect::<Vec<_>>(), ["net", "tools", "builder", "host"]);
}

fn may_import((group, place): (usize, usize), (other_group, other_place): (usize, usize)) -> bool {
    match GROUPS[group] {
        _ if group != other_group => group < other_group,
        "stages" => other_place < place,
        "speakers" => false,
        _ => place < other_place,
    }
}

/// The rooms of `lib.rs`, under the comments that name their groups.
fn rooms(lib: &str) -> Rooms {
    let mut rooms = Rooms::new();
    let mut group = None;
    for line in lib.lines() {
        if let Some(comment) = line.strip_prefix("// ") {
            group = GROUPS.iter().position(|name| comment.starts_with(name));
        }
        let name = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'));
        if let Some((name, group)) = name.zip(group) {
            rooms.insert(name.to_string(), (group, rooms.len()));
        }
    }
    rooms
}

/// The room that a file of `src` belongs to; `None` for files that are no room's, and for what only tests have.
fn room_of(file: &Path, rooms: &Rooms) -> Option<String> {
    let first = file.iter().next()?.to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    let is_test = file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
    (rooms.contains_key(room) && !is_test).then(|| room.to_string())
}

/// The rooms that a text names as `crate::ROOM`, outside comments and before its unit tests.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.flat_map(|line| line.split("crate::").skip(1)).flat_map(|rest| {
        let (names, nested) = match rest.strip_prefix('{') {
            Some(names) => (names.split('}').next().unwrap_or_default(), true),
            None => (rest, false),
        };
        let wanted = if nested { usize::MAX } else { 1 };
        names.split(',').take(wanted).filter_map(|name| {
            let name = name.trim();
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            (end > 0).then(|| &name[..end])
        })
    })
}

fn source_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { source_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
