//! The files in `dist/`: what they need from a machine, and that all of them build the same.

use crate::support::{kept_dir, pexpress_with_uv, quickstart, repository, run};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const LINUX: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];
const MACOS: [&str; 2] = ["x86_64-apple-darwin", "aarch64-apple-darwin"];

/// Upper limit of a binary, because every run of the action downloads one.
const MOST_BYTES: u64 = 8_200_000;

/// The shipped binary for `target`; `PEXPRESS_TEST_DIST` names another directory than `dist/`.
fn binary(target: &str) -> PathBuf {
    let dir = std::env::var_os("PEXPRESS_TEST_DIST").map_or(repository().join("dist"), PathBuf::from);
    let file = dir.join(format!("pexpress-{target}"));
    assert!(file.exists(), "{} is missing; scripts/build-dist makes it", file.display());
    file
}

/// Types of the program headers of a 64-bit little-endian ELF file.
///
/// Source: "Tool Interface Standard Executable and Linking Format", program header; `e_phoff` is at byte 32,
/// `e_phentsize` at 54, `e_phnum` at 56, and `p_type` opens each header.
fn program_headers(file: &[u8]) -> Vec<u32> {
    assert_eq!(&file[..6], b"\x7fELF\x02\x01");
    let short = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let start = usize::try_from(u64::from_le_bytes(file[32..40].try_into().unwrap())).unwrap();
    let at = |number: usize| start + number * short(54);
    let kind = |number: usize| u32::from_le_bytes(file[at(number)..at(number) + 4].try_into().unwrap());
    (0..short(56)).map(kind).collect()
}

#[test]
fn the_linux_binaries_name_no_interpreter_and_no_library() {
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    for target in LINUX {
        let binary = binary(target);
        let headers = program_headers(&std::fs::read(binary).unwrap());
        assert!(!headers.contains(&PT_INTERP), "{target}: {headers:?}");
        assert!(!headers.contains(&PT_DYNAMIC), "{target}: {headers:?}");
    }
}

/// Load commands of a 64-bit little-endian Mach-O file: kind, and all its bytes.
///
/// Source: `mach-o/loader.h` of XNU: `ncmds` is at byte 16, the commands begin at 32 with `cmd` and `cmdsize`.
fn load_commands(file: &[u8]) -> Vec<(u32, &[u8])> {
    assert_eq!(&file[..4], b"\xcf\xfa\xed\xfe");
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let mut at = 32;
    let mut commands = Vec::new();
    for _ in 0..word(16) {
        let size = usize::try_from(word(at + 4)).unwrap();
        commands.push((word(at), &file[at..at + size]));
        at += size;
    }
    commands
}

#[test]
fn the_macos_binaries_run_on_macos_11_and_need_the_system_alone() {
    const LC_LOAD_DYLIB: u32 = 0xc;
    const LC_CODE_SIGNATURE: u32 = 0x1d;
    const LC_BUILD_VERSION: u32 = 0x32;
    for target in MACOS {
        let binary = binary(target);
        let file = std::fs::read(binary).unwrap();
        let commands = load_commands(&file);
        let of =
            |kind: u32| commands.iter().filter(move |(other, _)| *other == kind).map(|(_, bytes)| *bytes);
        // The name follows `cmd`, `cmdsize` and four more words, and ends with zeros.
        let libraries: Vec<_> = of(LC_LOAD_DYLIB)
            .map(|bytes| String::from_utf8_lossy(&bytes[24..]).trim_end_matches('\0').to_string())
            .collect();
        let frameworks = ["CoreFoundation", "Security"];
        let mut wanted = frameworks
            .map(|name| format!("/System/Library/Frameworks/{name}.framework/Versions/A/{name}"))
            .to_vec();
        wanted.push("/usr/lib/libSystem.B.dylib".into());
        assert_eq!(libraries, wanted, "{target}");
        // `minos` is the fourth word: 11.0.0 as xxxx.yy.zz in nibbles.
        let oldest: Vec<_> = of(LC_BUILD_VERSION).map(|bytes| bytes[12..16].to_vec()).collect();
        assert_eq!(oldest, [vec![0, 0, 11, 0]], "{target}");
        // Apple silicon requires a signature; an ad-hoc one is enough.
        assert_eq!(of(LC_CODE_SIGNATURE).count(), usize::from(target.starts_with("aarch64")), "{target}");
    }
}

#[test]
fn every_binary_is_small_and_can_be_executed() {
    for target in LINUX.into_iter().chain(MACOS) {
        let binary = binary(target);
        let metadata = std::fs::metadata(binary).unwrap();
        assert!(metadata.len() < MOST_BYTES, "{target}: {} bytes", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o111, 0o111, "{target}");
    }
}

/// Paths of the machine it was built on would make the bytes depend on it.
#[test]
fn no_binary_names_a_path_of_the_machine_that_built_it() {
    for target in LINUX.into_iter().chain(MACOS) {
        let binary = binary(target);
        let file = std::fs::read(binary).unwrap();
        for path in ["/build/pexpress", "/var/somewhere", "/opt/tools", "/usr/src/rustc", ".cargo/registry"] {
            let found = file.windows(path.len()).position(|window| window == path.as_bytes());
            assert_eq!(found, None, "{target} has {path}");
        }
    }
}

/// The binary for this machine's system and, if need be, an emulator before it.
fn shipped(target: &str) -> Command {
    let binary = binary(target);
    let machine = target.split('-').next().unwrap_or_default();
    let mut command = if machine == std::env::consts::ARCH {
        Command::new(binary)
    } else {
        let emulator = format!("qemu-{machine}-static");
        let found = Command::new(&emulator).arg("--version").output();
        assert!(found.is_ok(), "{emulator} is missing: install qemu-user-static");
        let mut command = Command::new(emulator);
        command.arg(binary);
        command
    };
    // As in other tests, but with its own cache, so that nothing from another binary is used.
    for (name, value) in pexpress_with_uv().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("PEXPRESS_CACHE_DIR", kept_dir("dist-cache").join(target));
    command
}

/// Name and bytes of the PEX files that a binary builds of the quickstart.
fn built(target: &str) -> BTreeMap<String, Vec<u8>> {
    let out = tempfile::tempdir().unwrap();
    for command in ["source", "deps"] {
        let mut program = shipped(target);
        run(program.arg(command).arg(quickstart()).arg(out.path()).args(["--python-version", "3.11"]));
    }
    let files = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    // It keeps the output directory out of Git.
    let files = files.filter(|path| !path.ends_with(".gitignore"));
    files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
#[ignore = "needs a package index, and qemu-user-static for the other processor"]
fn the_linux_binaries_build_the_same_bytes() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let (one, other) = (built(LINUX[0]), built(LINUX[1]));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    assert_eq!(one.len(), 2, "{:?}", one.keys());
    assert!(one == other, "the files differ");
}

#[test]
#[ignore = "needs a package index, and qemu-user-static for the other processor"]
fn the_linux_binaries_pass_their_selftest() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for target in LINUX {
        run(shipped(target).arg("selftest"));
    }
}

/// A root with the binary and a project, and nothing else: no libc, no shell, no certificates, no /proc.
#[test]
#[ignore = "needs root, or sudo without a password, to change the root directory"]
fn the_linux_binary_runs_in_an_empty_root() {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if !cfg!(target_os = "linux") {
        return;
    }
    let binary = binary(&target);
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(binary, root.path().join("pexpress")).unwrap();
    let yaml = "locations:\n  - location_name: a\n    code_source: {module_name: a}\n";
    std::fs::write(root.path().join("dagster_cloud.yaml"), yaml).unwrap();
    std::fs::write(root.path().join("requirements.txt"), "dagster\ndagster-cloud\n").unwrap();
    std::fs::write(root.path().join("a.py"), "").unwrap();
    let inside = |arguments: &[&str]| {
        let mut command = if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            Command::new("chroot")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "chroot"]);
            sudo
        };
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(root.path()).arg("/pexpress");
        command.args(arguments).output().unwrap()
    };
    let version = inside(&["--version"]);
    let said = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.status.success() && said.ends_with(&format!("target {target}\n")), "{version:?}");
    let check = inside(&["check", "/dagster_cloud.yaml"]);
    assert!(check.status.success() && String::from_utf8_lossy(&check.stdout).contains('a'), "{check:?}");
    let selftest = inside(&["selftest"]);
    assert!(String::from_utf8_lossy(&selftest.stdout).contains("the bundled certificates"), "{selftest:?}");
}
