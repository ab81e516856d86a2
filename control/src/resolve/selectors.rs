//! Which identities a selector means, each distinct selector evaluated once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use weir_model::{
    identity::Identity,
    labels::{LabelKey, LabelSet, SOURCE_RESERVED},
    selector::{Operator, Selector},
};

/// The identities that are not pods' and that a selector may name.
const RESERVED: [Identity; 3] = [Identity::HOST, Identity::WORLD_IPV4, Identity::WORLD_IPV6];

/// The sets of identities, by selector.
pub(super) struct SelectorCache<'a> {
    identities: &'a BTreeMap<Identity, &'a LabelSet>,
    reserved: Vec<(Identity, LabelSet)>,
    pods: HashMap<Selector, Arc<BTreeSet<Identity>>>,
    peers: HashMap<Vec<Selector>, Arc<BTreeSet<Identity>>>,
}

impl<'a> SelectorCache<'a> {
    pub(super) fn new(identities: &'a BTreeMap<Identity, &'a LabelSet>) -> Self {
        let reserved = RESERVED.into_iter().map(|identity| (identity, reserved_labels(identity))).collect();
        Self { identities, reserved, pods: HashMap::new(), peers: HashMap::new() }
    }

    /// The identities of pods that `selector` matches.
    pub(super) fn pods(&mut self, selector: &Selector) -> Arc<BTreeSet<Identity>> {
        if let Some(known) = self.pods.get(selector) {
            return known.clone();
        }
        let matching = self.identities.iter().filter(|(_, labels)| selector.matches(labels));
        let matching = Arc::new(matching.map(|(identity, _)| *identity).collect());
        self.pods.insert(selector.clone(), Arc::clone(&matching));
        matching
    }

    /// The identities that one of `selectors` matches: pods, and host or world for a selector that asks for a `reserved:`
    /// label. Asking for the absence of something never means host or world.
    pub(super) fn peers(&mut self, selectors: &[Selector]) -> Arc<BTreeSet<Identity>> {
        if let Some(known) = self.peers.get(selectors) {
            return known.clone();
        }
        let mut union = BTreeSet::new();
        for selector in selectors {
            union.extend(self.pods(selector).iter());
            if asks_for_reserved(selector) {
                let matching = self.reserved.iter().filter(|(_, labels)| selector.matches(labels));
                union.extend(matching.map(|(identity, _)| *identity));
            }
        }
        let union = Arc::new(union);
        self.peers.insert(selectors.to_vec(), Arc::clone(&union));
        union
    }
}

fn reserved_labels(identity: Identity) -> LabelSet {
    identity.reserved_name().map(|name| (LabelKey::reserved(name), String::new())).into_iter().collect()
}

fn asks_for_reserved(selector: &Selector) -> bool {
    selector.requirements.iter().any(|requirement| {
        requirement.key.source.as_deref() == Some(SOURCE_RESERVED)
            && matches!(requirement.operator, Operator::In(_) | Operator::Exists)
    })
}
