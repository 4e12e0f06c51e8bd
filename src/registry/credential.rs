//! A credential, wherever it is from.

use crate::net::Secret;
use crate::net::login::Login;

/// What proves to a registry who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Login(Login),
    /// A long-lived token that is exchanged for others.
    IdentityToken(Secret),
    /// A token that is sent as it is.
    RegistryToken(Secret),
}
