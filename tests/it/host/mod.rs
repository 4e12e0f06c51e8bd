//! What every module uses: HTTP, certificates, programs.

mod http;
mod tls;
mod tools;
mod uv_fetch;
mod uv_find;
