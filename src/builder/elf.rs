//! Reads from a compiled file (ELF: `.so`, executables) which processor and glibc it needs.
//!
//! The section `.gnu.version_r` lists for each library the symbol versions that the dynamic linker requires, such as
//! `GLIBC_2.38`. Nothing is trusted: offsets and counts are checked, and loops are bounded. Sources: System V ABI,
//! "Object Files"; Linux Standard Base, "Symbol Versioning" (`Elf64_Verneed`, `Elf64_Vernaux`).

use crate::target::Arch;
use object::LittleEndian;
use object::elf::{DT_NEEDED, EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, SectionTable};

type Header = FileHeader64<LittleEndian>;

const MAGIC: &[u8] = b"\x7fELF";
/// What follows the magic number in a 64-bit little-endian file.
const CLASS_64_LITTLE_ENDIAN: [u8; 2] = [2, 1];
/// More libraries or versions than any file has.
const MAX_ENTRIES: usize = 10_000;
/// No name of a library or version is longer.
const MAX_NAME_BYTES: usize = 255;

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

/// Read a compiled file. `None` when it is not an ELF file or is damaged; no processor when it is not 64-bit
/// little-endian.
pub fn read(bytes: &[u8]) -> Option<Needs> {
    let class = bytes.strip_prefix(MAGIC)?.get(..2)?;
    let mut needs = Needs { arch: None, libraries: Vec::new(), versions: Vec::new() };
    if class != CLASS_64_LITTLE_ENDIAN {
        return Some(needs);
    }
    let header = Header::parse(bytes).ok()?;
    needs.arch = match header.e_machine(LittleEndian) {
        EM_X86_64 => Some(Arch::X86_64),
        EM_AARCH64 => Some(Arch::Aarch64),
        _ => None,
    };
    // Their names are not needed, and a file may have none.
    let headers = header.section_headers(LittleEndian, bytes).ok()?;
    let sections = SectionTable::new(headers, StringTable::default());
    needs.libraries = libraries(&sections, bytes)?;
    needs.versions = versions(&sections, bytes)?;
    Some(needs)
}

fn libraries(sections: &SectionTable<'_, Header>, bytes: &[u8]) -> Option<Vec<String>> {
    let Some((entries, link)) = sections.dynamic(LittleEndian, bytes).ok()? else { return Some(Vec::new()) };
    let strings = sections.strings(LittleEndian, bytes, link).ok()?;
    let needed = entries.iter().filter(|entry| entry.d_tag(LittleEndian) == DT_NEEDED);
    let names = needed.take(MAX_ENTRIES).map(|entry| name(strings, entry.val32(LittleEndian)?));
    names.collect()
}

fn versions(sections: &SectionTable<'_, Header>, bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut versions = Vec::new();
    let Some((mut needs, link)) = sections.gnu_verneed(LittleEndian, bytes).ok()? else {
        return Some(versions);
    };
    let strings = sections.strings(LittleEndian, bytes, link).ok()?;
    while let Some((need, mut each)) = needs.next().ok()? {
        let library = name(strings, need.vn_file.get(LittleEndian))?;
        while let Some(version) = each.next().ok()? {
            if versions.len() >= MAX_ENTRIES {
                return None;
            }
            versions.push((library.clone(), name(strings, version.vna_name.get(LittleEndian))?));
        }
    }
    Some(versions)
}

fn name(strings: StringTable<'_>, at: u32) -> Option<String> {
    let name = strings.get(at).ok().filter(|name| name.len() <= MAX_NAME_BYTES)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use object::elf::{SHT_GNU_VERNEED, SHT_STRTAB};

    const HEADER_BYTES: usize = 64;
    const SECTION_BYTES: usize = 64;
    /// Section 0 of an ELF file is unused, so the table has one entry more than there are sections.
    const FIRST: usize = HEADER_BYTES + 3 * SECTION_BYTES;

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
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[40..48].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        file[58..60].copy_from_slice(&(SECTION_BYTES as u16).to_le_bytes());
        file[60..62].copy_from_slice(&3_u16.to_le_bytes());
        file.extend([0; SECTION_BYTES]);
        for (kind, offset, size, link) in [
            (SHT_GNU_VERNEED, FIRST, needs.len(), 2_u32),
            (SHT_STRTAB, FIRST + needs.len(), strings.len(), 0),
        ] {
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
        assert_eq!(read(b"#!/bin/sh\necho a script is not an ELF file, however long it may be"), None);
    }

    #[test]
    fn reading_entries_in_a_cycle_ends() {
        let mut file = elf_file(EM_X86_64, &[("libc.so.6", &["GLIBC_2.38"])]);
        // 65 535 versions, each its own successor.
        file[FIRST + 2..FIRST + 4].copy_from_slice(&[0xff, 0xff]);
        file[FIRST + 16 + 12..FIRST + 16 + 16].copy_from_slice(&[0; 4]);
        assert_eq!(read(&file), None);
    }
}
