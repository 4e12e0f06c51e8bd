//! Which PEX files code locations use already, and what follows for a file of the same name.

use std::collections::BTreeSet;

/// With more source PEX files than this, those that serve are not looked for one by one.
const MOST_LOOKED_FOR: usize = 8;

/// PEX files that the code locations of a deployment use.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// Files of all code locations; `None` if Dagster+ does not report them.
    named: Option<BTreeSet<String>>,
    /// Files that need not be looked for.
    trusted: BTreeSet<String>,
}

impl InUse {
    /// For a deploy with so many source PEX files. `named` are the files of all code locations, if known, and `served`
    /// those of code locations that have loaded them and run without an error.
    ///
    /// A file that serves is there, since agents fetch it at each start. It is looked for all the same where that costs
    /// little, because a deploy then also repairs a registry that lost it. With many files it would cost a request each;
    /// if one of those is gone, its code location fails to load, and the next run looks for it. Deps PEX files are always
    /// looked for: they are few, and the deps cache must not name one that is gone.
    pub fn new(named: Option<BTreeSet<String>>, served: BTreeSet<String>, sources: usize) -> InUse {
        let is_trusted = |name: &String| sources > MOST_LOOKED_FOR && name.starts_with("source-");
        InUse { named, trusted: served.into_iter().filter(is_trusted).collect() }
    }

    /// Whether a file is stored without a look.
    pub fn is_trusted(&self, name: &str) -> bool {
        self.trusted.contains(name)
    }

    /// Whether no code location uses a file, so that it is probably not stored yet.
    pub fn is_new(&self, name: &str) -> bool {
        self.named.as_ref().is_some_and(|named| !named.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_files_that_serve_are_trusted() {
        let files = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let (named, served) = (["source-a.pex", "source-b.pex"], ["source-a.pex", "deps-a.pex"]);
        let of = |sources| InUse::new(Some(files(&named)), files(&served), sources);
        for (sources, trusted) in [(8, false), (9, true)] {
            let in_use = of(sources);
            assert_eq!(in_use.is_trusted("source-a.pex"), trusted);
            for other in ["source-b.pex", "source-c.pex", "deps-a.pex"] {
                assert!(!in_use.is_trusted(other), "{other}");
            }
            assert!(!in_use.is_new("source-b.pex") && in_use.is_new("source-c.pex"));
        }
        assert!(!InUse::default().is_new("source-a.pex"), "not known");
    }
}
