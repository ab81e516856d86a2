//! What the maps hold, as user space knows it: the mirror that plans start from, and what single writes make of it.

use std::collections::BTreeMap;

use weir_abi::{AddrInfo, Endpoint, PolicyEntry, Versions};

use crate::{
    lpm::{Lpm, Prefix},
    plan::Action,
};

/// Prefix length, peer, direction, protocol, port in host byte order: a `PolicyKey` without its slot.
pub type EntryParts = (u32, u32, u8, u8, u16);
/// The entries of one slot.
pub type Entries = BTreeMap<EntryParts, PolicyEntry>;

/// What the maps hold. All numbers are those of `weir-abi`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The epoch: which of two versions is in force.
    pub epoch: u32,
    /// ifindex → (endpoint, flags).
    pub ifaces: BTreeMap<u32, (u32, u32)>,
    /// Prefix → who is behind it.
    pub addresses: Lpm<Versions<AddrInfo>>,
    /// Endpoint → its policy.
    pub endpoints: BTreeMap<u32, Versions<Endpoint>>,
    /// Slot → entries; a slot without entries is absent.
    pub policies: BTreeMap<u32, Entries>,
    /// How many entries all slots have together.
    pub policy_entries: usize,
}

impl State {
    /// The index of the version in force.
    pub fn active(&self) -> usize {
        (self.epoch & 1) as usize
    }

    /// Who is behind an address or prefix; identity 0 where no entry says it.
    pub fn who(&self, key: Prefix) -> AddrInfo {
        self.addresses.find(&key.1, key.0).map(|(_, versions)| versions[self.active()]).unwrap_or_default()
    }

    /// An endpoint's policy.
    pub fn endpoint(&self, number: u32) -> Option<Endpoint> {
        self.endpoints.get(&number).map(|versions| versions[self.active()])
    }

    /// Makes the state what it is after `action` was done.
    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::PutPolicy(slot, key, entry) => {
                if self.policies.entry(*slot).or_default().insert(*key, *entry).is_none() {
                    self.policy_entries += 1;
                }
            }
            Action::PutEndpoint(number, versions) => drop(self.endpoints.insert(*number, *versions)),
            Action::PutAddress(key, versions) => self.addresses.insert(*key, *versions),
            Action::Flip(epoch) => self.epoch = *epoch,
            Action::PutIface(ifindex, value) => drop(self.ifaces.insert(*ifindex, *value)),
            Action::RemoveIface(ifindex) => drop(self.ifaces.remove(ifindex)),
            Action::RemoveAddress(key) => self.addresses.remove(key),
            Action::RemoveEndpoint(number) => drop(self.endpoints.remove(number)),
            Action::RemovePolicy(slot, key) => {
                if let Some(entries) = self.policies.get_mut(slot) {
                    if entries.remove(key).is_some() {
                        self.policy_entries -= 1;
                    }
                    if entries.is_empty() {
                        self.policies.remove(slot);
                    }
                }
            }
            Action::Attach(..) | Action::DetachOthers => {}
        }
    }
}
