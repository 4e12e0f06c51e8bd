//! Stand-ins for GitHub's identity tokens and for the logins of three clouds, as strict as their documentation.
//!
//! One listener is a proxy: it takes `CONNECT HOST:443` for any host, answers TLS itself with a certificate for the
//! clouds' host names, and so the real addresses are used. Sources: see `src/cloud_login/`.

use super::said::plain;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub const ROLE: &str = "arn:aws:iam::123456789012:role/push";
pub const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
pub const PROVIDER: &str = "projects/12/locations/global/workloadIdentityPools/pool/providers/github";
pub const ACCOUNT: &str = "push@project.iam.gserviceaccount.com";
pub const CLIENT: &str = "01234567-89ab-cdef-0123-456789abcdef";
pub const TENANT: &str = "fedcba98-7654-3210-fedc-ba9876543210";
pub const ACR: &str = "me.azurecr.io";
/// The subject that all clouds trust.
pub const SUBJECT: &str = "repo:me/app:ref:refs/heads/main";

/// Secrets that must never be shown.
pub const SECRETS: [&str; 6] = [
    "runtime-canary-token",
    "aws-secret-canary-key",
    "aws-session-canary-token",
    "federated-canary-token",
    "azure-access-canary-token",
    "signature-canary-key",
];

const HOSTS: [&str; 8] = [
    "token.example",
    "sts.eu-west-1.amazonaws.com",
    "api.ecr.eu-west-1.amazonaws.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "login.microsoftonline.com",
    ACR,
    "localhost",
];

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub host: String,
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

#[derive(Default)]
struct State {
    subject: Option<String>,
    faults: Vec<(String, u16, String)>,
    seen: Vec<Seen>,
}

pub struct Clouds {
    pub dir: PathBuf,
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Clouds {
    pub fn start(dir: &Path) -> Clouds {
        let config = Arc::new(certificates(dir));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, state) = (Arc::clone(&config), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, config, &state));
            }
        });
        Clouds { dir: dir.to_path_buf(), port, state }
    }

    /// The environment of a job on a runner that may ask for identity tokens.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut pairs = self.network();
        pairs.extend([
            ("GITHUB_ACTIONS".into(), "true".into()),
            ("GITHUB_RUN_ID".into(), "77".into()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL".into(), "https://token.example/id?api-version=2.0".into()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN".into(), SECRETS[0].into()),
        ]);
        pairs
    }

    /// Only the way to the stand-ins.
    pub fn network(&self) -> Vec<(String, String)> {
        let proxy = format!("http://127.0.0.1:{}", self.port);
        let authority = self.dir.join("clouds-ca.pem").display().to_string();
        vec![("HTTPS_PROXY".into(), proxy), ("SSL_CERT_FILE".into(), authority)]
    }

    /// Whom GitHub says the job to be.
    pub fn subject(&self, subject: &str) {
        self.state.lock().unwrap().subject = Some(subject.into());
    }

    /// The next request to this host gets this answer.
    pub fn fault(&self, host: &str, status: u16, body: &str) {
        self.state.lock().unwrap().faults.push((host.into(), status, body.into()));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// No secret is in this text.
    pub fn assert_no_secret(&self, text: &str) {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is shown: {}", plain(text));
        }
    }
}

fn certificates(dir: &Path) -> ServerConfig {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(dir.join("clouds-ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(HOSTS.map(String::from).to_vec()).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap()
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) {
    let Some(head) = read_head(&mut stream) else { return };
    let target = head.split(' ').nth(1).unwrap_or_default();
    let host = target.strip_suffix(":443").unwrap_or(target).to_string();
    assert!(head.starts_with("CONNECT "), "not a tunnel: {head}");
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let Some(head) = read_head(&mut stream) else { return };
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(String::from);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string())).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let seen = Seen { host, method, target, headers, body: String::from_utf8(body).unwrap() };
    let (status, body) = answer(&seen, state);
    let head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
    let _ = stream.flush();
}

fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn answer(seen: &Seen, state: &Mutex<State>) -> (u16, String) {
    let mut state = state.lock().unwrap();
    state.seen.push(seen.clone());
    if let Some(at) = state.faults.iter().position(|(host, ..)| *host == seen.host) {
        let (_, status, body) = state.faults.remove(at);
        return (status, body);
    }
    let subject = state.subject.clone().unwrap_or(SUBJECT.into());
    let said = match seen.host.as_str() {
        "token.example" => id_token(seen, &subject),
        "sts.eu-west-1.amazonaws.com" => assume_role(seen),
        "api.ecr.eu-west-1.amazonaws.com" => ecr_token(seen),
        "sts.googleapis.com" => google_exchange(seen),
        "iamcredentials.googleapis.com" => google_impersonate(seen),
        "login.microsoftonline.com" => azure_sign_in(seen),
        ACR => acr_exchange(seen),
        host => Err((502, format!("no such host: {host}"))),
    };
    said.map_or_else(|wrong| wrong, |body| (200, body))
}

type Said = Result<String, (u16, String)>;

fn wrong(what: &str) -> (u16, String) {
    (400, json!({"error": "invalid_request", "error_description": what}).to_string())
}

fn require(condition: bool, what: &str) -> Result<(), (u16, String)> {
    if condition { Ok(()) } else { Err(wrong(what)) }
}

fn id_token(seen: &Seen, subject: &str) -> Said {
    require(seen.method == "GET", "GET only")?;
    let bearer = format!("Bearer {}", SECRETS[0]);
    require(seen.headers.get("authorization") == Some(&bearer), "the bearer token is wrong")?;
    let url = url::Url::parse(&format!("https://token.example{}", seen.target)).unwrap();
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    require(query.get("api-version").is_some_and(|version| version == "2.0"), "the given query is gone")?;
    let audience = query.get("audience").ok_or_else(|| wrong("no audience"))?;
    Ok(json!({"count": 1, "value": signed(audience, subject)}).to_string())
}

fn signed(audience: &str, subject: &str) -> String {
    let claims =
        json!({"iss": "https://token.actions.githubusercontent.com", "aud": audience, "sub": subject});
    let head = URL_SAFE_NO_PAD.encode(json!({"typ": "JWT", "alg": "HS256"}).to_string());
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(mac(SECRETS[5].as_bytes(), text.as_bytes()));
    format!("{text}.{signature}")
}

/// The subject of a token that GitHub signed for this audience.
fn trusted(token: &str, audience: &str) -> Result<String, (u16, String)> {
    let (text, signature) = token.rsplit_once('.').ok_or_else(|| wrong("not a JWT"))?;
    let want = URL_SAFE_NO_PAD.encode(mac(SECRETS[5].as_bytes(), text.as_bytes()));
    require(signature == want, "the signature of the token is wrong")?;
    let claims = URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    require(claims["aud"] == audience, &format!("the audience is {}", claims["aud"]))?;
    Ok(claims["sub"].as_str().unwrap().to_string())
}

fn form(seen: &Seen) -> Result<BTreeMap<String, String>, (u16, String)> {
    require(seen.method == "POST", "POST only")?;
    require(!seen.headers.contains_key("authorization"), "a header with credentials")?;
    let kind = seen.headers.get("content-type").map(String::as_str);
    require(kind == Some("application/x-www-form-urlencoded"), "not a form")?;
    Ok(url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect())
}

fn xml_error(status: u16, code: &str, message: &str) -> (u16, String) {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    (
        status,
        format!("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{error}</ErrorResponse>"),
    )
}

fn assume_role(seen: &Seen) -> Said {
    let form = form(seen)?;
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    require(
        get("Action") == "AssumeRoleWithWebIdentity" && get("Version") == "2011-06-15",
        "another action",
    )?;
    require(get("RoleSessionName") == "pexpress-77", "another session")?;
    require(
        get("DurationSeconds").parse::<u32>().is_ok_and(|seconds| (900..=3600).contains(&seconds)),
        "duration",
    )?;
    let subject = trusted(get("WebIdentityToken"), "sts.amazonaws.com")
        .map_err(|(_, why)| xml_error(400, "InvalidIdentityToken", &why))?;
    if get("RoleArn") != ROLE || subject != SUBJECT {
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        return Err(xml_error(403, "AccessDenied", message));
    }
    let key = format!(
        "<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}\
         </SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials>",
        SECRETS[1], SECRETS[2]
    );
    Ok(format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult>{key}</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    ))
}

fn ecr_token(seen: &Seen) -> Said {
    let header = |name: &str| seen.headers.get(name).map(String::as_str).unwrap_or_default();
    require(seen.method == "POST" && seen.target == "/" && seen.body == "{}", "another call")?;
    require(
        header("x-amz-target") == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        "another target",
    )?;
    require(header("content-type") == "application/x-amz-json-1.1", "another content type")?;
    require(header("x-amz-security-token") == SECRETS[2], "another session token")?;
    require(signature_is_right(seen), "InvalidSignatureException: the signature does not match")?;
    let token = STANDARD.encode("AWS:pass:word-canary");
    let proxy = format!("https://{ECR}");
    Ok(json!({"authorizationData": [{"authorizationToken": token, "expiresAt": 1.9e9, "proxyEndpoint": proxy}]})
        .to_string())
}

/// Recomputes the signature from what arrived, by the header's own list of signed headers.
fn signature_is_right(seen: &Seen) -> bool {
    let header = |name: &str| seen.headers.get(name).cloned().unwrap_or_default();
    let authorization = header("authorization");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap_or_default();
        rest.split(',').next().unwrap_or_default().to_string()
    };
    let (credential, names, signature) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let Some((key, scope)) = credential.split_once('/') else { return false };
    let time = header("x-amz-date");
    let day = time.get(..8).unwrap_or_default();
    if key != "ASIAEXAMPLE" || scope != format!("{day}/eu-west-1/ecr/aws4_request") {
        return false;
    }
    if !["host", "x-amz-date", "x-amz-security-token", "x-amz-target"].iter().all(|name| names.contains(name))
    {
        return false;
    }
    let listed: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let digest = |text: &str| pexpress::hex::hex(Sha256::digest(text.as_bytes()));
    let canonical = format!("POST\n/\n\n{listed}\n{names}\n{}", digest(&seen.body));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", digest(&canonical));
    let first = format!("AWS4{}", SECRETS[1]).into_bytes();
    let key = scope.split('/').fold(first, |key, part| mac(&key, part.as_bytes()));
    pexpress::hex::hex(mac(&key, text.as_bytes())) == signature
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn google_exchange(seen: &Seen) -> Said {
    require(seen.method == "POST" && seen.target == "/v1/token", "another call")?;
    require(!seen.headers.contains_key("authorization"), "a header with credentials")?;
    let body: Value = serde_json::from_str(&seen.body).map_err(|_| wrong("not JSON"))?;
    require(body["audience"] == format!("//iam.googleapis.com/{PROVIDER}"), "another provider")?;
    for (name, want) in [
        ("grantType", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requestedTokenType", "urn:ietf:params:oauth:token-type:access_token"),
        ("subjectTokenType", "urn:ietf:params:oauth:token-type:jwt"),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
    ] {
        require(body[name] == want, name)?;
    }
    let audience = format!("https://iam.googleapis.com/{PROVIDER}");
    let subject = trusted(body["subjectToken"].as_str().unwrap_or_default(), &audience)?;
    require(subject == SUBJECT, "The given credential is rejected by the attribute condition.")?;
    Ok(json!({"access_token": SECRETS[3], "token_type": "Bearer", "expires_in": 3599}).to_string())
}

fn google_impersonate(seen: &Seen) -> Said {
    let target = format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    let refused = |message: &str| (403, json!({"error": {"code": 403, "message": message}}).to_string());
    if seen.method != "POST" || seen.target != target {
        return Err(refused("Permission 'iam.serviceAccounts.getAccessToken' denied"));
    }
    let bearer = format!("Bearer {}", SECRETS[3]);
    require(seen.headers.get("authorization") == Some(&bearer), "another token")?;
    let body: Value = serde_json::from_str(&seen.body).map_err(|_| wrong("not JSON"))?;
    require(body["scope"] == json!(["https://www.googleapis.com/auth/cloud-platform"]), "scope")?;
    Ok(json!({"accessToken": "google-canary-password", "expireTime": "2030-01-01T00:00:00Z"}).to_string())
}

fn azure_sign_in(seen: &Seen) -> Said {
    let form = form(seen)?;
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    require(seen.target == format!("/{TENANT}/oauth2/v2.0/token"), "AADSTS90002: Tenant not found")?;
    require(get("client_id") == CLIENT, "AADSTS700016: Application was not found in the directory")?;
    require(get("grant_type") == "client_credentials", "grant_type")?;
    require(
        get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion_type",
    )?;
    require(get("scope") == "https://containerregistry.azure.net/.default", "scope")?;
    let subject = trusted(get("client_assertion"), "api://AzureADTokenExchange")?;
    let message = "AADSTS700213: No matching federated identity record found for presented assertion subject";
    require(subject == SUBJECT, message)?;
    Ok(json!({"access_token": SECRETS[4], "token_type": "Bearer", "expires_in": 3599}).to_string())
}

fn acr_exchange(seen: &Seen) -> Said {
    let form = form(seen)?;
    let get = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    require(seen.target == "/oauth2/exchange" && get("grant_type") == "access_token", "another call")?;
    require(get("service") == ACR && get("tenant") == TENANT, "another registry")?;
    require(get("access_token") == SECRETS[4], "another token")?;
    Ok(json!({"refresh_token": "acr-canary-refresh"}).to_string())
}
