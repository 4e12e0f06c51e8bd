//! Finds the trusted certificate authorities: the system's and those in the environment, or otherwise the bundled ones.
//!
//! Variables *add* to the system's authorities and do not replace them: users set them to a company's own authority,
//! and public hosts have to work too. The bundled ones (Mozilla's) are used only if nothing else is found, as in a
//! container image with only the binary.

use crate::env_vars;
use crate::host::Host;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, RootCerts};

/// Variables with a PEM file, or a directory of PEM files. Sources: OpenSSL (`SSL_CERT_FILE`), pip (`PIP_CERT`),
/// requests (`REQUESTS_CA_BUNDLE`), curl (`CURL_CA_BUNDLE`).
const FILE_VARIABLES: [&str; 4] =
    [env_vars::SSL_CERT_FILE, env_vars::PIP_CERT, env_vars::REQUESTS_CA_BUNDLE, env_vars::CURL_CA_BUNDLE];

/// Bundles of authorities on Unix systems. The first one that exists is used.
#[cfg(all(unix, not(target_os = "macos")))]
const SYSTEM_BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL without compatibility links
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/var/lib/ca-certificates/ca-bundle.pem", // openSUSE
    "/etc/ssl/certs/ca-bundle.crt",       // NixOS
    "/etc/ssl/cert.pem",                  // Alpine, BSD
];

/// The certificate authorities of this run.
#[derive(Clone)]
pub struct Trust {
    roots: RootCerts,
    sources: Vec<Source>,
    /// A sentence for each file in the environment that could not be read.
    pub warnings: Vec<String>,
}

/// Where some of the certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    name: String,
    certificates: usize,
}

impl Trust {
    /// Read the certificates. Takes some milliseconds, so call it only for a TLS connection.
    pub fn load(host: &Host) -> Trust {
        let mut found = Found::default();
        let (name, system) = system_certificates();
        // `SSL_CERT_FILE` often names the system's bundle, which is then not read again.
        found.is_new(Path::new(&name));
        found.take(name, system);
        for variable in FILE_VARIABLES {
            if let Some(path) = host.path_var(variable) {
                found.take_named(variable, &host.absolute(&path));
            }
        }
        if let Some(directories) = host.path_var(env_vars::SSL_CERT_DIR) {
            for directory in std::env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty()) {
                found.take_named(env_vars::SSL_CERT_DIR, &host.absolute(&directory));
            }
        }
        found.into_trust()
    }

    /// The roots, for ureq.
    pub(super) fn roots(&self) -> RootCerts {
        self.roots.clone()
    }
}

/// `142 certificates from /etc/ssl/certs/ca-certificates.crt, 1 from SSL_CERT_FILE (…)`.
impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, source) in self.sources.iter().enumerate() {
            match position {
                0 if source.certificates == 1 => write!(f, "1 certificate from {}", source.name)?,
                0 => write!(f, "{} certificates from {}", source.certificates, source.name)?,
                _ => write!(f, ", {} from {}", source.certificates, source.name)?,
            }
        }
        if self.sources.is_empty() { f.write_str("the bundled certificates") } else { Ok(()) }
    }
}

#[derive(Default)]
struct Found {
    seen: BTreeSet<PathBuf>,
    /// DER.
    certificates: BTreeSet<Vec<u8>>,
    sources: Vec<Source>,
    warnings: Vec<String>,
}

impl Found {
    /// Load certificates from a variable. Environments often have one file in several variables, mostly the system's;
    /// each file is read once.
    fn take_named(&mut self, variable: &str, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let loaded = if path.is_dir() {
            load_certs_from_paths(None, Some(path))
        } else {
            load_certs_from_paths(Some(path), None)
        };
        if loaded.certs.is_empty() {
            let reason =
                loaded.errors.first().map_or("it contains no certificate".into(), ToString::to_string);
            self.warnings.push(format!("{variable} names `{}`, which is ignored: {reason}", path.display()));
        }
        self.take(format!("{variable} ({})", path.display()), loaded);
    }

    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_path_buf()))
    }

    /// Add loaded certificates. A partly unreadable bundle counts with its readable part; known certificates are not
    /// counted again.
    fn take(&mut self, name: String, loaded: CertificateResult) {
        let before = self.certificates.len();
        self.certificates.extend(loaded.certs.iter().map(|certificate| certificate.to_vec()));
        let certificates = self.certificates.len() - before;
        if certificates > 0 {
            self.sources.push(Source { name, certificates });
        }
    }

    fn into_trust(self) -> Trust {
        let roots = if self.certificates.is_empty() {
            RootCerts::WebPki
        } else {
            RootCerts::from(self.certificates.iter().map(|der| Certificate::from_der(der).to_owned()))
        };
        Trust { roots, sources: self.sources, warnings: self.warnings }
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn system_certificates() -> (String, CertificateResult) {
    let bundle = SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let name = bundle.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    (name, load_certs_from_paths(bundle.as_deref(), None))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn system_certificates() -> (String, CertificateResult) {
    ("the system's store".into(), rustls_native_certs::load_native_certs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::host;

    #[test]
    fn a_named_file_that_cannot_be_read_is_a_warning_that_names_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty.pem"), "nothing here\n").unwrap();
        let trust =
            Trust::load(&host(dir.path(), &[("SSL_CERT_FILE", "missing.pem"), ("PIP_CERT", "empty.pem")]));
        assert_eq!(trust.warnings.len(), 2, "{:?}", trust.warnings);
        assert!(trust.warnings[0].starts_with("SSL_CERT_FILE names `"), "{:?}", trust.warnings);
        assert!(trust.warnings[1].ends_with("it contains no certificate"), "{:?}", trust.warnings);
    }

    #[test]
    fn without_any_certificate_the_bundled_ones_are_trusted() {
        let trust = Found::default().into_trust();
        assert!(matches!(trust.roots(), RootCerts::WebPki));
        assert_eq!(trust.to_string(), "the bundled certificates");
    }
}
