//! What every room stands on: HTTP, certificates, programs.

mod http;
mod tls;
mod tools;
mod uv_find;
