//! PEX files and wheels, in the hands of their readers and of hostile writers.

mod agent;
mod hostile;
mod interop;
mod oracle;
mod tools;
