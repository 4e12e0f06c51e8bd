//! Parsers of this room, for tests and fuzzing alone.

use super::{html, json};
use url::Url;

/// A page, read in both formats, whole and in small pieces. What is not wanted is not kept, and URLs are absolute.
pub fn page(bytes: &[u8]) {
    let base = Url::parse("https://h.example/simple/a/").expect("it is a URL");
    let is_wanted = |name: &str| name.ends_with(".whl");
    let pieces = std::io::BufReader::with_capacity(7, bytes);
    let in_pieces = html::read(pieces, &base, &is_wanted).ok();
    let whole = html::read(bytes, &base, &is_wanted).ok();
    assert_eq!(whole, in_pieces);
    let all = html::read(bytes, &base, &|_| true).unwrap_or_default();
    let kept = all.into_iter().filter(|file| is_wanted(&file.file_name)).collect::<Vec<_>>();
    assert_eq!(whole.as_ref().unwrap_or(&kept), &kept);
    let json = json::read(bytes, &base, &is_wanted).unwrap_or_default();
    for file in whole.unwrap_or_default().into_iter().chain(json) {
        assert!(is_wanted(&file.file_name));
        let url = Url::parse(&file.url).expect("the URL is absolute");
        assert!(url.fragment().is_none(), "{url}");
        assert!(file.sha256.is_none_or(|digest| digest == digest.to_lowercase()));
    }
}
