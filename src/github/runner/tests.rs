use super::files::open_at_end;
use super::*;
use crate::error::Place;
use crate::host::SystemClock;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// What a runner makes of a line of output: name, properties, data. `None` for a line that is only text.
fn obey(line: &str) -> Option<(String, BTreeMap<String, String>, String)> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let restored = |text: &str, marks: &[(&str, &str)]| {
        marks.iter().fold(text.to_string(), |text, (escaped, plain)| text.replace(escaped, plain))
    };
    const DATA: [(&str, &str); 3] = [("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
    const PROPERTY: [(&str, &str); 5] =
        [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
    let properties = properties.split(',').filter_map(|pair| pair.split_once('='));
    let properties = properties.map(|(name, value)| (name.to_string(), restored(value, &PROPERTY))).collect();
    Some((name.to_string(), properties, restored(data, &DATA)))
}

/// What a runner makes of its output file: lines `name=value`, or `name<<word` and all up to the line `word`.
fn outputs_in(file: &str) -> Vec<(String, String)> {
    let mut lines = file.split_inclusive('\n');
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').expect("a block ends with a line end");
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (equals, Some(at)) if equals.is_none_or(|equals| at < equals) => {
                let (name, word) = (&line[..at], &line[at + 2..]);
                let value: String = lines
                    .by_ref()
                    .take_while(|line| line.strip_suffix('\n').unwrap_or(line) != word)
                    .collect();
                found.push((name.to_string(), value.strip_suffix('\n').unwrap_or_default().to_string()));
            }
            (Some(at), _) => found.push((line[..at].to_string(), line[at + 1..].to_string())),
            _ => assert_eq!(line, "", "neither form"),
        }
    }
    found
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[%:,=\r\n<>A-D0-9 \\]#]{0,40}"]
}

proptest! {
    #[test]
    fn a_command_stays_on_one_line_and_says_what_was_meant(title in any_text(), data in any_text()) {
        let line = command("error", [("title", title.clone()), ("line", "3".into())], &data);
        prop_assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (name, properties, said) = obey(&line).unwrap();
        prop_assert_eq!((name.as_str(), said), ("error", data));
        prop_assert_eq!(properties.get("title").cloned().unwrap_or_default(), title);
        prop_assert_eq!(properties["line"].as_str(), "3");
    }

    #[test]
    fn an_output_reads_back_as_it_was(values in prop::collection::vec(any_text(), 0..4)) {
        let block: String = values.iter().map(|value| output_block("name", value, random_word)).collect();
        let expected: Vec<_> = values.into_iter().map(|value| ("name".to_string(), value)).collect();
        prop_assert_eq!(outputs_in(&block), expected);
    }

    #[test]
    fn a_cut_summary_keeps_the_limit_and_closes_what_it_opened(
        lines in prop::collection::vec(
            prop_oneof![Just("```"), Just("````text"), Just("<details>"), Just("</details>"), Just("| a | ä |"), Just("")],
            0..200,
        ),
        limit in 0_usize..1500,
    ) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let cut = cut_markdown(&text, limit);
        prop_assert!(cut.len() <= limit, "{} > {limit}", cut.len());
        if cut != text && !cut.is_empty() {
            prop_assert_eq!(open_at_end(&cut), (None, 0), "{}", cut);
            prop_assert!(cut.ends_with("has to stay below 1 MiB._\n"));
        }
    }
}

/// A runner with files in `dir`, and what it says.
fn runner_in(dir: &Path, on_runner: bool) -> (Runner, Heard) {
    let file = |name: &str| dir.join(name).into_os_string();
    let mut env: BTreeMap<std::ffi::OsString, std::ffi::OsString> = BTreeMap::from([
        (env_vars::GITHUB_OUTPUT.into(), file("output")),
        (env_vars::GITHUB_STEP_SUMMARY.into(), file("summary")),
    ]);
    if on_runner {
        env.insert(env_vars::GITHUB_ACTIONS.into(), "true".into());
    }
    let heard = Heard::default();
    let host =
        Host::for_test(env, dir, Box::new(std::io::sink()), Box::new(heard.clone()), Arc::new(SystemClock));
    (Runner::new(&host), heard)
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(String::from).collect()
    }
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_delimiter_that_occurs_in_the_value_is_not_used() {
    let mut words = ["EOF", "other"].map(String::from).into_iter();
    let block = output_block("url", "x\nEOF\nurl=evil", || words.next().unwrap());
    assert_eq!(block, "url<<other\nx\nEOF\nurl=evil\nother\n");
    assert_eq!(outputs_in(&block), [("url".into(), "x\nEOF\nurl=evil".into())]);
    assert_ne!(random_word(), random_word());
}

#[test]
fn an_annotation_names_its_place_from_the_top_of_the_repository() {
    let place = Place { file: "/ws/a,b/dagster_cloud.yaml".into(), line: Some(3), column: Some(7) };
    let annotation = Annotation::new(Level::Error, "bad: 100%\nreally")
        .titled("Not YAML, ::x")
        .at(&place, Path::new("/ws"));
    assert_eq!(
        annotation.to_command(),
        "::error title=Not YAML%2C %3A%3Ax,file=a%2Cb/dagster_cloud.yaml,line=3,col=7::bad: 100%25%0Areally"
    );
    assert_eq!(Annotation::new(Level::Notice, "hello").to_command(), "::notice::hello");
}

#[test]
fn a_message_is_cut_where_the_runner_would_cut_it() {
    let message = "𝒜".repeat(3000);
    let (_, _, said) = obey(&Annotation::new(Level::Error, message).to_command()).unwrap();
    assert_eq!(said.chars().count(), 2048, "each of these is two units of UTF-16");
}

#[test]
fn of_many_annotations_ten_are_shown_and_the_rest_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, heard) = runner_in(dir.path(), true);
    let many = |level, count| (0..count).map(move |number| Annotation::new(level, format!("no {number}")));
    runner.annotate(&many(Level::Warning, 4).chain(many(Level::Error, 25)).collect::<Vec<_>>());
    let shown =
        |level: &str| heard.lines().iter().filter(|line| line.starts_with(&format!("::{level}"))).count();
    assert_eq!((shown("error"), shown("warning")), (10, 4));
    assert!(heard.lines().contains(&"::error::and 16 more, see the summary and the log".to_string()));
    assert!(heard.lines().contains(&"error: no 24".to_string()), "what is not shown is in the log");
    // The step's ten are used up; of the warnings six are left.
    runner.annotate(&many(Level::Error, 1).chain(many(Level::Warning, 6)).collect::<Vec<_>>());
    assert_eq!((shown("error"), shown("warning")), (10, 10));
}

#[test]
fn a_secret_is_masked_in_every_form_that_it_can_take() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, heard) = runner_in(dir.path(), true);
    runner.mask(&Secret::new("user:pass word+1"));
    assert_eq!(
        heard.lines(),
        [
            "::add-mask::user:pass word+1",
            "::add-mask::dXNlcjpwYXNzIHdvcmQrMQ==",
            "::add-mask::user%253Apass%2520word%252B1"
        ]
    );
    assert_eq!(forms_of("short"), Vec::<String>::new());
    assert_eq!(forms_of("  \n "), Vec::<String>::new());
    let lines = forms_of("-----BEGIN KEY-----\nabcdefgh\nxyz\n");
    assert_eq!(lines[..2], ["-----BEGIN KEY-----", "abcdefgh"], "a line of three characters is not masked");
    assert!(lines.iter().all(|line| !line.contains('\n')));
}

#[test]
fn outputs_and_summary_are_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, _) = runner_in(dir.path(), true);
    std::fs::write(dir.path().join("output"), "earlier=step\n").unwrap();
    runner.set_outputs(&[("url", "https://x"), ("json", "{\n}")]).unwrap();
    runner.set_outputs(&[("empty", "")]).unwrap();
    let file = std::fs::read_to_string(dir.path().join("output")).unwrap();
    let expected = [("earlier", "step"), ("url", "https://x"), ("json", "{\n}"), ("empty", "")];
    assert_eq!(outputs_in(&file), expected.map(|(name, value)| (name.to_string(), value.to_string())));
    assert!(matches!(runner.set_outputs(&[("a=b", "c")]), Err(RunnerError::OutputName { .. })));
    runner.add_summary("# One").unwrap();
    runner.add_summary("two\n").unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("summary")).unwrap(), "# One\ntwo\n");
}

#[test]
fn a_summary_of_several_parts_stays_below_the_limit_together() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, _) = runner_in(dir.path(), true);
    let part = "| row |\n".repeat(LONGEST_SUMMARY_BYTES / 16);
    for _ in 0..4 {
        runner.add_summary(&part).unwrap();
    }
    let length = std::fs::metadata(dir.path().join("summary")).unwrap().len();
    assert!((length as usize) <= LONGEST_SUMMARY_BYTES, "{length}");
    assert!((length as usize) > LONGEST_SUMMARY_BYTES * 9 / 10, "{length}");
}

#[test]
fn a_cut_summary_says_so_and_leaves_nothing_open() {
    let text =
        format!("# Report\n<details>\n```text\n{}```\n</details>\n", "line of a traceback\n".repeat(100));
    let cut = cut_markdown(&text, 800);
    assert!(cut.contains("line of a traceback\n```\n</details>\n\n_The rest ("), "{cut}");
    assert_eq!(cut_markdown(&text, 1 << 20), text);
}

#[test]
fn a_group_has_its_title_on_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, heard) = runner_in(dir.path(), true);
    runner.group("Build\nof ::error::x");
    runner.end_group();
    let lines = heard.lines();
    assert_eq!(lines, ["::group::Build of ::error::x", "::endgroup::"]);
}

#[test]
fn without_a_runner_nothing_is_said_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let (runner, heard) = runner_in(dir.path(), false);
    runner.annotate(&[Annotation::new(Level::Error, "x")]);
    runner.group("x");
    runner.mask(&Secret::new("a secret word"));
    runner.set_outputs(&[("url", "x")]).unwrap();
    runner.add_summary("x").unwrap();
    assert!(!runner.is_present());
    assert_eq!(heard.lines(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("output")).unwrap();
    let (runner, _) = runner_in(dir.path(), true);
    let error = runner.set_outputs(&[("url", "x")]).unwrap_err();
    assert!(error.to_string().starts_with("could not write the outputs of this step to `"), "{error}");
}
