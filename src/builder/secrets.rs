//! Recognises files with secrets by their names or content.

/// What a path suggests about secrets in the file.
pub(super) enum Suspicion {
    None,
    /// The name is enough.
    Name,
    /// The file has secrets if its text passes this check.
    Content(fn(&str) -> bool),
}

/// Prefixes in the names of templates, which have no secrets: `.env.example`, `sample.env`.
const TEMPLATES: [&str; 5] = ["example", "sample", "template", "dist", "default"];

/// Names that are enough.
const NAMES: [&str; 18] = [
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".dockercfg",
    ".htpasswd",
    ".vault-token",
    ".vault_pass",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "secrets.toml",
    "secrets.yaml",
    "secrets.yml",
    "secrets.json",
];
const SUFFIXES: [&str; 7] = [".key", ".p12", ".pfx", ".p8", ".ppk", ".jks", ".kdbx"];
/// The same, with their directory.
const PATHS: [&str; 2] = [".aws/credentials", ".kube/config"];

/// What a path (with `/`) suggests about secrets in the file.
pub(super) fn suspicion(path: &str) -> Suspicion {
    // Case does not matter: `ID_RSA` is as suspicious as `id_rsa`.
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    let is_at =
        |wanted: &str| path.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    let service_account = name.starts_with("service") && name.contains("account") && name.ends_with(".json");
    if is_environment(name)
        || service_account
        || NAMES.contains(&name)
        || SUFFIXES.iter().any(|end| name.ends_with(end))
        || PATHS.iter().any(|path| is_at(path))
    {
        return Suspicion::Name;
    }
    match name {
        ".npmrc" => Suspicion::Content(|text| contains_any(text, &["_authToken=", "_password"])),
        "pip.conf" | "pip.ini" => Suspicion::Content(has_password_in_url),
        "profiles.yml" | "profiles.yaml" => Suspicion::Content(has_literal_password),
        "credentials" => Suspicion::Content(|text| text.contains("aws_secret_access_key")),
        ".databrickscfg" => {
            Suspicion::Content(|text| has_literal(text, &["token", "password", "client_secret"]))
        }
        "connections.toml" | "auth.toml" => {
            Suspicion::Content(|text| has_literal(text, &["password", "token"]))
        }
        _ if is_at(".snowflake/config.toml") => {
            Suspicion::Content(|text| has_literal(text, &["password", "token"]))
        }
        _ if name.ends_with(".tfvars") => Suspicion::Content(|text| {
            let words = ["password", "secret", "token"];
            settings(text).any(|(key, _)| words.iter().any(|word| key.contains(word)))
        }),
        _ if is_at(".dagster/config") || is_at(".dagster_cloud_cli/config") => {
            Suspicion::Content(|text| text.contains("user_token"))
        }
        _ if is_at(".docker/config.json") => {
            Suspicion::Content(|text| contains_any(text, &["\"auth\"", "\"identitytoken\""]))
        }
        _ if name.ends_with(".tfstate") => Suspicion::Name,
        _ if name.ends_with(".pem") || name.ends_with(".asc") => {
            Suspicion::Content(|text| text.contains("PRIVATE KEY"))
        }
        _ if name.starts_with("client_secret") && name.ends_with(".json") => {
            Suspicion::Content(|text| text.contains("\"client_secret\"") || is_secret_json(text))
        }
        _ if name.ends_with(".json") => Suspicion::Content(is_secret_json),
        _ => Suspicion::None,
    }
}

/// Whether a file starts like a private key, whatever its name. Source: RFC 7468.
pub(super) fn is_private_key(text: &[u8]) -> bool {
    // Editors on Windows write a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    line.starts_with(b"-----BEGIN ")
        && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"))
}

/// `.env`, `.env.prod`, `.envrc`, `prod.env`, but not templates.
fn is_environment(name: &str) -> bool {
    let is_template =
        |text: &str| TEMPLATES.iter().any(|word| text.trim_start_matches(['.', '-', '_']).starts_with(word));
    match (name.strip_prefix(".env"), name.strip_suffix(".env")) {
        (Some(rest), _) => (rest.is_empty() || rest.starts_with(['.', '-', '_', 'r'])) && !is_template(rest),
        (None, Some(stem)) => !is_template(stem),
        (None, None) => false,
    }
}

/// JSON keys of Google and others. A `null` or an empty string is not a secret.
fn is_secret_json(text: &str) -> bool {
    let has = |key: &str| {
        text.split(key).skip(1).any(|rest| {
            let value = rest.trim_start().strip_prefix(':').map(str::trim_start);
            value.is_some_and(|value| value.starts_with('"') && !value.starts_with("\"\""))
        })
    };
    contains_any(text, &["\"service_account\"", "\"authorized_user\"", "PRIVATE KEY-----"])
        || has("\"private_key\"")
        || has("\"refresh_token\"")
}

/// `https://user:password@host`, unless the password is a variable.
fn has_password_in_url(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority =
            rest.split(|char: char| char == '/' || char.is_whitespace()).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        user.and_then(|user| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with("${"))
    })
}

/// A `password:` (or `pass:`, which dbt accepts too) in a dbt profile with a literal value, not a template.
fn has_literal_password(text: &str) -> bool {
    text.lines().any(|line| {
        let Some((key, value)) = line.split_once(':') else { return false };
        // A comment in YAML needs a space before `#`, which may be part of a password.
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']).trim();
        matches!(key.trim(), "password" | "pass") && !value.is_empty() && !value.contains("{{")
    })
}

/// Whether one of these keys has a literal value, not a variable.
fn has_literal(text: &str, keys: &[&str]) -> bool {
    settings(text).any(|(key, _)| keys.contains(&key.as_str()))
}

/// The lines `KEY = VALUE` with a value that is neither empty nor a variable.
fn settings(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        let is_literal = !value.is_empty() && !value.contains("${") && !value.starts_with("var.");
        let key = key.trim().trim_matches('"').to_lowercase();
        (is_literal && !key.starts_with('#')).then_some((key, value))
    })
}

fn contains_any(text: &str, marks: &[&str]) -> bool {
    marks.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_or_content() {
        for (path, text, want) in [
            (".env", "A=1", true),
            ("a/.env.local", "A=1", true),
            (".env-prod", "A=1", true),
            (".envrc", "A=1", true),
            ("prod.env", "A=1", true),
            (".env.example", "A=1", false),
            (".env.sample", "A=1", false),
            (".env.template", "A=1", false),
            ("example.env", "A=1", false),
            (".environment.yml", "", false),
            ("environment.py", "", false),
            (".git-credentials", "x", true),
            (".pypirc", "x", true),
            (".netrc", "x", true),
            ("server.key", "x", true),
            ("keys.py", "", false),
            ("ca.pem", "-----BEGIN CERTIFICATE-----", false),
            ("ca.pem", "-----BEGIN RSA PRIVATE KEY-----", true),
            ("rsa.txt", "-----BEGIN RSA PRIVATE KEY-----\r\nx", true),
            ("deploy_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", true),
            ("deploy_key.pub", "ssh-ed25519 AAAA", false),
            ("docs.md", "It begins with -----BEGIN PRIVATE KEY-----", false),
            ("service-account-prod.json", "{}", true),
            ("bq.json", "{\"type\": \"service_account\"}", true),
            ("bq.json", "{\"private_key\": \"x\"}", true),
            ("token.json", "{\"refresh_token\":\"x\"}", true),
            ("token.json", "{\"refresh_token\": null}", false),
            ("package.json", "{\"private\": true}", false),
            ("id_ed25519", "x", true),
            ("id_ed25519.pub", "x", false),
            (".dlt/secrets.toml", "a = 1", true),
            (".streamlit/secrets.toml", "a = 1", true),
            (".dlt/config.toml", "a = 1", false),
            ("secrets.yaml", "x", true),
            ("conf/secrets.yml", "x", true),
            ("secrets.json", "{}", true),
            ("secrets.py", "", false),
            (".aws/credentials", "x", true),
            ("credentials", "aws_secret_access_key=x", true),
            ("credentials", "x", false),
            ("credentials.py", "aws_secret_access_key=x", false),
            (".docker/config.json", "{\"auths\":{\"x\":{\"auth\":\"abc\"}}}", true),
            (".docker/config.json", "{\"credsStore\": \"osxkeychain\"}", false),
            (".kube/config", "users: []", true),
            ("my.kube/config", "users: []", false),
            ("pip.conf", "index-url = https://u:p@h/simple", true),
            ("pip.ini", "index-url = https://u:${TOKEN}@h/simple", false),
            ("pip.conf", "index-url = https://h/simple", false),
            ("client_secret.json", "{\"installed\":{\"client_secret\":\"x\"}}", true),
            ("client_secret_example.json", "{}", false),
            ("terraform.tfstate", "{}", true),
            ("prod.tfvars", "region = \"eu\"\ndb_password = \"x\"", true),
            ("terraform.tfvars", "region = \"eu\"\n# password = \"x\"", false),
            (".databrickscfg", "[DEFAULT]\nhost = https://h\ntoken = dapi1", true),
            (".databrickscfg", "[DEFAULT]\nhost = https://h\nauth_type = azure-cli", false),
            (".snowflake/connections.toml", "[a]\naccount = \"x\"\npassword=\"x\"", true),
            ("connections.toml", "[a]\naccount = \"x\"\nauthenticator = \"externalbrowser\"", false),
            (".snowflake/config.toml", "[connections.a]\ntoken = 'x'", true),
            ("config.toml", "token = 'x'", false),
            ("pypoetry/auth.toml", "[http-basic.x]\npassword = \"x\"", true),
            (".vault-token", "hvs.x", true),
            (".dagster/config", "user_token: user:x", true),
            (".dagster/config", "telemetry: false", false),
            ("profiles.yml", "      password: hunter2", true),
            ("profiles.yml", "password: \"{{ env_var('PASSWORD') }}\"", false),
            ("profiles.yml", "type: duckdb", false),
            (".npmrc", "//registry/:_authToken=x", true),
            (".npmrc", "save-exact=true", false),
        ] {
            let is_secret = match suspicion(path) {
                Suspicion::Name => true,
                Suspicion::None => is_private_key(text.as_bytes()),
                Suspicion::Content(says) => is_private_key(text.as_bytes()) || says(text),
            };
            assert_eq!(is_secret, want, "{path} {text}");
        }
    }
}
