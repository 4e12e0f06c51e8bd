//! PEX files: a zip application whose third-party code lies below `.deps/`, a directory for each wheel.
//!
//! ```text
//! Chroot::open (a wheel, unpacked only in thought) ─► DepsPex::plan ─► name, PEX-INFO ─► write
//! SourceEntry (a file, bytes, a member of a wheel)  ─► SourcePex::plan ─► name, PEX-INFO ─► write
//! ```
//!
//! A plan knows the name of the file before anything is written: equal names mean equal content. Members of wheels are
//! copied as they are compressed; nothing is held in memory but the lists of members.
//!
//! The format is that of pex 2.59 with pre-installed wheels: the newest that every agent from pex 2.1.132 on reads. A
//! newer layout (wheels as files) makes old agents install nothing and report success.

mod collisions;
mod completeness;
mod deps;
mod error;
mod hash;
mod info;
pub mod inspect;
mod layout;
pub mod python_json;
mod runtime;
mod source;
mod stub;
mod writer;

pub use collisions::{Collision, collisions};
pub use completeness::Gap;
pub use deps::{Completeness, DepsPex};
pub use error::PexError;
pub use hash::is_bytecode;
pub use info::PexInfo;
pub use layout::Chroot;
pub use runtime::{PEX_VERSION, Runtime, WHEEL_FILE_NAME, WHEEL_SHA256};
pub use source::{Content, SourceEntry, SourcePex};
pub use stub::script_stub;
pub use writer::Written;

/// Number of the way in which this room writes files; to be raised whenever the same wheels give other members, other
/// contents or other modes.
///
/// It is part of every file name, and belongs into the key under which a fingerprint is cached: an agent that holds a
/// file of the same name never fetches it again.
pub const FORMAT_REVISION: &str = "1";
