//! The commands in a `run:` script, as far as needed to recognise those of Dagster+'s command lines.

/// One logical line of a script: physical lines that a backslash joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalLine {
    /// The text as written, with its line breaks.
    pub written: String,
    /// Its commands, between `&&`, `||`, `;` and `|`, each split into words.
    pub commands: Vec<Vec<String>>,
}

/// The logical lines of a script, without blank lines and comments.
pub fn lines(script: &str) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut written = String::new();
    for line in script.lines() {
        if written.is_empty() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        written += line;
        if line.trim_end().ends_with('\\') {
            written.push('\n');
            continue;
        }
        let joined = written.replace("\\\n", " ");
        lines.push(LogicalLine { commands: commands(&joined), written: std::mem::take(&mut written) });
    }
    if !written.is_empty() {
        lines.push(LogicalLine { commands: commands(&written), written });
    }
    lines
}

/// Split at operators and into words. Quotes are removed; expressions `${{ … }}` stay one word.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut splitter = Splitter { commands: vec![Vec::new()], word: String::new(), quoted: false };
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => splitter.quote(rest, first),
            '$' if rest.starts_with("${{") => splitter.whole(rest, "}}"),
            '&' | '|' | ';' => {
                splitter.end_command();
                1
            }
            blank if blank.is_whitespace() => {
                splitter.end_word();
                blank.len_utf8()
            }
            other => {
                splitter.word.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    splitter.end_command();
    splitter.commands.retain(|command| !command.is_empty());
    splitter.commands
}

struct Splitter {
    commands: Vec<Vec<String>>,
    word: String,
    quoted: bool,
}

impl Splitter {
    /// Take the quoted text at the start of `rest`; its length.
    fn quote(&mut self, rest: &str, quote: char) -> usize {
        let inner = &rest[1..];
        let end = inner.find(quote).unwrap_or(inner.len());
        self.word.push_str(&inner[..end]);
        self.quoted = true;
        (end + 2).min(rest.len())
    }

    /// Take everything up to and with `end`; its length.
    fn whole(&mut self, rest: &str, end: &str) -> usize {
        let length = rest.find(end).map_or(rest.len(), |at| at + end.len());
        self.word.push_str(&rest[..length]);
        length
    }

    fn end_word(&mut self) {
        if self.quoted || !self.word.is_empty() {
            let word = std::mem::take(&mut self.word);
            self.commands.last_mut().into_iter().for_each(|command| command.push(word.clone()));
        }
        self.quoted = false;
    }

    fn end_command(&mut self) {
        self.end_word();
        self.commands.push(Vec::new());
    }
}

/// Variables that a script sets for itself: `NAME=value` and `for NAME in …`, unless it passes them on to later steps.
pub fn own_variables(script: &str) -> Vec<String> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let lines = lines(script);
    let commands = || lines.iter().flat_map(|line| &line.commands);
    let exports = |name: &str| {
        let sets = format!("{name}=");
        lines.iter().any(|line| line.written.contains("GITHUB_ENV") && line.written.contains(&sets))
    };
    let mut names = Vec::new();
    for words in commands() {
        let frames = ["then", "else", "do", "export", "if", "local"];
        let mut words = words.iter().skip_while(|word| frames.contains(&word.as_str()));
        let Some(first) = words.next() else { continue };
        let name = match first.split_once('=') {
            Some((name, _)) => Some(name),
            None if first == "for" || first == "read" => words.next().map(String::as_str),
            None => None,
        };
        names.extend(name.filter(|name| is_name(name) && !exports(name)).map(String::from));
    }
    names
}

/// Flags and arguments of a command: `--flag value`, `--flag=value`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Flags with a value.
    pub flags: Vec<(String, String)>,
    /// All other words.
    pub positional: Vec<String>,
}

/// Read arguments. A flag takes the next word as its value unless that is a flag too.
pub fn arguments(words: &[String]) -> Arguments {
    let mut read = Arguments::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(flag) => match flag.split_once('=') {
                Some((flag, value)) => read.flags.push((flag.to_string(), value.to_string())),
                None => {
                    let value =
                        words.next_if(|next| !next.starts_with(['-', '>'])).cloned().unwrap_or_default();
                    read.flags.push((flag.to_string(), value));
                }
            },
            // What is written to a file is no argument.
            None if word.starts_with('>') => {
                let _ = words.next();
            }
            None => read.positional.push(word.clone()),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let script = "# first\ncd a && pip install .\n\ndagster-cloud ci init \\\n  --deployment 'prod x' \\\n  --python ${{ env.V }}; echo \"a && b\"\n";
        let lines = lines(script);
        let words: Vec<Vec<String>> = lines.iter().flat_map(|line| line.commands.clone()).collect();
        assert_eq!(
            words,
            [
                vec!["cd", "a"],
                vec!["pip", "install", "."],
                vec!["dagster-cloud", "ci", "init", "--deployment", "prod x", "--python", "${{ env.V }}"],
                vec!["echo", "a && b"],
            ]
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].written.contains("init \\\n"));
    }

    #[test]
    fn flags_have_values() {
        let words = ["a.yaml", "--x=1", "--y", "2", "--z", "--w", ">>", "f"].map(String::from);
        let read = arguments(&words);
        let flags: Vec<(&str, &str)> =
            read.flags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(flags, [("x", "1"), ("y", "2"), ("z", ""), ("w", "")]);
        assert_eq!(read.positional, ["a.yaml"]);
    }
}
