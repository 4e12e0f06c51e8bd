//! Loads a code location in a container that docker or podman starts from its image.
//!
//! The image is given to the program as one file (`load`), started without asking a registry, and removed again. Its
//! answer comes back on standard output, so nothing of this machine is mounted and the daemon may be another machine's.
//! Source of the file's form: Docker's manual, "docker image save", which podman reads too.

use super::{Image, entry};
use crate::child_env::Purpose;
use crate::hex::hex;
use crate::host::Host;
use crate::image::tar::{Kind, Owner, padding, write_header};
use crate::tools::{Process, which};
use crate::verify::{LOAD, Outcome, VerifyError, answer_of};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// In this order: podman needs no daemon and no rights.
const PROGRAMS: [&str; 2] = ["podman", "docker"];
/// A registry that does not exist, so that no program takes the name for one of Docker Hub.
const REPOSITORY: &str = "localhost/pexpress-verify";
/// What user code prints goes to stderr, and the answer to what stdout was.
const REDIRECT: &str = "import os\nos.dup2(1, 9)\nos.dup2(2, 1)\n";
const ANSWER: &str = "/dev/fd/9";

/// A program that starts containers.
pub(super) struct Engine(PathBuf);

impl Engine {
    /// The one on `PATH`.
    pub(super) fn find(host: &Host) -> Option<Engine> {
        PROGRAMS.into_iter().find_map(|program| which(host, program).next()).map(Engine)
    }

    fn process(&self, host: &Host, arguments: &[&str]) -> Process {
        Process::new(host, Purpose::Container, &self.0).subcommand(&arguments[..1]).args(&arguments[1..])
    }

    /// Load the code location of an image. `scratch` is a directory for the image as a file.
    pub(super) fn load(&self, image: &Image, scratch: &Path, host: &Host) -> Result<Outcome, VerifyError> {
        image.manifest.layers.iter().try_for_each(|layer| image.check(layer))?;
        let fail = |source| VerifyError::Engine { program: self.0.clone(), source };
        let digest = hex(Sha256::digest(image.manifest.to_bytes()));
        // Another run may verify the same image.
        let name = format!("{REPOSITORY}:{}-{}", &digest[..16], std::process::id());
        let file = scratch.join("image.tar");
        let written = write(image, &name, &file);
        written.map_err(|source| VerifyError::File { action: "write", path: file.clone(), source })?;
        let path = file.to_string_lossy();
        self.process(host, &["load", "--input", &path]).run(host).map_err(fail)?;
        // It is in the program's own storage now.
        let _ = std::fs::remove_file(&file);
        let code = format!("{REDIRECT}{LOAD}");
        let document = Value::Object(image.loading.document.clone()).to_string();
        let process = self.process(
            host,
            &[
                "run",
                "--rm",
                "--pull=never",
                "--env=LOAD_ROOT=/opt/dagster/",
                &name,
                "/opt/venv/bin/python",
                "-c",
                &code,
                ANSWER,
                &document,
            ],
        );
        let outcome = answer_of(process, None, &entry(image), host);
        if let Err(error) = self.process(host, &["rmi", &name]).run(host) {
            host.note(format!("the image {name} could not be removed: {error}"));
        }
        outcome
    }
}

/// Write an image as `load` takes it: its config, its layers as they are, and a list of both.
fn write(image: &Image, name: &str, file: &Path) -> io::Result<()> {
    let mut out = io::BufWriter::new(File::create(file)?);
    let (config, layers) = (&image.manifest.config, &image.manifest.layers);
    let config_name = format!("{}.json", config.digest.hex());
    let mut names = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        // A layer may be there twice, and a file may not.
        names.push(format!("{at}-{}.tar", layer.digest.hex()));
    }
    let list = json!([{ "Config": config_name, "RepoTags": [name], "Layers": names }]).to_string();
    let blobs = layers.iter().zip(&names).chain([(config, &config_name)]);
    for (descriptor, name) in blobs {
        let content = File::open(image.layout.blob_path(&descriptor.digest))?;
        append(&mut out, name, descriptor.size, content)?;
    }
    append(&mut out, "manifest.json", list.len() as u64, list.as_bytes())?;
    out.write_all(&[0; 1024])?;
    out.flush()
}

fn append(out: &mut impl Write, name: &str, size_bytes: u64, mut content: impl io::Read) -> io::Result<()> {
    let mut header = Vec::new();
    write_header(&mut header, name, Kind::File { size_bytes, executable: false }, Owner::default());
    out.write_all(&header)?;
    if io::copy(&mut content, out)? != size_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    out.write_all(padding(size_bytes))
}
