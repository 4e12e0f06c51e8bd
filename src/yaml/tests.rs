use super::*;
use proptest::prelude::*;
use serde_json::json;

fn json_of(text: &str) -> Value {
    let document = read(text.as_bytes()).unwrap();
    assert_eq!(document.problems, [], "{text}");
    document.root.unwrap().to_json()
}

/// The first problem of a text, fatal or not.
fn refusal(text: &[u8]) -> YamlError {
    match read(text) {
        Err(error) => error,
        Ok(document) => document.problems.into_iter().next().expect("the text was accepted"),
    }
}

#[test]
fn plain_scalars_have_the_types_of_yaml_1_1() {
    for (text, want) in [
        ("yes", json!(true)),
        ("OFF", json!(false)),
        ("y", json!("y")),
        ("'yes'", json!("yes")),
        ("017", json!(15)),
        ("0o17", json!("0o17")),
        ("08", json!("08")),
        ("0x1F", json!(31)),
        ("-0b11", json!(-3)),
        ("1_000", json!(1000)),
        ("1:30", json!(90)),
        ("-1:30:00", json!(-5400)),
        ("1:60", json!("1:60")),
        ("1:30.5", json!(90.5)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("+.5", json!("+.5")),
        ("1e3", json!("1e3")),
        ("1.0e3", json!("1.0e3")),
        ("1.0e+3", json!(1000.0)),
        ("1.10", json!(1.1)),
        ("2024-01-01", json!("2024-01-01")),
        ("2024-01-01T10:00:00Z", json!("2024-01-01T10:00:00Z")),
        ("~", json!(null)),
        ("!!str 12", json!("12")),
        ("!!int '12'", json!(12)),
        ("!!float 3", json!(3.0)),
        ("!!bool 'yes'", json!(true)),
        ("! 12", json!(12)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
    ] {
        assert_eq!(json_of(text), want, "{text}");
    }
}

#[test]
fn merge_keys_add_entries_that_the_mapping_does_not_have() {
    for (text, want) in [
        ("a: &a {x: 1, y: 2}\nb:\n  y: 3\n  <<: *a", json!({"x": 1, "y": 3})),
        ("a: [&a {x: 1}, &c {x: 2, z: 3}]\nb:\n  <<: [*a, *c]", json!({"x": 1, "z": 3})),
        ("a: [&a {x: 1}, &c {x: 2}]\nb:\n  <<: *a\n  <<: *c", json!({"x": 2})),
        ("b:\n  '<<': 1", json!({"<<": 1})),
    ] {
        assert_eq!(json_of(text)["b"], want, "{text}");
    }
}

#[test]
fn keys_are_named_as_json_has_them_and_nulls_are_left_out() {
    assert_eq!(
        json_of("{1: a, yes: b, 1.5: c, ~: d, e: ~, f: [1, ~]}"),
        json!({"1": "a", "true": "b", "1.5": "c", "f": [1]})
    );
}

#[test]
fn refusals_name_the_problem_and_its_place() {
    for (text, problem, line, column) in [
        ("a: 1\nb: 2\na: 3", "the key `a` occurs twice; first on line 1", 3, 1),
        ("a: 1\n---\nb: 2", "a second YAML document begins here", 2, 1),
        ("a:\tb", "a tab character where YAML allows only spaces", 1, 3),
        ("a: b\tc", "a tab character where YAML allows only spaces", 1, 5),
        ("a: b\t# c", "a tab character where YAML allows only spaces", 1, 5),
        ("a: 'b'\n\t\nc: d", "a tab character where YAML allows only spaces", 2, 1),
        ("a: *b", "`*b` refers to nothing that is complete before it", 1, 4),
        ("a: &a [*a]", "`*a` refers to nothing that is complete before it", 1, 8),
        ("a: &a 1\nb: &a 2", "the anchor `&a` is defined twice", 2, 4),
        ("a: !foo 1", "`1` cannot be read as `!foo`", 1, 9),
        ("a: !!set {x}", "the tag `!!set` is not supported here", 1, 10),
        ("a: !!int x", "`x` cannot be read as `!!int`", 1, 10),
        ("a: .inf", "`.inf` is a number that cannot be used: JSON has no infinity and no NaN", 1, 4),
        (
            "a: 18446744073709551616",
            "`18446744073709551616` is a number that cannot be used: integers of more than 64 bits cannot be sent",
            1,
            4,
        ),
        ("? [a]\n: b", "a mapping or list cannot be a key", 1, 3),
        ("<<: 1", "`<<` merges mappings, and this is the number 1", 1, 5),
        ("a: <<", "`<<` is not a value in YAML 1.1", 1, 4),
        ("a: =", "a bare `=` is not a value in YAML 1.1", 1, 4),
        ("a: [?b]", "`?b` in brackets or braces is not text in YAML 1.1", 1, 5),
        ("a: 1\n: b", "a key is missing before this `:`", 2, 1),
        ("a: {{ b }}", "a mapping or list cannot be a key", 1, 5),
        ("{% if a %}\nb: 1", "this is not valid YAML: unexpected character: `%'", 1, 2),
        ("a: \u{7}", "the character U+0007 is not allowed in YAML", 1, 4),
    ] {
        let error = refusal(text.as_bytes());
        assert_eq!((error.problem.as_str(), error.mark), (problem, Mark { line, column }), "{text:?}");
    }
    assert_eq!(refusal(b"a: 1\nb: \xe9").mark, Mark { line: 2, column: 4 });
    assert_eq!(refusal(b"\xff\xfea\0").problem, "the file is UTF-16, not UTF-8");
}

#[test]
fn tabs_are_text_in_quotes_blocks_and_comments() {
    assert_eq!(
        json_of("a: \"x\ty\"\nb: |\n  x\ty\nc: 1 # \t\n"),
        json!({"a": "x\ty", "b": "x\ty\n", "c": 1})
    );
}

#[test]
fn a_byte_order_mark_and_crlf_are_accepted() {
    assert_eq!(json_of("\u{feff}a: 1\r\nb: |\r\n  x\r\n  y\r\n"), json!({"a": 1, "b": "x\ny\n"}));
}

#[test]
fn a_text_of_only_comments_has_no_root() {
    for text in ["", "\n \n", "# a\n"] {
        assert!(read(text.as_bytes()).unwrap().root.is_none(), "{text:?}");
    }
}

#[test]
fn hostile_texts_are_refused_early() {
    let bomb = (1..=12).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string(), |text, level| {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text + &format!("a{level}: &a{level} [{aliases}]\n")
    });
    let text_bomb = format!("a: &a '{}'\nb: [{}]", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    let merges = format!("a: &a {{{}}}\nb: {{{}}}", keys(5000), vec!["<<: *a"; 5000].join(", "));
    for (name, text, problem) in [
        ("alias bomb", bomb, "with its aliases expanded"),
        ("alias of a large text", text_bomb, "with its aliases expanded"),
        ("merge bomb", merges, "`<<` merges too much"),
        ("flow nesting", "[".repeat(10_000), "more than 100 mappings and lists"),
        ("block nesting", "- ".repeat(10_000), "more than 100 mappings and lists"),
        ("large file", " ".repeat(MAX_FILE_BYTES + 1), "the file has more than"),
    ] {
        let error = refusal(text.as_bytes());
        assert!(error.problem.starts_with(problem), "{name}: {error}");
    }
}

fn keys(count: usize) -> String {
    (0..count).map(|number| format!("k{number}: 1")).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_large_scalar_is_read() {
    let text = format!("a: '{}'", "x".repeat(3 << 20));
    assert_eq!(json_of(&text)["a"].as_str().unwrap().len(), 3 << 20);
}

/// JSON values without nulls, and without floats: JSON writes `1e16`, which is text in YAML 1.1.
fn json_value() -> impl Strategy<Value = Value> {
    let text = "[ -~éü\u{a0}\u{1f600}]{0,12}";
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_yaml(value in json_value()) {
        prop_assert_eq!(json_of(&value.to_string()), value.clone());
        prop_assert_eq!(json_of(&format!("{value:#}")), value);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([ \\-:?,\\[\\]{}#&*!|>'\"%@`\\\\=<~a1é\t\n\r]|- |: |<<: |&a |\\*a|\n  ){0,60}") {
        if let Ok(document) = read(text.as_bytes()) {
            let value = document.root.map(|root| root.to_json());
            prop_assert!(document.problems.iter().all(|problem| problem.mark.line > 0));
            prop_assert_ne!(value, Some(Value::Array(vec![Value::Null])));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let error = read(&bytes).err();
        prop_assert!(error.is_none_or(|error| error.mark.line > 0 && error.mark.column > 0));
    }
}
