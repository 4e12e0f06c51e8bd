//! PEX files and wheels, with their real readers and hostile writers.

pub mod agent;
mod hostile;
mod interop;
mod oracle;
mod tools;
