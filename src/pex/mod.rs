//! PEX files: ZIP applications with third-party code in `.deps/`, one directory for each wheel.
//!
//! ```text
//! Chroot::open (a wheel, which is not unpacked) ─► DepsPex::plan ─► name, PEX-INFO ─► write
//! SourceEntry (a file, bytes, a member of a wheel)  ─► SourcePex::plan ─► name, PEX-INFO ─► write
//! ```
//!
//! A plan knows the file name before anything is written, and equal names mean equal content. Members of wheels are
//! copied without decompressing them. Only the lists of members are kept in memory.
//!
//! The format is that of pex 2.59 with pre-installed wheels, the newest one that every agent since pex 2.1.132 reads.
//! With the newer layout (wheels as files), old agents install nothing and report success.

mod collisions;
mod completeness;
mod deps;
mod embedded;
mod error;
mod hash;
mod info;
pub mod inspect;
mod layout;
pub mod python_json;
mod runtime;
mod runtime_archive;
mod source;
mod stub;
mod writer;

pub use collisions::{Collision, collisions, collisions_in_order};
pub use completeness::Gap;
pub use deps::{Completeness, DepsPex};
pub use error::PexError;
pub use hash::is_bytecode;
pub use info::PexInfo;
pub use layout::Chroot;
pub use runtime::{PEX_VERSION, Runtime, WHEEL_FILE_NAME, WHEEL_SHA256};
pub use runtime_archive::{archive_of_embedded, archive_of_wheel, is_embedded};
pub use source::{Content, SourceEntry, SourcePex};
pub use stub::script_stub;
pub use writer::{WheelContent, WheelFile, Written, write_files, write_wheel};

/// Version of the files written here. Raise it whenever the same wheels lead to different members, contents or modes.
///
/// It is part of every file name and of the key of cached fingerprints, because an agent never downloads a file again
/// if it has one of that name.
pub const FORMAT_REVISION: &str = "1";
