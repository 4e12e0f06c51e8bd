//! The login for the organization's own image registry, which Dagster+ Serverless gives to who may deploy.
//!
//! Source: `serverless` as dagster-cloud-cli 1.13.27 asks for it. The token is base64 of `user:password`, and a password
//! may have colons. It is asked for when something is pushed, since it is a credential and expires.

use super::client::{Client, Operation};
use super::error::DagsterError;
use super::operations::operation;
use crate::net::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const IMAGE_REGISTRY: Operation =
    operation!("ask for the login of the image registry", "serverless", "image_registry");

/// Who may push to the organization's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLogin {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// Base images of the user's own are allowed; `None` if Dagster+ does not say.
    pub allows_custom_base: Option<bool>,
}

impl Client {
    /// The login for the organization's image registry.
    ///
    /// # Errors
    /// Those of the call, and when the organization has no registry yet, as in its first minutes.
    pub fn image_login(&self) -> Result<ImageLogin, DagsterError> {
        let answer = self.call(IMAGE_REGISTRY, json!({}))?;
        let lacks =
            |what: &str| DagsterError::Unexpected { doing: IMAGE_REGISTRY.doing.into(), what: what.into() };
        let token = answer["awsAuthToken"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| lacks("`awsAuthToken`; a new organization may need some minutes"))?;
        let pair = STANDARD.decode(token.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (username, password) = pair.ok_or_else(|| lacks("a user and a password in `awsAuthToken`"))?;
        let allows_custom_base = answer.get("registryAllowCustomBase").and_then(Value::as_bool);
        Ok(ImageLogin { username: username.into(), password: Secret::new(password), allows_custom_base })
    }
}
