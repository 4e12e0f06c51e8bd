//! A uv.lock as a pylock.toml for one target, as `uv export --format pylock.toml` makes it of the same file.
//!
//! Without markers: packages that the target does not need are left out. What is not known well enough is [`Unsure`],
//! and uv is asked. Source: answers of uv 0.13, with which `uv_lock_oracle` compares, and
//! `crates/uv-resolver/src/lock/export` in uv's source.

use super::uv_lock_graph::{Lock, Package, list, table, text};
use super::uv_lock_marker::Unsure;
use super::uv_lock_reach::Selection;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, PackageName};
use std::path::Path;
use std::str::FromStr;
use toml::{Table, Value};
use url::Url;

/// What `document` pins for a selection. `root` is the real directory of the lock file.
pub(super) fn export(
    document: &Table,
    root: &Path,
    selection: &Selection<'_>,
    environment: &MarkerEnvironment,
) -> Result<Table, Unsure> {
    let lock = Lock::read(document)?;
    let mut packages: Vec<(&PackageName, Option<Version>, Table)> = Vec::new();
    for index in lock.needed(selection, environment)? {
        let package = &lock.packages[index];
        let version = text(package.table, "version")?.map(read_version).transpose()?;
        if let Some(written) = write(package, version.as_ref(), root)? {
            packages.push((&package.name, version, written));
        }
    }
    packages.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let mut written = Table::new();
    written.insert("lock-version".into(), "1.0".into());
    written.insert("created-by".into(), "uv".into());
    let environments = list(document, "supported-markers")?;
    if !environments.is_empty() {
        written.insert("environments".into(), Value::Array(environments.to_vec()));
    }
    let python = text(document, "requires-python")?.unwrap_or_default();
    let python = VersionSpecifiers::from_str(python).map_err(|error| Unsure(error.to_string()))?;
    written.insert("requires-python".into(), python.to_string().into());
    let packages = packages.into_iter().map(|(.., package)| Value::Table(package)).collect();
    written.insert("packages".into(), Value::Array(packages));
    Ok(written)
}

/// Where a package comes from.
enum Source<'l> {
    Registry(Registry<'l>),
    Git(&'l str),
    Url {
        url: &'l str,
        subdirectory: Option<&'l str>,
    },
    Path(&'l str),
    Directory {
        path: &'l str,
        editable: bool,
    },
    /// A project that is not installed itself.
    Virtual,
}

/// An index, or a directory with files.
enum Registry<'l> {
    Index(&'l str),
    Directory(&'l str),
}

impl<'l> Source<'l> {
    fn read(source: &'l Table) -> Result<Source<'l>, Unsure> {
        let mut entries = source.iter();
        let (Some((kind, value)), rest) = (entries.find(|(key, _)| *key != "subdirectory"), entries.next())
        else {
            return Unsure::because("a package has no source");
        };
        let subdirectory = text(source, "subdirectory")?;
        let is_odd = rest.is_some() && subdirectory.is_none() || subdirectory.is_some() && kind != "url";
        let value = value.as_str().filter(|_| !is_odd);
        let Some(value) = value else { return Unsure::because("the source of a package is not known") };
        Ok(match kind.as_str() {
            // Of a path, one letter before `:` is a drive of Windows.
            "registry" if value.contains("://") => Source::Registry(Registry::Index(value)),
            "registry" if !value.contains(':') => Source::Registry(Registry::Directory(value)),
            "git" => Source::Git(value),
            "url" => Source::Url { url: value, subdirectory },
            "path" => Source::Path(value),
            "directory" => Source::Directory { path: value, editable: false },
            "editable" => Source::Directory { path: value, editable: true },
            "virtual" => Source::Virtual,
            _ => return Unsure::because(format!("the source `{kind}` is not known")),
        })
    }
}

/// The package in a pylock.toml; `None` for one that is not installed.
fn write(package: &Package<'_>, version: Option<&Version>, root: &Path) -> Result<Option<Table>, Unsure> {
    let source = Source::read(package.source)?;
    let mut written = Table::new();
    written.insert("name".into(), package.name.to_string().into());
    // The version of a directory can change.
    if let Some(version) = version.filter(|_| !matches!(source, Source::Directory { .. })) {
        written.insert("version".into(), version.to_string().into());
    }
    match source {
        Source::Registry(registry) => {
            let Some(version) = version else { return Unsure::because("a package has no version") };
            write_files(&mut written, package, version, &registry, root)?;
        }
        Source::Git(url) => {
            written.insert("vcs".into(), repository(url)?.into());
        }
        Source::Url { url, subdirectory } => {
            let mut url = Url::parse(&link(url)?).map_err(|error| Unsure(error.to_string()))?;
            if let Some(at) = subdirectory {
                url.set_fragment(Some(&format!("subdirectory={at}")));
            }
            let mut archive = Table::from_iter([("url".to_string(), Value::from(url.as_str()))]);
            add_file(&mut archive, archive_file(package, &file_name(&url)?)?)?;
            if let Some(at) = subdirectory {
                archive.insert("subdirectory".into(), at.into());
            }
            written.insert("archive".into(), archive.into());
        }
        Source::Path(path) => {
            let mut archive = Table::from_iter([("path".to_string(), Value::from(path))]);
            add_file(&mut archive, archive_file(package, path)?)?;
            written.insert("archive".into(), archive.into());
        }
        Source::Directory { path, editable } => {
            let entries = [("path".to_string(), path.into()), ("editable".to_string(), editable.into())];
            written.insert("directory".into(), Table::from_iter(entries).into());
        }
        Source::Virtual => return Ok(None),
    }
    Ok(Some(written))
}

/// The files of a package of an index.
fn write_files(
    written: &mut Table,
    package: &Package<'_>,
    version: &Version,
    registry: &Registry<'_>,
    root: &Path,
) -> Result<(), Unsure> {
    let index = match registry {
        Registry::Index(url) => link(url)?,
        Registry::Directory(path) => file_url(&root.join(path))?,
    };
    written.insert("index".into(), index.into());
    if let Some(sdist) = package.table.get("sdist") {
        let sdist = table(sdist, "sdist")?;
        let url = address(sdist, registry, root)?;
        if !is_archive(&file_name(&url)?) {
            return Unsure::because(format!("`{url}` is not an archive"));
        }
        let mut file = Table::from_iter([("url".to_string(), Value::from(url.as_str()))]);
        add_file(&mut file, Some(sdist))?;
        written.insert("sdist".into(), file.into());
    }
    let mut wheels = Vec::new();
    for wheel in list(package.table, "wheels")? {
        let wheel = table(wheel, "wheels")?;
        let url = address(wheel, registry, root)?;
        let name = file_name(&url)?;
        let normal = normal_wheel_name(&name, version)?;
        let mut file = Table::new();
        if normal != name {
            file.insert("name".into(), normal.into());
        }
        file.insert("url".into(), url.as_str().into());
        add_file(&mut file, Some(wheel))?;
        wheels.push(file.into());
    }
    if !wheels.is_empty() {
        written.insert("wheels".into(), Value::Array(wheels));
    }
    Ok(())
}

/// Where a file of an index is.
fn address(file: &Table, registry: &Registry<'_>, root: &Path) -> Result<Url, Unsure> {
    let address = match (text(file, "url")?, text(file, "path")?, registry) {
        (Some(url), _, _) => link(url)?,
        (None, Some(path), Registry::Directory(directory)) => file_url(&root.join(directory).join(path))?,
        _ => return Unsure::because("a file has no address"),
    };
    Url::parse(&address).map_err(|error| Unsure(error.to_string()))
}

/// Add time, size and digest. A digest that the lock does not have is left to uv, which computes it.
fn add_file(written: &mut Table, file: Option<&Table>) -> Result<(), Unsure> {
    const KNOWN: &[&str] = &["url", "path", "filename", "hash", "size", "upload-time", "upload_time", "zstd"];
    let Some(file) = file else { return Unsure::because("a file has no hash") };
    if let Some(key) = file.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Unsure::because(format!("`{key}` of a file is not known"));
    }
    let time = text(file, "upload-time")?.or(text(file, "upload_time")?);
    if let Some(time) = time {
        written.insert("upload-time".into(), Value::Datetime(upload_time(time)?));
    }
    if let Some(size) = file.get("size") {
        let size = size.as_integer().ok_or_else(|| Unsure("a size is not a number".into()))?;
        written.insert("size".into(), size.into());
    }
    let Some(hash) = text(file, "hash")? else { return Unsure::because("a file has no hash") };
    let known = ["md5", "sha256", "sha384", "sha512", "blake2b"];
    let Some((algorithm, digest)) = hash.split_once(':').filter(|(name, _)| known.contains(name)) else {
        return Unsure::because(format!("`{hash}` is not a hash"));
    };
    let hashes = Table::from_iter([(algorithm.to_string(), Value::from(digest))]);
    written.insert("hashes".into(), hashes.into());
    Ok(())
}

/// Without fractions of a second, as uv writes it.
fn upload_time(text: &str) -> Result<toml::value::Datetime, Unsure> {
    let invalid = || Unsure(format!("`{text}` is not a time"));
    let (seconds, rest) = text.split_at_checked("2024-01-02T03:04:05".len()).ok_or_else(invalid)?;
    let fraction = rest.strip_suffix('Z').ok_or_else(invalid)?;
    let digits = fraction.strip_prefix('.').unwrap_or(fraction);
    if !digits.chars().all(|each| each.is_ascii_digit()) {
        return Err(invalid());
    }
    format!("{seconds}Z").parse().map_err(|_| invalid())
}

/// The entry that has size and digest of a package given by URL or path.
fn archive_file<'l>(package: &Package<'l>, name: &str) -> Result<Option<&'l Table>, Unsure> {
    if !name.ends_with(".whl") {
        // uv refuses other archives.
        if !name.ends_with(".tar.gz") && !name.ends_with(".zip") {
            return Unsure::because(format!("`{name}` is not a source archive"));
        }
        return package.table.get("sdist").map(|sdist| table(sdist, "sdist")).transpose();
    }
    let wheels = list(package.table, "wheels")?;
    match wheels.first() {
        Some(wheel) => table(wheel, "wheels").map(Some),
        None => Unsure::because("a wheel has no entry"),
    }
}

/// Repository, commit and directory of `URL?rev=…&subdirectory=…#COMMIT`.
fn repository(text: &str) -> Result<Table, Unsure> {
    let mut url = Url::parse(text).map_err(|error| Unsure(error.to_string()))?;
    let is_login = url.scheme() == "ssh" && url.password().is_none();
    if !is_login {
        link(text)?;
    }
    let commit = url.fragment().unwrap_or_default().to_string();
    let is_commit = commit.len() == 40 && commit.chars().all(|each| matches!(each, '0'..='9' | 'a'..='f'));
    let (mut revision, mut subdirectory) = (None, None);
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "rev" | "tag" | "branch" if revision.is_none() => revision = Some(value.into_owned()),
            "subdirectory" if subdirectory.is_none() => subdirectory = Some(value.into_owned()),
            "lfs" => {}
            _ => return Unsure::because(format!("`{key}` of a repository is not known")),
        }
    }
    // uv refuses a revision that is another commit.
    let is_other = |revision: &String| revision.len() == 40 && *revision != commit;
    if !is_commit || revision.as_ref().is_some_and(is_other) {
        return Unsure::because("a repository without a commit");
    }
    url.set_query(None);
    url.set_fragment(None);
    let mut written = Table::new();
    written.insert("type".into(), "git".into());
    written.insert("url".into(), url.as_str().into());
    if let Some(revision) = revision {
        written.insert("requested-revision".into(), revision.into());
    }
    written.insert("commit-id".into(), commit.into());
    if let Some(subdirectory) = subdirectory {
        written.insert("subdirectory".into(), subdirectory.into());
    }
    Ok(written)
}

/// A URL in its normal form. uv hides credentials in some places and not in others.
fn link(text: &str) -> Result<String, Unsure> {
    let url = Url::parse(text).map_err(|error| Unsure(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Unsure::because("a URL has credentials");
    }
    Ok(url.into())
}

fn file_url(path: &Path) -> Result<String, Unsure> {
    let url =
        Url::from_file_path(path).map_err(|()| Unsure("the path of an index is not absolute".into()))?;
    // Read again, which takes `..` out.
    link(url.as_str())
}

/// The decoded last part of a URL.
fn file_name(url: &Url) -> Result<String, Unsure> {
    let part = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = percent_encoding::percent_decode_str(part).decode_utf8();
    name.map(String::from).map_err(|error| Unsure(error.to_string()))
}

/// Whether it is a source archive of a kind that uv knows.
fn is_archive(name: &str) -> bool {
    let tars = ["gz", "bz2", "xz", "lz", "lzma", "zst"];
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    ["zip", "tar", "tgz", "tbz", "txz", "tlz"].contains(&extension)
        || (tars.contains(&extension) && stem.to_ascii_lowercase().ends_with(".tar"))
}

/// The name of a wheel with normal name and version. uv refuses a wheel of another version.
fn normal_wheel_name(name: &str, version: &Version) -> Result<String, Unsure> {
    name.parse::<crate::wheel::WheelName>().map_err(|error| Unsure(error.to_string()))?;
    let mut parts = name.splitn(3, '-');
    let (Some(project), Some(own), Some(tags)) = (parts.next(), parts.next(), parts.next()) else {
        return Unsure::because(format!("`{name}` is not a wheel"));
    };
    let own = read_version(own)?;
    if own != *version && own.clone().without_local() != *version {
        return Unsure::because(format!("`{name}` is not of version {version}"));
    }
    let project = PackageName::from_str(project).map_err(|error| Unsure(error.to_string()))?;
    Ok(format!("{}-{own}-{tags}", project.to_string().replace('-', "_")))
}

fn read_version(text: &str) -> Result<Version, Unsure> {
    Version::from_str(text).map_err(|error| Unsure(error.to_string()))
}

#[cfg(test)]
mod tests;
