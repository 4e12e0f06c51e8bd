//! Between build and publisher: a run that is interrupted before its first file is sent has changed nothing.

use crate::build::observer::{Observer, StoredDeps};
use crate::build::{BuiltDeps, PexFile};
use crate::commands::interrupt::{self, Reached};
use crate::publish::Publisher;
use crate::resolve::Resolution;

/// Hears of finished files for the publisher, and puts down that the first of them is on its way.
pub(super) struct Sending<'a> {
    publisher: &'a Publisher,
    reached: &'a Reached,
}

impl<'a> Sending<'a> {
    /// For a run that keeps in `reached` how far it came.
    pub(super) fn new(publisher: &'a Publisher, reached: &'a Reached) -> Sending<'a> {
        Sending { publisher, reached }
    }
}

impl Observer for Sending<'_> {
    fn source_built(&self, file: &PexFile) {
        self.reached.set(interrupt::State::Uploading);
        self.publisher.source_built(file);
    }

    fn deps_built(&self, deps: &BuiltDeps) {
        self.reached.set(interrupt::State::Uploading);
        self.publisher.deps_built(deps);
    }

    fn stored_deps(&self, resolution: &Resolution) -> Option<StoredDeps> {
        self.publisher.stored_deps(resolution)
    }
}
