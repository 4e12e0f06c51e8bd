//! Checks whether compiled files in wheels that were built here run on the target.
//!
//! A build uses this machine's glibc and processor, and the tag `linux_ARCH` of its wheel does not name a glibc
//! version. Without this check, the import in Dagster+ would fail; here the files are read before the upload. Wheels
//! from an index are not checked: their tags promise a glibc version.

use super::elf;
use crate::error::{Explain, Fault};
use crate::target::{Libc, Target};
use crate::wheel::{Archive, Member, WheelError};
use std::path::Path;

/// Larger files are refused. No real build comes near this size.
const LIMIT_BYTES: u64 = 1 << 30;
/// Prefix of the library name of musl, Alpine's C library.
const MUSL: &str = "libc.musl-";

/// A wheel that was built here does not run on the target.
#[derive(Debug, thiserror::Error)]
pub enum CompiledError {
    #[error(transparent)]
    #[allow(missing_docs)]
    Wheel(#[from] WheelError),
    /// It needs a newer glibc than the target has.
    #[error("`{wheel}`, built here, does not run on {}: its file `{member}` needs {version} of {library}", target.platform)]
    NewerGlibc {
        /// File name.
        wheel: String,
        /// Compiled file in it.
        member: String,
        /// `libc.so.6`.
        library: String,
        /// `GLIBC_2.38`.
        version: String,
        /// What is built for.
        target: Target,
    },
    /// It was linked with musl.
    #[error("`{wheel}`, built here, does not run on {}: its file `{member}` needs {library}, the C library of Alpine Linux", target.platform)]
    Musl {
        /// File name.
        wheel: String,
        /// Compiled file in it.
        member: String,
        /// `libc.musl-x86_64.so.1`.
        library: String,
        /// What is built for.
        target: Target,
    },
    /// It is for another processor.
    #[error("`{wheel}`, built here, does not run on {}: its file `{member}` is for another processor", target.platform)]
    OtherProcessor {
        /// File name.
        wheel: String,
        /// Compiled file in it.
        member: String,
        /// What is built for.
        target: Target,
    },
}

impl Explain for CompiledError {
    fn fault(&self) -> Fault {
        match self {
            CompiledError::Wheel(error) => error.fault(),
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        let (target, where_to) = match self {
            CompiledError::Wheel(error) => return error.hint(),
            CompiledError::NewerGlibc { target, .. } => {
                let place = match target.platform.libc {
                    Libc::Glibc(minor) => {
                        format!("on a runner with glibc 2.{minor} or older, such as {}", system(minor))
                    }
                    Libc::Musl(_) => "in a container of Alpine Linux".to_string(),
                };
                (target, place)
            }
            CompiledError::Musl { target, .. } => {
                (target, "on a runner with glibc instead of Alpine".to_string())
            }
            CompiledError::OtherProcessor { target, .. } => {
                (target, format!("on a runner with an {} processor", target.platform.arch))
            }
        };
        let python = target.python;
        Some(format!(
            "require a version that has a wheel for Python {python} and the target, or build {where_to}"
        ))
    }
}

/// A runner image with this glibc or an older one.
fn system(glibc_minor: u8) -> &'static str {
    match glibc_minor {
        39.. => "ubuntu-24.04",
        35..39 => "ubuntu-22.04",
        _ => "a manylinux container",
    }
}

/// Check the compiled files of a wheel that was built here; `file_name` is its name for messages.
///
/// # Errors
/// When a file needs musl or a newer glibc than the target has, or when all files are for other processors.
pub(super) fn check(wheel: &Path, file_name: &str, target: Target) -> Result<(), CompiledError> {
    let archive = Archive::open(wheel)?;
    let mut reader = archive.reader()?;
    let (mut fits, mut foreign) = (false, None);
    for Member { name, data, .. } in archive.members().iter().filter(|member| may_be_compiled(member)) {
        let content = reader.read(name, data, LIMIT_BYTES)?;
        // Scripts are executable too.
        let Some(needs) = elf::read(&content) else { continue };
        if needs.arch != Some(target.platform.arch) {
            foreign.get_or_insert(name);
            continue;
        }
        fits = true;
        check_libraries(&needs, file_name, name, target)?;
    }
    // A package may ship files for several processors and choose one at run time.
    match foreign.filter(|_| !fits && !file_name.ends_with("-any.whl")) {
        Some(member) => {
            Err(CompiledError::OtherProcessor { wheel: file_name.into(), member: member.clone(), target })
        }
        None => Ok(()),
    }
}

fn check_libraries(
    needs: &elf::Needs,
    wheel: &str,
    member: &str,
    target: Target,
) -> Result<(), CompiledError> {
    let (wheel, member) = (wheel.to_string(), member.to_string());
    let has_musl = matches!(target.platform.libc, Libc::Musl(_));
    if let Some(library) = needs.libraries.iter().find(|library| library.starts_with(MUSL) && !has_musl) {
        return Err(CompiledError::Musl { wheel, member, library: library.clone(), target });
    }
    // With musl, no version of glibc is there.
    let there = match target.platform.libc {
        Libc::Glibc(minor) => u32::from(minor),
        Libc::Musl(_) => 0,
    };
    match needs.newest_glibc() {
        Some((library, version, minor)) if minor > there => {
            let (library, version) = (library.to_string(), version.to_string());
            Err(CompiledError::NewerGlibc { wheel, member, library, version, target })
        }
        _ => Ok(()),
    }
}

/// Shared objects by name (`a.so`, `liba.so.1.2`), and all executable files.
fn may_be_compiled(member: &Member) -> bool {
    member.executable || member.name.ends_with(".so") || member.name.contains(".so.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::elf::tests::elf_file;
    use crate::error::error_text;
    use crate::wheel::fixture::{TestMember, file, write_zip};

    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    const WHEEL: &str = "a-1-cp311-cp311-linux_x86_64.whl";

    fn so(name: &str, machine: u16, version: &str) -> TestMember {
        TestMember {
            content: elf_file(machine, &[("libc.so.6", &["GLIBC_2.2.5", version])]),
            ..file(name, "")
        }
    }

    fn checked(file_name: &str, members: &[TestMember], python: &str) -> Result<(), CompiledError> {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::serverless(python.parse().unwrap());
        check(&write_zip(dir.path(), file_name, members), file_name, target)
    }

    #[test]
    fn a_newer_glibc_than_the_targets_is_named_with_the_ways_out() {
        let members = [so("a/old.so", X86_64, "GLIBC_2.17"), so("a/new.so", X86_64, "GLIBC_2.38")];
        insta::assert_snapshot!(error_text(&checked(WHEEL, &members, "3.11").unwrap_err(), false), @r"
        error: `a-1-cp311-cp311-linux_x86_64.whl`, built here, does not run on manylinux_2_36_x86_64: its file `a/new.so` needs GLIBC_2.38 of libc.so.6
        hint: require a version that has a wheel for Python 3.11 and the target, or build on a runner with glibc 2.36 or older, such as ubuntu-22.04
        ");
        assert!(checked(WHEEL, &members, "3.13").is_ok(), "glibc 2.41 is there");
        assert!(checked(WHEEL, &members[..1], "3.11").is_ok());
    }

    #[test]
    fn another_processor_is_an_error_unless_there_is_a_choice() {
        let arm = so("a/arm.so.1", AARCH64, "GLIBC_2.17");
        let both = [arm.clone(), so("a/x86.so", X86_64, "GLIBC_2.17")];
        insta::assert_snapshot!(error_text(&checked(WHEEL, &both[..1], "3.11").unwrap_err(), false), @r"
        error: `a-1-cp311-cp311-linux_x86_64.whl`, built here, does not run on manylinux_2_36_x86_64: its file `a/arm.so.1` is for another processor
        hint: require a version that has a wheel for Python 3.11 and the target, or build on a runner with an x86_64 processor
        ");
        assert!(checked(WHEEL, &both, "3.11").is_ok());
        assert!(checked("a-1-py3-none-any.whl", &both[..1], "3.11").is_ok());
    }

    #[test]
    fn a_file_that_is_not_compiled_is_not_judged_by_its_name() {
        assert!(checked(WHEEL, &[file("a.so", "a linker script"), file("b.py", "\x7fELF")], "3.11").is_ok());
    }
}
