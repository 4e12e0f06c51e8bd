//! The modules of a wheel → bytecode for the image, so that a container does not compile them at every start.
//!
//! Files are "unchecked hash-based" (PEP 552): Python loads them without looking at the source or its time. They are
//! compiled by a Python of the target's minor version, and each holds the path that its module has in the image, as
//! tracebacks show it. The same wheel leads to the same bytes in every run, on every machine. What does not compile is
//! left out, as by pip. Result: an archive in the cache, which the layer writer copies from like from a wheel.

mod marshal;

use crate::builder::BuildError;
use crate::cache::{CacheError, write_by_way_of};
use crate::child_env::Purpose;
use crate::hex::hex;
use crate::net::download::sha256_of_file;
use crate::pex::{PexError, write_files};
use crate::target::PythonVersion;
use crate::threads::{joined, lock};
use crate::tools::dialogue::Limits;
use crate::tools::{Dialogue, Process, ProcessError, Tools};
use crate::wheel::{Archive, RawData, Reader};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Raise it whenever the same wheel and Python lead to other bytes.
const FORMAT: &str = "2";
const SCRIPT: &str = include_str!("bytecode/compile.py");
/// Larger sources are left out. Generated modules of real wheels have 4 MB.
const SOURCE_LIMIT_BYTES: u64 = 16 << 20;
/// A megabyte of source compiles in about a second. The second limit is far above any real file.
const LIMITS: Limits = Limits { time: Duration::from_secs(60), size_bytes: 256 << 20 };
/// After this many files that end Python or exceed the limits, the others of a wheel are left out.
const MOST_LOST: usize = 3;
/// No version of Python has had as many patch releases.
const MOST_PATCHES: u32 = 50;
/// Bytes of a `.pyc` file before the code: magic number, flags, hash of the source. Source: PEP 552.
const HEADER_BYTES: usize = 16;

/// A Python that compiles wheels. Threads share it; each that compiles at the same time has a process of its own.
pub struct Compiler<'t> {
    tools: &'t Tools,
    python: PathBuf,
    minor: u8,
    about: About,
    site_packages: String,
    limits: Limits,
    idle: Mutex<Vec<Dialogue>>,
}

/// What the Python says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct About {
    /// `3.11.9`.
    version: String,
    /// `cpython-311`.
    tag: String,
    /// Magic number, hex.
    magic: String,
}

impl<'t> Compiler<'t> {
    /// A compiler for the site-packages directory of an image, an absolute path. A Python of this version is searched,
    /// or installed by uv.
    ///
    /// # Errors
    /// When there is no such Python, or it cannot be used.
    pub fn new(
        tools: &'t Tools,
        python: PythonVersion,
        site_packages: &str,
    ) -> Result<Compiler<'t>, BuildError> {
        let executable = tools.python(python)?;
        let mut compiler = Compiler {
            tools,
            python: executable,
            minor: python.minor(),
            about: About { version: String::new(), tag: String::new(), magic: String::new() },
            site_packages: site_packages.trim_end_matches('/').to_string(),
            limits: LIMITS,
            idle: Mutex::default(),
        };
        let (first, about) = compiler.start()?;
        compiler.about = about;
        lock(&compiler.idle).push(first);
        Ok(compiler)
    }

    /// What the bytes follow from besides the wheel and the path of its site-packages: the format and the full version
    /// of Python. Part of the keys of layers with bytecode.
    pub fn key(&self) -> String {
        format!("{FORMAT}-{}", self.about.version)
    }

    /// The keys that compilers of a Python version may have, by patch release. Any of them does for an image: the format
    /// of bytecode stays the same within a version, and what compiles here is seldom what runs there.
    pub fn possible_keys(python: PythonVersion) -> impl Iterator<Item = String> {
        (0..MOST_PATCHES).map(move |patch| format!("{FORMAT}-{python}.{patch}"))
    }

    /// The bytecode of a wheel, from the cache or compiled now. Names of members are paths below site-packages, such as
    /// `six/__pycache__/moves.cpython-311.pyc`. A member replaces a file of that name in the wheel itself.
    ///
    /// # Errors
    /// When the wheel is damaged, the cache cannot be written, or Python cannot be started.
    pub fn bytecode(&self, wheel: &Archive, sha256: &str) -> Result<Archive, BuildError> {
        let prefix = &hex(Sha256::digest(&self.site_packages))[..8];
        let entry = format!("bytecode/{sha256}-{}-{prefix}", self.key());
        let cache = self.tools.cache();
        let (path, name) = (cache.root().join(&entry).join("bytecode.zip"), format!("{entry}/sha256"));
        cache.claim(&cache.root().join(&entry));
        let known = cache.recall(&name);
        if known.is_some_and(|digest| sha256_of_file(&path).is_ok_and(|found| found == digest)) {
            return Ok(Archive::open(&path)?);
        }
        write_by_way_of::<BuildError>(&cache.dir("bytecode")?, &path, |file| self.compile(wheel, file))?;
        let digest = sha256_of_file(&path).map_err(|source| CacheError {
            action: "read",
            path: path.clone(),
            source,
        })?;
        cache.keep(&name, &digest)?;
        Ok(Archive::open(&path)?)
    }

    /// Where bytecode of this wheel's modules would be and is not, below site-packages. In an image, a file of another
    /// wheel at such a place would be loaded in place of this wheel's module.
    pub fn lacking(&self, wheel: &Archive, bytecode: &Archive) -> Vec<String> {
        let made: BTreeSet<&str> = bytecode.members().iter().map(|member| member.name.as_str()).collect();
        let places = bytecode_places(wheel, &self.about.tag).into_iter();
        places.filter(|place| !made.contains(place.as_str())).collect()
    }

    /// [`Compiler::bytecode`] of several wheels, each with its SHA-256, in as many processes as there are processors.
    ///
    /// # Errors
    /// As there.
    pub fn all(&self, wheels: &[(&Archive, &str)]) -> Result<Vec<Archive>, BuildError> {
        let source_bytes = |wheel: &Archive| {
            let members = wheel.members().iter().filter(|member| member.name.ends_with(".py"));
            members.map(|member| member.data.size_bytes).sum::<u64>()
        };
        let mut order: Vec<usize> = (0..wheels.len()).collect();
        // The largest first, so that the threads end at about the same time.
        order.sort_by_key(|at| std::cmp::Reverse(source_bytes(wheels[*at].0)));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (wheel, sha256) = wheels[*at];
                done.push((*at, self.bytecode(wheel, sha256)?));
            }
            Ok::<_, BuildError>(done)
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut done = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..processors.min(wheels.len())).map(|_| scope.spawn(work)).collect();
            let done = threads.into_iter().map(joined).collect::<Result<Vec<_>, _>>();
            Ok::<_, BuildError>(done?.into_iter().flatten().collect::<Vec<_>>())
        })?;
        done.sort_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, archive)| archive).collect())
    }

    fn compile(&self, wheel: &Archive, file: &mut std::fs::File) -> Result<(), BuildError> {
        let mut job = Job { compiler: self, reader: wheel.reader()?, lost: 0, wheel };
        let mut failed = None;
        let modules = self.modules(wheel);
        let mut modules = modules.iter();
        // One file at a time is in memory.
        let files = std::iter::from_fn(|| {
            for (pyc, module) in modules.by_ref() {
                match job.pyc(module) {
                    Ok(Some(content)) => return Some((pyc.clone(), content)),
                    Ok(None) => {}
                    Err(error) => {
                        failed = Some(error);
                        return None;
                    }
                }
            }
            None
        });
        let written = write_files(file, files);
        if let Some(error) = failed {
            return Err(error);
        }
        written.map(|_| ()).map_err(|error| match error {
            PexError::Write(source) => {
                let path = self.tools.cache().root().join("bytecode");
                CacheError { action: "write to", path, source }.into()
            }
            error => error.into(),
        })
    }

    /// The modules of a wheel by the path of their bytecode, both below site-packages. Two files for one path cannot
    /// be told apart, so they have none.
    fn modules<'w>(&self, wheel: &'w Archive) -> BTreeMap<String, Module<'w>> {
        let mut modules = BTreeMap::new();
        let mut places = BTreeMap::new();
        for member in wheel.members() {
            let Some(path) = below_site_packages(&member.name) else { continue };
            let Some(pyc) = pyc_path(path, &self.about.tag) else { continue };
            *places.entry(path).or_insert(0) += 1;
            modules.insert(pyc, Module { member: &member.name, data: &member.data, path });
        }
        modules.retain(|_, module| places.get(module.path) == Some(&1));
        modules
    }

    /// Start a Python, and read what it says about itself.
    fn start(&self) -> Result<(Dialogue, About), BuildError> {
        let process = Process::new(self.tools.host(), Purpose::Own, &self.python)
            .args(["-S", "-s", "-B", "-c", SCRIPT])
            // Some of these change the code, such as PYTHONNODEBUGRANGES.
            .env_remove_prefix("PYTHON")
            // The order of sets of strings depends on it.
            .env("PYTHONHASHSEED", "0")
            // With `-c`, modules in the working directory hide Python's own.
            .env("PYTHONSAFEPATH", "1")
            .cwd(self.tools.cache().dir("bytecode")?.as_path());
        let mut dialogue = process.converse(self.limits).map_err(crate::tools::Error::from)?;
        let answer = dialogue.ask(&[]).ok().and_then(|answer| String::from_utf8(answer).ok());
        let about = answer.as_deref().and_then(About::parse).ok_or_else(|| self.unusable())?;
        Ok((dialogue, about))
    }

    fn unusable(&self) -> BuildError {
        let name = self.python.display().to_string();
        let reason = "it does not say its version".to_string();
        crate::tools::Error::from(ProcessError::Answer { name, reason }).into()
    }

    /// A process, and how it is called in messages.
    fn process(&self) -> Result<Dialogue, BuildError> {
        let idle = lock(&self.idle).pop();
        match idle {
            Some(idle) => Ok(idle),
            None => Ok(self.start()?.0),
        }
    }
}

impl About {
    fn parse(answer: &str) -> Option<About> {
        let mut words = answer.split(' ').map(String::from);
        let about = About { version: words.next()?, tag: words.next()?, magic: words.next()? };
        // They become parts of paths.
        let is_plain = answer.chars().all(|c| c.is_ascii_alphanumeric() || ".-+_ ".contains(c));
        is_plain.then_some(about)
    }
}

/// A module in a wheel.
struct Module<'w> {
    member: &'w str,
    data: &'w RawData,
    /// Below site-packages.
    path: &'w str,
}

/// The compilation of one wheel.
struct Job<'a> {
    compiler: &'a Compiler<'a>,
    wheel: &'a Archive,
    reader: Reader,
    /// How many processes it has cost.
    lost: usize,
}

impl Job<'_> {
    /// The bytecode of a module; `None` if it does not compile.
    fn pyc(&mut self, module: &Module) -> Result<Option<Vec<u8>>, BuildError> {
        let compiler = self.compiler;
        if module.data.size_bytes > SOURCE_LIMIT_BYTES || self.lost >= MOST_LOST {
            return Ok(None);
        }
        let source = self.reader.read(module.member, module.data, SOURCE_LIMIT_BYTES)?;
        let path = format!("{}/{}", compiler.site_packages, module.path);
        let mut process = compiler.process()?;
        match process.ask(&[path.as_bytes(), &source]) {
            Ok(answer) => {
                lock(&compiler.idle).push(process);
                Ok(canonical(answer, compiler.minor))
            }
            Err(error) => {
                self.lost += 1;
                self.tell(module, &error);
                Ok(None)
            }
        }
    }

    fn tell(&self, module: &Module, error: &io::Error) {
        let wheel = self.wheel.path().file_name().unwrap_or_default().to_string_lossy();
        let why = match error.kind() {
            io::ErrorKind::TimedOut => "compiling it takes too long",
            io::ErrorKind::FileTooLarge => "it would be too large",
            _ => "compiling it ends Python",
        };
        let member = module.member.escape_debug();
        self.compiler.tools.host().note(format!("no bytecode for `{member}` of `{wheel}`: {why}"));
        if self.lost == MOST_LOST {
            self.compiler.tools.host().note(format!("no bytecode for the other modules of `{wheel}`"));
        }
    }
}

/// A `.pyc` file with its code in one form.
fn canonical(mut pyc: Vec<u8>, minor: u8) -> Option<Vec<u8>> {
    if pyc.len() <= HEADER_BYTES {
        return None;
    }
    let code = marshal::canonical(pyc.split_off(HEADER_BYTES), minor)?;
    pyc.extend(code);
    Some(pyc)
}

/// Where a Python loads bytecode for the modules of a wheel from, below site-packages. `tag` is `cpython-311`.
pub fn bytecode_places(wheel: &Archive, tag: &str) -> BTreeSet<String> {
    let paths = wheel.members().iter().filter_map(|member| below_site_packages(&member.name));
    paths.filter_map(|path| pyc_path(path, tag)).collect()
}

/// Where a member of a wheel is installed below site-packages; `None` if elsewhere.
///
/// Source: "Binary distribution format" (PyPA), "The .data directory".
fn below_site_packages(member: &str) -> Option<&str> {
    let Some((first, rest)) = member.split_once('/') else { return Some(member) };
    if !first.ends_with(".data") {
        return Some(member);
    }
    rest.strip_prefix("purelib/").or_else(|| rest.strip_prefix("platlib/"))
}

/// `a/b.py` → `a/__pycache__/b.cpython-311.pyc`. Source: PEP 3147.
fn pyc_path(path: &str, tag: &str) -> Option<String> {
    let stem = path.strip_suffix(".py")?;
    let (directory, name) = stem.rsplit_once('/').map_or((None, stem), |(parent, name)| (Some(parent), name));
    let is_module = !name.is_empty() && !path.split('/').any(|part| part == "__pycache__");
    let file = format!("__pycache__/{name}.{tag}.pyc");
    is_module.then(|| directory.map_or(file.clone(), |directory| format!("{directory}/{file}")))
}

#[cfg(test)]
mod tests;
