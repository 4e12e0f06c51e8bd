//! The text of a `setup.py` → tokens. Whatever is not needed for literals is refused.

use std::iter::Peekable;
use std::str::Chars;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number,
    Symbol(char),
    /// The end of a statement.
    End,
}

/// The tokens of a script, each with whether it is at the start of its line; `None` if there is something else in it.
pub(super) fn read(text: &str) -> Option<Vec<(Token, bool)>> {
    // Python reads line ends, and texts in other encodings, in ways of its own.
    let declares = |line: &str| line.starts_with('#') && line.contains("coding") && !line.contains("utf-8");
    if text.contains(['\r', '\0', '\u{c}', '\u{feff}']) || text.lines().take(2).any(declares) {
        return None;
    }
    let mut reader = Reader { rest: text.chars().peekable(), tokens: Vec::new(), depth: 0, is_start: true };
    while reader.step()? {}
    (reader.depth == 0).then_some(reader.tokens)
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    tokens: Vec<(Token, bool)>,
    /// Open brackets. Line ends within them do not count.
    depth: usize,
    is_start: bool,
}

impl Reader<'_> {
    fn push(&mut self, token: Token, is_start: bool) {
        self.tokens.push((token, is_start));
    }

    /// Read one token; `false` at the end, `None` if it is refused.
    fn step(&mut self) -> Option<bool> {
        let Some(first) = self.rest.next() else {
            self.push(Token::End, false);
            return Some(false);
        };
        let is_start = std::mem::take(&mut self.is_start);
        match first {
            ' ' | '\t' => {}
            '\n' => {
                self.is_start = true;
                if self.depth == 0 {
                    self.push(Token::End, false);
                }
            }
            '#' => while self.rest.next_if(|next| *next != '\n').is_some() {},
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = self.word(first);
                match self.rest.next_if(|next| matches!(next, '"' | '\'')) {
                    None => self.push(Token::Name(name), is_start),
                    Some(quote) => {
                        let is_raw = name.eq_ignore_ascii_case("r");
                        (is_raw || name.eq_ignore_ascii_case("u")).then_some(())?;
                        let text = self.text(quote, is_raw)?;
                        self.push(Token::Text(text), is_start);
                    }
                }
            }
            '0'..='9' => {
                let word = self.word(first);
                word.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
                self.push(Token::Number, is_start);
            }
            '"' | '\'' => {
                let text = self.text(first, false)?;
                self.push(Token::Text(text), is_start);
            }
            '(' | '[' | '{' => {
                self.depth += 1;
                self.push(Token::Symbol(first), is_start);
            }
            ')' | ']' | '}' => {
                self.depth = self.depth.checked_sub(1)?;
                self.push(Token::Symbol(first), is_start);
            }
            ',' | '=' | ':' | '.' => self.push(Token::Symbol(first), is_start),
            _ => return None,
        }
        Some(true)
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(next) = self.rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
            word.push(next);
        }
        word
    }

    /// The rest of a string literal after its first quote.
    fn text(&mut self, quote: char, is_raw: bool) -> Option<String> {
        let is_long = match self.rest.next_if_eq(&quote) {
            None => false,
            Some(_) if self.rest.next_if_eq(&quote).is_some() => true,
            Some(_) => return Some(String::new()),
        };
        // Quotes in a row, of which none is escaped.
        let (mut text, mut quotes) = (String::new(), 0);
        loop {
            let next = self.rest.next()?;
            quotes = if next == quote { quotes + 1 } else { 0 };
            match next {
                '\\' if is_raw => text.extend(['\\', self.rest.next()?]),
                '\\' => match self.rest.next()? {
                    '\n' => {}
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    same @ ('\\' | '\'' | '"') => text.push(same),
                    _ => return None,
                },
                '\n' if !is_long => return None,
                one if one == quote && !is_long => return Some(text),
                one => text.push(one),
            }
            if quotes == 3 {
                text.truncate(text.len() - 3);
                return Some(text);
            }
        }
    }
}
