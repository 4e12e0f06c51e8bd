//! Reads from a compiled file (ELF: `.so`, executables) which processor and glibc it needs.
//!
//! The section `.gnu.version_r` lists for each library the symbol versions that the dynamic linker requires, such as
//! `GLIBC_2.38`. Nothing is trusted: offsets and counts are checked, and loops are bounded. Sources: System V ABI,
//! "Object Files"; Linux Standard Base, "Symbol Versioning" (`Elf64_Verneed`, `Elf64_Vernaux`).

use crate::target::Arch;

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
/// `e_machine`.
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
/// Lengths of the file header and of a section header of a 64-bit file.
const HEADER_BYTES: usize = 64;
const SECTION_BYTES: usize = 64;
/// `sh_type` of `.gnu.version_r`.
const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;
/// `sh_type` of `.dynamic`, the length of its entries, and the tag of those that name a library.
const SHT_DYNAMIC: u32 = 6;
const DYNAMIC_BYTES: usize = 16;
const DT_NEEDED: usize = 1;
/// More libraries or versions than any file has.
const MAX_ENTRIES: usize = 10_000;

/// What a compiled file needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Processor, if it is a supported one.
    pub arch: Option<Arch>,
    /// Required libraries, such as `libc.so.6` or `libc.musl-x86_64.so.1`.
    pub libraries: Vec<String>,
    /// `(library, symbol version)` such as `("libm.so.6", "GLIBC_2.38")`, in the order of the file.
    pub versions: Vec<(String, String)>,
}

impl Needs {
    /// The newest glibc that it needs: library, symbol version, and the minor version.
    pub fn newest_glibc(&self) -> Option<(&str, &str, u32)> {
        let glibc = self.versions.iter().filter_map(|(library, version)| {
            Some((library.as_str(), version.as_str(), glibc_minor(version)?))
        });
        glibc.max_by_key(|(_, _, minor)| *minor)
    }
}

/// `38` for `GLIBC_2.38`, `2` for `GLIBC_2.2.5`. `GLIBC_PRIVATE` and `GLIBC_ABI_DT_RELR` have no number.
fn glibc_minor(version: &str) -> Option<u32> {
    let minor = version.strip_prefix("GLIBC_2.")?;
    minor.split('.').next()?.parse().ok()
}

/// Whether bytes start like an ELF file.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Read a compiled file. `None` when it is not an ELF file or is damaged; no processor when it is not 64-bit
/// little-endian.
pub fn read(bytes: &[u8]) -> Option<Needs> {
    let header = bytes.get(..HEADER_BYTES)?;
    if !is_elf(header) {
        return None;
    }
    if header[4] != CLASS_64 || header[5] != LITTLE_ENDIAN {
        return Some(Needs { arch: None, libraries: Vec::new(), versions: Vec::new() });
    }
    let arch = match u16_at(header, 18)? {
        EM_X86_64 => Some(Arch::X86_64),
        EM_AARCH64 => Some(Arch::Aarch64),
        _ => None,
    };
    let sections = sections(bytes, header)?;
    let mut needs = Needs { arch, libraries: Vec::new(), versions: Vec::new() };
    for section in sections.chunks_exact(SECTION_BYTES) {
        let kind = u32_at(section, 4)?;
        if kind != SHT_GNU_VERNEED && kind != SHT_DYNAMIC {
            continue;
        }
        let strings = sections.chunks_exact(SECTION_BYTES).nth(usize_at_u32(section, 40)?)?;
        let (table, strings) = (content(bytes, section)?, content(bytes, strings)?);
        match kind {
            SHT_DYNAMIC => read_libraries(table, strings, &mut needs.libraries)?,
            _ => read_versions(table, strings, &mut needs.versions)?,
        }
    }
    Some(needs)
}

/// The table of section headers; empty if the file has none.
fn sections<'a>(bytes: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    let (offset, size, count) = (usize_at(header, 40)?, u16_at(header, 58)?, u16_at(header, 60)?);
    if count == 0 || usize::from(size) != SECTION_BYTES {
        return Some(&[]);
    }
    bytes.get(offset..offset.checked_add(usize::from(count) * SECTION_BYTES)?)
}

/// The bytes of a section.
fn content<'a>(bytes: &'a [u8], section: &[u8]) -> Option<&'a [u8]> {
    let (offset, size) = (usize_at(section, 24)?, usize_at(section, 32)?);
    bytes.get(offset..offset.checked_add(size)?)
}

/// `Elf64_Dyn`: tag and value.
fn read_libraries(entries: &[u8], strings: &[u8], libraries: &mut Vec<String>) -> Option<()> {
    for entry in entries.chunks_exact(DYNAMIC_BYTES).take(MAX_ENTRIES) {
        if usize_at(entry, 0)? == DT_NEEDED {
            libraries.push(string(strings, usize_at(entry, 8)?)?);
        }
    }
    Some(())
}

/// `Elf64_Verneed` (version, count, file, aux, next) and the `Elf64_Vernaux` (hash, flags, other, name, next) of each;
/// `next` is relative, 0 at the end.
fn read_versions(needs: &[u8], strings: &[u8], versions: &mut Vec<(String, String)>) -> Option<()> {
    let mut need = 0_usize;
    for _ in 0..MAX_ENTRIES {
        let entry = needs.get(need..need.checked_add(16)?)?;
        let library = string(strings, usize_at_u32(entry, 4)?)?;
        let mut aux = need.checked_add(usize_at_u32(entry, 8)?)?;
        for _ in 0..u16_at(entry, 2)? {
            let version = needs.get(aux..aux.checked_add(16)?)?;
            // A hostile file can point `next` at itself.
            if versions.len() >= MAX_ENTRIES {
                return None;
            }
            versions.push((library.clone(), string(strings, usize_at_u32(version, 8)?)?));
            aux = aux.checked_add(usize_at_u32(version, 12)?)?;
        }
        match usize_at_u32(entry, 12)? {
            0 => break,
            next => need = need.checked_add(next)?,
        }
    }
    Some(())
}

/// A name in a string table. Libraries and versions have names of at most 255 bytes.
fn string(strings: &[u8], at: usize) -> Option<String> {
    let rest = strings.get(at..)?;
    let end = rest.iter().take(256).position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn usize_at_u32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ELF file with only the parts that are read here.
    pub(crate) fn elf_file(machine: u16, versions: &[(&str, &[&str])]) -> Vec<u8> {
        let (mut needs, mut strings) = (Vec::new(), vec![0]);
        let mut add = |text: &str| {
            let at = strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            at
        };
        for (place, (library, names)) in versions.iter().enumerate() {
            let size = 16 + 16 * names.len() as u32;
            needs.extend(1_u16.to_le_bytes());
            needs.extend((names.len() as u16).to_le_bytes());
            let next = if place + 1 == versions.len() { 0 } else { size };
            [add(library), 16, next].iter().for_each(|field| needs.extend(field.to_le_bytes()));
            for (place, name) in names.iter().enumerate() {
                let next: u32 = if place + 1 == names.len() { 0 } else { 16 };
                [0, 0, add(name), next].iter().for_each(|field| needs.extend(field.to_le_bytes()));
            }
        }
        let mut file = vec![0; HEADER_BYTES];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[40..48].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        file[58..60].copy_from_slice(&(SECTION_BYTES as u16).to_le_bytes());
        file[60..62].copy_from_slice(&2_u16.to_le_bytes());
        let first = HEADER_BYTES + 2 * SECTION_BYTES;
        for (kind, offset, size, link) in
            [(SHT_GNU_VERNEED, first, needs.len(), 1_u32), (3, first + needs.len(), strings.len(), 0)]
        {
            let mut section = [0; SECTION_BYTES];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            section[40..44].copy_from_slice(&link.to_le_bytes());
            file.extend(section);
        }
        [file, needs, strings].concat()
    }

    #[test]
    fn version_needs_and_processor_are_read() {
        let libraries: [(&str, &[&str]); 2] = [
            ("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.38", "GLIBC_ABI_DT_RELR"]),
            ("libm.so.6", &["GLIBC_2.29"]),
        ];
        let needs = read(&elf_file(EM_X86_64, &libraries)).unwrap();
        assert_eq!((needs.arch, needs.versions.len()), (Some(Arch::X86_64), 4));
        assert_eq!(needs.newest_glibc(), Some(("libc.so.6", "GLIBC_2.38", 38)));
        let needs = read(&elf_file(EM_AARCH64, &[("libc.musl", &["X_1"])])).unwrap();
        assert_eq!((needs.arch, needs.newest_glibc()), (Some(Arch::Aarch64), None));
    }

    /// The test program itself is an ELF file.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_real_file_is_read() {
        let needs = read(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        let arch = if cfg!(target_arch = "x86_64") { Arch::X86_64 } else { Arch::Aarch64 };
        assert_eq!(needs.arch, Some(arch));
        let (library, _, minor) = needs.newest_glibc().unwrap();
        assert!(needs.libraries.iter().any(|name| name == "libc.so.6"), "{:?}", needs.libraries);
        assert!(library.starts_with("lib") && (17..100).contains(&minor), "{library} {minor}");
    }

    #[test]
    fn a_truncated_file_is_not_read() {
        let whole = elf_file(EM_X86_64, &[("libc.so.6", &["GLIBC_2.38"])]);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none(), "{length}");
        }
        assert_eq!(read(b"#!/bin/sh\necho a script is none either, however long it may be, is it?"), None);
    }

    #[test]
    fn reading_entries_in_a_cycle_ends() {
        let mut file = elf_file(EM_X86_64, &[("libc.so.6", &["GLIBC_2.38"])]);
        let first = HEADER_BYTES + 2 * SECTION_BYTES;
        // 65 535 versions, each its own successor.
        file[first + 2..first + 4].copy_from_slice(&[0xff, 0xff]);
        file[first + 16 + 12..first + 16 + 16].copy_from_slice(&[0; 4]);
        assert_eq!(read(&file), None);
    }
}
