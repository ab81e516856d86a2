//! What is to be written where what is wanted differs from what the kernel has, as a list of actions: pure.
//!
//! A change is in force at once, as a whole, however many entries it changes. Three things make it so:
//! - An endpoint's policy is a *slot*: its number is part of every policy key. New rules are written whole under a fresh
//!   slot, so that nobody looks at them yet; entries for peers that no address stands for yet, into the live one.
//! - Addresses and endpoints have two *versions*, and the epoch says which is in force. What changes is written into the
//!   other one. A new address first says in the version in force what held for it anyway.
//! - The epoch is written last. What comes later makes both versions the same again, and removes what nobody looks at.
//!
//! So before the epoch's write all packets are judged by the old state, and after it by the new, never by a mix. What is
//! left for later is done at the next occasion, when no program that has read the old epoch can still run.
//!
//! Devices are apart from this: a device is known before its program is attached, and forgotten after.

use std::collections::BTreeMap;

use weir_abi::{AddrInfo, Endpoint, PolicyEntry, Versions};
use weir_model::wanted::PolicyId;

use crate::{
    book::{Book, Content, Touched},
    lpm::Prefix,
    state::{EntryParts, State},
    topology::Topology,
};

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
    /// Add an entry to a slot, where no packet can look it up yet.
    PutPolicy(u32, EntryParts, PolicyEntry),
    /// Say what an endpoint is judged by.
    PutEndpoint(u32, Versions<Endpoint>),
    /// Say who is behind an address.
    PutAddress(Prefix, Versions<AddrInfo>),
    /// Put the other versions in force.
    Flip(u32),
    /// Say whose a device is.
    PutIface(u32, (u32, u32)),
    /// Attach, or renew, a program.
    Attach(u32, String, Hook),
    /// Remove the links of devices that are not wanted any more.
    DetachOthers,
    /// Forget a device.
    RemoveIface(u32),
    /// Forget an address.
    RemoveAddress(Prefix),
    /// Forget an endpoint.
    RemoveEndpoint(u32),
    /// Remove an entry that no packet looks up any more.
    RemovePolicy(u32, EntryParts),
}

/// What to write, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Up to and including the epoch.
    pub now: Vec<Action>,
    /// Before the next plan is made.
    pub later: Vec<Action>,
}

/// The writes that make what is touched as it is wanted. Nothing else is looked at.
pub fn plan(book: &Book, state: &State, touched: &Touched) -> Plan {
    let mut plan = Plan::default();
    let mut flip = false;
    let (active, next) = (state.active(), 1 - state.active());
    plan_policies(book, state, touched, &mut plan);
    let mut endpoints_later = Vec::new();
    for &number in &touched.endpoints {
        match (book.endpoint(number), state.endpoints.get(&number)) {
            (Some(wanted), None) => plan.now.push(Action::PutEndpoint(number, [wanted; 2])),
            (Some(wanted), Some(versions)) => {
                if let Some((now, changes)) = switch(*versions, wanted, active, next) {
                    plan.now.push(Action::PutEndpoint(number, now));
                    if changes {
                        flip = true;
                        endpoints_later.push(Action::PutEndpoint(number, [wanted; 2]));
                    }
                }
            }
            (None, Some(versions)) => {
                if versions[0] != versions[1] {
                    plan.now.push(Action::PutEndpoint(number, [versions[active]; 2]));
                }
                endpoints_later.push(Action::RemoveEndpoint(number));
            }
            (None, None) => {}
        }
    }
    // Whatever order: before the epoch changes, none of these is seen.
    for &key in &touched.addresses {
        let (wanted, actual) = (book.address(key), state.addresses.get(&key));
        let (before, after) = match (wanted, actual) {
            (None, None) => continue,
            (wanted, Some(versions)) => (*versions, wanted.unwrap_or_else(|| book.covering(key))),
            (Some(wanted), None) => ([state.who((key.0.saturating_sub(1), key.1)); 2], wanted),
        };
        match switch(before, after, active, next) {
            Some((now, changes)) => {
                plan.now.push(Action::PutAddress(key, now));
                if changes {
                    flip = true;
                    if wanted.is_some() {
                        plan.later.push(Action::PutAddress(key, [after; 2]));
                    }
                }
            }
            None if actual.is_none() => plan.now.push(Action::PutAddress(key, [after; 2])),
            None => {}
        }
        if wanted.is_none() {
            plan.later.push(Action::RemoveAddress(key));
        }
    }
    plan.later.append(&mut endpoints_later);
    // What hangs on an endpoint is given up before what it hangs on.
    let (policies, others): (Vec<_>, Vec<_>) =
        plan.later.drain(..).partition(|action| matches!(action, Action::RemovePolicy(..)));
    plan.later.extend(others);
    plan.later.extend(policies);
    if flip {
        plan.now.push(Action::Flip(state.epoch.wrapping_add(1)));
    }
    plan
}

/// The versions to write so that the next epoch has `wanted`, if they are others than those that are there, and whether
/// that changes anything.
fn switch<T: Copy + PartialEq>(
    versions: Versions<T>,
    wanted: T,
    active: usize,
    next: usize,
) -> Option<(Versions<T>, bool)> {
    let mut written = versions;
    written[next] = wanted;
    let changes = versions[active] != wanted;
    (changes || written != versions).then_some((written, changes))
}

fn plan_policies(book: &Book, state: &State, touched: &Touched, plan: &mut Plan) {
    let mut live: BTreeMap<u32, PolicyId> = BTreeMap::new();
    if !touched.stale.is_empty() {
        live = book.policies().iter().map(|(id, content)| (content.slot, *id)).collect();
    }
    for &id in &touched.policies {
        let Some(content) = book.policies().get(&id) else { continue };
        let there = state.policies.get(&content.slot);
        if !content.refused {
            let missing = content.entries.iter().filter(|(key, entry)| there.and_then(|t| t.get(key)) != Some(entry));
            plan.now.extend(missing.map(|(key, entry)| Action::PutPolicy(content.slot, *key, *entry)));
        }
        let gone = |key: &&EntryParts| content.refused || !content.entries.contains_key(key);
        let stale = there.into_iter().flat_map(|there| there.keys()).filter(gone);
        plan.later.extend(stale.map(|key| Action::RemovePolicy(content.slot, *key)));
    }
    let mut puts = Vec::new();
    for (id, key) in touched.entries.iter().filter(|(id, _)| !touched.policies.contains(id)) {
        let Some(content) = book.policies().get(id).filter(|content| !content.refused) else { continue };
        let there = state.policies.get(&content.slot).and_then(|there| there.get(key));
        match (content.entries.get(key), there) {
            (Some(entry), there) if there != Some(entry) => puts.push(Action::PutPolicy(content.slot, *key, *entry)),
            (None, Some(_)) => plan.later.push(Action::RemovePolicy(content.slot, *key)),
            _ => {}
        }
    }
    // The longest prefixes first: should a packet look, it finds none, or the one that is to decide.
    puts.reverse();
    plan.now.extend(puts);
    for slot in touched.stale.iter().filter(|slot| !live.contains_key(slot)) {
        let entries = state.policies.get(slot).into_iter().flatten();
        plan.later.extend(entries.map(|(key, _)| Action::RemovePolicy(*slot, *key)));
    }
}

/// Which of the touched policies the map, with room for `capacity` entries, cannot hold beside what is in it.
pub fn too_large(book: &Book, state: &State, touched: &Touched, capacity: usize) -> Vec<PolicyId> {
    let mut used = state.policy_entries;
    let ids = touched.policies.iter().chain(touched.entries.iter().map(|(id, _)| id));
    let ids: std::collections::BTreeSet<_> = ids.copied().collect();
    let contents = ids.into_iter().filter_map(|id| Some((id, book.policies().get(&id)?)));
    let mut refused = Vec::new();
    for (id, content) in contents.filter(|(_, content)| !content.refused) {
        let more = missing(content, state, touched, id);
        if used + more > capacity {
            refused.push(id);
        } else {
            used += more;
        }
    }
    refused
}

fn missing(content: &Content, state: &State, touched: &Touched, id: PolicyId) -> usize {
    let there = state.policies.get(&content.slot);
    let is_missing = |key: &EntryParts| there.is_none_or(|there| !there.contains_key(key));
    if touched.policies.contains(&id) {
        return content.entries.keys().filter(|key| is_missing(key)).count();
    }
    let (from, to) = ((id, (0, 0, 0, 0, 0)), (id, (u32::MAX, u32::MAX, u8::MAX, u8::MAX, u16::MAX)));
    let keys = touched.entries.range(from..=to).map(|(_, key)| key);
    keys.filter(|key| content.entries.contains_key(key) && is_missing(key)).count()
}

/// The writes that make devices and programs as `topology` has them. `attached` are the devices whose programs are this
/// process's own.
pub fn plan_devices(state: &State, topology: &Topology, attached: &BTreeMap<u32, Device>) -> Vec<Action> {
    let mut wanted: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    wanted.extend(topology.devices.iter().map(|(ifindex, device)| (*ifindex, (device.endpoint, device.flags))));
    wanted.extend(topology.bridges.iter().map(|ifindex| (*ifindex, (0, 0))));
    let mut actions = Vec::new();
    let changed = wanted.iter().filter(|(ifindex, value)| state.ifaces.get(ifindex) != Some(value));
    actions.extend(changed.map(|(ifindex, value)| Action::PutIface(*ifindex, *value)));
    for (&ifindex, device) in &topology.devices {
        let same = attached.get(&ifindex).is_some_and(|old| old.name == device.name && old.hooks() == device.hooks());
        if !same {
            actions.extend(device.hooks().iter().map(|hook| Action::Attach(ifindex, device.name.clone(), *hook)));
        }
    }
    if *attached != topology.devices {
        actions.push(Action::DetachOthers);
    }
    let gone = state.ifaces.keys().filter(|ifindex| !wanted.contains_key(ifindex));
    actions.extend(gone.map(|ifindex| Action::RemoveIface(*ifindex)));
    actions
}
