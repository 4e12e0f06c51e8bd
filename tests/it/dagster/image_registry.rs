//! The login of the organization's image registry.

use crate::support::standin::Standin;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pexpress::dagster::image_registry::ImageLogin;
use pexpress::net::Secret;
use serde_json::{Value, json};

fn login(token: Value) -> Result<ImageLogin, String> {
    let standin = Standin::start(json!({"serverless": {"auth_token": token}}));
    let login = standin.connect().client.at("prod").image_login();
    standin.journal().assert_clean();
    login.map_err(|error| error.to_string())
}

#[test]
fn a_password_may_have_colons() {
    let token = STANDARD.encode("robot$acme:pass:word");
    let want = ImageLogin {
        username: "robot$acme".into(),
        password: Secret::new("pass:word"),
        allows_custom_base: Some(false),
    };
    assert_eq!(login(json!(token)), Ok(want));
}

#[test]
fn a_token_that_is_missing_or_something_else_is_an_error() {
    let errors = [json!(null), json!(""), json!("%%%"), json!(STANDARD.encode("no colon"))];
    let errors: Vec<String> = errors.into_iter().map(|token| login(token).unwrap_err()).collect();
    insta::assert_snapshot!(errors.join("\n"), @"
    could not ask for the login of the image registry: the answer lacks `awsAuthToken`; a new organization may need some minutes
    could not ask for the login of the image registry: the answer lacks `awsAuthToken`; a new organization may need some minutes
    could not ask for the login of the image registry: the answer lacks a user and a password in `awsAuthToken`
    could not ask for the login of the image registry: the answer lacks a user and a password in `awsAuthToken`
    ");
}
