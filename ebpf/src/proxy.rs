//! Handing packets to the proxy's sockets, without NAT.
//!
//! `bpf_sk_assign` works at ingress, in the IP path. A bridge takes a frame before that, so packets from a bridge port
//! go over weir's own veth, where that is done by the program `from_port`.
//!
//! A listener that is assigned makes TCP forget to look for TIME_WAIT, and then it finds no place for the new connection
//! and drops the SYN. So a SYN for such a connection goes its ordinary way: TCP finds the socket in TIME_WAIT, judges
//! whether the SYN is a new one (RFC 6191), and asks for a listener, which the program `reopen` then names.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_CURRENT_NETNS, BPF_F_INGRESS, bpf_sock, bpf_sock_tuple},
    helpers::{
        bpf_get_hash_recalc, bpf_get_prandom_u32, bpf_map_lookup_elem, bpf_redirect, bpf_sk_assign, bpf_sk_fullsock,
        bpf_sk_release, bpf_skc_lookup_tcp,
    },
    programs::{SkLookupContext, TcContext},
};
use weir_abi::{Be16, IFACE_BRIDGE_PORT, Iface, LISTENER_SLOTS, MARK_FROM_PROXY, MARK_MASK, MARK_TO_PROXY, drop};

use crate::{
    flows,
    maps::{CONFIG, LISTENERS, REOPENED},
    packet::{Packet, TCP, mapped},
};

/// States of `include/net/tcp_states.h`.
const TCP_TIME_WAIT: u32 = 6;
const TCP_LISTEN: u32 = 10;

const AF_INET6: u32 = 10;

const TC_ACT_OK: i32 = 0;

/// Who has a connection.
#[derive(Clone, Copy, PartialEq)]
pub enum Owner {
    /// No socket of the node that matters here.
    Nobody,
    /// One of the proxy's sockets.
    Proxy,
    /// A socket in TIME_WAIT, and the packet is a SYN.
    Past,
}

/// Whether one of the proxy's sockets has this connection.
#[inline(always)]
pub fn owns(ctx: &TcContext, packet: &Packet) -> bool {
    owner(ctx, packet) == Owner::Proxy
}

/// Whose socket has this connection.
///
/// A mini socket (a handshake under way, or TIME_WAIT) bears no readable mark; since its tuple is exactly this
/// packet's, it is a local socket's business either way. A SYN on TIME_WAIT opens a new connection.
#[inline(always)]
pub fn owner(ctx: &TcContext, packet: &Packet) -> Owner {
    let socket = lookup(ctx, packet);
    if socket.is_null() {
        return Owner::Nobody;
    }
    // SAFETY: not null; the verifier knows the type, and the reference is released below on every path.
    unsafe {
        let state = (*socket).state;
        let full = bpf_sk_fullsock(socket);
        let owner = if state == TCP_LISTEN {
            Owner::Nobody
        } else if state == TCP_TIME_WAIT && packet.is_syn() {
            Owner::Past
        } else if full.is_null() || (*full).mark & MARK_MASK == MARK_FROM_PROXY {
            Owner::Proxy
        } else {
            Owner::Nobody
        };
        bpf_sk_release(socket.cast());
        owner
    }
}

#[inline(always)]
fn lookup(ctx: &TcContext, packet: &Packet) -> *mut bpf_sock {
    // SAFETY: zero is a valid tuple.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let length;
    // SAFETY: each arm writes the member of the union whose length it passes.
    unsafe {
        if packet.v6 {
            let v6 = &mut tuple.__bindgen_anon_1.ipv6;
            v6.saddr = core::mem::transmute::<[u8; 16], [u32; 4]>(packet.source);
            v6.daddr = core::mem::transmute::<[u8; 16], [u32; 4]>(packet.destination);
            v6.sport = packet.source_port.0;
            v6.dport = packet.destination_port.0;
            length = 36;
        } else {
            let v4 = &mut tuple.__bindgen_anon_1.ipv4;
            v4.saddr = last_four(&packet.source);
            v4.daddr = last_four(&packet.destination);
            v4.sport = packet.source_port.0;
            v4.dport = packet.destination_port.0;
            length = 12;
        }
        bpf_skc_lookup_tcp(ctx.skb.skb.cast(), &raw mut tuple, length, BPF_F_CURRENT_NETNS as u64, 0)
    }
}

#[inline(always)]
fn last_four(addr: &[u8; 16]) -> u32 {
    u32::from_ne_bytes([addr[12], addr[13], addr[14], addr[15]])
}

/// Gives a packet of an open connection to its socket: with the mark, routing delivers it locally, and TCP finds the
/// socket by its tuple.
#[inline(always)]
pub fn deliver(ctx: &TcContext, iface: &Iface) -> i32 {
    ctx.set_mark(MARK_TO_PROXY);
    if iface.flags & IFACE_BRIDGE_PORT != 0 { hand_over(ctx) } else { TC_ACT_OK }
}

/// Gives a packet without a socket to a listener; the error is a drop reason.
#[inline(always)]
pub fn accept(ctx: &TcContext, iface: &Iface, packet: &Packet, owner: Owner) -> Result<i32, u8> {
    if iface.flags & IFACE_BRIDGE_PORT != 0 {
        ctx.set_mark(MARK_TO_PROXY);
        return Ok(hand_over(ctx));
    }
    take(ctx, packet, owner)
}

/// Whether the proxy listens for connections of the packet's family.
#[inline(always)]
pub fn listens(packet: &Packet) -> bool {
    let index = if packet.v6 { LISTENER_SLOTS } else { 0 };
    // SAFETY: a socket found in the map is referenced and released here; the map's type is a sockmap.
    unsafe {
        let map = (&raw const LISTENERS).cast_mut().cast();
        let listener = bpf_map_lookup_elem(map, (&raw const index).cast());
        if listener.is_null() {
            return false;
        }
        bpf_sk_release(listener);
        true
    }
}

/// Gives a packet that is in the IP path to a listener.
#[inline(always)]
pub fn take(ctx: &TcContext, packet: &Packet, owner: Owner) -> Result<i32, u8> {
    if owner != Owner::Past {
        return assign_listener(ctx, packet);
    }
    if REOPENED.insert(flows::key(packet).0, 1, BPF_ANY as u64).is_err() {
        return Err(drop::PROXY_ASSIGN);
    }
    ctx.set_mark(MARK_TO_PROXY);
    Ok(TC_ACT_OK)
}

/// Names a listener for a SYN that [`take`] has let go its ordinary way. Asked by TCP for every packet without an open
/// connection; for all others nothing changes.
#[inline(always)]
pub fn reopen(ctx: &SkLookupContext) {
    // SAFETY: the context is the program's own. Its addresses are read word by word and both families', or else:
    // "dereference of modified ctx ptr".
    let (packet, v6) = unsafe {
        let lookup = ctx.lookup;
        if (*lookup).protocol != TCP as u32 {
            return;
        }
        let word = |at: *const u32| core::ptr::read_volatile(at);
        let words = |at: *const u32| [word(at), word(at.add(1)), word(at.add(2)), word(at.add(3))];
        let remote6 = words((&raw const (*lookup).remote_ip6).cast());
        let local6 = words((&raw const (*lookup).local_ip6).cast());
        let remote4 = word(&raw const (*lookup).remote_ip4).to_ne_bytes();
        let local4 = word(&raw const (*lookup).local_ip4).to_ne_bytes();
        let v6 = (*lookup).family == AF_INET6;
        let mut packet = if v6 {
            let bytes = |words| core::mem::transmute::<[u32; 4], [u8; 16]>(words);
            Packet::between(bytes(remote6), bytes(local6))
        } else {
            Packet::between(mapped(remote4), mapped(local4))
        };
        packet.protocol = TCP;
        packet.source_port = Be16((*lookup).remote_port);
        packet.destination_port = Be16::new((*lookup).local_port as u16);
        (packet, v6)
    };
    let key = flows::key(&packet).0;
    if REOPENED.get_ptr(key).is_none() {
        return;
    }
    // SAFETY: helpers without or with checked arguments; the socket is released on the one path that has it.
    unsafe {
        let index = if v6 { LISTENER_SLOTS } else { 0 } + (bpf_get_prandom_u32() & (LISTENER_SLOTS - 1));
        let map = (&raw const LISTENERS).cast_mut().cast();
        let listener = bpf_map_lookup_elem(map, (&raw const index).cast());
        if !listener.is_null() {
            // A refusal leaves the SYN unanswered, and the client will repeat it.
            let _ = bpf_sk_assign(ctx.lookup.cast(), listener, 0);
            bpf_sk_release(listener);
        }
    }
}

/// Assigns a listening socket to the packet; the error is a drop reason.
#[inline(always)]
fn assign_listener(ctx: &TcContext, packet: &Packet) -> Result<i32, u8> {
    // SAFETY: the context is the program's own.
    let hash = unsafe { bpf_get_hash_recalc(ctx.skb.skb) };
    let family = if packet.v6 { LISTENER_SLOTS } else { 0 };
    let index = family + (hash & (LISTENER_SLOTS - 1));
    // SAFETY: a socket found in the map is referenced and released here; the map's type is a sockmap.
    unsafe {
        let map = (&raw const LISTENERS).cast_mut().cast();
        let listener = bpf_map_lookup_elem(map, (&raw const index).cast());
        if listener.is_null() {
            return Err(drop::PROXY_MISSING);
        }
        let error = bpf_sk_assign(ctx.skb.skb.cast(), listener, 0);
        bpf_sk_release(listener);
        if error != 0 {
            return Err(drop::PROXY_ASSIGN);
        }
    }
    ctx.set_mark(MARK_TO_PROXY);
    Ok(TC_ACT_OK)
}

/// Turns a packet that is leaving the node round, into one of the proxy's sockets.
#[inline(always)]
pub fn bring_back(ctx: &TcContext) -> i32 {
    ctx.set_mark(MARK_TO_PROXY);
    hand_over(ctx)
}

/// Sends a packet from a bridge port into the node's IP path over weir's own veth.
#[inline(always)]
fn hand_over(ctx: &TcContext) -> i32 {
    let Some(config) = CONFIG.get(0) else { return crate::TC_ACT_SHOT };
    if ctx.skb.store(0, &config.handover_mac, 0).is_err() {
        return crate::TC_ACT_SHOT;
    }
    // SAFETY: a helper that takes numbers only.
    unsafe { bpf_redirect(config.handover_ifindex, BPF_F_INGRESS as u64) as i32 }
}
