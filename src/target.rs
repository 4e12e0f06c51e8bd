//! Targets of Dagster+ Serverless: Python versions and their platforms.
//!
//! Source of versions and glibc numbers: the table of complete platforms that dagster-cloud-cli 1.13.27 sends to its
//! resolver (3.9 to 3.14). It no longer has 3.8, which is treated like 3.9.

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use std::fmt;
use std::str::FromStr;

/// A CPython 3 minor version that Dagster+ Serverless has run: 3.8 to 3.14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PythonVersion {
    minor: u8,
}

impl PythonVersion {
    /// The default of Dagster+.
    pub const DEFAULT: PythonVersion = PythonVersion { minor: 11 };
    /// Lowest and highest minor version.
    pub const MINORS: std::ops::RangeInclusive<u8> = 8..=14;

    /// All of them, ascending.
    pub fn all() -> impl Iterator<Item = PythonVersion> {
        Self::MINORS.map(|minor| PythonVersion { minor })
    }

    /// The `Y` of `3.Y`.
    pub fn minor(self) -> u8 {
        self.minor
    }

    /// The full version in the Serverless image, for environment markers.
    pub fn full(self) -> &'static str {
        match self.minor {
            8 => "3.8.20",
            9 => "3.9.21",
            10 => "3.10.16",
            11 => "3.11.11",
            12 => "3.12.9",
            13 => "3.13.9",
            _ => "3.14.2",
        }
    }

    /// The platform of the Serverless image for this version.
    pub fn serverless_platform(self) -> Platform {
        Platform { libc: Libc::Glibc(if self.minor >= 13 { 41 } else { 36 }), arch: Arch::X86_64 }
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // `3.12.4` is read as 3.12: Dagster+ decides which patch release runs.
        let parts: Option<Vec<u8>> = text.trim().split('.').map(|part| part.parse().ok()).collect();
        let minor = match parts.as_deref() {
            Some([3, minor] | [3, minor, _]) => Some(*minor),
            _ => None,
        };
        match minor {
            Some(minor) if Self::MINORS.contains(&minor) => Ok(PythonVersion { minor }),
            // YAML reads an unquoted 3.10 as 3.1.
            Some(1) => Err("there is no Python 3.1 here: did you mean 3.10?".to_string()),
            _ => Err(format!(
                "Python versions are 3.{} to 3.{}, written like `3.11`",
                Self::MINORS.start(),
                Self::MINORS.end()
            )),
        }
    }
}

impl serde::Serialize for PythonVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A processor architecture of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// Intel and AMD, 64 bits. Dagster+ Serverless uses it.
    X86_64,
    /// ARM, 64 bits.
    Aarch64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        })
    }
}

/// The C library of a Linux platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Libc {
    /// glibc `2.Y`, which Dagster+ Serverless and most images have.
    Glibc(u8),
    /// musl `1.Y`, which Alpine has.
    Musl(u8),
}

/// A Linux platform: `manylinux_2_MINOR_ARCH`, or `musllinux_1_MINOR_ARCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Platform {
    /// C library.
    pub libc: Libc,
    /// Processor architecture.
    pub arch: Arch,
}

impl Platform {
    /// The newest glibc minor that `uv --python-platform` accepts (uv 0.13).
    const UV_NEWEST_GLIBC_MINOR: u8 = 40;
    /// The glibc minors that `uv --python-platform` accepts below its continuous range, which starts at 31.
    const UV_OLD_GLIBC_MINORS: [u8; 2] = [17, 28];

    /// The newest platform that `uv --python-platform` accepts and that is not newer than this one.
    pub fn uv_name(self) -> String {
        let Libc::Glibc(glibc_minor) = self.libc else {
            return format!("{}-unknown-linux-musl", self.arch);
        };
        let minor = match glibc_minor {
            // uv knows every version from 2.31 to 2.40. An older platform than the target's is always compatible.
            minor if minor >= 31 => minor.min(Self::UV_NEWEST_GLIBC_MINOR),
            minor => Self::UV_OLD_GLIBC_MINORS.into_iter().rev().find(|known| *known <= minor).unwrap_or(17),
        };
        format!("{}-manylinux_2_{minor}", self.arch)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.libc {
            Libc::Glibc(minor) => write!(f, "manylinux_2_{minor}_{}", self.arch),
            Libc::Musl(minor) => write!(f, "musllinux_1_{minor}_{}", self.arch),
        }
    }
}

impl FromStr for Platform {
    type Err = String;
    /// Accepts `manylinux_2_28_x86_64`, `manylinux2014_x86_64`, uv's `x86_64-manylinux_2_28`, `musllinux_1_2_x86_64`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "platforms are written like `manylinux_2_28_x86_64` or `manylinux2014_aarch64`, not `{text}`"
            )
        };
        let (system, arch) = ["x86_64", "aarch64"]
            .iter()
            .find_map(|arch| {
                let rest = text.strip_suffix(arch).and_then(|rest| rest.strip_suffix('_'));
                // uv writes the processor first: `x86_64-manylinux_2_28`.
                let rest = rest.or_else(|| text.strip_prefix(arch).and_then(|rest| rest.strip_prefix('-')));
                rest.map(|rest| (rest, *arch))
            })
            .ok_or_else(refuse)?;
        let arch = if arch == "x86_64" { Arch::X86_64 } else { Arch::Aarch64 };
        if let Some(minor) = system.strip_prefix("musllinux_1_").and_then(|minor| minor.parse().ok()) {
            return Ok(Platform { libc: Libc::Musl(minor), arch });
        }
        let glibc_minor = match system {
            "manylinux1" => 5,
            "manylinux2010" => 12,
            "manylinux2014" => 17,
            _ => {
                system.strip_prefix("manylinux_2_").and_then(|minor| minor.parse().ok()).ok_or_else(refuse)?
            }
        };
        if glibc_minor < 17 {
            return Err(format!("`{text}` is older than manylinux2014, the oldest that uv resolves for"));
        }
        Ok(Platform { libc: Libc::Glibc(glibc_minor), arch })
    }
}

impl serde::Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The Python and platform of a PEX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// CPython version.
    pub python: PythonVersion,
    /// glibc platform.
    pub platform: Platform,
}

impl Target {
    /// The Serverless target for this Python version.
    pub fn serverless(python: PythonVersion) -> Target {
        Target { python, platform: python.serverless_platform() }
    }

    /// The environment for markers on this target.
    ///
    /// Release and version of the kernel are not known, and so empty. Source of the values: the `marker_environment`
    /// that dagster-cloud-cli 1.13.27 sends to its resolver.
    pub fn marker_environment(&self) -> MarkerEnvironment {
        let machine = self.platform.arch.to_string();
        let version = self.python.to_string();
        let builder = MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: self.python.full(),
            os_name: "posix",
            platform_machine: &machine,
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: self.python.full(),
            python_version: &version,
            sys_platform: "linux",
        };
        MarkerEnvironment::try_from(builder).expect("the versions in this file are well-formed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_versions_outside_serverless_are_refused() {
        for text in ["3.7", "3.15", "2.7", "3", "3.11.x", "3.11.4.1", ""] {
            assert!(text.parse::<PythonVersion>().is_err(), "{text}");
        }
        assert_eq!("3.9".parse::<PythonVersion>().unwrap().to_string(), "3.9");
        assert_eq!("3.12.4".parse::<PythonVersion>().unwrap().to_string(), "3.12");
        assert!("3.1".parse::<PythonVersion>().unwrap_err().ends_with("did you mean 3.10?"));
    }

    #[test]
    fn markers_see_the_target_and_not_this_machine() {
        let target =
            Target { python: "3.10".parse().unwrap(), platform: "manylinux_2_28_aarch64".parse().unwrap() };
        let environment = target.marker_environment();
        for (marker, want) in [
            ("python_version == '3.10' and python_full_version == '3.10.16'", true),
            ("implementation_version >= '3.10.16' and implementation_name == 'cpython'", true),
            ("platform_machine == 'aarch64' and sys_platform == 'linux' and os_name == 'posix'", true),
            ("platform_system == 'Windows' or platform_python_implementation == 'PyPy'", false),
            ("python_version < '3.10'", false),
        ] {
            let marker: pep508_rs::MarkerTree = marker.parse().unwrap();
            assert_eq!(marker.evaluate(&environment, &[]), want, "{marker:?}");
        }
    }

    #[test]
    fn every_python_version_has_a_marker_environment() {
        for minor in PythonVersion::MINORS {
            let python = PythonVersion { minor };
            let environment = Target::serverless(python).marker_environment();
            assert_eq!(environment.python_full_version().to_string(), python.full());
        }
    }

    #[test]
    fn platforms_parse_in_each_spelling() {
        for (text, want, uv) in [
            ("manylinux_2_36_x86_64", "manylinux_2_36_x86_64", "x86_64-manylinux_2_36"),
            ("x86_64-manylinux_2_41", "manylinux_2_41_x86_64", "x86_64-manylinux_2_40"),
            ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "aarch64-manylinux_2_17"),
            ("manylinux_2_30_x86_64", "manylinux_2_30_x86_64", "x86_64-manylinux_2_28"),
            ("musllinux_1_2_aarch64", "musllinux_1_2_aarch64", "aarch64-unknown-linux-musl"),
        ] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!((platform.to_string().as_str(), platform.uv_name().as_str()), (want, uv));
        }
        assert!("win_amd64".parse::<Platform>().is_err());
        assert!("manylinux1_x86_64".parse::<Platform>().is_err());
    }
}
