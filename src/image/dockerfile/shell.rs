//! The commands of a shell script, as far as they can be known without running it.

/// A simple command: words without their quotes, variables as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Files that its output goes to.
    pub outputs: Vec<String>,
}

/// Split a script into simple commands. Keywords such as `if` and `then` are words at the start of a command.
pub fn commands(script: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut command = Command::default();
    let mut is_output = false;
    for token in tokens(script) {
        match token {
            Token::Word(word) if is_output => {
                command.outputs.push(word);
                is_output = false;
            }
            Token::Word(word) => command.words.push(word),
            Token::Output => is_output = true,
            Token::End => {
                is_output = false;
                let whole = std::mem::take(&mut command);
                if !whole.words.is_empty() || !whole.outputs.is_empty() {
                    found.push(whole);
                }
            }
        }
    }
    found
}

/// The here-documents that a line begins: the word that ends each, and whether tabs are stripped.
pub(super) fn documents(line: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("<<") {
        let before = &line[..at];
        // Only at the start of a word, a file descriptor before it or not. `<<<` is something else.
        let starts = before.trim_end_matches(|c: char| c.is_ascii_digit());
        if !(starts.is_empty() || starts.ends_with([' ', '\t', ';', '|', '&', '('])) {
            continue;
        }
        let rest = &line[at + 2..];
        let (rest, strips_tabs) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
        let (quote, rest) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => (Some(quote), &rest[1..]),
            _ => (None, rest),
        };
        let is_part = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() && quote.is_none_or(|quote| after.starts_with(quote)) {
            found.push((name.to_string(), strips_tabs));
        }
    }
    found
}

enum Token {
    Word(String),
    /// `>` or `>>`.
    Output,
    /// `;`, `&&`, a line end …
    End,
}

fn tokens(script: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = script.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\\' => match rest.next() {
                Some('\n') | None => {}
                Some(quoted) => word.get_or_insert_default().push(quoted),
            },
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = rest.next().filter(|inner| *inner != char) {
                    match inner {
                        '\\' if char == '"' => word.extend(rest.next()),
                        inner => word.push(inner),
                    }
                }
            }
            // A substitution may hold blanks and operators.
            '$' if matches!(rest.peek(), Some('(' | '{')) => {
                let word = word.get_or_insert_default();
                word.push('$');
                let (open, close) = if rest.peek() == Some(&'(') { ('(', ')') } else { ('{', '}') };
                let mut depth = 0_usize;
                for inner in rest.by_ref() {
                    word.push(inner);
                    depth += usize::from(inner == open);
                    depth = depth.saturating_sub(usize::from(inner == close));
                    if depth == 0 {
                        break;
                    }
                }
            }
            '#' if word.is_none() => while rest.next_if(|next| *next != '\n').is_some() {},
            ' ' | '\t' | '\r' => tokens.extend(word.take().map(Token::Word)),
            '>' => {
                // A number before it is a file descriptor.
                tokens.extend(word.take().filter(|word| word.parse::<u8>().is_err()).map(Token::Word));
                while rest.next_if(|next| matches!(next, '>' | '|')).is_some() {}
                // `>&2` is no file.
                if rest.next_if_eq(&'&').is_some() {
                    while rest.next_if(|next| next.is_ascii_digit() || *next == '-').is_some() {}
                } else {
                    tokens.push(Token::Output);
                }
            }
            ';' | '&' | '|' | '\n' | '(' | ')' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::End);
            }
            char => word.get_or_insert_default().push(char),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens.push(Token::End);
    tokens
}
