//! The maps that say what is to be done with a packet: read as a whole, written one entry at a time.

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use weir_abi::{Addr, AddrInfo, Be16, Endpoint, Iface, PolicyEntry, PolicyKey, Versions};

use crate::{
    Error,
    lpm::Prefix,
    raw::{self, Raw},
    state::{EntryParts, State},
};

/// Handles on these maps.
pub(crate) struct Tables {
    ifaces: HashMap<MapData, u32, Raw<Iface>>,
    epoch: Array<MapData, u32>,
    addrs: LpmTrie<MapData, Addr, Raw<Versions<AddrInfo>>>,
    endpoints: HashMap<MapData, u32, Raw<Versions<Endpoint>>>,
    policy: LpmTrie<MapData, Raw<PolicyKey>, Raw<PolicyEntry>>,
}

impl Tables {
    /// Takes the maps as `open` finds them by name.
    ///
    /// # Errors
    /// If one is missing, or of another layout.
    pub(crate) fn open(mut open: impl FnMut(&'static str) -> Result<Map, Error>) -> Result<Self, Error> {
        Ok(Self {
            ifaces: typed("IFACES", open("IFACES")?)?,
            epoch: typed("EPOCH", open("EPOCH")?)?,
            addrs: typed("ADDRS", open("ADDRS")?)?,
            endpoints: typed("ENDPOINTS", open("ENDPOINTS")?)?,
            policy: typed("POLICY", open("POLICY")?)?,
        })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub(crate) fn read(&self) -> Result<State, Error> {
        let epoch = self.epoch.get(&0, 0).map_err(|e| Error::map("read", "EPOCH", e))?;
        let mut state = State { epoch, ..State::default() };
        for entry in self.ifaces.iter() {
            let (ifindex, Raw(iface)) = entry.map_err(|e| Error::map("read", "IFACES", e))?;
            state.ifaces.insert(ifindex, (iface.endpoint, iface.flags));
        }
        for entry in self.addrs.iter() {
            let (key, Raw(versions)) = entry.map_err(|e| Error::map("read", "ADDRS", e))?;
            state.addresses.insert((key.prefix_len(), key.data()), versions);
        }
        for entry in self.endpoints.iter() {
            let (number, Raw(versions)) = entry.map_err(|e| Error::map("read", "ENDPOINTS", e))?;
            state.endpoints.insert(number, versions);
        }
        for entry in self.policy.iter() {
            let (key, Raw(entry)) = entry.map_err(|e| Error::map("read", "POLICY", e))?;
            let Raw(data) = key.data();
            let parts = (key.prefix_len(), data.peer, data.direction, data.protocol, data.port.get());
            state.policies.entry(data.slot).or_default().insert(parts, entry);
            state.policy_entries += 1;
        }
        Ok(state)
    }

    pub(crate) fn put_iface(&mut self, ifindex: u32, iface: Iface) -> Result<(), Error> {
        self.ifaces.insert(ifindex, Raw(iface), 0).map_err(|e| Error::map("write", "IFACES", e))
    }

    pub(crate) fn remove_iface(&mut self, ifindex: u32) -> Result<(), Error> {
        raw::unless_absent(self.ifaces.remove(&ifindex)).map_err(|e| Error::map("remove from", "IFACES", e))
    }

    pub(crate) fn flip(&mut self, epoch: u32) -> Result<(), Error> {
        self.epoch.set(0, epoch, 0).map_err(|e| Error::map("write", "EPOCH", e))
    }

    pub(crate) fn put_address(&mut self, (prefix, addr): Prefix, versions: Versions<AddrInfo>) -> Result<(), Error> {
        self.addrs.insert(&Key::new(prefix, addr), Raw(versions), 0).map_err(|e| Error::map("write", "ADDRS", e))
    }

    pub(crate) fn remove_address(&mut self, (prefix, addr): Prefix) -> Result<(), Error> {
        raw::unless_absent(self.addrs.remove(&Key::new(prefix, addr)))
            .map_err(|e| Error::map("remove from", "ADDRS", e))
    }

    pub(crate) fn put_endpoint(&mut self, number: u32, versions: Versions<Endpoint>) -> Result<(), Error> {
        self.endpoints.insert(number, Raw(versions), 0).map_err(|e| Error::map("write", "ENDPOINTS", e))
    }

    pub(crate) fn remove_endpoint(&mut self, number: u32) -> Result<(), Error> {
        raw::unless_absent(self.endpoints.remove(&number)).map_err(|e| Error::map("remove from", "ENDPOINTS", e))
    }

    pub(crate) fn put_policy(&mut self, slot: u32, key: EntryParts, entry: PolicyEntry) -> Result<(), Error> {
        let (prefix, key) = policy_key(slot, key);
        self.policy.insert(&Key::new(prefix, Raw(key)), Raw(entry), 0).map_err(|e| Error::map("write", "POLICY", e))
    }

    pub(crate) fn remove_policy(&mut self, slot: u32, key: EntryParts) -> Result<(), Error> {
        let (prefix, key) = policy_key(slot, key);
        raw::unless_absent(self.policy.remove(&Key::new(prefix, Raw(key))))
            .map_err(|e| Error::map("remove from", "POLICY", e))
    }
}

fn typed<T: TryFrom<Map, Error = MapError>>(name: &'static str, map: Map) -> Result<T, Error> {
    T::try_from(map).map_err(|e| Error::map("open", name, e))
}

fn policy_key(slot: u32, (prefix, peer, direction, protocol, port): EntryParts) -> (u32, PolicyKey) {
    (prefix, PolicyKey { slot, peer, direction, protocol, port: Be16::new(port) })
}
