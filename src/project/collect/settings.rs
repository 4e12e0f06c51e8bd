//! Putting resolver settings from several files together.

use crate::project::{Index, ResolveSettings};

impl ResolveSettings {
    /// The same lines of a file as overrides.
    pub(super) fn into_overrides(mut self) -> ResolveSettings {
        self.overrides.append(&mut self.constraints);
        self.origins.iter_mut().for_each(|origin| origin.kind = "override");
        self
    }

    /// Add what another file says; where only one value can hold, the one that is there already does.
    pub(super) fn absorb(&mut self, other: ResolveSettings) {
        append(&mut self.constraints, other.constraints);
        append(&mut self.overrides, other.overrides);
        append(&mut self.build_constraints, other.build_constraints);
        append(&mut self.excludes, other.excludes);
        append(&mut self.find_links, other.find_links);
        append(&mut self.no_binary, other.no_binary);
        append(&mut self.only_binary, other.only_binary);
        self.origins.extend(other.origins);
        if let Some(index) = other.default_index {
            match &self.default_index {
                None => {
                    self.default_index = Some(index);
                    self.default_index_name = other.default_index_name;
                }
                Some(known) if *known != index => {
                    self.add_index(Index { name: other.default_index_name, url: index, explicit: false });
                }
                Some(_) => {}
            }
        }
        for index in other.indexes {
            self.add_index(index);
        }
        for (package, index) in other.index_pins {
            self.index_pins.entry(package).or_insert(index);
        }
        self.no_index |= other.no_index;
        self.prerelease = self.prerelease.take().or(other.prerelease);
        self.exclude_newer = self.exclude_newer.take().or(other.exclude_newer);
        self.index_strategy = self.index_strategy.take().or(other.index_strategy);
        self.resolution = self.resolution.take().or(other.resolution);
        for (key, value) in other.uv {
            self.uv.entry(key).or_insert(value);
        }
    }

    /// Add an index unless it is there.
    pub(super) fn add_index(&mut self, index: Index) {
        let known = self.indexes.iter().any(|known| match (&known.name, &index.name) {
            (Some(one), Some(other)) => one == other,
            _ => known.url == index.url,
        });
        if !known {
            self.indexes.push(index);
        }
    }

    /// The index of that name, if it is known.
    pub(super) fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name.as_deref() == Some(name))
    }
}

fn append(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}
