//! A page as HTML (PEP 503): the links in it. Pages of `--find-links` are such pages too.

use super::{IndexFile, Problem, resolve};
use percent_encoding::percent_decode_str;
use std::io::{BufRead, Read};
use url::Url;

/// The longest tag that is read.
const MOST_TAG_BYTES: usize = 64 * 1024;
/// How a comment starts, after its `<`.
const COMMENT: &[u8] = b"!--";

/// Read the wanted files.
pub(super) fn read(
    mut body: impl BufRead,
    base: &Url,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<IndexFile>, Problem> {
    let mut base = base.clone();
    let mut files = Vec::new();
    let mut is_html = false;
    let mut tag = Vec::new();
    loop {
        // The text between tags means nothing here.
        body.skip_until(b'<').map_err(Problem::Read)?;
        read_tag(&mut body, &mut tag)?;
        if tag.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(&tag);
        let text = text.trim_end_matches('>');
        let (name, rest) = text.split_once(|char: char| char.is_ascii_whitespace()).unwrap_or((text, ""));
        match name.to_ascii_lowercase().as_str() {
            "html" | "!doctype" | "body" | "head" => is_html = true,
            "base" => {
                if let Some(url) = attribute(rest, "href").and_then(|href| base.join(&href).ok()) {
                    base = url;
                }
            }
            "meta" => check_version(rest)?,
            "a" => {
                is_html = true;
                files.extend(file(rest, &base).filter(|file| is_wanted(&file.file_name)));
            }
            _ => {}
        }
    }
    if is_html { Ok(files) } else { Err(Problem::Format("it is neither HTML nor JSON".into())) }
}

/// Read up to the end of a tag, which a `>` in quotes is not; or of a comment, of which nothing is kept.
fn read_tag(body: &mut impl BufRead, tag: &mut Vec<u8>) -> Result<(), Problem> {
    tag.clear();
    let (mut start, mut open) = (0, None);
    while start < MOST_TAG_BYTES {
        let read = body.take((MOST_TAG_BYTES - start) as u64).read_until(b'>', tag).map_err(Problem::Read)?;
        if tag.starts_with(COMMENT) {
            return skip_comment(body, tag);
        }
        open = tag[start..].iter().fold(open, quote);
        start = tag.len();
        if read == 0 || open.is_none() {
            break;
        }
    }
    Ok(())
}

/// The quote that is open after a byte.
fn quote(open: Option<u8>, byte: &u8) -> Option<u8> {
    match (open, byte) {
        (None, b'"' | b'\'') => Some(*byte),
        (Some(open), byte) if open == *byte => None,
        (open, _) => open,
    }
}

/// Read up to the end of a comment: an apostrophe in it is not a quote, and a link not a file.
fn skip_comment(body: &mut impl BufRead, tag: &mut Vec<u8>) -> Result<(), Problem> {
    while !tag.ends_with(b"-->") {
        // The end may be in two pieces.
        let kept = tag.len().saturating_sub(2);
        tag.drain(..kept);
        if body.take(MOST_TAG_BYTES as u64).read_until(b'>', tag).map_err(Problem::Read)? == 0 {
            break;
        }
    }
    tag.clear();
    tag.extend_from_slice(COMMENT);
    Ok(())
}

/// `<meta name="pypi:repository-version" content="1.0">` (PEP 629).
fn check_version(attributes: &str) -> Result<(), Problem> {
    let is_version = attribute(attributes, "name").as_deref() == Some("pypi:repository-version");
    match attribute(attributes, "content").filter(|_| is_version) {
        Some(version) if !version.starts_with("1.") => {
            Err(Problem::Format(format!("its version `{version}` is not 1")))
        }
        _ => Ok(()),
    }
}

/// The file that a link leads to.
fn file(attributes: &str, base: &Url) -> Option<IndexFile> {
    let (url, sha256) = resolve(base, &attribute(attributes, "href")?)?;
    let name = url.path_segments()?.next_back()?;
    let file_name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    let is_yanked = attribute(attributes, "data-yanked").is_some();
    Some(IndexFile { file_name, url: url.into(), sha256, size_bytes: None, is_yanked })
}

/// The value of an attribute; empty for one without value.
fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|char: char| char == '=' || char == '/' || char.is_ascii_whitespace());
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('=').map(str::trim_start) {
            Some(after) => value(after),
            None => ("", after.strip_prefix('/').unwrap_or(after)),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(unescaped(value));
        }
        rest = after.trim_start();
    }
    None
}

/// A value with or without quotes at the start of a text, and what follows it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    text.split_at(text.find(|char: char| char.is_ascii_whitespace()).unwrap_or(text.len()))
}

/// A value without the character references that occur in URLs.
fn unescaped(text: &str) -> String {
    let mut text = text.to_string();
    for (reference, char) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&#43;", "+")]
    {
        text = text.replace(reference, char);
    }
    // Last, so that nothing is decoded twice.
    text.replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Result<Vec<IndexFile>, Problem> {
        let base = Url::parse("https://h.example/simple/a/").unwrap();
        read(text.as_bytes(), &base, &|name| name.starts_with("a-1"))
    }

    #[test]
    fn links_are_files() {
        let text = "<!DOCTYPE html><html><head><meta name=\"pypi:repository-version\" content=\"1.1\">\n\
            <base href=\"/files/\"></head><body>\n\
            <a href=\"a-1.whl#sha256=AB\" data-requires-python=\"&gt;=3.8\">a-1.whl</a><br>\n\
            <A data-yanked HREF='https://f.example/a-1%2Bx.whl?k=1&amp;l=2'>a-1+x.whl</A>\n\
            <a data-yanked=\"no > yes\" href=a-1.tar.gz>a</a> <a>none</a> <abbr href=a-1.zip>\n\
            <a href=\"a-2.whl\">a-2.whl</a></body></html>";
        let found: Vec<_> = files(text)
            .unwrap()
            .into_iter()
            .map(|file| (file.file_name, file.url, file.sha256, file.is_yanked))
            .collect();
        let row = |name: &str, url: &str, digest: Option<&str>, yanked| {
            (name.to_string(), url.to_string(), digest.map(str::to_string), yanked)
        };
        assert_eq!(
            found,
            [
                row("a-1.whl", "https://h.example/files/a-1.whl", Some("ab"), false),
                row("a-1+x.whl", "https://f.example/a-1%2Bx.whl?k=1&l=2", None, true),
                row("a-1.tar.gz", "https://h.example/files/a-1.tar.gz", None, true),
            ]
        );
    }

    /// Earlier, the apostrophe hid all links up to the next one.
    #[test]
    fn what_is_in_a_comment_is_neither_a_file_nor_a_quote() {
        let text = "<html><!-- the index's files: <a href=a-1.zip> --><a href=a-1.whl>x</a><!---->\
            <a href=a-1.tar.gz>y</a><!-- ends nowhere <a href=a-1.egg>";
        let found: Vec<_> = files(text).unwrap().into_iter().map(|file| file.file_name).collect();
        assert_eq!(found, ["a-1.whl", "a-1.tar.gz"]);
    }

    #[test]
    fn a_tag_is_read_once_however_many_brackets_are_in_its_quotes() {
        let many = ">".repeat(MOST_TAG_BYTES / 2);
        let text = format!("<a title=\"{many}\" href=a-1.whl><a title=\"{many}{many}\" href=a-1.zip>");
        assert_eq!(files(&text).unwrap().len(), 1, "a tag that is too long is cut");
    }

    #[test]
    fn what_is_not_a_page_is_an_error() {
        for text in ["", "not found", "<?xml version='1.0'?><Error/>"] {
            assert!(matches!(files(text), Err(Problem::Format(_))), "{text}");
        }
        let version = "<html><meta content='2.0' name='pypi:repository-version'>";
        assert!(matches!(files(version), Err(Problem::Format(_))));
        assert_eq!(files("<html><a href=\"a-1.whl").unwrap().len(), 1, "a tag without end");
    }
}
