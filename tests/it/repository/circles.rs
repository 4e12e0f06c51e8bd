//! Files of `src/` that import each other in a circle, which ties them together as if they were one.
//!
//! A parent and its children may name each other: `mod.rs` passes on what its files define.

use crate::support::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path, such as `["net", "agent"]`, and those of the other modules that it imports.
type Imports = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

#[test]
fn no_two_files_import_each_other() {
    let mut texts = BTreeMap::new();
    let src = repository().join("src");
    collect(&src, &src, &mut texts);
    let imports = imports(&texts);
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 600, "few imports were found");
    let circles = circles(&imports);
    assert!(circles.is_empty(), "these import each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let file = |path: &str, text: &str| (path.split('/').map(String::from).collect(), text.to_string());
    let texts = BTreeMap::from([
        file("net", "pub mod a; pub mod b; pub mod c; use a::A;"),
        file("net/a", "use super::b::{B, other};\nuse super::Error;"),
        file("net/b", "use crate::net::{c::C, a};"),
        file("net/c", "use std::io;\n#[cfg(test)]\nmod tests {\n    use super::super::b::B;\n}"),
    ]);
    assert_eq!(circles(&imports(&texts)), ["net::a, net::b"]);
}

/// The text of each module, without its unit tests.
fn collect(dir: &Path, src: &Path, texts: &mut BTreeMap<Vec<String>, String>) {
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let is_test = ["tests", "tests.rs", "testing.rs", "fixture.rs", "fuzzing.rs"];
        let name = path.file_name().unwrap().to_str().unwrap();
        if is_test.contains(&name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, src, texts);
        } else if let Some(module) = name.strip_suffix(".rs") {
            let above = path.parent().unwrap().strip_prefix(src).unwrap().iter();
            let mut parts: Vec<String> = above.map(|part| part.to_str().unwrap().to_string()).collect();
            if !["mod", "lib", "main"].contains(&module) {
                parts.push(module.to_string());
            }
            texts.insert(parts, std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn imports(texts: &BTreeMap<Vec<String>, String>) -> Imports {
    let of = |(module, text): (&Vec<String>, &String)| {
        let code = format!("\n{}", text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        let mut named = BTreeSet::new();
        for statement in code.split("\nuse ").skip(1).filter_map(|rest| rest.split_once(';')) {
            let tree: String = statement.0.split_whitespace().collect();
            expand(&tree, &[], &mut |path| {
                let Some(absolute) = absolute(path, module) else { return };
                let longest = (1..=absolute.len()).rev().map(|length| &absolute[..length]);
                let other = longest.into_iter().find(|part| texts.contains_key(*part));
                // A parent passes on what its children define, and the other way round.
                let other = other.filter(|other| !module.starts_with(other) && !other.starts_with(module));
                named.extend(other.map(<[String]>::to_vec));
            });
        }
        (module.clone(), named)
    };
    texts.iter().map(of).collect()
}

/// Each path of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[&str], each: &mut dyn FnMut(&[&str])) {
    let (mut depth, mut start) = (0, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &tree[start..at];
                start = at + 1;
                let (head, nested) = part.split_once('{').unwrap_or((part, ""));
                let path: Vec<&str> =
                    before.iter().copied().chain(head.split("::").filter(|name| !name.is_empty())).collect();
                match nested.strip_suffix('}') {
                    Some(inner) => expand(inner, &path, each),
                    None => each(&path),
                }
            }
            _ => {}
        }
    }
}

/// The path from the top of the crate; `None` for other crates.
fn absolute(path: &[&str], module: &[String]) -> Option<Vec<String>> {
    let up = path.iter().take_while(|name| **name == "super").count();
    let (from, rest) = match *path.first()? {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.to_vec(), &path[1..]),
        "super" => (module[..module.len().checked_sub(up)?].to_vec(), &path[up..]),
        _ => return None,
    };
    Some(from.into_iter().chain(rest.iter().map(|name| name.to_string())).collect())
}

/// The modules that reach each other, a line for each group.
fn circles(imports: &Imports) -> Vec<String> {
    let reached = |from: &Vec<String>| {
        let mut seen: BTreeSet<&Vec<String>> = BTreeSet::new();
        let mut waiting: Vec<&Vec<String>> = imports[from].iter().collect();
        while let Some(next) = waiting.pop() {
            if seen.insert(next) {
                waiting.extend(&imports[next]);
            }
        }
        seen
    };
    let reach: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> =
        imports.keys().map(|module| (module, reached(module))).collect();
    let group = |module: &Vec<String>| {
        let mutual = reach[module].iter().filter(|other| reach[**other].contains(module));
        mutual.map(|other| other.join("::")).collect::<Vec<_>>().join(", ")
    };
    let groups: BTreeSet<String> = imports.keys().map(group).filter(|group| !group.is_empty()).collect();
    groups.into_iter().collect()
}
