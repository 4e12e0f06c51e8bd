//! Reads a netrc file: logins by host name.
//!
//! Source of the format: GNU inetutils' manual, "The .netrc file", and for quotes, backslashes and comments Python's
//! `netrc` module, which pip uses.

use super::Secret;
use super::login::Login;
use std::iter::Peekable;
use std::str::Chars;

/// The logins of a netrc file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Netrc {
    machines: Vec<(String, Login)>,
    default: Option<Login>,
}

/// A netrc file with an error in some line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct NetrcError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong. Contains keywords of the file but no values, which may be passwords.
    pub problem: String,
}

impl Netrc {
    /// Parse a netrc file's text.
    ///
    /// # Errors
    /// On an unknown keyword, or a keyword without its value.
    pub fn parse(text: &str) -> Result<Netrc, NetrcError> {
        let mut words = Words { chars: text.chars().peekable(), line: 1 };
        let mut netrc = Netrc::default();
        while let Some(word) = words.keyword() {
            match word.as_str() {
                "machine" => {
                    let name = words.value("machine")?.to_ascii_lowercase();
                    let login = words.login()?;
                    netrc.machines.push((name, login));
                }
                "default" => netrc.default = Some(words.login()?),
                "macdef" => words.skip_macro(),
                _ => return Err(words.error("expected `machine`, `default` or `macdef`".into())),
            }
        }
        Ok(netrc)
    }

    /// The login for a host: the first entry with its name, or the default entry.
    pub fn login(&self, host: &str) -> Option<&Login> {
        let named = self.machines.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        named.map(|(_, login)| login).or(self.default.as_ref())
    }
}

struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Words<'_> {
    fn next_char(&mut self) -> Option<char> {
        let next = self.chars.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// The next word where a keyword is expected: `#` there starts a comment.
    fn keyword(&mut self) -> Option<String> {
        loop {
            self.skip_space();
            if self.chars.peek() != Some(&'#') {
                return self.word();
            }
            while self.chars.peek().is_some_and(|next| *next != '\n') {
                self.next_char();
            }
        }
    }

    fn value(&mut self, keyword: &str) -> Result<String, NetrcError> {
        self.skip_space();
        self.word().ok_or_else(|| self.error(format!("`{keyword}` has no value")))
    }

    fn skip_space(&mut self) {
        while self.chars.peek().is_some_and(|next| next.is_whitespace()) {
            self.next_char();
        }
    }

    /// Characters up to white space, or up to the closing quote. A backslash escapes the next one.
    fn word(&mut self) -> Option<String> {
        let quoted = *self.chars.peek()? == '"';
        if quoted {
            self.next_char();
        }
        let mut word = String::new();
        while let Some(next) = self.chars.peek().copied() {
            if !quoted && next.is_whitespace() {
                break;
            }
            self.next_char();
            match next {
                '"' if quoted => break,
                '\\' => word.extend(self.next_char()),
                _ => word.push(next),
            }
        }
        Some(word)
    }

    /// `login`, `password` and `account` up to the next entry.
    fn login(&mut self) -> Result<Login, NetrcError> {
        let (mut username, mut password) = (String::new(), String::new());
        loop {
            // The end of an entry is only known from the first keyword after it, which has to be read again.
            let before = (self.chars.clone(), self.line);
            match self.keyword().as_deref() {
                Some(keyword @ ("login" | "user")) => username = self.value(keyword)?,
                Some(keyword @ "account") => drop(self.value(keyword)?),
                Some(keyword @ "password") => password = self.value(keyword)?,
                _ => {
                    (self.chars, self.line) = before;
                    return Ok(Login { username, password: Secret::new(password) });
                }
            }
        }
    }

    /// A macro ends at an empty line.
    fn skip_macro(&mut self) {
        let mut previous = ' ';
        while let Some(next) = self.next_char() {
            if next == '\n' && previous == '\n' {
                return;
            }
            if next != '\r' {
                previous = next;
            }
        }
    }

    fn error(&self, problem: String) -> NetrcError {
        NetrcError { line: self.line, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(netrc: &Netrc, host: &str) -> Option<(String, String)> {
        netrc.login(host).map(|login| (login.username.clone(), login.password.reveal().to_string()))
    }

    #[test]
    fn entries_are_found_by_host() {
        let netrc = Netrc::parse(
            "# ours\nmachine a.example login me password p#1 # why\n\
             machine B.example\n\tlogin \"two words\"\n\tpassword \"q\\\"uote\" account x\n\
             macdef init\n machine no.example\nmore\n\n\
             machine c.example password only\nmachine a.example login second password late\n",
        )
        .unwrap();
        for (host, want) in [
            ("a.example", Some(("me", "p#1"))),
            ("A.EXAMPLE", Some(("me", "p#1"))),
            ("b.example", Some(("two words", "q\"uote"))),
            ("c.example", Some(("", "only"))),
            ("no.example", None),
            ("sub.a.example", None),
        ] {
            let want = want.map(|(user, password): (&str, &str)| (user.to_string(), password.to_string()));
            assert_eq!(shown(&netrc, host), want, "{host}");
        }
    }

    #[test]
    fn the_default_entry_is_for_all_other_hosts() {
        let netrc = Netrc::parse("machine a login x password y default login d password e").unwrap();
        assert_eq!(shown(&netrc, "a"), Some(("x".into(), "y".into())));
        assert_eq!(shown(&netrc, "elsewhere"), Some(("d".into(), "e".into())));
    }

    #[test]
    fn errors_name_the_line_and_no_value() {
        for (text, line, problem) in [
            ("machine", 1, "`machine` has no value"),
            ("machine a\n login", 2, "`login` has no value"),
            ("machine a login b\npassword c\nhunter2", 3, "expected `machine`, `default` or `macdef`"),
        ] {
            assert_eq!(Netrc::parse(text), Err(NetrcError { line, problem: problem.into() }), "{text}");
        }
    }
}
