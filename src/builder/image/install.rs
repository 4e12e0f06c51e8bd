//! A wheel → its files in the virtual environment of the image.
//!
//! Source: "Binary distribution format" (PyPA), "Installing a wheel", and what pip does with `.data` directories and
//! entry points. The wheel is not unpacked: members are named, and copied when the layer is written.

use super::ImageError;
use super::files::{Content, LayerFiles, ROOT};
use super::place::VENV;
use super::record::{self, Row};
use super::venv::Venv;
use crate::pex::script_stub;
use crate::wheel::dist_info::{self, DistInfo};
use crate::wheel::metadata::Headers;
use crate::wheel::{Archive, EntryPoint, Member, Reader, WheelError, WheelName};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The installer, by the name that `importlib.metadata` gives.
const INSTALLER: &[u8] = b"pexpress\n";
/// The first line of scripts that are for the interpreter of the environment. Source: the wheel specification,
/// "The .data directory".
const SCRIPT_START: &[u8] = b"#!python";
/// Larger scripts are refused: they are read into memory to change their first line.
const SCRIPT_LIMIT_BYTES: u64 = 16 << 20;
/// Files of the dist-info directory that do not belong into an installed distribution: signatures of the RECORD that is
/// replaced, and an address that only the installer knows.
const NOT_INSTALLED: [&str; 3] = ["RECORD.jws", "RECORD.p7s", "direct_url.json"];

/// Where the members of one wheel go.
pub struct Install<'a> {
    /// File name of the wheel.
    pub file_name: &'a str,
    /// The wheel.
    pub archive: &'a Archive,
    /// Further members, by paths below site-packages: bytecode. They replace files of the wheel.
    pub extra: Option<&'a Archive>,
    /// The environment.
    pub venv: Venv,
    /// Members with other content than in the wheel, or (`None`) left out.
    pub replaced: BTreeMap<String, Option<Vec<u8>>>,
    /// Only the dist-info directory and scripts: the code itself is elsewhere, as in an editable installation.
    pub is_editable: bool,
}

/// A file of the distribution: by its path from the root of the environment.
struct Installed {
    executable: bool,
    content: Content,
    row: Row,
}

impl Install<'_> {
    /// The files of the distribution in the image.
    ///
    /// # Errors
    /// When the wheel is damaged, has metadata of another distribution, or files over each other.
    pub fn files(&self) -> Result<LayerFiles, ImageError> {
        let name: WheelName = self.file_name.parse()?;
        let mut info = DistInfo::open(self.file_name, &name, self.archive)?;
        dist_info::is_purelib(self.file_name, &info.required("WHEEL")?)?;
        let metadata = info.required("METADATA")?;
        let headers = Headers::parse(&metadata);
        let project = headers.first("Name").unwrap_or_default().to_string();
        let rows = record::parse(&String::from_utf8_lossy(&info.optional("RECORD")?.unwrap_or_default()));
        let scripts = info.optional("entry_points.txt")?.unwrap_or_default();
        let scripts = EntryPoint::scripts(self.file_name, &String::from_utf8_lossy(&scripts))?;
        let directory = info.directory().to_string();
        let mut installing =
            Installing { install: self, directory: &directory, project: &project, files: BTreeMap::new() };
        for member in self.archive.members() {
            installing.member(member, &rows)?;
        }
        for script in &scripts {
            let stub = script_stub(script).replacen("#!python", &Venv::shebang(), 1);
            installing.bytes(format!("{VENV}/bin/{}", script.name), true, stub.into_bytes());
        }
        if let Some(extra) = self.extra {
            installing.extra(extra)?;
        }
        Ok(installing.finish())
    }

    fn fault(&self, member: &str, reason: &str) -> WheelError {
        WheelError::Member {
            wheel: self.file_name.to_string(),
            member: member.escape_debug().to_string(),
            reason: reason.to_string(),
        }
    }
}

struct Installing<'a> {
    install: &'a Install<'a>,
    /// `NAME-VERSION.dist-info`.
    directory: &'a str,
    /// The name of the distribution in METADATA.
    project: &'a str,
    /// By path in the image.
    files: BTreeMap<String, Installed>,
}

impl Installing<'_> {
    fn member(&mut self, member: &Member, rows: &BTreeMap<String, Row>) -> Result<(), ImageError> {
        let Some((path, is_script)) = self.place(&member.name)? else { return Ok(()) };
        let is_metadata = member.name.strip_prefix(self.directory).is_some_and(|rest| rest.starts_with('/'));
        if self.install.is_editable && !is_metadata && !is_script {
            return Ok(());
        }
        match self.install.replaced.get(&member.name) {
            Some(Some(content)) => {
                self.bytes(path, member.executable, content.clone());
                return Ok(());
            }
            Some(None) => return Ok(()),
            None => {}
        }
        if is_script && let Some(script) = self.script(member)? {
            self.bytes(path, true, script);
            return Ok(());
        }
        let row = match rows.get(&member.name).filter(|row| row.has_size(member.data.size_bytes)) {
            Some(row) => row.clone(),
            None => hashed(&mut self.install.archive.reader()?, member)?,
        };
        let executable = member.executable || is_script;
        let installed = Installed { executable, content: content(self.install.archive, member), row };
        match self.files.get(&path) {
            // Some wheels have the same file in the root and in purelib; only a difference is ambiguous.
            Some(Installed { content: Content::Member { data, .. }, .. })
                if (data.crc32, data.size_bytes) != (member.data.crc32, member.data.size_bytes) =>
            {
                let reason = "is installed over another member with different content";
                Err(self.install.fault(&member.name, reason).into())
            }
            _ => {
                self.files.insert(path, installed);
                Ok(())
            }
        }
    }

    /// Where a member goes, and whether it is a script; `None` if it is left out.
    fn place(&self, name: &str) -> Result<Option<(String, bool)>, WheelError> {
        let site_packages = self.install.venv.site_packages();
        if let Some(file) = name.strip_prefix(self.directory).and_then(|rest| rest.strip_prefix('/'))
            && (file == "RECORD" || file == "INSTALLER" || NOT_INSTALLED.contains(&file))
        {
            return Ok(None);
        }
        // Bytecode that came with the wheel has the times of another machine, so Python would not use it.
        if name.contains("__pycache__/") && name.ends_with(".pyc") {
            return Ok(None);
        }
        let stem = self.directory.trim_end_matches(".dist-info");
        let Some(data) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix(".data/")) else {
            return Ok(Some((format!("{site_packages}/{name}"), false)));
        };
        let path = match data.split_once('/') {
            Some(("purelib" | "platlib", rest)) => format!("{site_packages}/{rest}"),
            Some(("scripts", rest)) => format!("{VENV}/bin/{rest}"),
            Some(("headers", rest)) => format!("{}/{rest}", self.install.venv.headers(self.project)),
            Some(("data", rest)) => format!("{VENV}/{rest}"),
            _ => {
                let reason = "is in an unknown category of the .data directory";
                return Err(self.install.fault(name, reason));
            }
        };
        Ok(Some((path, data.starts_with("scripts/"))))
    }

    /// The text of a script whose first line must name the interpreter; `None` for programs and other scripts.
    fn script(&self, member: &Member) -> Result<Option<Vec<u8>>, WheelError> {
        if !starts_with_python(self.install.archive, member)? {
            return Ok(None);
        }
        let text = self.install.archive.reader()?.read(&member.name, &member.data, SCRIPT_LIMIT_BYTES)?;
        let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
        Ok(Some([Venv::shebang().as_bytes(), &text[end..]].concat()))
    }

    fn bytes(&mut self, path: String, executable: bool, bytes: Vec<u8>) {
        let row = Row::of(&bytes);
        self.files.insert(path, Installed { executable, content: Content::Bytes(bytes), row });
    }

    fn extra(&mut self, extra: &Archive) -> Result<(), WheelError> {
        let mut reader = extra.reader()?;
        for member in extra.members() {
            let path = format!("{}/{}", self.install.venv.site_packages(), member.name);
            let row = hashed(&mut reader, member)?;
            self.files.insert(path, Installed { executable: false, content: content(extra, member), row });
        }
        Ok(())
    }

    /// All files with INSTALLER and RECORD.
    fn finish(mut self) -> LayerFiles {
        let site_packages = self.install.venv.site_packages();
        self.bytes(format!("{site_packages}/{}/INSTALLER", self.directory), false, INSTALLER.to_vec());
        let rows = self.files.iter().map(|(path, file)| (recorded(path, &site_packages), file.row.clone()));
        let own = format!("{}/RECORD", self.directory);
        let text = record::text(&rows.collect(), &own);
        let mut files = LayerFiles::default();
        for (path, Installed { executable, content, .. }) in self.files {
            files.file(path, executable, ROOT, content);
        }
        files.bytes(format!("{site_packages}/{own}"), false, ROOT, text.into_bytes());
        files
    }
}

/// A path of the environment as RECORD has it: relative to site-packages.
pub fn recorded(path: &str, site_packages: &str) -> String {
    match path.strip_prefix(site_packages).and_then(|rest| rest.strip_prefix('/')) {
        Some(inside) => inside.to_string(),
        // `lib/python3.M/site-packages` is three levels deep.
        None => format!("../../..{}", path.strip_prefix(VENV).unwrap_or(path)),
    }
}

fn content(archive: &Archive, member: &Member) -> Content {
    Content::Member { archive: Arc::from(archive.path()), name: member.name.clone(), data: member.data }
}

fn hashed(reader: &mut Reader, member: &Member) -> Result<Row, WheelError> {
    let mut hash = Sha256::new();
    reader.content::<WheelError>(&member.name, &member.data, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok(Row::from_hasher(hash, member.data.size_bytes))
}

/// Why reading the start of a member ended.
enum Ended {
    Enough,
    Failed(WheelError),
}

impl From<WheelError> for Ended {
    fn from(error: WheelError) -> Ended {
        Ended::Failed(error)
    }
}

/// Whether a member starts with `#!python`. Scripts may be programs of many megabytes, so only the start is read.
fn starts_with_python(archive: &Archive, member: &Member) -> Result<bool, WheelError> {
    let mut start: Vec<u8> = Vec::new();
    let read = archive.reader()?.content::<Ended>(&member.name, &member.data, |piece| {
        start.extend(piece.iter().take(SCRIPT_START.len() - start.len()));
        if start.len() < SCRIPT_START.len() { Ok(()) } else { Err(Ended::Enough) }
    });
    match read {
        Err(Ended::Failed(error)) => Err(error),
        _ => Ok(start == SCRIPT_START),
    }
}
