//! octocrab's requests, sent by our own [`Agent`], which handles certificates, proxies, time-outs and redirects for all
//! hosts. Async code exists only in this file.

use crate::net::{self, Agent, Request, SafeUrl, Secret};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;
use ureq::http;
use ureq::http::header::{CONTENT_TYPE, LINK, LOCATION};
use url::Url;

/// A page of 100 comments of the greatest length is about 26 MB.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;
const MOST_REDIRECTS: usize = 3;

/// octocrab, and the runtime that it runs in. Calls may be made from several threads at once.
pub(super) struct Client {
    crab: Octocrab,
    runtime: Runtime,
}

impl Client {
    pub(super) fn new(api_url: &str, token: Secret, agent: &Agent) -> Client {
        let runtime = Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers opens nothing that could fail");
        let transport = Transport { api_url: api_url.into(), token, agent: agent.clone() };
        // octocrab starts a task of its own.
        let _entered = runtime.enter();
        let built: Result<Octocrab, Infallible> =
            OctocrabBuilder::new_empty().with_service(transport).with_auth(AuthState::None).build();
        let Ok(crab) = built;
        Client { crab, runtime }
    }

    /// Run `ask` with octocrab and wait for the result.
    pub(super) fn wait<T>(&self, ask: impl AsyncFn(&Octocrab) -> octocrab::Result<T>) -> octocrab::Result<T> {
        self.runtime.block_on(ask(&self.crab))
    }
}

/// Why there is no answer; octocrab returns it inside [`octocrab::Error::Service`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Network(#[from] net::Error),
    #[error("the API address is not a valid URL")]
    BadUrl,
    #[error("it redirects to another server")]
    MovedAway(SafeUrl),
    #[error("it redirected more than {MOST_REDIRECTS} times")]
    TooManyRedirects,
}

/// octocrab's way to the network.
#[derive(Clone)]
struct Transport {
    api_url: String,
    token: Secret,
    agent: Agent,
}

impl Service<http::Request<OctoBody>> for Transport {
    type Response = http::Response<Full<Bytes>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<OctoBody>) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // The body is in memory, so that collecting it neither waits nor fails.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            // The agent blocks, and octocrab's own task has to run meanwhile.
            let sent = tokio::task::spawn_blocking(move || transport.send(&parts, &body)).await;
            sent.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        })
    }
}

impl Transport {
    /// Send, and follow redirects of a moved repository: with the same method and body, and the token only to GitHub
    /// itself. Redirects of reads are followed by the agent.
    fn send(
        &self,
        parts: &http::request::Parts,
        body: &[u8],
    ) -> Result<http::Response<Full<Bytes>>, Failure> {
        let mut url = address(&self.api_url, &parts.uri).ok_or(Failure::BadUrl)?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.agent.send(self.request(parts, &url, body))?;
            let (301 | 302 | 307 | 308, Some(location)) = (answer.status, answer.header(LOCATION.as_str()))
            else {
                return whole(answer);
            };
            // A body must not go to another host, so such a redirect is an error.
            let next = url.join(location).ok().filter(|next| self.is_ours(next));
            url = next.ok_or_else(|| Failure::MovedAway(SafeUrl::parse(location)))?;
        }
        Err(Failure::TooManyRedirects)
    }

    fn request<'a>(&self, parts: &http::request::Parts, url: &Url, body: &'a [u8]) -> Request<'a> {
        let request = match parts.method {
            http::Method::POST => Request::post(url, body),
            http::Method::PATCH => Request::patch(url, body),
            http::Method::DELETE => Request::delete(url),
            _ => Request::get(url),
        };
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        // GitHub Enterprise Server may lag behind, so the version is always sent.
        let request = request
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28");
        let request = match content_type {
            Some(value) => request.header(CONTENT_TYPE.as_str(), value),
            None => request,
        };
        match self.is_ours(url) {
            true => {
                let bearer = format!("Bearer {}", self.token.reveal());
                request.secret_header("Authorization", Secret::new(bearer))
            }
            false => request,
        }
    }

    fn is_ours(&self, url: &Url) -> bool {
        Url::parse(&self.api_url).is_ok_and(|api| api.origin() == url.origin())
    }
}

/// The URL for octocrab's `uri`: a link to a next page unchanged, and a path appended to the API's own URL, since
/// joining would drop the `/api/v3` of an Enterprise Server.
pub(super) fn address(api_url: &str, uri: &http::Uri) -> Option<Url> {
    let text = match uri.host() {
        Some(_) => uri.to_string(),
        None => format!("{api_url}{uri}"),
    };
    Url::parse(&text).ok().filter(|url| url.host_str().is_some())
}

/// The answer with its body, as octocrab takes it.
fn whole(answer: net::Response) -> Result<http::Response<Full<Bytes>>, Failure> {
    let mut response = http::Response::builder().status(answer.status);
    if let Some(headers) = response.headers_mut() {
        *headers = answer.headers().clone();
        keep_known_links(headers);
    }
    let body = Full::new(Bytes::from(answer.into_bytes(LONGEST_ANSWER_BYTES)?));
    // Only a status out of range could fail here, and that came from a parsed answer.
    Ok(response.body(body).unwrap_or_default())
}

/// octocrab prints links of other kinds to standard error, unescaped.
fn keep_known_links(headers: &mut http::HeaderMap) {
    let Some(links) = headers.remove(LINK) else { return };
    let is_known = |link: &&str| {
        let kind = link.rsplit_once("rel=").map(|(_, kind)| kind.trim_matches(['"', ' ']));
        kind.is_some_and(|kind| ["first", "prev", "next", "last"].contains(&kind))
    };
    let known = links.to_str().unwrap_or_default().split(',').filter(is_known).collect::<Vec<_>>().join(",");
    if let Ok(known) = known.parse() {
        headers.insert(LINK, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_address_of_the_api() {
        for (api_url, uri, want) in [
            ("https://h/api/v3", "/repos/a/b/pulls/7", Some("https://h/api/v3/repos/a/b/pulls/7")),
            ("https://h", "/repos/a/b/pulls?head=a%3Ab", Some("https://h/repos/a/b/pulls?head=a%3Ab")),
            ("https://h", "https://h/repositories/1/x?page=2", Some("https://h/repositories/1/x?page=2")),
            ("", "/user", None),
            ("h", "/user", None),
            ("file:///x", "/user", None),
        ] {
            let url = address(api_url, &uri.parse().unwrap());
            assert_eq!(url.map(String::from).as_deref(), want, "{api_url} {uri}");
        }
    }

    #[test]
    fn octocrab_sees_only_links_that_it_does_not_print() {
        for (links, want) in [
            (
                r#"<https://h/x?page=2>; rel="next", <https://h/x?page=9>; rel="last""#,
                r#"<https://h/x?page=2>; rel="next", <https://h/x?page=9>; rel="last""#,
            ),
            (
                "<https://h/changes>; rel=##[error], <https://h/x?page=3>; rel=next",
                " <https://h/x?page=3>; rel=next",
            ),
            ("nonsense", ""),
        ] {
            let mut headers = http::HeaderMap::new();
            headers.insert(LINK, links.parse().unwrap());
            keep_known_links(&mut headers);
            assert_eq!(headers[LINK], want);
        }
    }
}
