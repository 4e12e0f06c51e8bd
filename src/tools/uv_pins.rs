//! The release of uv that is downloaded if there is none, with the digests of its files.
//!
//! Digests: of the wheels on the package index on 2026-11-23, each downloaded with pip by its platform tag. On Linux
//! the musl wheels work on every system, with glibc or without: their uv is linked statically, and resolves as fast.

use super::uv_version::UvVersion;

/// The pinned release.
pub const VERSION: UvVersion = UvVersion(0, 13, 9);

/// The oldest release that a uv on `PATH` may have.
///
/// `pip compile` and `export` have `--format pylock.toml` since 0.7.0 (tested: 0.6.14 refuses it, 0.7.0 writes it), but
/// `exclude-dependencies` needs a release with `pip compile --excludes` (tested: not in 0.9.5, in 0.9.8). An older uv
/// would ignore the key and resolve other packages than the user wants.
pub const MINIMUM: UvVersion = UvVersion(0, 9, 8);

/// The file for one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Operating system, as Rust names it.
    pub os: &'static str,
    /// Processor architecture, as Rust names it.
    pub arch: &'static str,
    /// Platform tag of the wheel.
    pub platform_tag: &'static str,
    /// SHA-256 of the wheel, lower-case hex.
    pub wheel_sha256: &'static str,
    /// CRC-32 of the executable in it, which is fast enough (a few milliseconds) to check on each use.
    pub uv_crc32: u32,
    /// Size of the executable.
    pub uv_size_bytes: u64,
}

impl Pin {
    /// Whether a file of this name can be the wheel, `uv-VERSION-py3-none-PLATFORM.whl`. Its platform may have several
    /// tags with dots between them.
    pub fn names(&self, file_name: &str) -> bool {
        let platform = file_name
            .strip_prefix(&format!("uv-{VERSION}-py3-none-"))
            .and_then(|platform| platform.strip_suffix(".whl"));
        platform.is_some_and(|platform| platform.split('.').any(|tag| tag == self.platform_tag))
    }
}

/// Every platform for which uv can be downloaded.
pub const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        platform_tag: "musllinux_1_1_x86_64",
        wheel_sha256: "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
        uv_crc32: 0x05d9_38db,
        uv_size_bytes: 44_198_984,
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        platform_tag: "musllinux_1_1_aarch64",
        wheel_sha256: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
        uv_crc32: 0xbb84_0a6b,
        uv_size_bytes: 35_584_104,
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        platform_tag: "macosx_10_12_x86_64",
        wheel_sha256: "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
        uv_crc32: 0x12b4_b0d5,
        uv_size_bytes: 38_942_464,
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        platform_tag: "macosx_11_0_arm64",
        wheel_sha256: "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
        uv_crc32: 0x20ec_368f,
        uv_size_bytes: 28_309_040,
    },
];

/// The pin for this machine.
pub fn here() -> Option<&'static Pin> {
    PINS.iter().find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
}
