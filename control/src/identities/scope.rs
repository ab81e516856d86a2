//! Numbers of one range, each counted by its users.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use weir_model::identity::Identity;

use super::Numbers;

/// Which thing has which number.
#[derive(Clone, Debug)]
pub(super) struct Scope<T> {
    counted: HashMap<T, Counted>,
    things: BTreeMap<Identity, T>,
    /// Those that nobody uses; they keep their numbers until the event ends.
    unused: BTreeSet<Identity>,
    pub(super) numbers: Numbers,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    identity: Identity,
    users: usize,
}

impl<T: Clone + Eq + Hash> Scope<T> {
    pub(super) fn new(first: Identity, last: Identity, floor: Identity) -> Self {
        Self {
            counted: HashMap::new(),
            things: BTreeMap::new(),
            unused: BTreeSet::new(),
            numbers: Numbers::new(first.0, last.0, floor.0),
        }
    }

    /// The thing's number, counted once more.
    pub(super) fn acquire(&mut self, thing: T) -> Option<Identity> {
        if let Some(counted) = self.counted.get_mut(&thing) {
            counted.users += 1;
            self.unused.remove(&counted.identity);
            return Some(counted.identity);
        }
        let identity = Identity(self.numbers.take()?);
        self.counted.insert(thing.clone(), Counted { identity, users: 1 });
        self.things.insert(identity, thing);
        Some(identity)
    }

    /// Counts it once less.
    pub(super) fn release(&mut self, identity: Identity) {
        let Some(counted) = self.things.get(&identity).and_then(|thing| self.counted.get_mut(thing)) else { return };
        counted.users = counted.users.saturating_sub(1);
        if counted.users == 0 {
            self.unused.insert(identity);
        }
    }

    /// Takes back the numbers that nobody uses.
    pub(super) fn settle(&mut self) -> Vec<Identity> {
        let gone: Vec<Identity> = std::mem::take(&mut self.unused).into_iter().collect();
        for identity in &gone {
            if let Some(thing) = self.things.remove(identity) {
                self.counted.remove(&thing);
                self.numbers.release(identity.0);
            }
        }
        debug_assert_eq!(self.counted.len(), self.things.len());
        gone
    }

    /// Gives a thing the number that it had, whoever had it before. Until somebody acquires it, nobody uses it.
    pub(super) fn restore(&mut self, identity: Identity, thing: T) {
        if let Some(other) = self.things.insert(identity, thing.clone()) {
            self.counted.remove(&other);
        }
        if let Some(old) = self.counted.insert(thing, Counted { identity, users: 0 })
            && old.identity != identity
        {
            self.things.remove(&old.identity);
            self.unused.remove(&old.identity);
        }
        self.unused.insert(identity);
    }

    pub(super) fn get(&self, identity: Identity) -> Option<&T> {
        self.things.get(&identity)
    }

    pub(super) fn find(&self, thing: &T) -> Option<Identity> {
        self.counted.get(thing).map(|counted| counted.identity)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Identity, &T)> {
        self.things.iter().map(|(identity, thing)| (*identity, thing))
    }

    pub(super) fn len(&self) -> usize {
        self.things.len()
    }
}
