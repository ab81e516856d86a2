//! Counters and events.

use aya_ebpf::programs::TcContext;
use weir_abi::{
    AddrInfo, COUNT_LOST_EVENTS, EVENT_AUDITED, EVENT_DROPPED, EVENT_FORWARDED, EVENT_REDIRECTED, Event, counter_index,
};

use crate::{
    maps::{COUNTERS, EVENTS},
    packet::Packet,
};

const ETH_LEN: u32 = 14;

/// Counts a packet by reason and direction.
#[inline(always)]
pub fn count(ctx: &TcContext, reason: u8, direction: u8) {
    if let Some(counter) = COUNTERS.get_ptr_mut(counter_index(reason, direction)) {
        // SAFETY: a per-CPU entry; nobody else writes it while the program runs.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += ctx.len().saturating_sub(ETH_LEN) as u64;
        }
    }
}

/// A new connection that passes (`cookie` names the entry that allowed it).
#[inline(always)]
pub fn forwarded(packet: &Packet, from: &AddrInfo, to: &AddrInfo, direction: u8, cookie: u32) {
    emit(packet, from, to, EVENT_FORWARDED, 0, direction, cookie);
}

/// A new connection that the proxy takes.
#[inline(always)]
pub fn redirected(packet: &Packet, from: &AddrInfo, to: &AddrInfo, direction: u8, cookie: u32) {
    emit(packet, from, to, EVENT_REDIRECTED, 0, direction, cookie);
}

/// A new connection that passes, though the audited policies would have denied it.
#[inline(always)]
pub fn audited(packet: &Packet, from: &AddrInfo, to: &AddrInfo, direction: u8, cookie: u32) {
    emit(packet, from, to, EVENT_AUDITED, 0, direction, cookie);
}

/// A dropped packet (`cookie` names the entry that denies it, if one does).
#[inline(always)]
pub fn dropped(packet: &Packet, from: &AddrInfo, to: &AddrInfo, direction: u8, reason: u8, cookie: u32) {
    emit(packet, from, to, EVENT_DROPPED, reason, direction, cookie);
}

#[inline(always)]
fn emit(packet: &Packet, from: &AddrInfo, to: &AddrInfo, kind: u8, reason: u8, direction: u8, cookie: u32) {
    let event = Event {
        source: packet.source,
        destination: packet.destination,
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        protocol: packet.protocol,
        tcp_flags: packet.tcp_flags,
        icmp_type: packet.icmp_type,
        kind,
        reason,
        direction,
        zero: [0; 2],
        source_identity: from.identity,
        destination_identity: to.identity,
        cookie,
    };
    if EVENTS.output::<Event>(event, 0).is_err()
        && let Some(counter) = COUNTERS.get_ptr_mut(counter_index(COUNT_LOST_EVENTS, direction))
    {
        // SAFETY: as in `count`.
        unsafe { (*counter).packets += 1 };
    }
}
