//! One call of a cloud's API: retries, limits, and errors in the service's own words.

use super::{CloudLoginError, CloudLogins};
use crate::foreign_json;
use crate::foreign_text::neutral;
use crate::net::retry::{self, Again, Backoff};
use crate::net::{self, Request, Secret, Transience};
use crate::redact;
use serde_json::Value;

/// Answers are tokens of some kilobytes.
const LONGEST_ANSWER_BYTES: u64 = 1 << 20;
/// Longest part of a service's message that is shown, in characters.
const LONGEST_MESSAGE_CHARS: usize = 500;
/// Transient statuses. All these calls only make a token, so they may be repeated.
const TRANSIENT: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// What a call is for, in messages.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// As in "could not …".
    pub doing: &'static str,
    /// Who is asked.
    pub whom: &'static str,
    /// What to do when it is refused.
    pub hint: &'static str,
}

impl Call {
    /// Send what `request` makes, again after transient failures; the body of a successful answer. `secrets` are those in
    /// the body of the request, which a service may repeat in its message.
    pub(super) fn send<'a>(
        self,
        logins: &CloudLogins<'_>,
        secrets: &[&Secret],
        request: impl Fn() -> Request<'a>,
    ) -> Result<Vec<u8>, CloudLoginError> {
        let secrets: Vec<Secret> = secrets.iter().copied().cloned().collect();
        let clock = logins.host.clock.as_ref();
        let answer = retry::run(&Backoff::API, clock, |_| {
            let answer = logins.agent.send(request()).map_err(|error| self.again(error))?;
            let (status, retry_after) = (answer.status, answer.retry_after(clock.now()));
            let body = answer.into_bytes(LONGEST_ANSWER_BYTES).map_err(|error| self.again(error))?;
            match status {
                200..=299 => Ok(body),
                _ if TRANSIENT.contains(&status) || asks_to_repeat(&body) => {
                    Err(Again::After { error: self.refused(status, &body, &secrets), retry_after })
                }
                _ => Err(Again::No(self.refused(status, &body, &secrets))),
            }
        });
        answer.map_err(|failed| failed.error)
    }

    /// The same for answers in JSON.
    pub(super) fn json<'a>(
        self,
        logins: &CloudLogins<'_>,
        secrets: &[&Secret],
        request: impl Fn() -> Request<'a>,
    ) -> Result<Value, CloudLoginError> {
        let body = self.send(logins, secrets, request)?;
        foreign_json::read(&body).map_err(|_| self.lacks("JSON"))
    }

    /// The error for an answer without a member.
    pub(super) fn lacks(self, what: &'static str) -> CloudLoginError {
        CloudLoginError::Unexpected { doing: self.doing, whom: self.whom, what }
    }

    fn again(self, error: net::Error) -> Again<CloudLoginError> {
        let lasting = error.transience() == Transience::Lasting;
        let error = CloudLoginError::Network { doing: self.doing, source: error };
        if lasting { Again::No(error) } else { Again::After { error, retry_after: None } }
    }

    fn refused(self, status: u16, body: &[u8], secrets: &[Secret]) -> CloudLoginError {
        let Call { doing, whom, hint } = self;
        // Cut last, so that no part of a secret is left.
        let message: String =
            redact::without(secrets, &message(body)).chars().take(LONGEST_MESSAGE_CHARS).collect();
        CloudLoginError::Refused { doing, whom, status, message, hint }
    }
}

/// STS could not reach GitHub's keys in time; its documentation says to repeat the call.
fn asks_to_repeat(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("IDPCommunicationError") || text.contains("<Code>Throttling")
}

/// The message of an error: `<Message>` at AWS's older services, `message` at its newer ones, `error_description` of
/// OAuth2 (RFC 6749, section 5.2), `error.message` at Google, `errors[].message` at registries.
fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json = foreign_json::read(body).unwrap_or(Value::Null);
    let places =
        ["/error_description", "/error/message", "/message", "/Message", "/errors/0/message", "/error"];
    let found = places.iter().find_map(|place| json.pointer(place)?.as_str().map(str::to_string));
    let found =
        found.or_else(|| Some(format!("{}: {}", element(&text, "Code")?, element(&text, "Message")?)));
    let one_line: Vec<&str> = found.as_deref().unwrap_or_default().split_whitespace().collect();
    neutral(&one_line.join(" "))
}

/// The text of the first XML element of this name. It has no elements inside in any answer that is read here.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    let plain = entities.iter().fold(inner.trim().to_string(), |text, (from, to)| text.replace(from, to));
    (!plain.is_empty()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_found_in_every_form() {
        for (body, want) in [
            (
                r#"{"error": "invalid_client", "error_description": "AADSTS700213: No matching\r\nrecord"}"#,
                "AADSTS700213: No matching record",
            ),
            (r#"{"error": {"code": 403, "message": "Permission denied"}}"#, "Permission denied"),
            (r#"{"__type": "AccessDeniedException", "Message": "not authorized"}"#, "not authorized"),
            (
                r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#,
                "authentication required",
            ),
            (
                "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not &lt;you&gt;</Message></Error></ErrorResponse>",
                "AccessDenied: Not <you>",
            ),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(message(body.as_bytes()), want);
        }
    }
}
