//! A map by longest prefix of 128 bits: what the kernel's LPM trie is, for addresses.

use std::collections::BTreeMap;

use weir_abi::Addr;

/// Prefix length in bits, and the address with zeros beyond it; IPv4 is v4-mapped, so its lengths begin at 96.
pub type Prefix = (u32, Addr);

/// Values by prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lpm<V> {
    entries: BTreeMap<Prefix, V>,
    /// How many entries each length has.
    lengths: BTreeMap<u32, usize>,
}

impl<V> Default for Lpm<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), lengths: BTreeMap::new() }
    }
}

impl<V> Lpm<V> {
    /// The value of exactly this prefix.
    pub fn get(&self, key: &Prefix) -> Option<&V> {
        self.entries.get(key)
    }

    /// Sets the value of a prefix.
    pub fn insert(&mut self, key: Prefix, value: V) {
        if self.entries.insert(key, value).is_none() {
            *self.lengths.entry(key.0).or_default() += 1;
        }
    }

    /// Forgets a prefix.
    pub fn remove(&mut self, key: &Prefix) {
        if self.entries.remove(key).is_some()
            && let Some(count) = self.lengths.get_mut(&key.0)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&key.0);
            }
        }
    }

    /// The longest prefix of at most `longest` bits that holds the address, and its value.
    pub fn find(&self, addr: &Addr, longest: u32) -> Option<(Prefix, &V)> {
        self.lengths.range(..=longest).rev().find_map(|(length, _)| {
            let key = (*length, masked(addr, *length));
            self.entries.get(&key).map(|value| (key, value))
        })
    }

    /// All of them, the shortest first.
    pub fn iter(&self) -> impl Iterator<Item = (&Prefix, &V)> {
        self.entries.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The address with zeros beyond its first `length` bits.
pub fn masked(addr: &Addr, length: u32) -> Addr {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or(0);
    (u128::from_be_bytes(*addr) & mask).to_be_bytes()
}
