//! Text that others wrote (users' files and names, child processes, servers), made safe to print.

/// Foreign text made safe to print: no control sequences, no workflow commands, no passwords in URLs.
pub fn neutral(text: &str) -> String {
    without_commands(&masked(&without_control(text)))
}

/// Text of which no line is a workflow command.
///
/// A GitHub runner obeys lines that begin with `::`, blanks before them or not, and knows the older `##[…]` anywhere.
/// A carriage return ends a line there as well.
/// Source: "Workflow commands for GitHub Actions" (GitHub's manual); actions/runner, `ActionCommand` and
/// `ProcessInvoker`, which reads with .NET's `ReadLine`.
pub fn without_commands(text: &str) -> String {
    let lines = text.replace("##[", "## [").replace("\r\n", "\n").replace('\r', "\n");
    let safe = lines.lines().map(|line| match line.trim_start().starts_with("::") {
        true => format!("| {line}"),
        false => line.to_string(),
    });
    safe.collect::<Vec<_>>().join("\n")
}

/// Drop terminal control sequences and control characters but tab and line ends; a carriage return ends a line.
fn without_control(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                while rest.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
            }
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' | '\n' => plain.push('\n'),
            '\t' => plain.push('\t'),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

/// `https://user:password@host/x?token=y` as `https://***@host/x?token=***`.
fn masked(text: &str) -> String {
    let text = without_user_information(text);
    let words = text.split_inclusive(ends_url).map(|word| {
        let url = word.trim_end_matches(ends_url);
        let path = url.find("://").and_then(|scheme| Some(scheme + url[scheme..].find(['?', '#'])?));
        match path {
            Some(path) => {
                word[..path].to_string() + &without_secret_values(&url[path..]) + &word[url.len()..]
            }
            None => word.to_string(),
        }
    });
    words.collect()
}

fn ends_url(char: char) -> bool {
    char.is_whitespace() || "'\"`<>)".contains(char)
}

fn without_user_information(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://").map(|at| at + 3) {
        let end = rest[start..].find(|c: char| ends_url(c) || "/?#".contains(c));
        let authority = &rest[start..end.map_or(rest.len(), |end| start + end)];
        // The scheme of a next URL, right behind: its `://` is looked for in the next round.
        let followed =
            authority.strip_suffix(':').filter(|_| rest[start + authority.len()..].starts_with("//"));
        let authority = followed.unwrap_or(authority);
        shown += &rest[..start];
        shown += &match authority.rfind('@') {
            Some(at) => format!("***{}", &authority[at..]),
            None => authority.to_string(),
        };
        rest = &rest[start + authority.len()..];
    }
    shown + rest
}

/// Parts of the names of parameters whose values are secrets.
const SECRET_PARAMETERS: [&str; 7] = ["token", "key", "secret", "pass", "sig", "auth", "cred"];

/// A query or fragment. A value may be a URL with a query of its own, so a name may also follow a `?` or `#` in it.
fn without_secret_values(query: &str) -> String {
    let is_secret = |before: &str| {
        let name = before.rsplit(['?', '#', ';', '=']).next().unwrap_or_default().to_lowercase();
        SECRET_PARAMETERS.iter().any(|part| name.contains(part))
    };
    let shown = query.split('&').map(|parameter| {
        match parameter.match_indices('=').find(|(at, _)| is_secret(&parameter[..*at])) {
            Some((at, _)) => format!("{}=***", &parameter[..at]),
            None => parameter.to_string(),
        }
    });
    shown.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_neutral() {
        for (given, want) in [
            ("plain\ttext", "plain\ttext"),
            ("::error file=x::boo", "| ::error file=x::boo"),
            ("  ::set-output name=a::b", "|   ::set-output name=a::b"),
            ("a\r::warning::b", "a\n| ::warning::b"),
            ("x ##[error]y", "x ## [error]y"),
            ("\u{1b}[31mred\u{1b}[0m \u{7}bell", "red bell"),
            ("\u{1b}[2K::error::hidden", "| ::error::hidden"),
            (
                "see https://me:pw@host/simple and git+ssh://git@h/x",
                "see https://***@host/simple and git+ssh://***@h/x",
            ),
            ("https://a,https://me:pw@b/x", "https://a,https://***@b/x"),
            ("get https://h/x.whl?token=abc&v=1 (x)", "get https://h/x.whl?token=***&v=1 (x)"),
            ("`https://h?X-Amz-Signature=a/b`: no", "`https://h?X-Amz-Signature=***`: no"),
            ("https://h/a?next=https://me:pw@b/x", "https://h/a?next=https://***@b/x"),
            ("https://h/x?page=2#a", "https://h/x?page=2#a"),
            ("https://a@b/@scope", "https://***@b/@scope"),
            // A parameter that holds another URL hides neither those before nor those after it.
            ("https://h/p?token=abc&next=https://x/y", "https://h/p?token=***&next=https://x/y"),
            ("https://h/p?next=https://x/y&token=abc z", "https://h/p?next=https://x/y&token=*** z"),
            ("https://h/p?next=https://x/y?key=a/b?c#d&v=1", "https://h/p?next=https://x/y?key=***&v=1"),
            ("https://h/p?token=https://me:pw@x/y?v=1", "https://h/p?token=***"),
            ("(https://a/x,https://b/y?sig=c)", "(https://a/x,https://b/y?sig=***)"),
            ("https://h/p#access_token=abc", "https://h/p#access_token=***"),
            ("https://h/p?v=1#token=abc", "https://h/p?v=1#token=***"),
            ("is token=abc a secret? https://h/x?", "is token=abc a secret? https://h/x?"),
            ("a b::c", "a b::c"),
        ] {
            assert_eq!(neutral(given), want);
        }
    }

    /// Names of files can hold one, and a message with such a name would have been obeyed.
    #[test]
    fn a_carriage_return_begins_a_line() {
        assert_eq!(without_commands("a\r::error::b\r\n::c::\rd"), "a\n| ::error::b\n| ::c::\nd");
    }
}
