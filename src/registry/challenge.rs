//! Reads `WWW-Authenticate`: how a registry wants to be asked.
//!
//! Source: RFC 9110, sections 5.6 and 11.6.1; distribution project, "Token Authentication Specification".

/// How to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from another server.
    Bearer {
        /// Address of that server.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
        /// Scopes that the registry wants for the request.
        scopes: Vec<String>,
    },
}

impl Challenge {
    /// The same as an answer to requests for any repository: without scopes of the repository that was asked for, whose
    /// own are `asked`. Scopes with other names stay: a registry behind another may have names of its own.
    pub fn for_all(mut self, asked: &[String]) -> Challenge {
        if let Challenge::Bearer { scopes, .. } = &mut self {
            let is_asked = |scope: &str| asked.iter().any(|own| subject(own) == subject(scope));
            if scopes.iter().any(|scope| is_asked(scope)) {
                scopes.retain(|scope| !scope.starts_with("repository:"));
            }
        }
        self
    }
}

/// What a scope is about: `repository:PATH` of `repository:PATH:pull`.
pub fn subject(scope: &str) -> &str {
    scope.rsplit_once(':').map_or(scope, |(subject, _)| subject)
}

/// The best challenge among the values of the header: a token rather than a password. `None` if none can
/// be met.
pub fn choose<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Raw> = values.into_iter().flat_map(parse).collect();
    let bearer = all.iter().filter(|one| one.scheme.eq_ignore_ascii_case("Bearer")).find_map(|bearer| {
        let scope = bearer.parameter("scope").unwrap_or_default();
        Some(Challenge::Bearer {
            realm: bearer.parameter("realm")?.to_string(),
            service: bearer.parameter("service").map(String::from),
            scopes: scope.split_whitespace().map(String::from).collect(),
        })
    });
    let has_basic = all.iter().any(|one| one.scheme.eq_ignore_ascii_case("Basic"));
    bearer.or(has_basic.then_some(Challenge::Basic))
}

/// One challenge as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// All challenges of a header's value. Commas separate challenges as well as parameters, so a word is a parameter only
/// if `=` follows.
fn parse(value: &str) -> Vec<Raw> {
    let mut all: Vec<Raw> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|each: char| each.is_whitespace() || each == ',');
        let (word, after) = split_word(rest);
        if word.is_empty() {
            // Not a word: skip one character, so that one odd byte does not hide the next challenge.
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return all;
            }
            rest = chars.as_str();
            continue;
        }
        match after.trim_start().strip_prefix('=') {
            Some(given) => {
                let (text, after) = split_value(given.trim_start());
                if let Some(last) = all.last_mut() {
                    last.parameters.push((word.to_string(), text));
                }
                rest = after;
            }
            None => {
                all.push(Raw { scheme: word.to_string(), parameters: Vec::new() });
                rest = without_token68(after);
            }
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let is_inner = |each: char| each.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(each);
    text.split_at(text.find(|each| !is_inner(each)).unwrap_or(text.len()))
}

/// A value in quotes or without.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|each: char| each.is_whitespace() || each == ',').unwrap_or(text.len());
        return (text[..end].to_string(), &text[end..]);
    };
    let (mut value, mut chars) = (String::new(), quoted.chars());
    while let Some(each) = chars.next() {
        match each {
            '"' => break,
            '\\' => value.extend(chars.next()),
            _ => value.push(each),
        }
    }
    (value, chars.as_str())
}

/// What follows a scheme such as `Negotiate YII=`, which has one value instead of parameters.
fn without_token68(after: &str) -> &str {
    let text = after.trim_start();
    let is_inner = |each: char| each.is_ascii_alphanumeric() || "-._~+/".contains(each);
    let end = text.find(|each| !is_inner(each)).unwrap_or(text.len());
    let rest = text[end..].trim_start_matches('=').trim_start();
    if end > 0 && (rest.is_empty() || rest.starts_with(',')) { rest } else { after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Option<Challenge> {
        let scopes = scopes.iter().map(|scope| scope.to_string()).collect();
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(String::from), scopes })
    }

    #[test]
    fn challenges_are_read_with_commas_in_quotes() {
        for (value, want) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    &["repository:a/b:pull,push"],
                ),
            ),
            (
                r#"bearer scope="repository:a:pull repository:b:pull" , REALM = "https://r/t?x=\"1\"""#,
                bearer(r#"https://r/t?x="1""#, None, &["repository:a:pull", "repository:b:pull"]),
            ),
            (
                r#"Bearer realm="https://r/",service="",error="invalid_token""#,
                bearer("https://r/", None, &[]),
            ),
            ("Bearer realm=https://r/t", bearer("https://r/t", None, &[])),
            (r#"Basic realm="a, Bearer realm=x""#, Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://r""#, bearer("https://r", None, &[])),
            (r#"Negotiate, Basic"#, Some(Challenge::Basic)),
            (r#"Negotiate YIIabc/+==, Basic realm=x"#, Some(Challenge::Basic)),
            (r#"Bearer service="no realm", Basic"#, Some(Challenge::Basic)),
            (r#"Bearer service="no realm""#, None),
            ("Digest realm=\"x\"", None),
            ("", None),
            (",,=\"\\", None),
            ("Bearer realm=\"https://r", bearer("https://r", None, &[])),
        ] {
            assert_eq!(choose([value]), want, "{value}");
        }
        let lines = ["Basic realm=\"x\"", "Bearer realm=\"https://r\""];
        assert_eq!(choose(lines), bearer("https://r", None, &[]));
    }

    #[test]
    fn the_scope_of_one_repository_is_not_asked_for_with_another() {
        let asked = ["repository:a:pull,push".to_string()];
        for (scope, want) in [
            ("repository:a:pull", &[][..]),
            ("repository:a:pull aws", &["aws"]),
            ("repository:mirror/a:pull", &["repository:mirror/a:pull"]),
        ] {
            let header = format!("Bearer realm=\"https://r\",scope=\"{scope}\"");
            let challenge = choose([header.as_str()]).unwrap().for_all(&asked);
            assert_eq!(Some(challenge), bearer("https://r", None, want));
        }
    }
}
