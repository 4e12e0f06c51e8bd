//! Our YAML reader compared with that of Dagster+'s own tools (PyYAML without timestamps), for a table of tricky texts
//! and for thousands of randomly damaged ones.

use crate::support::reference::ask;
use pexpress::yaml;
use serde_json::{Value, json};

const READER: [&str; 1] = ["dagster-cloud-cli==1.13.27"];

/// The value of each text in Dagster+'s reader; `None` if it refuses it or JSON cannot represent it.
fn reference_values(texts: &[String]) -> Vec<Option<Value>> {
    let answers = ask(&READER, "read_yaml.py", &json!(texts));
    answers.into_iter().map(|answer| answer.get("value").cloned()).collect()
}

fn our_value(text: &str) -> Option<Value> {
    let document = yaml::read(text.as_bytes()).ok()?;
    let value = document.root.map_or(Value::Null, |root| root.to_json());
    document.problems.is_empty().then_some(value)
}

/// Read equally, or refused by both.
const ALIKE: &[&str] = &[
    "[yes, No, ON, off, true, FALSE, y, n, Y, oN, 'yes']",
    "[0, 017, 08, 0o17, 0x1F, 0b101, -1, +1, 1_000, 0_7, 1__0, 1_]",
    "[1:30, 1:60, 0:30, 12:30:45, -1:30, 1:30.5, 1:2:3.]",
    "[1., .5, +.5, -.5, 1.5, 1e3, 1.0e3, 1.0e+3, 1.e-2, 1_0.2_5, 0.1, 1.10, ., +, _1]",
    "[2024-01-01, 2024-01-01T10:00:00Z, 2024-1-1 1:1:1, 1.2.3, v1, 3.10, 1.13.27]",
    "[~, null, Null, NULL, nULL, '', \"\"]\n",
    "a:\nb: # nothing\nc: ~\nd: ''\n",
    "[.inf]",
    "[.NaN]",
    "a: =",
    "=: a",
    "a: <<",
    "'<<': {a: 1}",
    "!!str 12",
    "[!!int '12', !!float 3, !!bool 'yes', !!null x, ! 12, !!str yes]",
    "!!int x",
    "!foo bar",
    "!!set {a, b}",
    "!!binary aGVsbG8=",
    "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {y: 3, <<: *a}",
    "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}\nd: {<<: [*b, *a], x: 9}",
    "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}",
    "a: {<<: 1}",
    "a: {<<: [1]}",
    "a: *b",
    "a: &a [*a]",
    "a: &a 1\nb: &a 2",
    "{2: a, 1.5: b, yes: c, ~: d}",
    "? [a]\n: b",
    "? {a: b}\n: c",
    "{[a]: b}",
    "a: 1\n---\nb: 2",
    "---\na: 1\n...\n",
    "%YAML 1.1\n---\na: 1",
    "a: [\n1,\n2\n]\nb: {\nc: d\n}\n",
    "a: \"x\ny\"\nb: 'p\nq'\nc: p\n q\n",
    "a: |\n  x\n   y\n\nb: >\n  p\n  q\n\n  r\nc: |-\n  z\n\nd: |+\n  z\n\n",
    "a: |\n  x",
    "a: >\n  x\n  y",
    "a: |+\n  x\n\n",
    "a: |2\n    x\n",
    "a: |0\n  x\n",
    "a: \"\\x41\\u263a\\U0001f600\\n\\t\\\"\\\\\\/\\e\\0\\ \\_\\N\\L\\P\"",
    "a: \"\\q\"",
    "a: 'it''s'",
    "a: b # c\nd: b#c\ne: 'x' # y\n",
    "a:\tb",
    "a: b\t",
    "a: b\tc",
    "\ta: b",
    "a:\n\tb: c",
    "a: b\n\t\nc: d",
    "a: 'b\tc'\nd: |\n  x\ty\n",
    "a: 1 #\tx\n",
    "- a\n-\tb",
    "a: b: c",
    "a: b\n c: d",
    "a\nb: c",
    "a:b",
    "{a:b, c:1, \"d\":2, e: }",
    "[a b, c: d, {e}]",
    "[http://x.y/z?q=1]",
    "{a\nb: c}",
    "{a: b,\n\"c\nd\": e}",
    "{a, b: c, ? d, ? e : f}",
    "[a, b,]",
    "[a,, b]",
    "{,}",
    "[a, b",
    "a: ]",
    "a: }",
    "a: @b",
    "a: `b`",
    "a: %b",
    "a: -b\nc: - d",
    "a: - b\n",
    "a:\n- b\n- c:\n  - d\n  -\n  - e: f\n    g: h\n",
    "a:\n  - b\n - c",
    "- - - a\n    - b\n",
    "? a\n: b\n? c\n",
    ": a",
    "a: {{ b }}",
    "{% x %}\na: b",
    "a: http://x.y/z?q=1#f\nb: x:y\nc: 10:20pm\n",
    "é: ü\nemoji: \u{1f600}\n",
    "\u{feff}a: 1",
    "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
    "a: 1\rb: 2\r",
    "a: \u{7}",
    "a: \u{0}",
    "",
    "# nothing\n",
    "---\n",
    "just text",
    "12",
    "locations:\n  - location_name: a\n    build:\n      directory: ./x\n    code_source:\n      package_name: p\n",
    "container_context:\n  k8s:\n    env_vars:\n      - A=b c\n      - 'X=\"y\"'\n    resources: {limits: {cpu: 500m, memory: 1Gi}}\n",
];

/// Refused here and read there, on purpose.
const STRICTER: &[&str] = &[
    "a: 1\na: 2",
    "{1: a, '1': b}",
    "a: 18446744073709551616",
    "a: 'x\u{2028}y'",
    "a: x\u{feff}y",
    "a: 'b'#c",
    "a: [-]",
    "? \n: a",
    "[?a]",
    "&a:b",
];

fn texts(table: &[&str]) -> Vec<String> {
    table.iter().map(ToString::to_string).collect()
}

#[test]
#[ignore = "needs packages from an index"]
fn tricky_texts_are_read_as_pyyaml_reads_them() {
    for (text, want) in ALIKE.iter().zip(reference_values(&texts(ALIKE))) {
        assert_eq!(our_value(text), want, "{text:?}");
    }
}

/// Why `dagster_cloud.yaml` has a reader of its own: one of YAML 1.2 refuses none of these.
#[test]
fn a_reader_of_yaml_1_2_would_send_other_values_without_an_error() {
    for (text, ours, other) in [
        ("a: yes", json!({"a": true}), json!({"a": "yes"})),
        ("a: 017", json!({"a": 15}), json!({"a": "017"})),
        ("a: 0o17", json!({"a": "0o17"}), json!({"a": 15})),
        ("a: 1:30", json!({"a": 90}), json!({"a": "1:30"})),
        ("a: 1e3", json!({"a": "1e3"}), json!({"a": 1000.0})),
        (
            "a: &a {x: 1}\nb: {<<: *a}",
            json!({"a": {"x": 1}, "b": {"x": 1}}),
            json!({"a": {"x": 1}, "b": {"<<": {"x": 1}}}),
        ),
    ] {
        assert_eq!(our_value(text), Some(ours), "{text:?}");
        assert_eq!(serde_yaml::from_str::<Value>(text).unwrap(), other, "{text:?}");
    }
}

#[test]
#[ignore = "needs packages from an index"]
fn what_is_refused_beyond_pyyaml_is_known() {
    for (text, want) in STRICTER.iter().zip(reference_values(&texts(STRICTER))) {
        assert!(want.is_some() && our_value(text).is_none(), "{text:?}: {want:?}");
    }
}

/// Texts that are inserted as damage.
const BITS: &[&str] = &[
    " ", "  ", "\n", "\t", ":", ": ", "-", "- ", "?", "? ", ",", "[", "]", "{", "}", "#", " #", "&a ", "*a",
    "!", "!!str ", "|", ">", "'", "\"", "%", "@", "`", "\\", "=", "<<", "0", "1", "_", ".", "e+1", "~",
    "yes", "a", "\r", "---\n", "...\n", "\n  ", "\n- ", "é", "\u{a0}", "null", ":\n", "!x ", "!!int ",
    "\"a\": ", "'k': ",
];

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// Remove or insert some characters in one of the texts, up to three times.
    fn damaged(&mut self, texts: &[&str]) -> String {
        let mut text: Vec<char> = texts[self.below(texts.len())].chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(text.len() + 1);
            let end = (at + 1 + self.below(3)).min(text.len());
            match self.below(4) {
                0 => drop(text.drain(at..end)),
                1 => {
                    let other: Vec<char> = texts[self.below(texts.len())].chars().collect();
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(12)).min(other.len());
                    drop(text.splice(at..at, other[from..to].iter().copied()));
                }
                _ => drop(text.splice(at..at, BITS[self.below(BITS.len())].chars())),
            }
        }
        text.into_iter().collect()
    }
}

#[test]
#[ignore = "needs packages from an index"]
fn damaged_texts_are_never_read_otherwise_than_pyyaml_reads_them() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let damaged: Vec<String> = (0..10_000).map(|_| numbers.damaged(ALIKE)).collect();
    let mut one_sided = Vec::new();
    for (text, want) in damaged.iter().zip(reference_values(&damaged)) {
        match (our_value(text), want) {
            (Some(ours), Some(theirs)) => assert_eq!(ours, theirs, "{text:?}"),
            (None, None) => {}
            (ours, theirs) => one_sided.push((text, ours, theirs)),
        }
    }
    // Duplicate keys by damage; `STRICTER`; `?` in braces, keys over several lines, odd directives.
    assert!(one_sided.len() < damaged.len() / 50, "{}: {one_sided:#?}", one_sided.len());
}
