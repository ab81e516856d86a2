//! What differs between what the kernel has and what is wanted, as a list of actions in a safe order: pure.
//!
//! An endpoint's policy is a *slot*: its number is part of every policy key. A changed policy is written whole under a
//! fresh slot, then the endpoint's entry is switched to it in one write, then the old slot is removed. So a packet is
//! judged by the old policy or by the new one, never by a mix. Before and after: what is looked up *through* something
//! is written before it and removed after it (policy → endpoint → address → device → program).

use std::{collections::BTreeMap, net::IpAddr};

use weir_abi::{
    ALLOW, Addr, EGRESS, ENFORCE_EGRESS, ENFORCE_INGRESS, INGRESS, PREFIX_PEER, PREFIX_PORT, PREFIX_PROTOCOL, REDIRECT,
};
use weir_model::{
    identity::Identity,
    resolved::{Direction, RuleOrigin},
    wanted::{EntryKey, KernelPolicy, Wanted},
};

use crate::{raw, topology::Topology};

/// Prefix length, peer, direction, protocol, port in host byte order: a `PolicyKey` without its slot, in map order.
pub type EntryKeyParts = (u32, u32, u8, u8, u16);
/// Verdict and cookie.
pub type EntryParts = (u32, u32);
/// The entries of one slot.
pub type Entries = BTreeMap<EntryKeyParts, EntryParts>;

/// What the maps hold. All numbers are those of `weir-abi`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// ifindex → (endpoint, flags).
    pub ifaces: BTreeMap<u32, (u32, u32)>,
    /// (prefix length, address) → (identity, endpoint).
    pub addresses: BTreeMap<(u32, Addr), (u32, u32)>,
    /// endpoint → (slot, flags).
    pub endpoints: BTreeMap<u32, (u32, u32)>,
    /// slot → entries; a slot without entries is absent.
    pub policies: BTreeMap<u32, Entries>,
}

/// What the maps shall hold, and where programs shall be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The maps.
    pub state: State,
    /// ifindex → device.
    pub devices: BTreeMap<u32, Device>,
}

/// A device to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The endpoint behind it, or 0.
    pub endpoint: u32,
    /// `IFACE_*`.
    pub flags: u32,
}

impl Device {
    /// The hooks of this device.
    pub fn hooks(&self) -> &'static [Hook] {
        if self.endpoint == 0 { &[Hook::FromNet] } else { &[Hook::FromPod, Hook::ToPod] }
    }
}

/// A program at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// What a pod sends.
    FromPod,
    /// What a pod receives.
    ToPod,
    /// What comes from outside.
    FromNet,
    /// Weir's own veth.
    FromPort,
}

impl Hook {
    /// Name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
            Self::FromNet => "from_net",
            Self::FromPort => "from_port",
        }
    }

    /// Name of the pin's last part: the place, so that another program there takes the same link over.
    pub fn name(self) -> &'static str {
        if self.is_egress() { "egress" } else { "ingress" }
    }

    /// Whether it sits at the device's egress.
    pub fn is_egress(self) -> bool {
        self == Self::ToPod
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add an entry to a slot that no endpoint uses yet.
    PutPolicy(u32, EntryKeyParts, EntryParts),
    /// Switch an endpoint to a slot.
    PutEndpoint(u32, (u32, u32)),
    /// Say who is behind an address.
    PutAddress((u32, Addr), (u32, u32)),
    /// Say whose a device is.
    PutIface(u32, (u32, u32)),
    /// Attach, or renew, a program.
    Attach(u32, String, Hook),
    /// Remove the links of devices that are not wanted any more.
    DetachOthers,
    /// Forget a device.
    RemoveIface(u32),
    /// Forget an address.
    RemoveAddress((u32, Addr)),
    /// Forget an endpoint.
    RemoveEndpoint(u32),
    /// Remove an entry of a slot that no endpoint uses any more.
    RemovePolicy(u32, EntryKeyParts),
}

/// Names rules by numbers. The number is a hash of the rule's place, so that it survives a restart.
#[derive(Clone, Debug, Default)]
pub struct Cookies {
    by_number: BTreeMap<u32, RuleOrigin>,
}

impl Cookies {
    /// The number of a rule; never 0.
    pub fn number(&mut self, origin: &RuleOrigin) -> u32 {
        // FNV-1a (draft-eastlake-fnv): stable, unlike std's hasher, and short.
        let hash = origin
            .to_string()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut number = hash.max(1);
        while self.by_number.get(&number).is_some_and(|other| other != origin) {
            number = number.wrapping_add(1).max(1);
        }
        self.by_number.entry(number).or_insert_with(|| origin.clone());
        number
    }

    /// The rule behind a number.
    pub fn origin(&self, number: u32) -> Option<&RuleOrigin> {
        self.by_number.get(&number)
    }
}

/// Translates what is wanted into map contents; slots whose content is already in the kernel are kept.
pub fn desire(
    wanted: &Wanted,
    topology: &Topology,
    host: impl IntoIterator<Item = IpAddr>,
    actual: &State,
    cookies: &mut Cookies,
) -> Desired {
    let mut state = State::default();
    let mut slots: Vec<(&KernelPolicy, u32)> = Vec::new();
    let mut next = actual.policies.keys().copied().chain(actual.endpoints.values().map(|e| e.0)).max().unwrap_or(0);
    for (id, endpoint) in &wanted.endpoints {
        let policy: &KernelPolicy = &endpoint.policy;
        let known = slots.iter().find(|(other, _)| std::ptr::eq(*other, policy) || *other == policy).map(|(_, s)| *s);
        let slot = known.unwrap_or_else(|| {
            let entries = entries(policy, cookies);
            // Policies that differ in enforcement only share a slot.
            let shared = state.policies.iter().find(|(_, there)| **there == entries).map(|(slot, _)| *slot);
            let slot = shared.unwrap_or_else(|| place(&entries, actual, &mut next));
            if !entries.is_empty() {
                state.policies.insert(slot, entries);
            }
            slots.push((policy, slot));
            slot
        });
        let flags = if policy.enforce_ingress { ENFORCE_INGRESS } else { 0 }
            | if policy.enforce_egress { ENFORCE_EGRESS } else { 0 };
        state.endpoints.insert(id.0, (slot, flags));
    }
    state.addresses = addresses(wanted, host);
    state.ifaces = topology.devices.iter().map(|(ifindex, d)| (*ifindex, (d.endpoint, d.flags))).collect();
    state.ifaces.extend(topology.bridges.iter().map(|ifindex| (*ifindex, (0, 0))));
    Desired { state, devices: topology.devices.clone() }
}

/// The slot for these entries: 0 if there are none, the one that has them, or a fresh one.
fn place(entries: &Entries, actual: &State, next: &mut u32) -> u32 {
    if entries.is_empty() {
        return 0;
    }
    let same = actual.policies.iter().find(|(_, there)| *there == entries).map(|(slot, _)| *slot);
    same.unwrap_or_else(|| {
        *next += 1;
        *next
    })
}

fn entries(policy: &KernelPolicy, cookies: &mut Cookies) -> Entries {
    let mut entries = Entries::new();
    for (key, verdict) in &policy.entries {
        let EntryKey { direction, peer, protocol, port } = *key;
        let prefix = match (protocol, port) {
            (0, _) => PREFIX_PEER,
            (_, 0) => PREFIX_PROTOCOL,
            _ => PREFIX_PORT,
        };
        let direction = if direction == Direction::Ingress { INGRESS } else { EGRESS };
        let decides = if verdict.redirect { REDIRECT } else { ALLOW };
        entries.insert((prefix, peer.0, direction, protocol, port), (decides, cookies.number(&verdict.origin)));
    }
    entries
}

fn addresses(wanted: &Wanted, host: impl IntoIterator<Item = IpAddr>) -> BTreeMap<(u32, Addr), (u32, u32)> {
    let any_v4: IpAddr = std::net::Ipv4Addr::UNSPECIFIED.into();
    let any_v6: IpAddr = std::net::Ipv6Addr::UNSPECIFIED.into();
    let mut addresses = BTreeMap::from([
        ((96, raw::addr(any_v4)), (Identity::WORLD_IPV4.0, 0)),
        ((0, raw::addr(any_v6)), (Identity::WORLD_IPV6.0, 0)),
    ]);
    addresses.extend(host.into_iter().map(|ip| ((128, raw::addr(ip)), (Identity::HOST.0, 0))));
    addresses.extend(wanted.addresses.iter().map(|(ip, owner)| {
        ((128, raw::addr(*ip)), (owner.identity.0, owner.endpoint.map_or(0, |endpoint| endpoint.0)))
    }));
    addresses
}

/// The actions that lead from `actual` to `desired`. `attached` are the devices whose programs are this process's own.
pub fn plan(actual: &State, desired: &Desired, attached: &BTreeMap<u32, Device>) -> Vec<Action> {
    let want = &desired.state;
    let mut actions = Vec::new();
    for (&slot, entries) in &want.policies {
        let there = actual.policies.get(&slot);
        let missing = entries.iter().filter(|(key, entry)| there.and_then(|there| there.get(key)) != Some(entry));
        actions.extend(missing.map(|(key, entry)| Action::PutPolicy(slot, *key, *entry)));
    }
    actions.extend(changed(&actual.endpoints, &want.endpoints).map(|(k, v)| Action::PutEndpoint(k, v)));
    actions.extend(changed(&actual.addresses, &want.addresses).map(|(k, v)| Action::PutAddress(k, v)));
    actions.extend(changed(&actual.ifaces, &want.ifaces).map(|(k, v)| Action::PutIface(k, v)));
    for (&ifindex, device) in &desired.devices {
        let same = attached.get(&ifindex).is_some_and(|old| old.name == device.name && old.hooks() == device.hooks());
        if !same {
            actions.extend(device.hooks().iter().map(|hook| Action::Attach(ifindex, device.name.clone(), *hook)));
        }
    }
    if *attached != desired.devices {
        actions.push(Action::DetachOthers);
    }
    actions.extend(gone(&actual.ifaces, &want.ifaces).map(Action::RemoveIface));
    actions.extend(gone(&actual.addresses, &want.addresses).map(Action::RemoveAddress));
    actions.extend(gone(&actual.endpoints, &want.endpoints).map(Action::RemoveEndpoint));
    for (&slot, entries) in &actual.policies {
        let wanted = want.policies.get(&slot);
        let stale = entries.keys().filter(|key| wanted.is_none_or(|wanted| !wanted.contains_key(key)));
        actions.extend(stale.map(|key| Action::RemovePolicy(slot, *key)));
    }
    actions
}

fn changed<'a, K: Ord + Copy, V: PartialEq + Copy>(
    actual: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> + 'a {
    wanted.iter().filter(|(key, value)| actual.get(key) != Some(value)).map(|(key, value)| (*key, *value))
}

fn gone<'a, K: Ord + Copy, V>(actual: &'a BTreeMap<K, V>, wanted: &'a BTreeMap<K, V>) -> impl Iterator<Item = K> + 'a {
    actual.keys().filter(|key| !wanted.contains_key(key)).copied()
}

impl State {
    /// Makes the state what it is after `action` was done.
    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::PutPolicy(slot, key, entry) => {
                self.policies.entry(*slot).or_default().insert(*key, *entry);
            }
            Action::PutEndpoint(number, value) => {
                self.endpoints.insert(*number, *value);
            }
            Action::PutAddress(key, value) => {
                self.addresses.insert(*key, *value);
            }
            Action::PutIface(ifindex, value) => {
                self.ifaces.insert(*ifindex, *value);
            }
            Action::RemoveIface(ifindex) => {
                self.ifaces.remove(ifindex);
            }
            Action::RemoveAddress(key) => {
                self.addresses.remove(key);
            }
            Action::RemoveEndpoint(number) => {
                self.endpoints.remove(number);
            }
            Action::RemovePolicy(slot, key) => {
                if let Some(entries) = self.policies.get_mut(slot) {
                    entries.remove(key);
                    if entries.is_empty() {
                        self.policies.remove(slot);
                    }
                }
            }
            Action::Attach(..) | Action::DetachOthers => {}
        }
    }
}
