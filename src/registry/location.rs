//! Where an upload goes on: the `Location` of an answer.

use crate::net::{SafeUrl, is_loopback};
use url::Url;

/// A `Location` that is not used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the upload is to go on at `{location}`: {problem}")]
pub struct LocationError {
    /// What was given.
    pub location: SafeUrl,
    /// Why not there.
    pub problem: &'static str,
}

/// The address that a `Location` leads to, relative to the address that was asked or absolute.
///
/// Another host is fine, but only by https: the content of an image is not public. Source: OCI distribution
/// specification, "Pushing blobs".
pub fn resolve(asked: &Url, location: &str) -> Result<Url, LocationError> {
    let refuse = |problem| LocationError { location: SafeUrl::parse(location), problem };
    let url = asked.join(location).map_err(|_| refuse("that is not a URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) && is_loopback(asked) => {}
        "http" => return Err(refuse("that is not encrypted")),
        _ => return Err(refuse("that is neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("that has a user name in it"));
    }
    Ok(url)
}

/// The address with one more parameter; those that it has stay as they are.
pub fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair(name, value);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_relative_or_absolute_and_encrypted() {
        let local = "http://127.0.0.1:5000/v2/a/blobs/uploads/";
        for (asked, location, want) in [
            (
                "https://r.example/v2/a/blobs/uploads/",
                "/v2/a/blobs/uploads/1?_state=x%3D",
                Ok("https://r.example/v2/a/blobs/uploads/1?_state=x%3D"),
            ),
            ("https://r.example/v2/a/blobs/uploads/", "1", Ok("https://r.example/v2/a/blobs/uploads/1")),
            ("https://r.example/v2/a/blobs/uploads/", "https://up.example/x", Ok("https://up.example/x")),
            (local, "http://127.0.0.1:5001/x", Ok("http://127.0.0.1:5001/x")),
            (local, "/x", Ok("http://127.0.0.1:5000/x")),
            ("https://r.example/v2/", "http://r.example/x", Err("that is not encrypted")),
            ("https://r.example/v2/", "http://127.0.0.1/x", Err("that is not encrypted")),
            (local, "http://r.example/x", Err("that is not encrypted")),
            ("https://r.example/v2/", "file:///x", Err("that is neither http nor https")),
            ("https://r.example/v2/", "https://", Err("that is not a URL")),
            ("https://r.example/v2/", "https://me:pw@r.example/x", Err("that has a user name in it")),
        ] {
            let got = resolve(&Url::parse(asked).unwrap(), location);
            let got = got.as_ref().map(Url::as_str).map_err(|error| error.problem);
            assert_eq!(got, want, "{location}");
        }
    }

    #[test]
    fn a_parameter_is_added_to_others() {
        for (url, want) in [
            ("https://r/u", "https://r/u?digest=sha256%3Aab"),
            ("https://r/u?_state=a%2Fb==", "https://r/u?_state=a%2Fb==&digest=sha256%3Aab"),
        ] {
            assert_eq!(with_parameter(&Url::parse(url).unwrap(), "digest", "sha256:ab").as_str(), want);
        }
    }
}
