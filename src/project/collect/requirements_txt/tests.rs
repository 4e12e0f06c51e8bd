//! Tests of `requirements_txt.rs`.

use super::*;

#[test]
fn settings_of_a_line_are_those_of_its_package() {
    let directory = tempfile::tempdir().unwrap();
    let environment =
        crate::target::Target::serverless(crate::target::PythonVersion::DEFAULT).marker_environment();
    let (host, _, _) = crate::tools::testing::host(&[]);
    let read_text = |text: &str| {
        let file = directory.path().join("requirements.txt");
        std::fs::write(&file, text).unwrap();
        read(&file, Scope::at(directory.path(), &environment), &host, false)
    };
    let text =
        "Need_It>=1 --config-settings=\"a=b\" -C a=c --config-settings d=e\nother --config-settings x=y\n";
    let found = read_text(text).unwrap().settings.uv;
    let want = "config-settings-package = { need-it = { a = ['b', 'c'], d = 'e' }, other = { x = 'y' } }";
    assert_eq!(found, want.parse().unwrap());
    assert!(read_text("a --config-settings b\n").is_err());
}

fn texts(text: &str) -> Vec<(usize, String)> {
    logical_lines(text).into_iter().map(|line| (line.number, line.text)).collect()
}

#[test]
fn comments_and_continuations_are_those_of_pip() {
    for (text, want) in [
        ("a\n# c\nb # c\n", vec![(1, "a"), (3, "b")]),
        ("a \\\n  >=1\nb", vec![(1, "a   >=1"), (3, "b")]),
        ("# comment \\\nb\n", vec![(2, "b")]),
        ("a \\\n# comment\nb\n", vec![(1, "a"), (3, "b")]),
        ("a#b\n", vec![(1, "a#b")]),
        ("x @ u#egg=x # c", vec![(1, "x @ u#egg=x")]),
        ("a\r\nb\rc", vec![(1, "a"), (2, "b"), (3, "c")]),
        ("a \\", vec![(1, "a")]),
        ("\n\n  \n", vec![]),
    ] {
        let want: Vec<_> = want.into_iter().map(|(n, t): (usize, &str)| (n, t.to_string())).collect();
        assert_eq!(texts(text), want, "{text:?}");
    }
}
