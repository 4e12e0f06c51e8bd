//! Modules that two distributions in a deps PEX ship at the same path with different content.
//!
//! The agent keeps the file of the distribution that sorts first; pip and uv keep the one installed last. What runs may
//! then differ from what was tested. Source: `--collisions-ok` of pex's tools, which the agent passes.

use super::Chroot;
use super::completeness::pin;
use super::layout::FileContent;
use crate::wheel::{RawData, Reader};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// File endings that Python imports.
const MODULES: [&str; 3] = [".py", ".so", ".pyd"];
/// Top-level directories that wheels often ship by mistake. Nothing imports them.
const UNUSED: [&str; 7] = ["test", "tests", "testing", "doc", "docs", "examples", "benchmarks"];
/// Larger `__init__.py` files are not compared by their code.
const INIT_LIMIT_BYTES: u64 = 16 * 1024;

/// Two distributions with the same modules. `Display` writes one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// `Name==Version` of the distribution whose file is used.
    pub first: String,
    /// `Name==Version` of the other.
    pub second: String,
    /// The first path that differs.
    pub path: String,
    /// How many other paths differ.
    pub more: usize,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Collision { first, second, path, .. } = self;
        let more = self.further();
        write!(
            f,
            "{first} and {second} both contain `{path}`{more} with different content; Dagster+ runs that of {first}, and \
             uv or pip may have installed the other: require only one of them"
        )
    }
}

impl Collision {
    /// The same for an image, where the file of the second one is used.
    pub fn in_image(&self) -> String {
        let Collision { first, second, path, .. } = self;
        format!(
            "{first} and {second} both contain `{path}`{} with different content; the image has that of {second}, and uv \
             or pip may have installed the other: require only one of them",
            self.further()
        )
    }

    fn further(&self) -> String {
        if self.more == 0 { String::new() } else { format!(" (and {} further files)", self.more) }
    }
}

/// The collisions in a deps PEX, one for each pair of distributions.
pub fn collisions(chroots: &[Chroot]) -> Vec<Collision> {
    let mut chroots: Vec<&Chroot> = chroots.iter().collect();
    // The agent adds distributions in the order of their file names, and the first one wins.
    chroots.sort_by(|one, other| one.file_name().cmp(other.file_name()));
    collisions_in_order(&chroots)
}

/// The collisions of distributions in this order.
pub fn collisions_in_order(chroots: &[&Chroot]) -> Vec<Collision> {
    let mut seen: HashMap<&str, (usize, &RawData)> = HashMap::new();
    let mut pairs: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    for (index, chroot) in chroots.iter().enumerate() {
        for file in chroot.files().iter().filter(|file| is_module(&file.path)) {
            // Files made here, such as INSTALLER, differ in every wheel and are no modules.
            let FileContent::Member(data) = &file.content else { continue };
            let Some((first, other)) = seen.get(file.path.as_str()).copied() else {
                seen.insert(&file.path, (index, data));
                continue;
            };
            // CRC-32 and size are in the central directory, so the files need not be read. Two modules that share both
            // by accident only lose a warning.
            let same = (other.crc32, other.size_bytes) == (data.crc32, data.size_bytes)
                || is_same_code(&file.path, (chroots[first], other), (chroot, data));
            if !same {
                pairs.entry((first, index)).or_default().push(&file.path);
            }
        }
    }
    let collision = |((first, second), paths): ((usize, usize), Vec<&str>)| Collision {
        first: pin(chroots[first]),
        second: pin(chroots[second]),
        path: paths[0].to_string(),
        more: paths.len() - 1,
    };
    pairs.into_iter().map(collision).collect()
}

fn is_module(path: &str) -> bool {
    let top = path.split('/').next().unwrap_or_default();
    MODULES.iter().any(|ending| path.ends_with(ending)) && !top.starts_with('.') && !UNUSED.contains(&top)
}

/// Whether two `__init__.py` files differ only in comments, or both only declare a namespace.
fn is_same_code(path: &str, one: (&Chroot, &RawData), other: (&Chroot, &RawData)) -> bool {
    if !path.ends_with("/__init__.py") {
        return false;
    }
    let code = |(chroot, data): (&Chroot, &RawData)| {
        let text = Reader::open(chroot.path()).ok()?.read(path, data, INIT_LIMIT_BYTES).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Some(lines.collect::<Vec<_>>().join("\n"))
    };
    // pkgutil and pkg_resources namespace packages: each distribution ships its own `__init__.py`, and either works.
    let is_namespace = |code: &str| code.contains("declare_namespace") || code.contains("extend_path");
    match (code(one), code(other)) {
        (Some(one), Some(other)) => one == other || (is_namespace(&one) && is_namespace(&other)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pex::script_stub;
    use crate::wheel::fixture::{file, write_zip};
    use std::path::Path;

    fn chroot(dir: &Path, name: &str, members: &[(&str, &str)]) -> Chroot {
        let file_name = format!("{name}-1-py3-none-any.whl");
        let info = format!("{name}-1.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1\n");
        let wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        let mut all =
            vec![file(&format!("{info}/METADATA"), &metadata), file(&format!("{info}/WHEEL"), wheel)];
        all.extend(members.iter().map(|(path, text)| file(path, text)));
        Chroot::open(&write_zip(dir, &file_name, &all), &file_name, &script_stub).unwrap()
    }

    #[test]
    fn only_modules_with_different_content_are_collisions() {
        let dir = tempfile::tempdir().unwrap();
        let one = chroot(
            dir.path(),
            "cva",
            &[
                ("cv/__init__.py", "A = 1\n"),
                ("cv/b.py", "a"),
                ("LICENSE", "a"),
                ("ns/__init__.py", "# one\n"),
                ("google/__init__.py", "__import__('pkg_resources').declare_namespace(__name__)\n"),
                ("tests/__init__.py", "a"),
            ],
        );
        let two = chroot(
            dir.path(),
            "cvb",
            &[
                ("cv/__init__.py", "A = 2\n"),
                ("cv/b.py", "b"),
                ("LICENSE", "b"),
                ("ns/__init__.py", ""),
                ("google/__init__.py", "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"),
                ("tests/__init__.py", "b"),
            ],
        );
        let found: Vec<String> = collisions(&[two, one]).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @"cva==1 and cvb==1 both contain `cv/__init__.py` (and 1 further files) with different content; Dagster+ runs that of cva==1, and uv or pip may have installed the other: require only one of them");
    }
}
