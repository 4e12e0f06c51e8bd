//! Resolutions for tests.

use super::{Artifact, Distribution, Download, Resolution};

/// A resolution of `name version, name version`.
pub fn resolution_with(pins: &str) -> Resolution {
    let wheel = |pin: &str| {
        let (name, version) = pin.trim().split_once(' ').unwrap();
        Distribution {
            name: name.to_string(),
            version: Some(version.to_string()),
            artifact: Artifact::Wheel(Download {
                file_name: format!("{name}-{version}-py3-none-any.whl"),
                url: format!("https://e.example/{name}"),
                sha256: Some("00".into()),
                size_bytes: None,
            }),
        }
    };
    Resolution { distributions: pins.split(',').map(wheel).collect() }
}
