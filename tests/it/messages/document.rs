//! `docs/errors.md` shows messages between `<!-- message, from FILE::TEST -->` and `<!-- end -->`: the inline snapshot of
//! that test. `PEXPRESS_WRITE_DOCS=1 cargo test messages::document` updates them.

use crate::support::repository;

const DOCUMENT: &str = "docs/errors.md";

#[test]
fn the_document_shows_the_messages_of_today() {
    let path = repository().join(DOCUMENT);
    let found = std::fs::read_to_string(&path).unwrap();
    let mut wanted = String::new();
    let mut rest = found.as_str();
    let mut shown = 0;
    while let Some(at) = rest.find("<!-- message, from ") {
        let begin = at + rest[at..].find("-->\n").unwrap() + "-->\n".len();
        let end = begin + rest[begin..].find("<!-- end -->").unwrap();
        let from =
            rest[at..begin].trim_start_matches("<!-- message, from ").trim_end().trim_end_matches(" -->");
        let (file, test) = from.split_once("::").unwrap();
        let message = message(file, test);
        wanted += &format!("{}```text\n{message}\n```\n", &rest[..begin]);
        rest = &rest[end..];
        shown += 1;
    }
    wanted += rest;
    assert!(shown >= 30, "only {shown} messages");
    if std::env::var_os("PEXPRESS_WRITE_DOCS").is_some() {
        std::fs::write(path, wanted).unwrap();
    } else {
        let command = "PEXPRESS_WRITE_DOCS=1 cargo test messages::document";
        assert!(found == wanted, "{DOCUMENT} shows older messages: run `{command}`");
    }
}

/// The first inline snapshot of a test, without its indentation.
fn message(file: &str, test: &str) -> String {
    let source =
        std::fs::read_to_string(repository().join(file)).unwrap_or_else(|_| panic!("no file {file}"));
    let begin = source.find(&format!("fn {test}()")).unwrap_or_else(|| panic!("no test {test} in {file}"));
    let body = &source[begin..begin + source[begin..].find("\n}\n").unwrap()];
    let at = body.find("@r").or_else(|| body.find("@\"")).unwrap_or_else(|| panic!("{test} has no snapshot"));
    let quote = at + body[at..].find('"').unwrap();
    let closing = format!("\"{}", body[at + 1..quote].trim_start_matches('r'));
    let text = &body[quote + 1..quote + 1 + body[quote + 1..].find(&closing).unwrap()];
    let lines: Vec<&str> = text.trim_matches('\n').trim_end().lines().collect();
    let indent = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = indent.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}
