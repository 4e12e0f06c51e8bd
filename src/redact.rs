//! Values that must not be shown: a [`Secret`], and a URL without its secrets ([`SafeUrl`]).

use std::fmt;
use url::Url;

const HIDDEN: &str = "***";
/// Shorter secrets are not searched in texts.
pub const SHORTEST_BYTES: usize = 8;

/// A token, password or header value that carries one. `Debug` and `Display` show `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Hide `value`.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself. Only for its request, never for a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `bytes` with `***` instead of each occurrence; for `Bearer TOKEN`, of the token alone. Secrets shorter than
    /// [`SHORTEST_BYTES`] are not replaced, because they may occur by chance.
    pub fn erased_from(&self, bytes: Vec<u8>) -> Vec<u8> {
        // Of `Bearer TOKEN` and `Basic TOKEN`, only the last part is secret.
        let word = self.0.rsplit(' ').next().unwrap_or_default().as_bytes();
        if word.len() < SHORTEST_BYTES || word.len() > bytes.len() {
            return bytes;
        }
        let mut erased = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some(at) = position(rest, word) {
            erased.extend_from_slice(&rest[..at]);
            erased.extend_from_slice(HIDDEN.as_bytes());
            rest = &rest[at + word.len()..];
        }
        erased.extend_from_slice(rest);
        erased
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// `text` with `***` instead of each of these secrets.
pub fn without(secrets: &[Secret], text: &str) -> String {
    let bytes = secrets.iter().fold(text.as_bytes().to_vec(), |text, secret| secret.erased_from(text));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Position of `word`, which must not be empty, in `bytes`.
fn position(bytes: &[u8], word: &[u8]) -> Option<usize> {
    // The first byte is compared first: this runs over every line of the log.
    bytes.windows(word.len()).position(|window| window[0] == word[0] && window == word)
}

/// A URL that is safe to show: user information and query become `***`, the fragment is removed.
///
/// The whole query is hidden, because a presigned URL is a credential and its parameters differ between stores. Only
/// the shown text is stored, so nothing can be revealed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SafeUrl(String);

impl SafeUrl {
    /// The safe form of `text`. A text that is not a URL is shown up to its first `?`, without anything before an `@`.
    pub fn parse(text: &str) -> SafeUrl {
        // `user:password@proxy` parses as a URL of the scheme `user`.
        if let Some(url) = Url::parse(text).ok().filter(|url| !url.cannot_be_a_base()) {
            return SafeUrl::from(&url);
        }
        // A text that is not a URL may still have a password or token in it.
        let shown = text.split(['?', '#']).next().unwrap_or_default();
        SafeUrl(match shown.rsplit_once('@') {
            Some((_, rest)) => format!("{HIDDEN}@{rest}"),
            None => shown.to_string(),
        })
    }
}

impl From<&Url> for SafeUrl {
    fn from(url: &Url) -> SafeUrl {
        let mut shown = url.clone();
        shown.set_fragment(None);
        if shown.query().is_some() {
            shown.set_query(Some(HIDDEN));
        }
        if !shown.username().is_empty() || shown.password().is_some() {
            // Both can fail only for URLs that cannot have user information, and those have none.
            let _ = shown.set_password(None);
            let _ = shown.set_username(HIDDEN);
        }
        SafeUrl(shown.into())
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text with URLs, without the user information of each.
pub fn without_userinfo(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut parts = text.split("://");
    bare.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let authority = part.find(|char: char| "/?#\"'".contains(char) || char.is_whitespace());
        let at = part[..authority.unwrap_or(part.len())].rfind('@');
        bare.push_str("://");
        bare.push_str(at.map_or(part, |at| &part[at + 1..]));
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_taken_out_of_every_url_of_a_text() {
        for (given, want) in [
            ("no url, a@b", "no url, a@b"),
            ("--index-url https://me:secret@h/x?y=a@b rest", "--index-url https://h/x?y=a@b rest"),
            ("git+https://t@h/r@v1 and https://u@i", "git+https://h/r@v1 and https://i"),
        ] {
            assert_eq!(without_userinfo(given), want, "{given}");
        }
    }

    #[test]
    fn a_safe_url_shows_neither_user_information_nor_query() {
        for (given, want) in [
            ("https://index.example/simple/", "https://index.example/simple/"),
            ("https://user:pa%20ss@index.example:8443/x", "https://***@index.example:8443/x"),
            ("https://token@index.example/x#sha256=ab", "https://***@index.example/x"),
            ("https://:pass@index.example/x", "https://***@index.example/x"),
            ("https://bucket.example/o?X-Amz-Signature=abc&y=1", "https://bucket.example/o?***"),
            ("file:///srv/a.whl", "file:///srv/a.whl"),
            ("user:pass@proxy:8080", "***@proxy:8080"),
            ("not a url?token=1", "not a url"),
        ] {
            let safe = SafeUrl::parse(given);
            assert_eq!((safe.to_string().as_str(), format!("{safe:?}").as_str()), (want, want), "{given}");
        }
    }

    #[test]
    fn a_secret_is_erased_wherever_it_occurs() {
        for (secret, text, want) in [
            ("user:abcdef", "bad token user:abcdef, user:abcdef", "bad token ***, ***"),
            ("Bearer ghs_abcdef", "Authorization: Bearer ghs_abcdef", "Authorization: Bearer ***"),
            ("user:abcdef", "user:abcde", "user:abcde"),
            ("aaaaaaaa", "aaaaaaaaaaaaaaaaa", "******a"),
            ("short", "a short text", "a short text"),
            ("", "text", "text"),
        ] {
            let erased = Secret::new(secret).erased_from(text.into());
            assert_eq!(String::from_utf8(erased).unwrap(), want, "{secret}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
