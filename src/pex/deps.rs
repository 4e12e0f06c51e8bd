//! The deps PEX: third-party distributions, and none of the user's code.

use super::layout::FileContent;
use super::runtime::Runtime;
use super::writer::{NewMember, Payload, Written, write_pex};
use super::{Chroot, Gap, PexError, PexInfo, completeness, hash, info};
use crate::target::Target;
use crate::wheel::Tags;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};

/// Directory of the chroots in a PEX.
const DEPS_DIR: &str = ".deps";

/// What to do about unsatisfied dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness<'n> {
    /// Refuse them, as the agent would.
    Required,
    /// Refuse them, except requirements of the distributions with these normalised names: the user changed their
    /// dependencies on purpose.
    LenientFor(&'n BTreeSet<String>),
    /// Make the agent ignore them: the user replaced or excluded dependencies on purpose.
    Lenient,
}

/// A deps PEX that can be written.
#[derive(Debug)]
pub struct DepsPex<'a> {
    chroots: Vec<&'a Chroot>,
    target: Target,
    gaps: Vec<Gap>,
    info: PexInfo,
}

impl<'a> DepsPex<'a> {
    /// Decide everything about the file. Missing fingerprints are computed one after the other; to compute them in
    /// parallel, call [`Chroot::fingerprint`] from several threads first.
    ///
    /// # Errors
    /// When a wheel is damaged, is not for the target, occurs in two versions, or lacks a dependency (except with
    /// [`Completeness::Lenient`]).
    pub fn plan(
        chroots: impl IntoIterator<Item = &'a Chroot>,
        target: &Target,
        completeness: Completeness<'_>,
    ) -> Result<DepsPex<'a>, PexError> {
        let mut chroots: Vec<&Chroot> = chroots.into_iter().collect();
        // The order of the arguments must not change the bytes: agents and caches compare files by name.
        chroots.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        check_each(&chroots, target)?;
        let gaps = completeness::gaps(&chroots, target);
        let is_refused = |gap: &Gap| match completeness {
            Completeness::Required => true,
            Completeness::LenientFor(names) => !names.contains(&gap.name()),
            Completeness::Lenient => false,
        };
        let refused: Vec<Gap> = gaps.iter().filter(|gap| is_refused(gap)).cloned().collect();
        if !refused.is_empty() {
            return Err(PexError::Incomplete { gaps: refused });
        }
        let fingerprint =
            |chroot: &&Chroot| Ok((chroot.file_name().to_string(), chroot.fingerprint()?.to_string()));
        let parts = info::Parts {
            // A deps PEX has no user code. pex stores the hash of an empty tree, not an empty string.
            code_hash: hash::TreeHash::<sha1::Sha1>::from_names(std::iter::empty()).finish(),
            distributions: chroots.iter().map(fingerprint).collect::<Result<_, PexError>>()?,
            requirements: chroots.iter().map(|chroot| completeness::pin(chroot)).collect(),
            // Set only when needed, so that the agent stays strict about complete files.
            ignore_errors: !gaps.is_empty(),
        };
        Ok(DepsPex { chroots, target: *target, gaps, info: PexInfo::new(parts, target) })
    }

    /// `deps-HASH.pex`.
    pub fn file_name(&self) -> String {
        format!("deps-{}.pex", self.info.pex_hash())
    }

    /// PEX-INFO.
    pub fn info(&self) -> &PexInfo {
        &self.info
    }

    /// Unsatisfied dependencies that were accepted; always empty with [`Completeness::Required`].
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Write the file. `out` must be at its start, and needs no buffer of its own.
    ///
    /// # Errors
    /// When a wheel cannot be read or `out` cannot be written. What was written so far is then useless.
    pub fn write(&self, out: &mut (impl Write + Seek), runtime: &Runtime) -> Result<Written, PexError> {
        let layouts =
            self.chroots.iter().map(|chroot| chroot.layout_text()).collect::<Result<Vec<_>, PexError>>()?;
        let entries = || {
            self.chroots.iter().zip(&layouts).flat_map(|(chroot, layout)| {
                chroot.files().iter().map(move |file| NewMember {
                    path: Cow::Owned(format!("{DEPS_DIR}/{}/{}", chroot.file_name(), file.path)),
                    executable: file.executable,
                    payload: match &file.content {
                        FileContent::Member(data) => Payload::Member { wheel: chroot.path(), data },
                        FileContent::Text(text) => Payload::Bytes(Cow::Borrowed(text)),
                        FileContent::Layout => Payload::Bytes(Cow::Borrowed(layout.as_bytes())),
                    },
                })
            })
        };
        write_pex(out, runtime, &self.target, &self.info, entries)
    }
}

fn check_each(chroots: &[&Chroot], target: &Target) -> Result<(), PexError> {
    let tags = Tags::for_target(target);
    let mut by_name: BTreeMap<String, &Chroot> = BTreeMap::new();
    for chroot in chroots {
        let wheel = || chroot.file_name().to_string();
        if tags.rank(chroot.wheel_name()).is_none() {
            return Err(PexError::OtherPlatform { wheel: wheel(), target: *target });
        }
        if let Some(first) = by_name.insert(chroot.wheel_name().name(), chroot) {
            return Err(PexError::SameDistribution { first: first.file_name().to_string(), second: wheel() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
