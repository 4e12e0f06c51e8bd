//! Which packages of a uv.lock a target needs, for the extras and groups that are asked for.
//!
//! uv combines the markers of all ways that lead to a package, and leaves it to the reader of its answer to evaluate
//! them. Here each is evaluated on the way. Source: `uv export` of uv 0.13, with which `uv_lock_oracle` compares.

use super::uv_lock_graph::{Dependency, Lock, encoded, encoded_project, extra_name};
use super::uv_lock_marker::Unsure;
use crate::project::CollectOptions;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName};
use std::collections::{BTreeMap, BTreeSet};

/// What is asked for.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// A member of the workspace; `None` stands for all of them.
    package: Option<&'a PackageName>,
    extras: BTreeSet<ExtraName>,
    all_extras: bool,
    groups: BTreeSet<ExtraName>,
}

/// Extras, groups and projects that are asked for, as markers name them.
type Items = BTreeSet<ExtraName>;

impl<'a> Selection<'a> {
    /// From the options. Only uv knows what extras together with all extras are.
    pub(super) fn new(
        package: Option<&'a PackageName>,
        options: &CollectOptions,
    ) -> Result<Selection<'a>, Unsure> {
        if options.all_extras && !options.extras.is_empty() {
            return Unsure::because("both extras and all of them are asked for");
        }
        let names = |names: &[String]| names.iter().map(|name| extra_name(name)).collect::<Result<_, _>>();
        let (extras, groups) = (names(&options.extras)?, names(&options.groups)?);
        Ok(Selection { package, extras, all_extras: options.all_extras, groups })
    }
}

impl Lock<'_> {
    /// The packages that the environment needs, in the order of the file.
    ///
    /// Names that do not exist, and what uv refuses, are left to uv.
    pub(super) fn needed(
        &self,
        selection: &Selection<'_>,
        environment: &MarkerEnvironment,
    ) -> Result<Vec<usize>, Unsure> {
        let roots = self.roots(selection)?;
        self.check_names(selection, &roots)?;
        self.check_conflicts(selection)?;
        let has_environment = self.has_environment(environment)?;
        let (reached, queue) = (BTreeMap::new(), Vec::new());
        let mut walk = Walk { lock: self, environment, has_environment, reached, queue };
        walk.start(&roots, selection)?;
        while let Some(index) = walk.queue.pop() {
            walk.go_on(index)?;
        }
        walk.check_followed()?;
        Ok(walk.reached.into_keys().collect())
    }

    fn roots(&self, selection: &Selection<'_>) -> Result<Vec<usize>, Unsure> {
        let roots: Vec<usize> = match selection.package {
            Some(name) => vec![self.only(name)?],
            None => self.members.iter().map(|name| self.only(name)).collect::<Result<_, _>>()?,
        };
        let is_local = |root: &usize| {
            let source = self.packages[*root].source;
            ["editable", "virtual", "directory"].iter().any(|kind| source.contains_key(*kind))
        };
        if roots.is_empty() || !roots.iter().all(is_local) {
            return Unsure::because("it does not have the project as a local package");
        }
        Ok(roots)
    }

    /// uv has the words for an extra or group that does not exist.
    fn check_names(&self, selection: &Selection<'_>, roots: &[usize]) -> Result<(), Unsure> {
        let known = |names: &BTreeSet<ExtraName>, has: &dyn Fn(usize, &ExtraName) -> bool| {
            names.iter().all(|name| roots.iter().any(|root| has(*root, name)))
        };
        if self.has_all_extras
            && !known(&selection.extras, &|root, name| self.packages[root].declared_extras.contains(name))
        {
            return Unsure::because("an extra is not in it");
        }
        if !known(&selection.groups, &|root, name| self.packages[root].declared_groups.contains(name)) {
            return Unsure::because("a group is not in it");
        }
        // A member's own group takes the place of one of the root, but all members together have both.
        let has_both = |name: &ExtraName| selection.package.is_none() && self.root_groups.contains(name);
        match selection.groups.iter().any(has_both) {
            true => Unsure::because("a group is one of the workspace's root too"),
            false => Ok(()),
        }
    }

    /// uv refuses what the project itself declares as conflicting.
    fn check_conflicts(&self, selection: &Selection<'_>) -> Result<(), Unsure> {
        let is_asked = |item: &ExtraName| {
            let item = item.as_ref();
            let ends_with = |name: &ExtraName| item.ends_with(&format!("-{name}"));
            match item.split('-').next() {
                Some("extra") => selection.all_extras || selection.extras.iter().any(ends_with),
                Some("group") => selection.groups.iter().any(ends_with),
                _ => true,
            }
        };
        match self.conflicts.iter().any(|set| set.iter().filter(|item| is_asked(item)).count() > 1) {
            true => Unsure::because("what is asked for may conflict"),
            false => Ok(()),
        }
    }
}

/// The way through the graph in one environment.
struct Walk<'l> {
    lock: &'l Lock<'l>,
    environment: &'l MarkerEnvironment,
    /// Whether the lock was made for it.
    has_environment: bool,
    /// By package: what is asked for on some way to it.
    reached: BTreeMap<usize, Reached<'l>>,
    /// Packages to go on from.
    queue: Vec<usize>,
}

#[derive(Default)]
struct Reached<'l> {
    items: Items,
    followed: Vec<&'l Dependency<'l>>,
}

impl<'l> Walk<'l> {
    /// Enter the graph at the roots and at what their groups need.
    fn start(&mut self, roots: &[usize], selection: &Selection<'_>) -> Result<(), Unsure> {
        let mut items = Items::new();
        for package in roots.iter().map(|root| &self.lock.packages[*root]) {
            items.insert(encoded_project(&package.name)?);
            let is_asked = |extra: &&ExtraName| selection.all_extras || selection.extras.contains(*extra);
            for extra in package.optional.keys().filter(is_asked) {
                items.insert(encoded("extra", &package.name, extra)?);
            }
            for (group, _) in package.groups.iter().filter(|(name, _)| selection.groups.contains(name)) {
                items.insert(encoded("group", &package.name, group)?);
            }
        }
        for root in roots {
            self.reach(*root, &items);
            let groups = &self.lock.packages[*root].groups;
            for (_, dependencies) in groups.iter().filter(|(name, _)| selection.groups.contains(name)) {
                for dependency in dependencies {
                    self.follow(None, dependency, &items)?;
                }
            }
        }
        Ok(())
    }

    /// Follow the dependencies of a package, and those of its extras that are asked for.
    fn go_on(&mut self, index: usize) -> Result<(), Unsure> {
        let (lock, items) = (self.lock, self.reached[&index].items.clone());
        let package = &lock.packages[index];
        for dependency in &package.dependencies {
            self.follow(Some(index), dependency, &items)?;
        }
        for (extra, dependencies) in &package.optional {
            if items.contains(&encoded("extra", &package.name, extra)?) {
                for dependency in dependencies {
                    self.follow(Some(index), dependency, &items)?;
                }
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        from: Option<usize>,
        dependency: &'l Dependency<'l>,
        items: &Items,
    ) -> Result<(), Unsure> {
        let mut items = items.clone();
        for extra in &dependency.extras {
            items.insert(encoded("extra", &self.lock.packages[dependency.package].name, extra)?);
        }
        if self.applies(from, dependency, &items)? {
            self.reach(dependency.package, &items);
            if let Some(from) = from.filter(|_| dependency.has_items()) {
                self.reached.entry(from).or_default().followed.push(dependency);
            }
        }
        Ok(())
    }

    /// Whether a dependency applies. A name that is not encoded is an extra of the package that has the dependency.
    fn applies(
        &self,
        from: Option<usize>,
        dependency: &Dependency<'_>,
        items: &Items,
    ) -> Result<bool, Unsure> {
        if !self.has_environment {
            return Ok(false);
        }
        let mut active = Vec::new();
        if dependency.has_items() {
            active.extend(items.iter().cloned());
            let own = from.map(|from| &self.lock.packages[from]);
            for (package, extra) in
                own.iter().flat_map(|own| own.optional.keys().map(|extra| (&own.name, extra)))
            {
                if items.contains(&encoded("extra", package, extra)?) {
                    active.push(extra.clone());
                }
            }
        }
        dependency.applies(self.environment, &active)
    }

    fn reach(&mut self, package: usize, items: &Items) {
        let is_new = !self.reached.contains_key(&package);
        let known = &mut self.reached.entry(package).or_default().items;
        let before = known.len();
        known.extend(items.iter().cloned());
        if is_new || known.len() != before {
            self.queue.push(package);
        }
    }

    /// A dependency for the case that an extra is not asked for may have been followed before it was.
    fn check_followed(&self) -> Result<(), Unsure> {
        for (index, reached) in &self.reached {
            for dependency in &reached.followed {
                if !self.applies(Some(*index), dependency, &reached.items)? {
                    return Unsure::because("an extra excludes what another needs");
                }
            }
        }
        Ok(())
    }
}
