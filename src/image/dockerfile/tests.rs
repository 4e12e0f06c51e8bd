use super::*;

fn parsed(text: &str) -> Dockerfile {
    Dockerfile::parse(text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", error.line))
}

/// `LINE KEYWORD rest` of each instruction of the last stage.
fn shown(text: &str) -> Vec<String> {
    let dockerfile = parsed(text);
    let stage = dockerfile.stages.last().unwrap();
    let instructions = stage.instructions.iter();
    instructions.map(|one| format!("{} {} {}", one.line, one.keyword, one.rest)).collect()
}

#[test]
fn instructions_are_read_with_their_lines() {
    for (text, want) in [
        ("FROM a\nrun x\n", &["2 RUN x"][..]),
        ("FROM a\r\nRUN x \\\r\n  y\r\n", &["2 RUN x   y"]),
        ("FROM a\nRUN x \\\n# comment\n\n  && y\nENV A=1", &["2 RUN x   && y", "6 ENV A=1"]),
        ("FROM a\nRUN x \\  \n y", &["2 RUN x  y"]),
        ("FROM a\nRUN echo \\\\\nRUN y", &["2 RUN echo \\\\", "3 RUN y"]),
        ("\u{feff}# c\n\nFROM a\n\tWORKDIR /b", &["4 WORKDIR /b"]),
        ("# escape=`\nFROM a\nRUN x `\n  y", &["3 RUN x   y"]),
        ("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x \\\nRUN y", &["4 RUN x \\", "5 RUN y"]),
        ("# text\n# escape=`\nFROM a\nRUN x \\\n y", &["4 RUN x  y"]),
        ("FROM a\nRUN x \\", &["2 RUN x"]),
        ("FROM a\nCOPY <<E /x\nFROM b\nE\nRUN y", &["2 COPY <<E /x", "5 RUN y"]),
        ("FROM a\nRUN <<-'E' sh\n\tx\n\tE\nRUN y", &["2 RUN <<-'E' sh", "5 RUN y"]),
    ] {
        assert_eq!(shown(text), want, "{text}");
    }
}

#[test]
fn flags_documents_and_arrays_are_told_apart() {
    let dockerfile = parsed(concat!(
        "FROM --platform=linux/arm64 a AS One\n",
        "RUN --mount=type=cache,target=/x --network=none uv sync\n",
        "COPY --from=one --chmod=755 [\"a b\", \"/c\"]\n",
        "RUN <<EOF\npip install .\nEOF\n",
        "FROM one\n",
    ));
    let first = &dockerfile.stages[0];
    assert_eq!((first.platform.as_deref(), first.name.as_deref()), (Some("linux/arm64"), Some("one")));
    let [run, copy, script] = &first.instructions[..] else { panic!("{first:?}") };
    assert_eq!((run.flag("network"), run.rest.as_str()), (Some("none"), "uv sync"));
    assert_eq!(copy.flag("from"), Some("one"));
    assert_eq!(copy.array().unwrap(), ["a b", "/c"]);
    assert_eq!(script.documents, ["pip install .\n"]);
    assert_eq!(dockerfile.stage_before("ONE", 1), Some(0));
    assert_eq!(dockerfile.stage_before("0", 1), Some(0));
    assert_eq!(dockerfile.stage_before("1", 1), None);
    assert_eq!(dockerfile.stage_before("two", 1), None);
}

#[test]
fn what_is_no_dockerfile_is_refused_with_its_line() {
    for (text, want) in [
        ("", (1, "it has no FROM")),
        ("# only\n", (2, "it has no FROM")),
        ("ARG A\nRUN x\n", (2, "RUN is before the first FROM")),
        ("FROM\n", (1, "FROM needs an image, and may have AS and a name")),
        ("FROM a b\n", (1, "FROM needs an image, and may have AS and a name")),
        ("FROM a\nFORM b\n", (2, "`FORM` is not an instruction")),
        ("FROM a\nRUN <<E\nx\n", (2, "the here-document `E` has no end")),
        ("# escape=x\nFROM a\n", (1, "the escape character must be a backslash or a backtick")),
        ("{\"a\": 1}", (1, "`{\"A\":` is not an instruction")),
    ] {
        let error = Dockerfile::parse(text).unwrap_err();
        let want_text = want.1.replace('"', "\\\"");
        assert_eq!((error.line, error.reason.as_str()), (want.0, want_text.as_str()), "{text:?}");
    }
}

#[test]
fn variables_are_replaced() {
    let value = |name: &str| match name {
        "A" => Some("one".to_string()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (word, want) in [
        ("$A-${A}", Some("one-one")),
        ("${A:-x}${B:-x}${B-y}${EMPTY:-z}${EMPTY-z}", Some("onexyz")),
        ("${A:+x}${B:+x}${EMPTY+y}", Some("xy")),
        ("${B:-${A}}${B:-a:${B:-c}}", Some("onea:c")),
        ("'$A' \"$A\" \\$A", Some("$A one $A")),
        ("a$", Some("a$")),
        ("${A", None),
        ("${}", None),
        ("${A#x}", None),
        ("'a", None),
    ] {
        let expanded = expand(word, '\\', &value).map(|expanded| expanded.text);
        assert_eq!(expanded.as_deref(), want, "{word}");
    }
    assert_eq!(expand("$B:$A", '\\', &value).unwrap().unset, ["B"]);
    assert_eq!(expand("`$A", '`', &value).unwrap().text, "$A");
    assert!(expand(&"${B:-".repeat(100_000), '\\', &value).is_none());
    let long = |_: &str| Some("x".repeat(1000));
    assert!(expand(&"$A".repeat(100), '\\', &long).is_none());
}

#[test]
fn pairs_are_read_in_both_forms() {
    for (text, want) in [
        ("A=b C=\"d e\" F=g\\ h", Some(vec![("A", "b"), ("C", "\"d e\""), ("F", "g\\ h")])),
        ("A b c", Some(vec![("A", "b c")])),
        ("DAGSTER_HOME   /x", Some(vec![("DAGSTER_HOME", "/x")])),
        ("A=b c", None),
        ("A", None),
        ("", None),
    ] {
        let found = pairs(text, '\\');
        let found = found.as_ref().map(|pairs| {
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>()
        });
        assert_eq!(found, want, "{text}");
    }
}

#[test]
fn scripts_are_split_into_commands() {
    for (script, want) in [
        ("a b && c||d; e | f & g", &["a b", "c", "d", "e", "f", "g"][..]),
        ("a 'b; c' \"d && e\" f\\ g", &["a|b; c|d && e|f g"]),
        ("if [ -f \"x\" ]; then \\\n  a .; fi", &["if|[|-f|x|]", "then|a|.", "fi"]),
        ("a $(b c; d) ${E:-f g}", &["a|$(b c; d)|${E:-f g}"]),
        ("a # b\nc", &["a", "c"]),
        ("a > b 2>&1", &["a>b"]),
        ("a >> b 2>/dev/null", &["a>b>/dev/null"]),
        ("( a )", &["a"]),
        ("", &[]),
    ] {
        let want: Vec<String> =
            want.iter().map(|one| one.replace(' ', if one.contains('|') { " " } else { "|" })).collect();
        let found: Vec<String> = commands(script)
            .iter()
            .map(|command| {
                let outputs: String = command.outputs.iter().map(|output| format!(">{output}")).collect();
                command.words.join("|") + &outputs
            })
            .collect();
        assert_eq!(found, want, "{script}");
    }
}
