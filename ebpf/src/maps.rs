//! The maps. All are pinned by name, so that policy goes on with no process at all; sizes are defaults that the loader
//! may change. Names have at most 15 characters, or the kernel cuts them.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap},
};
use weir_abi::{
    Addr, AddrInfo, COUNTERS_LEN, Config, Counter, Endpoint, FlowKey, FlowState, Iface, LISTENER_SLOTS, PolicyEntry,
    PolicyKey,
};

/// Devices whose ingress is judged, by ifindex.
#[map]
pub static IFACES: HashMap<u32, Iface> = HashMap::pinned(4096, BPF_F_NO_PREALLOC);

/// Address → identity, longest prefix.
#[map]
pub static ADDRS: LpmTrie<Addr, AddrInfo> = LpmTrie::pinned(131_072, 0);

/// Endpoint number → policy slot and enforcement.
#[map]
pub static ENDPOINTS: HashMap<u32, Endpoint> = HashMap::pinned(4096, BPF_F_NO_PREALLOC);

/// (slot, peer, direction, protocol, port) → verdict, longest prefix.
#[map]
pub static POLICY: LpmTrie<PolicyKey, PolicyEntry> = LpmTrie::pinned(131_072, 0);

/// Connection tracking of what passes without the proxy.
#[map]
pub static FLOWS: LruHashMap<FlowKey, FlowState> = LruHashMap::pinned(262_144, 0);

/// Packets and bytes by reason and direction.
#[map]
pub static COUNTERS: PerCpuArray<Counter> = PerCpuArray::pinned(COUNTERS_LEN, 0);

/// New connections and drops, for the agent.
#[map]
pub static EVENTS: RingBuf = RingBuf::pinned(1 << 20, 0);

/// The proxy's listening sockets: `LISTENER_SLOTS` for IPv4, then as many for IPv6.
#[map]
pub static LISTENERS: SockMap = SockMap::pinned(2 * LISTENER_SLOTS, 0);

/// Connections that a SYN opens anew while a socket in TIME_WAIT is left of the last one; see `proxy::reopen`.
#[map]
pub static REOPENED: LruHashMap<FlowKey, u32> = LruHashMap::pinned(4096, 0);

/// What the agent tells the programs.
#[map]
pub static CONFIG: Array<Config> = Array::pinned(1, 0);
