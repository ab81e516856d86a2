//! What is wanted of the maps, kept up to date change by change, in the maps' own terms.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use weir_abi::{
    AUDIT_DENY, AddrInfo, DEFAULT_DENY, DENIES, EGRESS, Endpoint, HAS_ENTRIES, INGRESS, PREFIX_PEER, PREFIX_PROTOCOL,
    PolicyEntry, VERDICT_DENY, flag,
};
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    resolved::Direction,
    wanted::{EntryKey, EntryVerdict, KernelPolicy, PolicyChange, PolicyId, WantedChange, WantedEndpoint},
};

use crate::{
    lpm::{Lpm, Prefix},
    raw,
    state::{Entries, EntryParts, State},
};

/// Nothing passes, in either direction: for an endpoint whose policy is not in the kernel as a whole.
pub const LOCKED: Endpoint = Endpoint { slot: 0, flags: flag(DEFAULT_DENY, INGRESS) | flag(DEFAULT_DENY, EGRESS) };

/// The identity `init`, of a pod whose labels are not known yet: default deny in both directions, without any policy.
const INIT: Identity = Identity(5);

/// A policy's entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Where they are; 0 for a policy without entries.
    pub slot: u32,
    /// Of all endpoints with the policy.
    pub flags: u32,
    /// The entries.
    pub entries: Entries,
    /// The kernel has refused some of them: the endpoints with this policy are locked until it has them all.
    pub refused: bool,
}

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Book {
    policies: BTreeMap<PolicyId, Content>,
    endpoints: BTreeMap<EndpointId, WantedEndpoint>,
    users: BTreeMap<PolicyId, BTreeSet<EndpointId>>,
    addresses: Lpm<AddrInfo>,
    host: BTreeSet<IpAddr>,
    last_slot: u32,
    started: bool,
    /// Addresses are missing in the map, so nobody is known to be the world.
    blind: bool,
}

/// Where what is wanted may differ from what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Policies of which all entries are to be looked at.
    pub policies: BTreeSet<PolicyId>,
    /// Single entries.
    pub entries: BTreeSet<(PolicyId, EntryParts)>,
    /// Slots that no policy uses any more.
    pub stale: BTreeSet<u32>,
    /// Endpoints.
    pub endpoints: BTreeSet<u32>,
    /// Addresses.
    pub addresses: BTreeSet<Prefix>,
}

impl Touched {
    /// Adds another's.
    pub fn extend(&mut self, other: Self) {
        self.policies.extend(other.policies);
        self.entries.extend(other.entries);
        self.stale.extend(other.stale);
        self.endpoints.extend(other.endpoints);
        self.addresses.extend(other.addresses);
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Book {
    /// Takes a change in, and says where it may have changed something. The first one holds everything: all that
    /// `state`, what an older process left, has besides is touched, and slots with the right content are kept.
    pub fn take(&mut self, state: &State, change: &WantedChange) -> Touched {
        let mut touched = Touched::default();
        let first = !std::mem::replace(&mut self.started, true);
        let mut known: BTreeMap<&Entries, u32> = BTreeMap::new();
        if first {
            let slots = state.endpoints.values().flatten().map(|endpoint| endpoint.slot);
            self.last_slot = slots.chain(state.policies.keys().copied()).max().unwrap_or(0);
            known = state.policies.iter().map(|(slot, entries)| (entries, *slot)).collect();
            touched.stale = state.policies.keys().copied().collect();
            touched.endpoints = state.endpoints.keys().copied().collect();
            touched.addresses = state.addresses.iter().map(|(key, _)| *key).chain(worlds().map(|w| w.0)).collect();
        }
        for (id, policy) in &change.policies {
            match policy {
                PolicyChange::Set(policy) => self.set(*id, policy, &mut known, &mut touched),
                PolicyChange::Patch { put, remove } => self.patch(*id, put, remove, &mut touched),
                PolicyChange::Gone => {
                    let old = self.policies.remove(id);
                    touched.stale.extend(old.map(|old| old.slot).filter(|slot| *slot != 0));
                    self.touch_users(*id, &mut touched);
                }
            }
        }
        for (id, endpoint) in &change.endpoints {
            touched.endpoints.insert(id.0);
            let old = match endpoint {
                Some(endpoint) => {
                    self.users.entry(endpoint.policy).or_default().insert(*id);
                    self.endpoints.insert(*id, endpoint.clone())
                }
                None => self.endpoints.remove(id),
            };
            if let Some(old) = old.filter(|old| endpoint.as_ref().is_none_or(|new| new.policy != old.policy))
                && let Some(users) = self.users.get_mut(&old.policy)
            {
                users.remove(id);
                if users.is_empty() {
                    self.users.remove(&old.policy);
                }
            }
        }
        for (net, owner) in &change.addresses {
            let Some(key) = prefix(net) else { continue };
            touched.addresses.insert(key);
            match owner {
                Some(owner) => {
                    let endpoint = owner.endpoint.map_or(0, |endpoint| endpoint.0);
                    self.addresses.insert(key, AddrInfo { identity: owner.identity.0, endpoint });
                }
                None => self.addresses.remove(&key),
            }
        }
        touched
    }

    fn set(&mut self, id: PolicyId, policy: &KernelPolicy, known: &mut BTreeMap<&Entries, u32>, touched: &mut Touched) {
        let mut content = Content { flags: flags(policy), ..Content::default() };
        content.entries = policy.entries.iter().map(|(key, verdict)| (parts(key), entry(verdict))).collect();
        let old = self.policies.remove(&id).unwrap_or_default();
        content.slot = if content.entries.is_empty() {
            0
        } else if let Some(slot) = known.remove(&content.entries) {
            touched.stale.remove(&slot);
            slot
        } else if old.entries == content.entries && !old.refused {
            old.slot
        } else {
            self.last_slot = self.last_slot.wrapping_add(1).max(1);
            self.last_slot
        };
        if old.slot != 0 && old.slot != content.slot {
            touched.stale.insert(old.slot);
        }
        if (old.slot, old.flags, old.refused) != (content.slot, content.flags, false) {
            touched.policies.insert(id);
            self.touch_users(id, touched);
        }
        self.policies.insert(id, content);
    }

    fn patch(&mut self, id: PolicyId, put: &[(EntryKey, EntryVerdict)], remove: &[EntryKey], touched: &mut Touched) {
        // Of a policy that nobody has told nothing is known, its defaults neither: its endpoints stay locked.
        let Some(content) = self.policies.get_mut(&id) else { return };
        let before = (content.slot, content.flags);
        for (key, verdict) in put {
            content.flags |= entry_flags(key, verdict);
            content.entries.insert(parts(key), entry(verdict));
            touched.entries.insert((id, parts(key)));
        }
        for key in remove {
            content.entries.remove(&parts(key));
            touched.entries.insert((id, parts(key)));
        }
        if content.slot == 0 && !content.entries.is_empty() {
            self.last_slot = self.last_slot.wrapping_add(1).max(1);
            content.slot = self.last_slot;
        }
        if (content.slot, content.flags) != before {
            self.touch_users(id, touched);
        }
    }

    fn touch_users(&self, id: PolicyId, touched: &mut Touched) {
        touched.endpoints.extend(self.users.get(&id).into_iter().flatten().map(|endpoint| endpoint.0));
    }

    /// Takes in which addresses are the node's own.
    pub fn take_host(&mut self, host: &BTreeSet<IpAddr>) -> Touched {
        let key = |ip: &IpAddr| (128, raw::addr(*ip));
        let addresses = self.host.symmetric_difference(host).map(key).collect();
        self.host.clone_from(host);
        Touched { addresses, ..Touched::default() }
    }

    /// Whether the first change was taken in: before it, nothing is known to be unwanted.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// The pods of this node.
    pub fn endpoints(&self) -> &BTreeMap<EndpointId, WantedEndpoint> {
        &self.endpoints
    }

    /// The policies.
    pub fn policies(&self) -> &BTreeMap<PolicyId, Content> {
        &self.policies
    }

    /// What an endpoint shall be judged by.
    pub fn endpoint(&self, number: u32) -> Option<Endpoint> {
        let endpoint = self.endpoints.get(&EndpointId(number))?;
        let Some(content) = self.policies.get(&endpoint.policy).filter(|content| !content.refused) else {
            return Some(LOCKED);
        };
        let mut flags = content.flags;
        if endpoint.identity == INIT {
            let both = |what| flag(what, INGRESS) | flag(what, EGRESS);
            flags |= both(DEFAULT_DENY) | both(AUDIT_DENY);
        }
        Some(Endpoint { slot: content.slot, flags })
    }

    /// The directions in which an endpoint is denied by default.
    pub fn default_denied(&self, endpoint: EndpointId) -> impl Iterator<Item = Direction> {
        let policy = self.endpoints.get(&endpoint).and_then(|endpoint| self.policies.get(&endpoint.policy));
        let flags = policy.map_or(0, |content| content.flags);
        let denied = move |direction: &Direction| flags & flag(DEFAULT_DENY, number(*direction)) != 0;
        [Direction::Ingress, Direction::Egress].into_iter().filter(denied)
    }

    /// Who shall be behind exactly this prefix.
    pub fn address(&self, key: Prefix) -> Option<AddrInfo> {
        if key.0 == 128 && self.host.contains(&raw::ip(key.1)) {
            return Some(AddrInfo { identity: Identity::HOST.0, endpoint: 0 });
        }
        let told = self.addresses.get(&key).copied();
        let known = told.or_else(|| worlds().find(|(world, _)| *world == key).map(|(_, info)| info));
        known.map(|info| self.seen(info))
    }

    /// While addresses are missing, their owners would be taken for the world; then nobody is, but somebody unknown, whom
    /// only rules about everybody allow.
    fn seen(&self, info: AddrInfo) -> AddrInfo {
        let world = [Identity::WORLD_IPV4.0, Identity::WORLD_IPV6.0].contains(&info.identity);
        if self.blind && world { AddrInfo::default() } else { info }
    }

    /// Notes whether addresses are missing in the map. Returns what that touches.
    pub fn set_blind(&mut self, blind: bool) -> Touched {
        let changes = std::mem::replace(&mut self.blind, blind) != blind;
        let addresses = if changes { worlds().map(|(key, _)| key).collect() } else { BTreeSet::new() };
        Touched { addresses, ..Touched::default() }
    }

    /// Who is behind the longest prefix that holds this one, without it.
    pub fn covering(&self, key: Prefix) -> AddrInfo {
        let Some(shorter) = key.0.checked_sub(1) else { return AddrInfo::default() };
        let told = self.addresses.find(&key.1, shorter).map(|(found, info)| (found.0, *info));
        let held =
            |(world, _): &(Prefix, AddrInfo)| world.0 <= shorter && crate::lpm::masked(&key.1, world.0) == world.1;
        let world = worlds().filter(held).map(|(world, info)| (world.0, info));
        // Of two with the same length, what was told.
        let found = world.chain(told).max_by_key(|(length, _)| *length);
        found.map(|(_, info)| self.seen(info)).unwrap_or_default()
    }

    /// Notes whether the kernel has taken a policy's entries. Returns what that touches.
    pub fn refuse(&mut self, id: PolicyId, refused: bool) -> Touched {
        let mut touched = Touched::default();
        if let Some(content) = self.policies.get_mut(&id)
            && content.refused != refused
        {
            content.refused = refused;
            touched.policies.insert(id);
            self.touch_users(id, &mut touched);
        }
        touched
    }

    /// The names of the pods with a policy.
    pub fn pods(&self, id: PolicyId) -> Vec<String> {
        let users = self.users.get(&id).into_iter().flatten();
        users.filter_map(|user| Some(self.endpoints.get(user)?.name.to_string())).collect()
    }
}

/// What no other entry says: everybody is the world.
fn worlds() -> impl Iterator<Item = (Prefix, AddrInfo)> {
    let world = |length, any: IpAddr, identity: Identity| {
        ((length, raw::addr(any)), AddrInfo { identity: identity.0, endpoint: 0 })
    };
    [
        world(0, Ipv6Addr::UNSPECIFIED.into(), Identity::WORLD_IPV6),
        world(96, Ipv4Addr::UNSPECIFIED.into(), Identity::WORLD_IPV4),
    ]
    .into_iter()
}

/// As the map's key; `None` for IPv6 prefixes inside of what stands for IPv4, which no packet may have.
fn prefix(net: &IpNet) -> Option<Prefix> {
    let length = u32::from(net.prefix_len());
    match net {
        IpNet::V4(_) => Some((96 + length, raw::addr(net.network()))),
        IpNet::V6(v6) if length >= 96 && v6.network().to_ipv4_mapped().is_some() => None,
        IpNet::V6(_) => Some((length, raw::addr(net.network()))),
    }
}

fn parts(key: &EntryKey) -> EntryParts {
    let EntryKey { direction, peer, protocol, port, port_bits } = *key;
    let bits = if protocol == 0 { 0 } else { u32::from(port_bits.min(16)) };
    let prefix = if protocol == 0 { PREFIX_PEER } else { PREFIX_PROTOCOL + bits };
    (prefix, peer.0, number(direction), protocol, port & u16::MAX.checked_shl(16 - bits).unwrap_or(0))
}

fn number(direction: Direction) -> u8 {
    if direction == Direction::Ingress { INGRESS } else { EGRESS }
}

fn entry(verdict: &EntryVerdict) -> PolicyEntry {
    PolicyEntry {
        verdict: verdict.enforced.verdict as u8,
        audited: verdict.audited.verdict as u8,
        observe: verdict.observe.into(),
        zero: 0,
        cookie: verdict.enforced.rule.0,
        audit_cookie: verdict.audited.rule.0,
    }
}

fn entry_flags(key: &EntryKey, verdict: &EntryVerdict) -> u32 {
    let direction = number(key.direction);
    let denies = if entry(verdict).verdict == VERDICT_DENY { flag(DENIES, direction) } else { 0 };
    flag(HAS_ENTRIES, direction) | denies
}

fn flags(policy: &KernelPolicy) -> u32 {
    let mut flags = policy.entries.iter().fold(0, |flags, (key, verdict)| flags | entry_flags(key, verdict));
    for (direction, of) in [(INGRESS, policy.ingress), (EGRESS, policy.egress)] {
        let says =
            [(DEFAULT_DENY, of.default_deny), (AUDIT_DENY, of.audit_default_deny), (HAS_ENTRIES, of.has_entries)];
        flags |= says.iter().filter(|(_, says)| *says).fold(0, |flags, (what, _)| flags | flag(*what, direction));
    }
    flags
}
