//! Who there is, and who is meant by which peer selector: each distinct selector once, its members kept up to date.
//!
//! An event goes through in this order: selectors are acquired and released, [`Cache::refer`] looks up anew what they refer
//! to, [`Cache::settle`] lets identities go and come, policies begin and cease to use selectors, [`Cache::show`] tells what
//! the proxy has to learn, and [`Cache::sweep`] forgets the selectors that nobody uses.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weir_model::{
    identity::Identity, policy::PeerSelector, resolved::SelectorId, snapshot::KnownIdentity, wanted::PolicyId,
};

use super::{
    index::{LabelIndex, SelectorIndex},
    known::{Known, What},
    matcher::{Matcher, Referents},
};
use crate::identities::IdentityTable;

pub(super) struct Cache {
    pub(super) table: IdentityTable,
    identities: BTreeMap<Identity, Known>,
    pods: LabelIndex<Identity>,
    not_pods: BTreeSet<Identity>,
    ids: HashMap<Arc<PeerSelector>, SelectorId>,
    selectors: HashMap<SelectorId, Cached>,
    of_pods: SelectorIndex<SelectorId>,
    /// Those that may mean what is not a pod.
    wide: BTreeSet<SelectorId>,
    /// Those that refer to objects.
    referring: BTreeSet<SelectorId>,
    next: u32,
    event: Event,
}

/// What the current event has touched.
#[derive(Default)]
struct Event {
    /// Identities of prefixes that were named.
    named: BTreeSet<Identity>,
    /// Selectors without users.
    unused: BTreeSet<SelectorId>,
    /// Selectors that the first policy uses, or that the last one used.
    flipped: BTreeSet<SelectorId>,
    /// Identities whose selectors are others, some of them more than once.
    dirty: Vec<Identity>,
}

/// A selector, its members and its users.
pub(super) struct Cached {
    pub(super) selector: Arc<PeerSelector>,
    matcher: Matcher,
    pub(super) members: BTreeSet<Identity>,
    pub(super) users: usize,
    /// The policies of endpoints that use it.
    pub(super) policies: BTreeSet<PolicyId>,
    /// A prefix of it has no number; it means nobody.
    pub(super) out_of_numbers: bool,
}

/// Who came and who went with an event.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) new: Vec<Identity>,
    pub(super) gone: Vec<Gone>,
}

/// An identity that nobody has any more.
pub(super) struct Gone {
    pub(super) identity: Identity,
    /// What it was the identity of, if of a prefix.
    pub(super) prefix: Option<IpNet>,
    /// The selectors that matched it.
    pub(super) selectors: Vec<SelectorId>,
}

impl Cache {
    pub(super) fn new(table: IdentityTable) -> Self {
        let mut cache = Self {
            table,
            identities: BTreeMap::new(),
            pods: LabelIndex::default(),
            not_pods: BTreeSet::new(),
            ids: HashMap::new(),
            selectors: HashMap::new(),
            of_pods: SelectorIndex::default(),
            wide: BTreeSet::new(),
            referring: BTreeSet::new(),
            next: 1,
            event: Event::default(),
        };
        for identity in (1..Identity::FIRST_ALLOCATED.0).map(Identity).filter(|i| i.reserved_name().is_some()) {
            let what = match identity {
                Identity::WORLD_IPV4 => What::Prefix(IpNet::V4(Ipv4Net::default())),
                Identity::WORLD_IPV6 => What::Prefix(IpNet::V6(Ipv6Net::default())),
                _ => What::Reserved,
            };
            cache.add(identity, what);
        }
        cache
    }

    /// The number of a selector, counted once more.
    pub(super) fn acquire(&mut self, peer: &PeerSelector, referents: &Referents) -> SelectorId {
        if let Some(id) = self.ids.get(peer).copied() {
            let Some(cached) = self.selectors.get_mut(&id) else { return id };
            cached.users += 1;
            if cached.users == 1 {
                // It was given up in the same event, and may have lost its meaning.
                self.mean(id, Matcher::new(peer, referents));
                self.fill(id);
            }
            return id;
        }
        let id = SelectorId(self.next);
        self.next += 1;
        let selector = Arc::new(peer.clone());
        self.ids.insert(Arc::clone(&selector), id);
        let cached = Cached {
            selector,
            matcher: Matcher::Nobody,
            members: BTreeSet::new(),
            users: 1,
            policies: BTreeSet::new(),
            out_of_numbers: false,
        };
        self.selectors.insert(id, cached);
        if matches!(peer, PeerSelector::CidrGroup(_) | PeerSelector::Service(_)) {
            self.referring.insert(id);
        }
        self.mean(id, Matcher::new(peer, referents));
        self.fill(id);
        id
    }

    /// Counts a selector once less.
    pub(super) fn release(&mut self, id: SelectorId) {
        let Some(cached) = self.selectors.get_mut(&id) else { return };
        cached.users = cached.users.saturating_sub(1);
        if cached.users == 0 {
            self.event.unused.insert(id);
        }
    }

    /// Gives a selector another meaning, but for its members.
    fn mean(&mut self, id: SelectorId, mut matcher: Matcher) {
        let named: Vec<_> = matcher.named().map(|prefix| (prefix, self.table.name_prefix(prefix))).collect();
        let out_of_numbers = named.iter().any(|(_, identity)| identity.is_none());
        for (prefix, identity) in named {
            match identity {
                Some(_) if out_of_numbers => self.table.release_prefix(&prefix),
                identity => self.event.named.extend(identity),
            }
        }
        if out_of_numbers {
            matcher = Matcher::Nobody;
        }
        for selector in matcher.of_pods() {
            self.of_pods.add(selector, id);
        }
        if matcher.is_wide() {
            self.wide.insert(id);
        }
        let Some(cached) = self.selectors.get_mut(&id) else { return };
        cached.out_of_numbers = out_of_numbers;
        let old = std::mem::replace(&mut cached.matcher, matcher);
        self.forget_meaning(id, &old);
    }

    fn forget_meaning(&mut self, id: SelectorId, old: &Matcher) {
        for selector in old.of_pods() {
            self.of_pods.remove(selector, id);
        }
        old.named().for_each(|prefix| self.table.release_prefix(&prefix));
        if self.selectors.get(&id).is_none_or(|cached| !cached.matcher.is_wide()) {
            self.wide.remove(&id);
        }
    }

    /// Finds a selector's members anew; returns whether they changed.
    fn fill(&mut self, id: SelectorId) -> bool {
        let Some(cached) = self.selectors.get_mut(&id) else { return false };
        let mut candidates: Vec<Identity> = Vec::new();
        for selector in cached.matcher.of_pods() {
            candidates.extend(self.pods.candidates(selector));
        }
        if cached.matcher.is_wide() {
            candidates.extend(&self.not_pods);
        }
        let is_member = |identity: &Identity| {
            self.identities.get(identity).is_some_and(|known| cached.matcher.matches(known.whose(*identity)))
        };
        let members: BTreeSet<Identity> = candidates.into_iter().filter(is_member).collect();
        let old = std::mem::replace(&mut cached.members, members);
        let mut changed = false;
        for identity in old.symmetric_difference(&cached.members) {
            let Some(known) = self.identities.get_mut(identity) else { continue };
            changed = true;
            self.event.dirty.push(*identity);
            match known.selectors.binary_search(&id) {
                Ok(at) => drop(known.selectors.remove(at)),
                Err(at) => known.selectors.insert(at, id),
            }
        }
        changed
    }

    /// Looks up anew what selectors refer to. Returned are the selectors to be filled by [`Self::refill`].
    pub(super) fn refer(&mut self, referents: &Referents) -> Vec<SelectorId> {
        let mut changed = Vec::new();
        for id in self.referring.clone() {
            let Some(cached) = self.selectors.get(&id) else { continue };
            let matcher = Matcher::new(&cached.selector, referents);
            if cached.users > 0 && (cached.out_of_numbers || matcher != cached.matcher) {
                self.mean(id, matcher);
                changed.push(id);
            }
        }
        changed
    }

    /// After [`Self::settle`]: returns the policies for whom somebody who stays is another peer than before.
    pub(super) fn refill(&mut self, changed: &[SelectorId]) -> BTreeSet<PolicyId> {
        let mut policies = BTreeSet::new();
        for id in changed {
            if self.fill(*id) {
                policies.extend(self.selectors.get(id).into_iter().flat_map(|cached| &cached.policies));
            }
        }
        policies
    }

    /// Lets identities go that nobody has any more, and come those that pods (`touched`) or selectors have now.
    pub(super) fn settle(&mut self, touched: BTreeSet<Identity>) -> Turn {
        let unused: Vec<SelectorId> = self.event.unused.iter().copied().collect();
        for id in unused {
            if self.selectors.get(&id).is_some_and(|cached| cached.users == 0) {
                self.retire(id);
            }
        }
        let mut turn = Turn::default();
        for identity in self.table.settle() {
            turn.gone.extend(self.remove(identity));
        }
        for identity in std::mem::take(&mut self.event.named).into_iter().chain(touched) {
            if self.identities.contains_key(&identity) {
                continue;
            }
            let what = match (self.table.labels(identity), self.table.prefix(identity)) {
                (Some(labels), _) => What::Pods(Arc::clone(labels)),
                (None, Some(prefix)) => What::Prefix(prefix),
                (None, None) => continue,
            };
            self.add(identity, what);
            turn.new.push(identity);
        }
        turn
    }

    /// A selector without users means nobody who comes, and names no prefix.
    fn retire(&mut self, id: SelectorId) {
        if let Some(cached) = self.selectors.get_mut(&id) {
            let old = std::mem::replace(&mut cached.matcher, Matcher::Nobody);
            self.forget_meaning(id, &old);
        }
    }

    fn add(&mut self, identity: Identity, what: What) {
        let known = Known { what, selectors: Vec::new(), shown: None };
        let candidates = match &known.what {
            What::Pods(labels) => self.of_pods.candidates(labels),
            What::Prefix(_) | What::Reserved => self.wide.iter().copied().collect(),
        };
        let mut selectors = Vec::new();
        for id in candidates {
            let Some(cached) = self.selectors.get_mut(&id) else { continue };
            if cached.matcher.matches(known.whose(identity)) {
                cached.members.insert(identity);
                selectors.push(id);
            }
        }
        selectors.shrink_to_fit();
        match &known.what {
            What::Pods(labels) => self.pods.add(labels, identity),
            What::Prefix(_) | What::Reserved => drop(self.not_pods.insert(identity)),
        }
        self.identities.insert(identity, Known { selectors, ..known });
        self.event.dirty.push(identity);
    }

    fn remove(&mut self, identity: Identity) -> Option<Gone> {
        let known = self.identities.remove(&identity)?;
        match &known.what {
            What::Pods(labels) => self.pods.remove(labels, identity),
            What::Prefix(_) | What::Reserved => drop(self.not_pods.remove(&identity)),
        }
        for id in &known.selectors {
            if let Some(cached) = self.selectors.get_mut(id) {
                cached.members.remove(&identity);
            }
        }
        self.event.dirty.push(identity);
        let prefix = match known.what {
            What::Prefix(prefix) => Some(prefix),
            What::Pods(_) | What::Reserved => None,
        };
        Some(Gone { identity, prefix, selectors: known.selectors })
    }

    /// Notes that a policy uses a selector, or does no longer.
    pub(super) fn note_use(&mut self, id: SelectorId, policy: PolicyId, used: bool) {
        let Some(cached) = self.selectors.get_mut(&id) else { return };
        let before = cached.policies.is_empty();
        if used {
            cached.policies.insert(policy)
        } else {
            cached.policies.remove(&policy)
        };
        if before != cached.policies.is_empty() {
            self.event.flipped.insert(id);
        }
    }

    /// What the proxy has to learn of identities: of the selectors that policies use.
    pub(super) fn show(&mut self) -> BTreeMap<Identity, Option<KnownIdentity>> {
        let mut dirty = std::mem::take(&mut self.event.dirty);
        for id in std::mem::take(&mut self.event.flipped) {
            dirty.extend(self.selectors.get(&id).into_iter().flat_map(|cached| &cached.members));
        }
        dirty.sort_unstable();
        dirty.dedup();
        let is_used = |id: &&SelectorId| self.selectors.get(id).is_some_and(|cached| !cached.policies.is_empty());
        let mut change = |identity: Identity| {
            let Some(known) = self.identities.get_mut(&identity) else { return Some((identity, None)) };
            let used: Arc<[SelectorId]> = known.selectors.iter().filter(is_used).copied().collect();
            // What is reserved is known to everybody; here it matters only if selectors mean it.
            let is_shown = identity >= Identity::FIRST_ALLOCATED || !used.is_empty();
            let shown = is_shown.then_some(used);
            if shown == known.shown {
                return None;
            }
            known.shown.clone_from(&shown);
            let labels = known.labels(identity);
            Some((identity, shown.map(|selectors| KnownIdentity { labels, selectors })))
        };
        dirty.into_iter().filter_map(&mut change).collect()
    }

    /// Forgets the selectors that nobody uses. Nobody knows of them any more.
    pub(super) fn sweep(&mut self) {
        for id in std::mem::take(&mut self.event.unused) {
            if self.selectors.get(&id).is_none_or(|cached| cached.users > 0) {
                continue;
            }
            self.retire(id);
            self.referring.remove(&id);
            let Some(cached) = self.selectors.remove(&id) else { continue };
            self.ids.remove(&cached.selector);
            for identity in cached.members {
                if let Some(known) = self.identities.get_mut(&identity)
                    && let Ok(at) = known.selectors.binary_search(&id)
                {
                    known.selectors.remove(at);
                }
            }
        }
    }

    pub(super) fn get(&self, id: SelectorId) -> Option<&Cached> {
        self.selectors.get(&id)
    }

    /// In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (SelectorId, &Cached)> {
        self.selectors.iter().map(|(id, cached)| (*id, cached))
    }

    /// The selectors that match an identity, in ascending order.
    pub(super) fn selectors_of(&self, identity: Identity) -> &[SelectorId] {
        self.identities.get(&identity).map_or(&[], |known| &known.selectors)
    }
}
