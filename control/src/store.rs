//! All objects of all files, each in its last good version.
//!
//! Invariants:
//! - An object that is refused now keeps the last version that was accepted from the same file; so does everything in a file
//!   that is not YAML (half-written). Its problem stays listed until the object is repaired or gone from a readable file.
//! - An object in two files is taken from the first by file name; within one file, from the first document.
//! - What is in force depends on the files' last contents only, not on the order in which they came, as long as all are good.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weir_model::policy::Gap;

use crate::{
    manifests::{self, Accepted, Object, ObjectKey, ReadOptions, Reading, RuleCheck},
    problem::Problem,
    watch::{Batch, Contents},
};

/// The objects in force, and what is wrong with the others.
pub struct Store {
    options: ReadOptions,
    check: Arc<RuleCheck>,
    files: BTreeMap<String, File>,
    /// Which files hold a good version of an object; the first of them wins.
    holders: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// Why the source as a whole cannot be read at present.
    unavailable: Option<Problem>,
}

/// An object in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file it comes from.
    pub file: String,
    /// Which document of that file, from 1.
    pub document: usize,
    /// The object.
    pub object: Arc<Object>,
}

/// What an event changed in the set of objects in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or different.
    pub changed: BTreeSet<ObjectKey>,
    /// No longer there.
    pub removed: BTreeSet<ObjectKey>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    fn extend(&mut self, later: Self) {
        for key in later.changed {
            self.removed.remove(&key);
            self.changed.insert(key);
        }
        for key in later.removed {
            self.changed.remove(&key);
            self.removed.insert(key);
        }
    }
}

#[derive(Default)]
struct File {
    objects: BTreeMap<ObjectKey, Stored>,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

impl Store {
    /// An empty store that reads the language of today; `check` judges HTTP rules.
    pub fn new(check: Arc<RuleCheck>) -> Self {
        Self::with_options(ReadOptions::default(), check)
    }

    /// An empty store that reads with these options.
    pub fn with_options(options: ReadOptions, check: Arc<RuleCheck>) -> Self {
        Self { options, check, files: BTreeMap::new(), holders: BTreeMap::new(), unavailable: None }
    }

    /// Takes what a file says now. A name that is no manifest's ([`manifests::is_manifest`]) is ignored.
    pub fn apply_file(&mut self, name: &str, contents: &[u8]) -> Changes {
        if !manifests::is_manifest(name) {
            return Changes::default();
        }
        let parsed = manifests::parse(name, contents, self.options, &*self.check);
        let old = self.files.get(name).map(|file| file.objects.clone()).unwrap_or_default();
        self.replace(name, Some(merge(name, old, parsed)))
    }

    /// Forgets a file and all that it said.
    pub fn remove_file(&mut self, name: &str) -> Changes {
        self.replace(name, None)
    }

    /// Notes that a file is there but cannot be read; what it said before stays in force.
    pub fn reject_file(&mut self, name: &str, reason: &str) -> Changes {
        if manifests::is_manifest(name) {
            self.files.entry(name.into()).or_default().problems = vec![Problem::of_file(name, reason)];
        }
        Changes::default()
    }

    /// Takes a batch of the watch.
    pub fn apply(&mut self, batch: &Batch) -> Changes {
        self.unavailable = batch.unavailable.as_ref().map(|reason| Problem::of_file("", reason));
        let mut changes = Changes::default();
        for (name, contents) in &batch.files {
            changes.extend(match contents {
                Contents::Bytes(bytes) => self.apply_file(name, bytes),
                Contents::Gone => self.remove_file(name),
                Contents::Unreadable(reason) => self.reject_file(name, reason),
            });
        }
        if batch.complete {
            let gone: Vec<String> =
                self.files.keys().filter(|name| !batch.files.contains_key(*name)).cloned().collect();
            for name in gone {
                changes.extend(self.remove_file(&name));
            }
        }
        changes
    }

    /// The objects in force, by key.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Stored)> {
        self.holders.keys().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// One object in force.
    pub fn get(&self, key: &ObjectKey) -> Option<&Stored> {
        let file = self.holders.get(key)?.first()?;
        self.files.get(file)?.objects.get(key)
    }

    /// Everything that is wrong at present, by file and document.
    pub fn problems(&self) -> Vec<Problem> {
        let own = self.files.values().flat_map(|file| file.problems.iter().cloned());
        let mut problems: Vec<_> = self.unavailable.iter().cloned().chain(own).collect();
        for (key, files) in self.holders.iter().filter(|(_, files)| files.len() > 1) {
            let mut files = files.iter();
            let winner = files.next().map_or("", String::as_str);
            let losers = files.filter_map(|file| self.files.get(file)?.objects.get(key));
            problems.extend(losers.map(|loser| duplicate(key, &loser.file, loser.document, winner)));
        }
        problems.sort();
        problems
    }

    /// Worth knowing, but no mistakes.
    pub fn notes(&self) -> Vec<Problem> {
        self.files.values().flat_map(|file| file.notes.iter().cloned()).collect()
    }

    /// What the policies in force say and weir does not enforce as written, each with what happens instead.
    pub fn gaps(&self) -> Vec<Problem> {
        let gaps = self.objects().flat_map(|(key, stored)| {
            let gaps: &[Gap] = match &*stored.object {
                Object::Policy(policy) => &policy.gaps,
                _ => &[],
            };
            gaps.iter().map(move |gap| Problem {
                file: stored.file.clone(),
                document: stored.document,
                object: key.to_string(),
                field: gap.field.clone(),
                reason: gap.effect.clone(),
            })
        });
        gaps.collect()
    }

    fn replace(&mut self, name: &str, new: Option<File>) -> Changes {
        let old = self.files.get(name).map(|file| file.objects.keys().cloned().collect()).unwrap_or_default();
        let now: BTreeSet<ObjectKey> = new.iter().flat_map(|file| file.objects.keys().cloned()).collect();
        let touched: BTreeSet<ObjectKey> = &old | &now;
        let before: Vec<_> = touched.iter().map(|key| self.get(key).map(|stored| stored.object.clone())).collect();
        for key in old.difference(&now) {
            if let Some(files) = self.holders.get_mut(key) {
                files.remove(name);
                if files.is_empty() {
                    self.holders.remove(key);
                }
            }
        }
        for key in now {
            self.holders.entry(key).or_default().insert(name.into());
        }
        match new {
            Some(file) => drop(self.files.insert(name.into(), file)),
            None => drop(self.files.remove(name)),
        }
        let mut changes = Changes::default();
        for (key, before) in touched.into_iter().zip(before) {
            match self.get(&key) {
                None if before.is_some() => drop(changes.removed.insert(key)),
                Some(after) if Some(&after.object) != before.as_ref() => drop(changes.changed.insert(key)),
                _ => {}
            }
        }
        changes
    }
}

/// Decides, object by object, between what a file said before and what it says now.
fn merge(name: &str, mut old: BTreeMap<ObjectKey, Stored>, parsed: manifests::Parsed) -> File {
    let mut file = File { objects: BTreeMap::new(), problems: parsed.problems, notes: parsed.notes };
    for Accepted { key, document, object } in parsed.objects {
        if let Some(first) = file.objects.get(&key) {
            file.problems.push(duplicate(&key, name, document, &format!("document {} of this file", first.document)));
            continue;
        }
        let new = Stored { file: name.into(), document, object: Arc::new(object) };
        let stored = match old.remove(&key) {
            Some(last_good) if parsed.reading == Reading::Broken => last_good,
            _ => new,
        };
        file.objects.insert(key, stored);
    }
    // What is left of the old objects is not among the good ones: refused, out of sight, or gone.
    old.retain(|key, _| !file.objects.contains_key(key));
    if parsed.reading == Reading::Whole {
        old.retain(|key, _| parsed.rejected.contains(key));
    }
    file.objects.append(&mut old);
    file
}

fn duplicate(key: &ObjectKey, file: &str, document: usize, winner: &str) -> Problem {
    Problem {
        file: file.into(),
        document,
        object: key.to_string(),
        field: "metadata.name".into(),
        reason: format!("the object is already in {winner}, which is in force; remove one of the two"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_outrank_earlier_ones() {
        let key = ObjectKey { kind: manifests::Kind::Pod, namespace: "a".into(), name: "b".into() };
        let changed = Changes { changed: [key.clone()].into(), ..Changes::default() };
        let removed = Changes { removed: [key].into(), ..Changes::default() };
        for (first, second) in [(&changed, &removed), (&removed, &changed)] {
            let mut sum = first.clone();
            sum.extend(second.clone());
            assert_eq!(&sum, second);
        }
    }
}
