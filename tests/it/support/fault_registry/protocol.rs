//! What the registry has, and how it answers.

use super::http::{Cut, Reply, Request};
use super::tokens::{SERVICE, Tokens, basic_header};
use super::{Auth, DigestHeader, Faults, Location, Mount, Trouble, Ways};
use pexpress::image::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything of one registry.
pub struct Store {
    pub ways: Ways,
    pub problems: Vec<String>,
    pub requests: Vec<String>,
    pub received_bytes: u64,
    /// `host:port` of the registry, and of the other host.
    addresses: [String; 2],
    faults: Faults,
    tokens: Tokens,
    repositories: BTreeMap<String, Repository>,
    sessions: BTreeMap<String, Session>,
    next: u64,
}

#[derive(Default)]
struct Repository {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Media type and content by digest.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
}

struct Session {
    path: String,
    content: Vec<u8>,
    /// Part of the address; a new one with each answer.
    state: u64,
}

impl Store {
    pub fn new(ways: Ways, addresses: [String; 2], faults: Faults) -> Store {
        Store {
            ways,
            problems: Vec::new(),
            requests: Vec::new(),
            received_bytes: 0,
            addresses,
            faults,
            tokens: Tokens::default(),
            repositories: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next: 0,
        }
    }

    pub fn add_blob(&mut self, path: &str, digest: &str, content: Vec<u8>) {
        self.repositories.entry(path.into()).or_default().blobs.insert(digest.into(), content);
    }

    pub fn add_manifest(&mut self, path: &str, tag: &str, media_type: &str, content: Vec<u8>) {
        let digest = Digest::of(&content).to_string();
        let repository = self.repositories.entry(path.into()).or_default();
        repository.manifests.insert(digest.clone(), (media_type.into(), content));
        repository.tags.insert(tag.into(), digest);
    }

    pub fn blob(&self, path: &str, digest: &str) -> Option<&Vec<u8>> {
        self.repositories.get(path)?.blobs.get(digest)
    }

    pub fn manifest(&self, path: &str, digest: &str) -> Option<&Vec<u8>> {
        self.repositories.get(path)?.manifests.get(digest).map(|(_, content)| content)
    }

    pub fn lose_blob(&mut self, path: &str, digest: &str) -> bool {
        self.repositories.get_mut(path).is_some_and(|repository| repository.blobs.remove(digest).is_some())
    }

    pub fn tag(&self, path: &str, tag: &str) -> Option<String> {
        self.repositories.get(path)?.tags.get(tag).cloned()
    }

    pub fn tags(&self) -> Vec<(String, bool)> {
        let all = self.repositories.iter().flat_map(|(path, repository)| {
            repository.tags.iter().map(move |(tag, digest)| (path, repository, tag, digest))
        });
        all.map(|(path, repository, tag, digest)| {
            let is_whole = repository.manifests.get(digest).is_some_and(|(_, content)| {
                Digest::of(content).to_string() == *digest && repository.lacks(content).is_empty()
            });
            (format!("{path}:{tag}"), is_whole)
        })
        .collect()
    }

    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Answer a request; `is_other` for the other host.
    pub fn answer(&mut self, request: &Request, is_other: bool) -> Reply {
        if request.is_announced {
            return self.announced(request);
        }
        self.requests.push(shown(request, is_other));
        if request.path == "/token" {
            return self.tokens.answer(request, self.ways.auth, self.ways.mount);
        }
        if is_other && request.header("authorization").is_some() {
            self.problem(format!("credentials for another host: {}", shown(request, true)));
        }
        // Other clients look for the registry itself first.
        if request.path == "/v2/" && self.ways.auth == Auth::Open {
            return Reply::new(200);
        }
        let trouble = (self.faults)(request);
        match trouble {
            Some(Trouble::Status(status, seconds)) => {
                let reply = Reply::error(status, "TOOMANYREQUESTS", "later");
                return match seconds {
                    Some(seconds) => reply.header("Retry-After", seconds.to_string()),
                    None => reply,
                };
            }
            Some(Trouble::CutBefore) => return Reply::new(0).cut(Cut::Silent),
            Some(Trouble::ExpireTokens) => self.tokens.expire(),
            Some(Trouble::ForgetSessions) => self.sessions.clear(),
            _ => {}
        }
        let reply = self.authorized(request, is_other);
        match trouble {
            Some(Trouble::CutAfter) => reply.cut(Cut::Silent),
            Some(Trouble::CutBody(bytes)) if !reply.body.is_empty() => reply.cut(Cut::After(bytes)),
            _ => reply,
        }
    }

    /// A request whose body has not come yet.
    fn announced(&mut self, request: &Request) -> Reply {
        let go_on = Reply::go_on();
        let length = request.length.unwrap_or(0);
        let limit = match (request.method.as_str(), self.ways.largest_put, self.ways.largest_patch) {
            ("PUT", Some((limit, status)), _) if request.path.contains("/blobs/") => Some((limit, status)),
            ("PATCH", _, Some(limit)) => Some((limit, 416)),
            _ => None,
        };
        match limit {
            Some((limit, status)) if length > limit && self.ways.is_abrupt => {
                self.requests.push(shown(request, false));
                let code = if status == 400 { "SIZE_INVALID" } else { "UNSUPPORTED" };
                Reply::error(status, code, "too large").cut(Cut::Close)
            }
            _ => go_on,
        }
    }

    fn authorized(&mut self, request: &Request, is_other: bool) -> Reply {
        let Some((path, kind, rest)) = split(&request.path) else {
            return Reply::error(404, "NAME_UNKNOWN", "no such address");
        };
        if is_other {
            return self.dispatch(request, &path, &kind, &rest);
        }
        let action = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
        let mut rights = vec![format!("{path}:{action}")];
        // Reading the state of an upload is a part of it.
        if rest.starts_with("uploads/") {
            rights = vec![format!("{path}:push")];
        }
        let given = request.header("authorization");
        let is_allowed = match self.ways.auth {
            Auth::Open => {
                if given.is_some() {
                    self.problem("credentials for an open registry".into());
                }
                true
            }
            Auth::Basic => given == Some(&basic_header()),
            Auth::Token | Auth::Identity => {
                let token = given.and_then(|given| given.strip_prefix("Bearer ")).unwrap_or_default();
                rights.iter().all(|right| self.tokens.grants(token, right))
            }
        };
        if is_allowed {
            return self.dispatch(request, &path, &kind, &rest);
        }
        self.challenge(&format!("repository:{path}:{}", if action == "push" { "pull,push" } else { "pull" }))
    }

    fn challenge(&self, scope: &str) -> Reply {
        let challenge = match self.ways.auth {
            Auth::Basic => "Basic realm=\"a, \\\"registry\\\"\"".to_string(),
            _ => format!(
                "Bearer realm=\"http://{}/token\",service=\"{}\",scope=\"{scope}\"",
                self.addresses[0],
                SERVICE.replace('"', "\\\"")
            ),
        };
        Reply::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
    }

    fn dispatch(&mut self, request: &Request, path: &str, kind: &str, rest: &str) -> Reply {
        if self.ways.wants_repositories && !self.repositories.contains_key(path) {
            return Reply::error(404, "NAME_UNKNOWN", "The repository does not exist in the registry");
        }
        if request.method == "HEAD" && !self.ways.has_head {
            return Reply::error(405, "UNSUPPORTED", "no HEAD");
        }
        match (request.method.as_str(), kind) {
            ("GET" | "HEAD", "manifests") => self.read_manifest(path, rest),
            ("PUT", "manifests") => self.write_manifest(request, path, rest),
            ("GET", "referrers") if self.ways.has_referrers => self.referrers(path, rest),
            ("POST", "blobs") if rest == "uploads/" => self.begin(request, path),
            ("GET" | "PATCH" | "PUT", "blobs") if rest.starts_with("uploads/") => {
                self.upload(request, path, rest.trim_start_matches("uploads/"))
            }
            ("GET" | "HEAD", "blobs") => self.read_blob(request, path, rest),
            _ => Reply::error(404, "UNSUPPORTED", "no such address"),
        }
    }

    fn read_blob(&mut self, request: &Request, path: &str, digest: &str) -> Reply {
        let Some(content) = self.blob(path, digest) else {
            return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let mut content = content.clone();
        if self.ways.redirects_blobs && !request.path.starts_with("/storage/") {
            let address =
                format!("http://{}/storage/v2/{path}/blobs/{digest}?sig=canary-signature", self.addresses[1]);
            return Reply::new(307).header("Location", address);
        }
        if self.ways.corrupts_blobs && !content.is_empty() {
            let middle = content.len() / 2;
            content[middle] ^= 1;
        }
        let digest_header = self.digest_header(digest);
        let reply = Reply::new(200).header("Content-Type", "application/octet-stream");
        let reply = digest_header
            .into_iter()
            .fold(reply, |reply, value| reply.header("Docker-Content-Digest", value));
        if request.method == "HEAD" {
            return reply.header("Content-Length", content.len().to_string());
        }
        let from = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            Some(from) if from < content.len() => Reply::new(206)
                .header("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len()))
                .body(&content[from..]),
            _ => reply.body(content),
        }
    }

    fn digest_header(&self, digest: &str) -> Option<String> {
        match self.ways.digest_header {
            DigestHeader::Right => Some(digest.to_string()),
            DigestHeader::Wrong => Some(Digest::of(b"something else").to_string()),
            DigestHeader::Absent => None,
        }
    }

    fn begin(&mut self, request: &Request, path: &str) -> Reply {
        if let (Some(digest), Some(from)) = (request.parameter("mount"), request.parameter("from")) {
            let known = self.blob(from, digest).cloned();
            match (self.ways.mount, known) {
                (Mount::Granted, Some(content)) => {
                    // The right to read the source is a part of the token.
                    let token =
                        request.header("authorization").and_then(|given| given.strip_prefix("Bearer "));
                    let needs_right = matches!(self.ways.auth, Auth::Token | Auth::Identity);
                    if !needs_right || self.tokens.grants(token.unwrap_or_default(), &format!("{from}:pull"))
                    {
                        self.add_blob(path, digest, content);
                        return Reply::new(201).header("Location", format!("/v2/{path}/blobs/{digest}"));
                    }
                }
                (Mount::Forbidden, _) if self.ways.auth == Auth::Open => {
                    return Reply::error(403, "DENIED", "no access to the source");
                }
                (Mount::Forbidden, _) => return self.challenge(&format!("repository:{from}:pull")),
                _ => {}
            }
        }
        if request.length != Some(0) {
            self.problem(format!("a POST without Content-Length: 0: {:?}", request.length));
        }
        self.next += 1;
        let name = format!("session-{}", self.next);
        self.sessions
            .insert(name.clone(), Session { path: path.into(), content: Vec::new(), state: self.next });
        self.location(Reply::new(202), &name, 0)
    }

    /// The answer with the address of a session, and how much of it came.
    fn location(&mut self, reply: Reply, name: &str, received: usize) -> Reply {
        self.next += 1;
        let state = self.next;
        let Some(session) = self.sessions.get_mut(name) else { return Reply::new(500) };
        session.state = state;
        let path = format!("/v2/{}/blobs/uploads/{name}?_state=a%2Fb%3D{state}", session.path);
        let location = match self.ways.location {
            Location::Relative => path,
            Location::Absolute => format!("http://{}{path}", self.addresses[0]),
            Location::OtherHost => format!("http://{}{path}", self.addresses[1]),
            Location::Unencrypted => format!("http://upload.example{path}"),
        };
        let reply =
            reply.header("Location", location).header("Range", format!("0-{}", received.saturating_sub(1)));
        match self.ways.least_chunk {
            Some(bytes) => reply.header("OCI-Chunk-Min-Length", bytes.to_string()),
            None => reply,
        }
    }

    fn upload(&mut self, request: &Request, path: &str, name: &str) -> Reply {
        let unknown = || Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        let Some(session) = self.sessions.get(name).filter(|session| session.path == path) else {
            return unknown();
        };
        if request.parameter("_state") != Some(&format!("a/b={}", session.state)) {
            // An answer that got lost also leads here, so it is no problem of the client.
            return unknown();
        }
        let received = session.content.len();
        match request.method.as_str() {
            "GET" => self.location(Reply::new(204), name, received),
            "PATCH" => self.patch(request, name, received),
            _ => self.finish(request, path, name),
        }
    }

    fn patch(&mut self, request: &Request, name: &str, received: usize) -> Reply {
        if !self.ways.has_patch {
            return Reply::error(405, "UNSUPPORTED", "no PATCH");
        }
        let length = request.body.len();
        self.received_bytes += length as u64;
        if request.length.is_none() || length == 0 {
            self.problem("a PATCH without content".into());
        }
        if self.ways.largest_patch.is_some_and(|limit| length > limit) {
            return self.location(Reply::error(416, "UNSUPPORTED", "chunk too large"), name, received);
        }
        let want = format!("{received}-{}", received + length - 1);
        if request.header("content-range") != Some(&want) {
            return self.location(Reply::error(416, "RANGE_INVALID", "wrong range"), name, received);
        }
        let kept = self.ways.keeps_of_patch.unwrap_or(length).min(length);
        let Some(session) = self.sessions.get_mut(name) else { return Reply::new(500) };
        session.content.extend_from_slice(&request.body[..kept]);
        let received = session.content.len();
        self.location(Reply::new(202), name, received)
    }

    fn finish(&mut self, request: &Request, path: &str, name: &str) -> Reply {
        self.received_bytes += request.body.len() as u64;
        if request.length.is_none() {
            self.problem("a PUT without Content-Length".into());
        }
        if let Some((limit, status)) = self.ways.largest_put
            && request.body.len() > limit
        {
            let code = if status == 400 { "SIZE_INVALID" } else { "UNSUPPORTED" };
            return Reply::error(status, code, "size invalid");
        }
        let Some(digest) = request.parameter("digest").map(String::from) else {
            self.problem("a PUT without a digest".into());
            return Reply::error(400, "DIGEST_INVALID", "no digest");
        };
        let Some(session) = self.sessions.remove(name) else { return Reply::new(500) };
        let content = [session.content, request.body.clone()].concat();
        if Digest::of(&content).to_string() != digest {
            self.problem(format!("content that does not have the digest {digest}"));
            return Reply::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        self.add_blob(path, &digest, content);
        let told = self.digest_header(&digest);
        let reply = Reply::new(201).header("Location", format!("/v2/{path}/blobs/{digest}"));
        told.into_iter().fold(reply, |reply, value| reply.header("Docker-Content-Digest", value))
    }

    fn read_manifest(&mut self, path: &str, reference: &str) -> Reply {
        let unknown = Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        let Some(repository) = self.repositories.get(path) else {
            return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let digest = repository.tags.get(reference).cloned().unwrap_or_else(|| reference.to_string());
        let Some((media_type, content)) = repository.manifests.get(&digest).cloned() else { return unknown };
        let told = self.digest_header(&digest);
        let reply = Reply::new(200).header("Content-Type", media_type).body(content);
        told.into_iter().fold(reply, |reply, value| reply.header("Docker-Content-Digest", value))
    }

    fn write_manifest(&mut self, request: &Request, path: &str, reference: &str) -> Reply {
        self.received_bytes += request.body.len() as u64;
        let digest = Digest::of(&request.body).to_string();
        let value: Value = match serde_json::from_slice(&request.body) {
            Ok(value) => value,
            Err(_) => return Reply::error(400, "MANIFEST_INVALID", "not JSON"),
        };
        let media_type = request.header("content-type").unwrap_or_default().to_string();
        if value["mediaType"] != media_type.as_str() {
            self.problem(format!("a manifest of {} as {media_type}", value["mediaType"]));
            return Reply::error(400, "MANIFEST_INVALID", "media type");
        }
        if reference.contains(':') && reference != digest {
            self.problem("a manifest under another digest".into());
            return Reply::error(400, "DIGEST_INVALID", "digest");
        }
        let repository = self.repositories.entry(path.to_string()).or_default();
        let lacks = repository.lacks(&request.body);
        if !lacks.is_empty() {
            self.problems.push(format!("a manifest before its blobs: {}", lacks.join(", ")));
            if self.ways.checks_manifests {
                return Reply::error(400, "MANIFEST_BLOB_UNKNOWN", &lacks.join(", "));
            }
        }
        let is_tag = !reference.contains(':');
        if is_tag
            && self.ways.is_immutable
            && repository.tags.get(reference).is_some_and(|old| *old != digest)
        {
            return Reply::error(400, "TAG_INVALID", "ImageTagAlreadyExistsException: the tag is immutable");
        }
        repository.manifests.insert(digest.clone(), (media_type, request.body.clone()));
        if is_tag {
            repository.tags.insert(reference.to_string(), digest.clone());
        }
        let told = self.digest_header(&digest);
        let mut reply = Reply::new(201).header("Location", format!("/v2/{path}/manifests/{digest}"));
        if let Some(subject) = value["subject"]["digest"].as_str().filter(|_| self.ways.has_referrers) {
            reply = reply.header("OCI-Subject", subject);
        }
        told.into_iter().fold(reply, |reply, value| reply.header("Docker-Content-Digest", value))
    }

    fn referrers(&self, path: &str, subject: &str) -> Reply {
        let manifests = self.repositories.get(path).into_iter().flat_map(|repository| &repository.manifests);
        let about = manifests.filter_map(|(digest, (media_type, content))| {
            let value: Value = serde_json::from_slice(content).ok()?;
            (value["subject"]["digest"] == subject).then(|| {
                json!({"mediaType": media_type, "digest": digest, "size": content.len(), "artifactType": value["artifactType"]})
            })
        });
        let about: Vec<Value> = about.collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": about});
        Reply::new(200).header("Content-Type", media_type).body(index.to_string())
    }
}

impl Repository {
    /// What a manifest needs and the repository does not have.
    fn lacks(&self, manifest: &[u8]) -> Vec<String> {
        let value: Value = serde_json::from_slice(manifest).unwrap_or_default();
        let digest = |value: &Value| value["digest"].as_str().unwrap_or("no digest").to_string();
        let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
        let blobs = list("layers").into_iter().chain(value.get("config").cloned());
        let blobs = blobs.map(|each| digest(&each)).filter(|each| !self.blobs.contains_key(each));
        let images = list("manifests").into_iter().map(|each| digest(&each));
        let images = images.filter(|each| !self.manifests.contains_key(each));
        blobs.chain(images).collect()
    }
}

/// Repository, `manifests`, `blobs` or `referrers`, and the rest of a path.
fn split(path: &str) -> Option<(String, String, String)> {
    let path = path.strip_prefix("/storage").unwrap_or(path).strip_prefix("/v2/")?;
    ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|kind| {
        let (repository, rest) = path.split_once(kind)?;
        Some((repository.to_string(), kind.trim_matches('/').to_string(), rest.to_string()))
    })
}

/// A request in one line, without what differs between runs.
fn shown(request: &Request, is_other: bool) -> String {
    let cut = |text: &str| match text.find("sha256:") {
        Some(at) => format!("{}sha256:{}", &text[..at], text[at + 7..].get(..4).unwrap_or_default()),
        None => text.to_string(),
    };
    let path = match request.path.split_once("/uploads/") {
        Some((path, rest)) if !rest.is_empty() => format!("{path}/uploads/ID"),
        _ => cut(&request.path),
    };
    let query = request.query.iter().filter(|(name, _)| !matches!(name.as_str(), "_state" | "service"));
    let query: Vec<String> = query.map(|(name, value)| format!("{name}={}", cut(value))).collect();
    let other = if is_other { "other " } else { "" };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{other}{} {path}{mark}{}", request.method, query.join("&"))
}
