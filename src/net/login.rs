//! A user name and password, as `Authorization` carries them.

use super::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A user name and its password; either may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Some hosts accept a token as user name, so never print this; `Debug` is for tests.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Login {
    /// The value of an `Authorization` header. Source: RFC 7617.
    pub fn header(&self) -> Secret {
        let pair = format!("{}:{}", self.username, self.password.reveal());
        Secret::new(format!("Basic {}", STANDARD.encode(pair)))
    }
}
