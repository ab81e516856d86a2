//! The maps. All are pinned by name, so that policy goes on with no process at all; sizes are defaults that the loader
//! may change. Names have at most 15 characters, or the kernel cuts them.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap},
};
use weir_abi::{
    Addr, AddrInfo, COUNTERS_LEN, Config, Counter, Endpoint, FlowKey, FlowState, Fragment, FragmentKey, Iface,
    LISTENER_SLOTS, PolicyEntry, PolicyKey, Versions,
};

use crate::{
    Case,
    packet::Packet,
    policy::{Question, Verdict},
};

/// Devices whose ingress is judged, by ifindex.
#[map]
pub static IFACES: HashMap<u32, Iface> = HashMap::pinned(4096, BPF_F_NO_PREALLOC);

/// Which version of `ADDRS` and `ENDPOINTS` is in force; see `weir_abi::Versions`.
#[map]
pub static EPOCH: Array<u32> = Array::pinned(1, 0);

/// Address → identity, longest prefix.
#[map]
pub static ADDRS: LpmTrie<Addr, Versions<AddrInfo>> = LpmTrie::pinned(131_072, 0);

/// Endpoint number → policy slot and flags.
#[map]
pub static ENDPOINTS: HashMap<u32, Versions<Endpoint>> = HashMap::pinned(4096, BPF_F_NO_PREALLOC);

/// (slot, peer, direction, protocol, port) → verdict, longest prefix.
#[map]
pub static POLICY: LpmTrie<PolicyKey, PolicyEntry> = LpmTrie::pinned(131_072, 0);

/// Connection tracking of what passes without the proxy.
#[map]
pub static FLOWS: LruHashMap<FlowKey, FlowState> = LruHashMap::pinned(262_144, 0);

/// The ports of datagrams that come in pieces.
#[map]
pub static FRAGMENTS: LruHashMap<FragmentKey, Fragment> = LruHashMap::pinned(8192, 0);

/// The packet that a program is looking at: see [`settle`].
#[map]
pub static PACKET: PerCpuArray<Packet> = PerCpuArray::with_max_entries(1, 0);

/// What it asks policy.
#[map]
pub static QUESTION: PerCpuArray<Question> = PerCpuArray::with_max_entries(1, 0);

/// Who its ends are, and whose the exchange is.
#[map]
pub static CASE: PerCpuArray<Case> = PerCpuArray::with_max_entries(1, 0);

/// What the two sides' policies say to it, by direction.
#[map]
pub static VERDICTS: PerCpuArray<Verdict> = PerCpuArray::with_max_entries(2, 0);

/// Puts a value into a map, and gives what is there then. To the verifier that is anything, and the programs go on in one
/// state; with the value on the stack there is one for each way that leads to it, and "BPF program is too large.
/// Processed 1000001 insn".
#[inline(always)]
pub fn settle<T: Copy>(map: &'static PerCpuArray<T>, index: u32, value: T) -> Option<&'static T> {
    // SAFETY: an entry of this processor, which no other program uses before this one has ended.
    unsafe { *map.get_ptr_mut(index)? = value };
    // Asked for once more, so that the compiler has it read from there.
    map.get(index)
}

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
