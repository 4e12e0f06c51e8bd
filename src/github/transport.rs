//! octocrab's requests, sent by our own [`Agent`]: certificates, proxies, time-outs and redirects are decided there, for
//! GitHub as for everything else. Async begins and ends in this file.

use super::error::GithubError;
use crate::net::{self, Agent, Request, Secret};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use serde_json::Value;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;
use ureq::http;
use ureq::http::header::{ACCEPT, CONTENT_TYPE};
use url::Url;

/// A page of 100 comments of the greatest length has some 26 MB.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
}

/// Send one request, through octocrab.
///
/// Client and runtime are made anew for each: neither keeps anything that the next could use (connections are the
/// agent's), and requests of several threads do not wait for each other.
pub(super) fn send(
    agent: &Agent,
    token: Option<&Secret>,
    method: &http::Method,
    url: &Url,
    body: Option<&Value>,
) -> Result<Answered, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let transport = Transport { agent: agent.clone(), token: token.cloned() };
        let crab = client(transport);
        let request = http::Request::builder().method(method.clone()).uri(url.as_str());
        let request = request.header(ACCEPT, "application/vnd.github+json");
        let request = crab.build_request(request, body).map_err(Failure::from)?;
        let (parts, body) = crab.execute(request).await.map_err(Failure::from)?.into_parts();
        let body = body.collect().await.map_err(Failure::from)?.to_bytes().to_vec();
        Ok(Answered { status: parts.status.as_u16(), headers: parts.headers, body })
    })
}

fn client(transport: Transport) -> Octocrab {
    let built: Result<Octocrab, Infallible> =
        OctocrabBuilder::new_empty().with_service(transport).with_auth(AuthState::None).build();
    match built {
        Ok(crab) => crab,
    }
}

/// No answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The network's doing.
    Network(net::Error),
    /// The request cannot be made.
    Client(octocrab::Error),
    /// No runtime to make it in.
    Runtime(std::io::Error),
}

impl From<octocrab::Error> for Failure {
    fn from(error: octocrab::Error) -> Failure {
        match error {
            octocrab::Error::Service { source, backtrace } => match source.downcast::<net::Error>() {
                Ok(error) => Failure::Network(*error),
                Err(source) => Failure::Client(octocrab::Error::Service { source, backtrace }),
            },
            other => Failure::Client(other),
        }
    }
}

impl Failure {
    /// What it means for a call.
    pub(super) fn explained(self, doing: &str, attempts: u32) -> GithubError {
        match self {
            Failure::Network(source) => GithubError::Network { doing: doing.into(), attempts, source },
            Failure::Client(error) => GithubError::Client { source: std::io::Error::other(error) },
            Failure::Runtime(source) => GithubError::Client { source },
        }
    }
}

/// octocrab's way to the network.
struct Transport {
    agent: Agent,
    token: Option<Secret>,
}

impl Service<http::Request<OctoBody>> for Transport {
    type Response = http::Response<Full<Bytes>>;
    type Error = net::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, net::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), net::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<OctoBody>) -> Self::Future {
        let (agent, token) = (self.agent.clone(), self.token.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // The body is in memory, so that collecting it neither waits nor fails.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            blocking(&agent, token, &parts, &body)
        })
    }
}

/// Wait for the answer. The runtime has nothing else to do meanwhile.
fn blocking(
    agent: &Agent,
    token: Option<Secret>,
    parts: &http::request::Parts,
    body: &[u8],
) -> Result<http::Response<Full<Bytes>>, net::Error> {
    let text = parts.uri.to_string();
    let url = Url::parse(&text).map_err(|_| net::Error::Redirect {
        url: net::SafeUrl::parse(&text),
        location: net::SafeUrl::parse(&text),
        problem: "that is no URL",
    })?;
    let mut request = match parts.method {
        http::Method::POST => Request::post(&url, body),
        http::Method::PATCH => Request::patch(&url, body),
        http::Method::DELETE => Request::delete(&url),
        _ => Request::get(&url),
    };
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name).and_then(|value| value.to_str().ok()) {
            request = request.header(name.as_str(), value);
        }
    }
    // GitHub Enterprise Server may lag behind, so the version is always named.
    request = request.header("X-GitHub-Api-Version", "2022-11-28");
    if let Some(token) = token {
        request = request.secret_header("Authorization", Secret::new(format!("Bearer {}", token.reveal())));
    }
    let answer = agent.send(request)?;
    let mut response = http::Response::builder().status(answer.status);
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
    }
    let body = Full::new(Bytes::from(answer.into_bytes(LONGEST_ANSWER_BYTES)?));
    // Only a status out of range could fail here, and that came from a parsed answer.
    Ok(response.body(body).unwrap_or_default())
}
