//! Foreign text in Markdown as GitHub renders it: nothing in it becomes markup, a mention, a reference or a link.
//!
//! Source: GitHub Flavored Markdown, and GitHub's "Autolinked references and URLs".

/// Invisible; breaks up text that GitHub would turn into a link.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Foreign text on one line, as plain text. Fit for a table cell.
pub fn text(foreign: &str) -> String {
    let line = one_line(foreign);
    let mut escaped = String::with_capacity(line.len() + 8);
    for (at, char) in line.char_indices() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '~' | '!' | '$' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(char);
            }
            char => escaped.push(char),
        }
        if links_on(&line[..at], char, &line[at + char.len_utf8()..]) {
            escaped.push(ZERO_WIDTH_SPACE);
        }
    }
    escaped
}

/// Whether `char` may be part of what GitHub links: a mention, `#1`, `GH-1`, `https://x`, `www.x`, an e-mail address.
fn links_on(before: &str, char: char, after: &str) -> bool {
    let ends_with = |word: &str| {
        let start = before.len().checked_sub(word.len());
        start.and_then(|start| before.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    match char {
        '@' | '#' => true,
        ':' => after.starts_with("//"),
        '.' => ends_with("www"),
        '-' => {
            ends_with("gh") || before.ends_with("<!-") || before.ends_with("<!") || after.starts_with("->")
        }
        _ => false,
    }
}

/// Foreign text on one line, as code. In a table it needs [`cell`].
pub fn code(foreign: &str) -> String {
    let line = one_line(foreign);
    let fence = "`".repeat(longest_run(&line, '`') + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') || line.is_empty() { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Foreign text as code in a cell of a table, where a bar ends the cell even within code.
pub fn cell(foreign: &str) -> String {
    code(foreign).replace('|', "\\|")
}

/// Foreign text as a block of code; nothing in it ends the block.
pub fn block(foreign: &str) -> String {
    let fence = "`".repeat((longest_run(foreign, '`') + 1).max(3));
    let lines: Vec<String> = foreign.lines().map(|line| line.chars().filter(is_plain).collect()).collect();
    format!("{fence}text\n{}\n{fence}", lines.join("\n"))
}

/// A link with Markdown as text; only the text if the URL is invalid.
pub fn link(markdown: &str, url: &str) -> String {
    let is_address = url.starts_with("https://") || url.starts_with("http://");
    let breaks = |char: char| char.is_whitespace() || char.is_control() || "<>()[]\\|`\"'".contains(char);
    if is_address && !url.contains(breaks) { format!("[{markdown}]({url})") } else { markdown.to_string() }
}

/// A part that is folded away below a line of Markdown.
pub fn folded(summary: &str, content: &str) -> String {
    format!("<details><summary>{summary}</summary>\n\n{content}\n\n</details>")
}

/// Foreign text in the summary of a folded part, where Markdown does not work: as HTML.
pub fn html(foreign: &str) -> String {
    let line = one_line(foreign);
    let mut escaped = String::with_capacity(line.len() + 8);
    for (at, char) in line.char_indices() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            char => escaped.push(char),
        }
        if links_on(&line[..at], char, &line[at + char.len_utf8()..]) {
            escaped.push(ZERO_WIDTH_SPACE);
        }
    }
    escaped
}

/// On one line, without control characters and those that change the direction of text.
fn one_line(foreign: &str) -> String {
    let spaced = foreign.replace(['\n', '\r', '\t'], " ");
    spaced.chars().filter(is_plain).collect::<String>().trim().to_string()
}

/// Source of the ranges: Unicode, `Bidi_Control` and the zero-width characters.
fn is_plain(char: &char) -> bool {
    let hidden = matches!(*char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{61c}' | '\u{feff}');
    *char == '\t' || (!char.is_control() && !hidden)
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for char in text.chars() {
        run = if char == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_text_is_neither_markup_nor_mention_nor_reference() {
        for (given, want) in [
            ("plain words", "plain words"),
            ("a|b", "a\\|b"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("@team", "@\u{200b}team"),
            ("fixes #12", "fixes #\u{200b}12"),
            ("GH-12", "GH-\u{200b}12"),
            ("https://evil", "https:\u{200b}//evil"),
            ("[x](y)", "\\[x\\]\\(y\\)"),
            ("<!-- x -->", "&lt;\\!-\u{200b}-\u{200b} x -\u{200b}-&gt;"),
            ("1.13.27 in 3.2 s", "1.13.27 in 3.2 s"),
            ("see WWW.evil", "see WWW.\u{200b}evil"),
            ("two\nlines\r\n", "two lines"),
            ("\u{202e}evil\u{7}", "evil"),
        ] {
            assert_eq!(text(given), want, "{given}");
        }
    }

    #[test]
    fn code_keeps_backticks_and_bars_inside() {
        for (given, want) in [
            ("feature/x", "`feature/x`"),
            ("a`b", "``a`b``"),
            ("`a", "`` `a ``"),
            ("a|b", "`a|b`"),
            ("", "`  `"),
        ] {
            assert_eq!(code(given), want, "{given}");
        }
        assert_eq!(cell("a|`b"), "``a\\|`b``");
        assert_eq!(block("a\n```\nb"), "````text\na\n```\nb\n````");
    }

    #[test]
    fn a_summary_of_a_folded_part_links_nothing_either() {
        for (given, want) in [
            ("GH-12", "GH-\u{200b}12"),
            ("a <b> & \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;"),
            ("@team #1 https://evil", "@\u{200b}team #\u{200b}1 https:\u{200b}//evil"),
        ] {
            assert_eq!(html(given), want, "{given}");
        }
    }

    #[test]
    fn only_whole_addresses_become_links() {
        assert_eq!(link("run", "https://h/x"), "[run](https://h/x)");
        for bad in ["javascript:alert(1)", "https://h/x) [y](https://z", "", "https://h/a b"] {
            assert_eq!(link("run", bad), "run", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_opens_a_tag_or_touches_a_mention(foreign in "\\PC{0,40}") {
            let escaped = text(&foreign);
            let touching = |sign: char| escaped.split(sign).skip(1).any(|rest| !rest.starts_with('\u{200b}'));
            prop_assert!(!escaped.contains('<') && !escaped.contains('\n'));
            prop_assert!(!touching('@') && !touching('#'));
        }

        #[test]
        fn nothing_ends_a_block_early(foreign in "[`a\n~]{0,60}") {
            let block = block(&foreign);
            let fence = block.lines().next().unwrap_or_default().trim_end_matches("text").to_string();
            let ends = block.lines().skip(1).filter(|line| line.trim_start().starts_with(&fence)).count();
            prop_assert_eq!(ends, 1);
        }
    }
}
