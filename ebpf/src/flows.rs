//! Connection tracking: it says what a packet answers, nothing else. A forward packet is judged by policy, and a reply as
//! what it answers, once in each epoch; so a policy change is in force with the next packet of either side.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_ktime_get_ns};
use weir_abi::{FlowKey, FlowState};

use crate::{
    maps::FLOWS,
    packet::{FIN, Packet, RST, TCP},
    policy::Epoch,
};

const SECOND: u64 = 1_000_000_000;
/// As long as Linux' own tracking by default lets an idle TCP connection live is five days; six hours is what is
/// usual for node data paths, and a forward packet renews the entry in any case.
const TCP_LIFETIME: u64 = 6 * 3600 * SECOND;
/// After FIN or RST only the rest of the handshake is expected.
const CLOSING_LIFETIME: u64 = 30 * SECOND;
const OTHER_LIFETIME: u64 = 60 * SECOND;

/// How a packet relates to what was seen before.
#[derive(Clone, Copy, PartialEq)]
pub enum Known {
    /// Nothing is known, or the packet opens the exchange anew.
    New,
    /// From the end that opened the exchange.
    Forward,
    /// From the other end.
    Reply,
}

/// The packet's key, and whether its source is the higher end.
#[inline(always)]
pub fn key(packet: &Packet) -> (FlowKey, bool) {
    let source = (u128::from_be_bytes(packet.source), packet.source_port.get());
    let destination = (u128::from_be_bytes(packet.destination), packet.destination_port.get());
    let source_is_high = source > destination;
    let (low, high, low_port, high_port) = if source_is_high {
        (packet.destination, packet.source, packet.destination_port, packet.source_port)
    } else {
        (packet.source, packet.destination, packet.source_port, packet.destination_port)
    };
    (FlowKey { low, high, low_port, high_port, protocol: packet.protocol, zero: [0; 3] }, source_is_high)
}

/// What is known of a packet's exchange.
#[derive(Clone, Copy)]
pub struct Tracked {
    pub known: Known,
    /// It was judged in this epoch, and passes.
    pub allowed: bool,
    /// Whose policy let it pass.
    pub direction: u8,
}

impl Tracked {
    pub const NEW: Self = Self { known: Known::New, allowed: false, direction: 0 };
}

/// Looks the packet up and renews its entry.
#[inline(always)]
pub fn track(epoch: Epoch, packet: &Packet) -> Tracked {
    // A SYN never answers anything: it opens a connection in its own direction, or none.
    if packet.is_syn() || packet.portless {
        return Tracked::NEW;
    }
    let (key, source_is_high) = key(packet);
    let Some(state) = FLOWS.get_ptr_mut(key) else { return Tracked::NEW };
    // SAFETY: the pointer comes from the map; concurrent writers race only for the time stamp and the closing flag.
    let state = unsafe { &mut *state };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let age = now.saturating_sub(state.seen_ns);
    if age > lifetime(packet, state) {
        return Tracked::NEW;
    }
    if packet.tcp_flags & (FIN | RST) != 0 && packet.protocol == TCP {
        state.closing = 1;
    }
    if age > SECOND && (state.closing == 0 || packet.protocol != TCP) {
        state.seen_ns = now;
    }
    let known = side(packet, state, source_is_high);
    // Of ICMP the entry is for any type with the same identifier, and each is another question.
    let same_question = !packet.is_icmp() && known != Known::New;
    let allowed = same_question && state.allowed == 1 && state.epoch == epoch.0;
    Tracked { known, allowed, direction: state.direction }
}

/// Keeps the verdict on a tracked exchange, which is to let pass.
#[inline(always)]
pub fn allow(epoch: Epoch, packet: &Packet, direction: u8) {
    if let Some(state) = FLOWS.get_ptr_mut(key(packet).0) {
        // SAFETY: the pointer comes from the map; concurrent writers say the same, or it is judged once more.
        let state = unsafe { &mut *state };
        state.allowed = 0;
        state.direction = direction;
        state.epoch = epoch.0;
        state.allowed = 1;
    }
}

/// Which end the packet is from.
#[inline(always)]
fn side(packet: &Packet, state: &FlowState, source_is_high: bool) -> Known {
    match (state.opened_by_high == 1) == source_is_high {
        true => Known::Forward,
        // Like a SYN, a request answers nothing, whatever identifier it bears.
        false if !packet.may_answer() => Known::New,
        false => Known::Reply,
    }
}

/// Remembers that the packet's source opened the exchange. It is judged again with its next packet.
#[inline(always)]
pub fn open(packet: &Packet) {
    if packet.portless {
        return;
    }
    let (key, source_is_high) = key(packet);
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let state = FlowState { seen_ns: now, opened_by_high: source_is_high as u8, ..FlowState::default() };
    // An LRU map always finds room; the only failure is a race for the same key, where the other writer says the same.
    let _ = FLOWS.insert(key, state, BPF_ANY as u64);
}

/// How a packet that an ICMP error quotes relates to what was seen; nothing is renewed.
#[inline(always)]
pub fn quoted(quoted: &Packet) -> Known {
    let (key, source_is_high) = key(quoted);
    let Some(state) = FLOWS.get_ptr(key) else { return Known::New };
    // SAFETY: the pointer comes from the map; whatever a concurrent writer leaves is a whole number.
    let state = unsafe { &*state };
    // SAFETY: a helper without arguments.
    let age = unsafe { bpf_ktime_get_ns() }.saturating_sub(state.seen_ns);
    if age > lifetime(quoted, state) { Known::New } else { side(quoted, state, source_is_high) }
}

#[inline(always)]
fn lifetime(packet: &Packet, state: &FlowState) -> u64 {
    match (packet.protocol, state.closing) {
        (TCP, 0) => TCP_LIFETIME,
        (TCP, _) => CLOSING_LIFETIME,
        _ => OTHER_LIFETIME,
    }
}
