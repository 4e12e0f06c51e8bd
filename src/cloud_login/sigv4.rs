//! Signs requests to AWS.
//!
//! Source: "AWS Signature Version 4 for API requests" (AWS, IAM user guide), "Create a signed request". The examples
//! of its test suite are tests here.

use crate::hex::hex;
use crate::net::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A short-lived key of AWS.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Public part.
    pub id: String,
    /// Signs, and is never sent.
    pub secret: Secret,
    /// Says that the key is short-lived.
    pub session_token: Option<Secret>,
}

/// A request to sign. The path is `/` and there is no query, as in every call that is made here.
pub(super) struct Unsigned<'a> {
    pub method: &'a str,
    /// Lower-case names, sorted; `host` and `x-amz-date` are among them.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    /// `YYYYMMDDTHHMMSSZ`, the value of `x-amz-date`.
    pub time: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// The value of `Authorization`.
pub(super) fn authorization(request: &Unsigned<'_>, key: &Key) -> String {
    let Unsigned { time, region, service, .. } = request;
    let day = time.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(Sha256::digest(canonical(request, &names))));
    let first = format!("AWS4{}", key.secret.reveal());
    let signing_key = [day, region, service, "aws4_request"]
        .iter()
        .fold(first.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(hmac(&signing_key, to_sign.as_bytes()));
    format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", key.id)
}

fn canonical(request: &Unsigned<'_>, names: &str) -> String {
    let headers: String =
        request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let body = hex(Sha256::digest(request.body));
    format!("{}\n/\n\n{headers}\n{names}\n{body}", request.method)
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Keys of any length are taken: longer ones are hashed first.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `get-vanilla`, `post-vanilla` and `post-x-www-form-urlencoded` of AWS's test suite.
    #[test]
    fn the_examples_of_aws_have_its_signatures() {
        let key = Key {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let time = "20150830T123600Z";
        let plain = [("host", "example.amazonaws.com"), ("x-amz-date", time)];
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            ("x-amz-date", time),
        ];
        for (method, headers, body, want) in [
            ("GET", &plain[..], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", &plain, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "POST",
                &form,
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let body = body.as_bytes();
            let request = Unsigned { method, headers, body, time, region: "us-east-1", service: "service" };
            let authorization = authorization(&request, &key);
            assert_eq!(authorization.rsplit_once('=').unwrap().1, want, "{method}");
        }
    }
}
