//! Debian's `docker-registry`, open, with a password file or with signed tokens, and `skopeo` as reader.

use super::environments::not_run;
use super::scripted_server::{self, ScriptedServer};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pexpress::image::Repository;
use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The user name that is taken.
pub const USER: &str = "me";
/// Its password.
pub const PASSWORD: &str = "canary:pass word";
const SERVICE: &str = "registry.example";

/// A running registry. It ends when dropped.
pub struct Registry {
    /// `127.0.0.1:PORT`.
    pub host: String,
    child: Child,
    pub dir: TempDir,
    _tokens: Option<ScriptedServer>,
}

/// What it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Open,
    Basic,
    Token,
}

impl Registry {
    pub fn start(kind: Kind) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let (auth, tokens) = match kind {
            Kind::Open => (String::new(), None),
            Kind::Basic => {
                let file = dir.path().join("htpasswd");
                let entry = run(Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]));
                std::fs::write(&file, entry).unwrap();
                (format!("auth:\n  htpasswd:\n    realm: a registry\n    path: {}\n", file.display()), None)
            }
            Kind::Token => {
                let server = token_server(dir.path());
                let (realm, bundle) = (server.url("/token"), dir.path().join("cert.pem"));
                let auth = format!(
                    "auth:\n  token:\n    realm: {realm}\n    service: {SERVICE}\n    issuer: tests\n    rootcertbundle: {}\n",
                    bundle.display()
                );
                (auth, Some(server))
            }
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n  relativeurls: true\n{auth}",
            dir.path().join("data").display()
        );
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry { host, child, dir, _tokens: tokens };
        for _ in 0..500 {
            if TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry did not start");
    }

    pub fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.host).parse().unwrap()
    }

    /// Run `skopeo SUBCOMMAND` with the options for this registry on its source.
    pub fn skopeo(&self, subcommand: &str, kind: Kind, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("skopeo");
        command.arg(subcommand).env("HOME", self.dir.path());
        let prefix = if subcommand == "copy" { "--src-" } else { "--" };
        command.arg(format!("{prefix}tls-verify=false"));
        if kind != Kind::Open {
            command.arg(format!("{prefix}creds")).arg(format!("{USER}:{PASSWORD}"));
        }
        run(command.args(arguments))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether all programs are here. If not, that is reported.
pub fn is_equipped() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_missing = |name: &&&str| !std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let missing: Vec<&str> =
        ["docker-registry", "skopeo", "htpasswd", "openssl"].iter().filter(is_missing).copied().collect();
    if !missing.is_empty() {
        not_run(&format!("{} is not here", missing.join(", ")));
    }
    missing.is_empty()
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A server that gives signed tokens to the user. Source: "Token Authentication Implementation" (distribution project).
fn token_server(dir: &Path) -> ScriptedServer {
    let (key, certificate) = (dir.join("key.pem"), dir.join("cert.pem"));
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=tests",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    let der: String = std::fs::read_to_string(&certificate)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    let dir = dir.to_path_buf();
    ScriptedServer::answering(move |request| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        if request.header("authorization") != Some(&basic) {
            return scripted_server::Reply::new(401, "");
        }
        let url = url::Url::parse(&format!("http://x{}", request.target)).unwrap();
        let scopes =
            url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, value)| value.into_owned());
        let access: Vec<_> = scopes
            .map(|scope| {
                let parts: Vec<&str> = scope.split(':').collect();
                json!({"type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>()})
            })
            .collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
        let claims = json!({"iss": "tests", "sub": USER, "aud": SERVICE, "exp": now + 120, "nbf": now - 10, "iat": now,
            "jti": format!("{now}"), "access": access});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let file = tempfile::NamedTempFile::new_in(&dir).unwrap();
        std::fs::write(file.path(), &signed).unwrap();
        let signature =
            run(Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(&key).arg(file.path()));
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        scripted_server::Reply::new(200, json!({"token": token, "expires_in": 120}).to_string())
    })
}
