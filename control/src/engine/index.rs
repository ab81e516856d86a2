//! Finds the few selectors that a label set may match, and the few label sets that a selector may match.
//!
//! A selector is filed under one of its requirements; whoever does not meet that one need not be asked about the others.
//! Entries are filed by hash, so what is found is a candidate, to be tried.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use weir_model::{
    labels::{LabelSet, POD_NAMESPACE},
    selector::{Operator, Selector},
};

/// What is filed where.
#[derive(Debug)]
struct Index<T> {
    places: HashMap<u64, Vec<T>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { places: HashMap::new() }
    }
}

/// The requirement that a selector is filed under.
enum Anchor<'a> {
    /// One of these labels.
    Labels(&'a str, &'a [String]),
    /// A label with this key.
    Key(&'a str),
    /// It has none that asks for a label.
    Anything,
}

const ANYTHING: u64 = 0;

fn place(parts: (&str, Option<&str>)) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The most telling requirement: a label of its own, then the namespace, then a key.
fn anchor(selector: &Selector) -> Anchor<'_> {
    let rank = |operator: &Operator, key: &str| match operator {
        Operator::In(_) if key != POD_NAMESPACE => 0,
        Operator::In(_) => 1,
        Operator::Exists => 2,
        Operator::NotIn(_) | Operator::DoesNotExist => 3,
    };
    let best = selector.requirements.iter().min_by_key(|wanted| rank(&wanted.operator, &wanted.key.key));
    match best.map(|wanted| (&wanted.operator, wanted.key.key.as_str())) {
        Some((Operator::In(values), key)) => Anchor::Labels(key, values),
        Some((Operator::Exists, key)) => Anchor::Key(key),
        _ => Anchor::Anything,
    }
}

fn places_of_selector(selector: &Selector) -> Vec<u64> {
    match anchor(selector) {
        Anchor::Labels(key, values) => values.iter().map(|value| place((key, Some(value)))).collect(),
        Anchor::Key(key) => vec![place((key, None))],
        Anchor::Anything => vec![ANYTHING],
    }
}

fn places_of_labels(labels: &LabelSet) -> impl Iterator<Item = u64> + '_ {
    let own = labels.iter().flat_map(|(label, value)| [place((&label.key, Some(value))), place((&label.key, None))]);
    own.chain([ANYTHING])
}

impl<T: Copy + Ord> Index<T> {
    fn add(&mut self, places: impl Iterator<Item = u64>, thing: T) {
        for place in places {
            self.places.entry(place).or_default().push(thing);
        }
    }

    fn remove(&mut self, places: impl Iterator<Item = u64>, thing: T) {
        for place in places {
            let Some(things) = self.places.get_mut(&place) else { continue };
            if let Some(at) = things.iter().position(|there| *there == thing) {
                things.swap_remove(at);
            }
            if things.is_empty() {
                self.places.remove(&place);
            }
        }
    }

    fn find(&self, places: impl Iterator<Item = u64>) -> Vec<T> {
        let mut found: Vec<T> = places.filter_map(|place| self.places.get(&place)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Selectors, to be found by labels.
#[derive(Debug)]
pub(super) struct SelectorIndex<T>(Index<T>);

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self(Index::default())
    }
}

impl<T: Copy + Ord> SelectorIndex<T> {
    pub(super) fn add(&mut self, selector: &Selector, thing: T) {
        self.0.add(places_of_selector(selector).into_iter(), thing);
    }

    pub(super) fn remove(&mut self, selector: &Selector, thing: T) {
        self.0.remove(places_of_selector(selector).into_iter(), thing);
    }

    /// Those whose selector may match.
    pub(super) fn candidates(&self, labels: &LabelSet) -> Vec<T> {
        self.0.find(places_of_labels(labels))
    }
}

/// Label sets, to be found by selector.
#[derive(Debug)]
pub(super) struct LabelIndex<T>(Index<T>);

impl<T> Default for LabelIndex<T> {
    fn default() -> Self {
        Self(Index::default())
    }
}

impl<T: Copy + Ord> LabelIndex<T> {
    pub(super) fn add(&mut self, labels: &LabelSet, thing: T) {
        self.0.add(places_of_labels(labels), thing);
    }

    pub(super) fn remove(&mut self, labels: &LabelSet, thing: T) {
        self.0.remove(places_of_labels(labels), thing);
    }

    /// Those that the selector may match.
    pub(super) fn candidates(&self, selector: &Selector) -> Vec<T> {
        self.0.find(places_of_selector(selector).into_iter())
    }
}
