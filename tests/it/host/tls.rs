//! Only servers with a certificate of an authority in the environment are trusted.

use crate::support::recording_clock::host_in;
use crate::support::said::plain;
use pexpress::error::error_text;
use pexpress::net::download::{Downloader, Wanted};
use pexpress::net::{Agent, Credentials, Silent};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

/// Start a server that answers each request with `200 w`, with a certificate of an authority that is written to
/// `ca.pem` in `dir`; its URL. It ends with the test process.
fn serve(dir: &Path) -> String {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut request = [0; 4096];
            // A client that does not trust this server disconnects, as some tests expect.
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nw");
                let _ = stream.flush();
            }
        }
    });
    format!("https://localhost:{port}/a-1-py3-none-any.whl")
}

/// The result of a download with these variables: its text or error, and the pauses.
fn download(dir: &Path, url: &str, env: &[(&str, &str)]) -> (Result<String, String>, Vec<f64>) {
    let (host, clock, _) = host_in(dir, env);
    let wanted = Wanted { file_name: "a-1-py3-none-any.whl", url, sha256: None, size_bytes: None };
    let stored = Downloader::new(&host, &Agent::new(&host)).get(&wanted, &Credentials::default(), &Silent);
    let text = stored
        .map(|stored| std::fs::read_to_string(stored.path).unwrap())
        .map_err(|error| error_text(&error, false));
    (text, clock.slept())
}

#[test]
fn an_authority_in_the_environment_is_trusted_like_the_systems() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(dir.path());
    std::fs::create_dir(dir.path().join("certs")).unwrap();
    std::fs::copy(dir.path().join("ca.pem"), dir.path().join("certs/ours.pem")).unwrap();
    for variable in ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        assert_eq!(download(dir.path(), &url, &[(variable, "ca.pem")]).0.as_deref(), Ok("w"), "{variable}");
    }
    for env in [("REQUESTS_CA_BUNDLE", "certs"), ("SSL_CERT_DIR", "missing:certs")] {
        assert_eq!(download(dir.path(), &url, &[env]).0.as_deref(), Ok("w"), "{env:?}");
    }
}

#[test]
fn an_unknown_authority_is_refused_at_once_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(dir.path());
    let (outcome, pauses) = download(dir.path(), &url, &[]);
    let text = outcome.unwrap_err();
    insta::assert_snapshot!(plain(&text), @r#"
    error: could not download `a-1-py3-none-any.whl`
      caused by: could not reach https://localhost:[PORT]/a-1-py3-none-any.whl
      caused by: io: invalid peer certificate: UnknownIssuer
    hint: if a company proxy or a private server uses its own certificate authority, set SSL_CERT_FILE to its PEM file
    "#);

    assert!(pauses.is_empty(), "{pauses:?}");
}

#[test]
fn certificates_of_hosts_that_the_user_lists_are_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let url = serve(dir.path());
    for (env, trusted) in [
        (("UV_INSECURE_HOST", "other.example localhost"), true),
        (("PIP_TRUSTED_HOST", "localhost"), true),
        (("UV_INSECURE_HOST", "localhost:1"), false),
    ] {
        assert_eq!(download(dir.path(), &url, &[env]).0.is_ok(), trusted, "{env:?}");
    }
}
