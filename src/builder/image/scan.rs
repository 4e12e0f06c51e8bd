//! What is in a base image: its Pythons and its C library, from the headers of its layers.
//!
//! Layers are read once and not unpacked. A layer may remove what is in those below it ("whiteouts"). Source: OCI image
//! specification, layer.md, "Whiteouts".

use super::ImageError;
use crate::image::tar::{Entries, FoundKind, TarError};
use crate::image::unpacked::unpacked;
use crate::target::{Libc, PythonVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Read};

/// A C library of glibc is not larger.
const LIBC_LIMIT_BYTES: u64 = 16 << 20;
/// No layer is larger than this when it is unpacked.
const UNPACKED_LIMIT_BYTES: u64 = 64 << 30;
/// What glibc says about itself, before the minor version. Source: `csu/version.c`.
const GLIBC_BANNER: &[u8] = b"release version 2.";
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What was found in a base image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// Absolute paths of files and links that are called `python3.M`, sorted.
    pub pythons: Vec<String>,
    /// The minor version of glibc, if it is there.
    pub glibc: Option<u8>,
    /// Whether musl is there.
    pub has_musl: bool,
}

impl Inside {
    /// The C library. An image with both was made for glibc: Debian has a package of musl for those who build with it.
    pub fn libc(&self) -> Option<Libc> {
        // Alpine has musl 1.2 since 2021, and wheels for 1.1 run on it.
        self.glibc.map(Libc::Glibc).or(self.has_musl.then_some(Libc::Musl(2)))
    }
}

/// Collects what is in the layers of an image, from the lowest to the highest.
#[derive(Default)]
pub struct Scan {
    pythons: BTreeSet<String>,
    /// Directories with a `pyvenv.cfg`: their Pythons are links to others.
    environments: BTreeSet<String>,
    glibc: Vec<(String, u8)>,
    musl: BTreeSet<String>,
}

impl Scan {
    /// Read a layer, whatever its compression is.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn layer(&mut self, layer: impl Read) -> Result<(), ImageError> {
        let mut unpacked = unpacked(layer).map_err(TarError::from)?.take(UNPACKED_LIMIT_BYTES);
        self.archive(&mut unpacked)?;
        drain(&mut unpacked)
    }

    fn archive(&mut self, archive: impl Read) -> Result<(), ImageError> {
        let mut entries = Entries::new(archive);
        // Whiteouts are for what is below, wherever they are in their own layer.
        let mut found = Scan::default();
        while let Some(entry) = entries.next()? {
            let (directory, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
            if name == OPAQUE {
                self.remove_below(directory);
            } else if let Some(removed) = name.strip_prefix(WHITEOUT) {
                self.remove(&joined(directory, removed));
            } else if !matches!(entry.kind, FoundKind::Directory | FoundKind::Other) {
                let is_file = entry.kind == FoundKind::File && entry.size_bytes <= LIBC_LIMIT_BYTES;
                if is_file && name == "libc.so.6" {
                    let mut content = vec![0; entry.size_bytes as usize];
                    let mut at = 0;
                    while at < content.len() {
                        at += entries.content(&mut content[at..]).map_err(TarError::from)?;
                    }
                    found.glibc.extend(glibc_minor(&content).map(|minor| (entry.path.clone(), minor)));
                }
                found.name(&entry.path, directory, name);
            }
        }
        self.pythons.append(&mut found.pythons);
        self.environments.append(&mut found.environments);
        self.glibc.append(&mut found.glibc);
        self.musl.append(&mut found.musl);
        Ok(())
    }

    fn name(&mut self, path: &str, directory: &str, name: &str) {
        if version(name).is_some() && directory.rsplit('/').next() == Some("bin") {
            self.pythons.insert(path.to_string());
        } else if name == "pyvenv.cfg" {
            self.environments.insert(directory.to_string());
        } else if name.starts_with("ld-musl-") {
            self.musl.insert(path.to_string());
        } else if let Some(minor) = name.strip_prefix("libc-2.").and_then(|rest| rest.strip_suffix(".so")) {
            // Until glibc 2.34 the file was called by its version.
            self.glibc.extend(minor.parse().ok().map(|minor| (path.to_string(), minor)));
        }
    }

    fn remove(&mut self, path: &str) {
        self.pythons.remove(path);
        self.musl.remove(path);
        self.glibc.retain(|(other, _)| other != path);
        if let Some(directory) = path.strip_suffix("/pyvenv.cfg") {
            self.environments.remove(directory);
        }
        self.environments.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, directory: &str) {
        let start = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let stays = |path: &String| !path.starts_with(&start);
        self.pythons.retain(stays);
        self.musl.retain(stays);
        self.environments.retain(stays);
        self.glibc.retain(|(path, _)| stays(path));
    }

    /// What is there when all layers were read.
    pub fn finish(self) -> Inside {
        let is_linked = |python: &&String| {
            let environment = python.rsplit('/').skip(2).collect::<Vec<_>>();
            let environment: Vec<&str> = environment.into_iter().rev().collect();
            self.environments.contains(&environment.join("/"))
        };
        let own = self.pythons.iter().filter(|python| !is_linked(python));
        Inside {
            pythons: own.map(|python| format!("/{python}")).collect(),
            // Multiarch images may have several; the last layer decides.
            glibc: self.glibc.last().map(|(_, minor)| *minor),
            has_musl: !self.musl.is_empty(),
        }
    }
}

/// Read what follows an archive, so that a stream can check that all of it came.
fn drain(rest: &mut impl Read) -> Result<(), ImageError> {
    io::copy(rest, &mut io::sink()).map(drop).map_err(|error| TarError::from(error).into())
}

fn joined(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_string() } else { format!("{directory}/{name}") }
}

/// The version in `python3.M`.
pub fn version(name: &str) -> Option<PythonVersion> {
    let minor = name.strip_prefix("python3.")?;
    minor.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("3.{minor}").parse().ok()).flatten()
}

fn glibc_minor(library: &[u8]) -> Option<u8> {
    let at = library.windows(GLIBC_BANNER.len()).position(|window| window == GLIBC_BANNER)?;
    let digits: Vec<u8> =
        library[at + GLIBC_BANNER.len()..].iter().copied().take_while(u8::is_ascii_digit).collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tar::{Kind, Owner, padding, write_header};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// A layer of files, each with its content; `LINK -> TARGET` is a link.
    fn layer(files: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, content) in files {
            match path.split_once(" -> ") {
                Some((path, target)) => write_header(&mut out, path, Kind::Link { target }, Owner::default()),
                None => {
                    let size_bytes = content.len() as u64;
                    let kind = Kind::File { size_bytes, executable: true };
                    write_header(&mut out, path, kind, Owner::default());
                    out.extend(content.bytes());
                    out.extend(padding(size_bytes));
                }
            }
        }
        out.extend([0; 1024]);
        out
    }

    fn inside(layers: &[&[(&str, &str)]]) -> Inside {
        let mut scan = Scan::default();
        layers.iter().for_each(|files| scan.layer(layer(files).as_slice()).unwrap());
        scan.finish()
    }

    #[test]
    fn pythons_and_the_c_library_are_found() {
        let banner = "…GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n…";
        let debian = inside(&[
            &[("usr/lib/x86_64-linux-gnu/libc.so.6", banner)],
            &[("usr/local/bin/python3.11", ""), ("usr/local/bin/python3 -> python3.11", "")],
        ]);
        assert_eq!(debian.pythons, ["/usr/local/bin/python3.11"]);
        assert_eq!(debian.libc(), Some(Libc::Glibc(36)));
        let old =
            inside(&[&[("lib/x86_64-linux-gnu/libc-2.31.so", ""), ("lib/libc.so.6 -> libc-2.31.so", "")]]);
        assert_eq!(old.libc(), Some(Libc::Glibc(31)));
        let alpine = inside(&[&[("lib/ld-musl-x86_64.so.1", ""), ("usr/bin/python3.12", "")]]);
        assert_eq!(alpine.libc(), Some(Libc::Musl(2)));
        assert_eq!(inside(&[&[]]), Inside::default());
    }

    #[test]
    fn what_a_layer_removes_is_gone_and_environments_do_not_count() {
        let first = [("usr/bin/python3.9", ""), ("opt/a/bin/python3.11", ""), ("opt/b/bin/python3.12", "")];
        let second = [(".wh.opt", ""), ("usr/bin/.wh.python3.9", ""), ("opt/c/bin/python3.13", "")];
        assert_eq!(inside(&[&first, &second]).pythons, ["/opt/c/bin/python3.13"]);
        let opaque = [("opt/b/.wh..wh..opq", "")];
        assert_eq!(inside(&[&first, &opaque]).pythons, ["/opt/a/bin/python3.11", "/usr/bin/python3.9"]);
        let venv = [("app/.venv/pyvenv.cfg", ""), ("app/.venv/bin/python3.11 -> /usr/bin/python3.11", "")];
        assert_eq!(inside(&[&venv]).pythons, [] as [&str; 0]);
    }

    #[test]
    fn compressed_layers_are_read() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&layer(&[("usr/bin/python3.11", "")])).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut scan = Scan::default();
        scan.layer(gzip.as_slice()).unwrap();
        assert_eq!(scan.finish().pythons, ["/usr/bin/python3.11"]);
        assert!(matches!(Scan::default().layer(&[0x28, 0xb5, 0x2f, 0xfd, 0][..]), Err(ImageError::Tar(_))));
        assert!(matches!(Scan::default().layer(&gzip[..gzip.len() / 2]), Err(ImageError::Tar(_))));
        assert!(Scan::default().layer(&b""[..]).is_ok(), "an empty layer");
    }
}
