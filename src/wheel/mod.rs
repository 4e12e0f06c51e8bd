//! Wheels: names, tags, metadata and the ZIP archive. Bytes in, values out.
//!
//! Nothing here knows what a PEX or Dagster+ is. No byte of a wheel is trusted: names that would leave the target
//! directory, links, encrypted or overlapping members are refused, and the error names the wheel and the member.
//! Specification: "Binary distribution format" (PyPA), and APPNOTE.TXT 6.3 for the archive.

pub mod archive;
pub mod dist_info;
pub mod entry_points;
mod error;
pub mod filename;
#[cfg(test)]
pub(crate) mod fixture;
pub mod legacy;
pub mod metadata;
pub mod requirement;
pub mod tags;

pub use archive::{Archive, Member, Piece, RawData, Reader};
pub use entry_points::EntryPoint;
pub use error::WheelError;
pub use filename::WheelName;
pub use metadata::Metadata;
pub use tags::{Preference, Tags};
