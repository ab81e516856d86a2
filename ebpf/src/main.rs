//! The programs that run in the kernel.
//!
//! | program | hook | judges |
//! |---|---|---|
//! | `from_pod` | tcx ingress of a pod's host-side veth | what the pod sends: its egress, and the ingress of a pod of this node |
//! | `from_net` | tcx ingress of the node's other devices | what comes from outside: the ingress of a pod of this node |
//! | `to_pod` | tcx egress of a pod's host-side veth | nothing new: remembers what the node itself opened, and stops what is not the pod's |
//! | `from_port` | tcx ingress of weir's own veth | nothing: hands packets that are not on their way into the node to the proxy's sockets |
//! | `reopen` | socket look-up of the node | nothing: names a listener for a connection that follows one in TIME_WAIT |
//!
//! A packet's way through `from_pod` and `from_net`: parse → whose is it → does the proxy have this connection → what does
//! it answer → policy → drop, pass, or redirect.
#![no_std]
#![no_main]

mod flows;
mod maps;
mod packet;
mod policy;
mod proxy;
mod record;

use aya_ebpf::{
    macros::{classifier, sk_lookup},
    programs::{SkLookupContext, TcContext},
};
use flows::Known;
use packet::{Frame, Packet, TCP};
use policy::{Epoch, HOST, PASS, REDIRECT};
use proxy::Owner;
use weir_abi::{
    AddrInfo, COUNT_AUDITED, COUNT_FORWARDED, COUNT_REDIRECTED, DEFAULT_DENY, DENIES, EGRESS, IFACE_BRIDGE_PORT,
    INGRESS, Iface, MARK_FROM_PROXY, MARK_MASK, MARK_TO_PROXY, drop, flag,
};

/// Let the next program decide (`TCX_NEXT`).
const TCX_NEXT: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
/// Go on, with the socket that was assigned, if one was.
const SK_PASS: u32 = 1;
/// Identities of whom no policy object names, by family.
const WORLD_IPV4: u32 = 9;
const WORLD_IPV6: u32 = 10;

#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    let Some(iface) = interface(&ctx) else { return TC_ACT_SHOT };
    let epoch = Epoch::now();
    let packet = match Packet::parse(&ctx, &iface) {
        Frame::Ip(packet) => packet,
        Frame::Arp(sender) if may_claim(epoch, &iface, &sender) => return TCX_NEXT,
        Frame::Arp(_) => return refuse(&ctx, EGRESS, drop::INVALID_SOURCE),
        // Two pods on a bridge could say anything to each other in it.
        Frame::Foreign | Frame::Malformed => return refuse(&ctx, EGRESS, drop::INVALID_PACKET),
    };
    let source = epoch.resolve(&packet.source);
    let destination = epoch.resolve(&packet.destination);
    if packet.invalid {
        return deny(&ctx, packet, &source, &destination, EGRESS, drop::INVALID_PACKET, 0);
    }
    if packet.is_neighbour_discovery() && stays_on_link(&iface, packet, &destination) {
        let speaks_for_itself = source.endpoint == iface.endpoint
            || packet::is_unspecified(&packet.source)
            || packet::is_of_link(&packet.source);
        let claims = packet.advertised(&ctx).is_none_or(|target| may_claim(epoch, &iface, &target));
        if speaks_for_itself && claims && !packet.is_a_routers() {
            return TCX_NEXT;
        }
        return deny(&ctx, packet, &source, &destination, EGRESS, drop::INVALID_SOURCE, 0);
    }
    if source.endpoint != iface.endpoint {
        return deny(&ctx, packet, &source, &destination, EGRESS, drop::INVALID_SOURCE, 0);
    }
    decide(&ctx, epoch, &iface, packet, &source, &destination)
}

#[classifier]
pub fn from_net(ctx: TcContext) -> i32 {
    let Some(iface) = interface(&ctx) else { return TC_ACT_SHOT };
    let epoch = Epoch::now();
    let packet = match Packet::parse(&ctx, &iface) {
        Frame::Ip(packet) => packet,
        Frame::Foreign if packet::is_hidden_in_vlan(&ctx) => return refuse(&ctx, INGRESS, drop::INVALID_PACKET),
        Frame::Arp(_) | Frame::Foreign => return TCX_NEXT,
        Frame::Malformed => return refuse(&ctx, INGRESS, drop::INVALID_PACKET),
    };
    let source = epoch.resolve(&packet.source);
    let destination = epoch.resolve(&packet.destination);
    if packet.invalid {
        return deny(&ctx, packet, &source, &destination, INGRESS, drop::INVALID_PACKET, 0);
    }
    if packet.is_neighbour_discovery() && stays_on_link(&iface, packet, &destination) {
        return TCX_NEXT;
    }
    // A pod of this node speaks from its own interface only, and the node speaks to its pods over none of these.
    if source.endpoint != 0 || (source.identity == HOST && destination.endpoint != 0) {
        return deny(&ctx, packet, &source, &destination, INGRESS, drop::INVALID_SOURCE, 0);
    }
    decide(&ctx, epoch, &iface, packet, &source, &destination)
}

#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    // SAFETY: the context is the program's own.
    let (mark, came_from) = unsafe { ((*ctx.skb.skb).mark, (*ctx.skb.skb).ingress_ifindex) };
    if mark & MARK_MASK == MARK_FROM_PROXY {
        return TCX_NEXT;
    }
    let Some(iface) = interface(&ctx) else { return TCX_NEXT };
    let epoch = Epoch::now();
    let packet = match Packet::parse(&ctx, &iface) {
        Frame::Ip(packet) => packet,
        Frame::Arp(_) => return TCX_NEXT,
        Frame::Foreign | Frame::Malformed if came_from == 0 || !enforces_ingress(epoch, iface.endpoint) => {
            return TCX_NEXT;
        }
        Frame::Foreign | Frame::Malformed => return refuse(&ctx, INGRESS, drop::INVALID_PACKET),
    };
    if packet.is_neighbour_discovery() {
        return TCX_NEXT;
    }
    if came_from == 0 {
        return from_node(&ctx, epoch, packet);
    }
    let destination = epoch.resolve(&packet.destination);
    let source = epoch.resolve(&packet.source);
    // It came by a device that no program looks at, a new pod's for example: it was not judged at all.
    let unjudged = known_interface(came_from).is_none();
    if unjudged && (source.endpoint != 0 || enforces_ingress(epoch, iface.endpoint)) {
        return deny(&ctx, packet, &source, &destination, INGRESS, drop::INVALID_SOURCE, 0);
    }
    // Every other packet was judged where it came in, as one for the endpoint that owns the address.
    if destination.endpoint == iface.endpoint {
        return TCX_NEXT;
    }
    // A bridge floods what it does not know the port of, and it can be misled; others' packets are nothing to read.
    if destination.endpoint != 0 {
        return refuse(&ctx, INGRESS, drop::UNKNOWN_DESTINATION);
    }
    // One for an address that weir does not know as this endpoint's was judged as somebody else's.
    if enforces_ingress(epoch, iface.endpoint) {
        return deny(&ctx, packet, &source, &destination, INGRESS, drop::UNKNOWN_DESTINATION, 0);
    }
    TCX_NEXT
}

/// The node itself may always reach its pods (kubelet's probes need it); the answers must come back.
#[inline(always)]
fn from_node(ctx: &TcContext, epoch: Epoch, packet: &Packet) -> i32 {
    // A server of the node answers a call that the proxy made in the pod's name: it has the pod's address, so the
    // answer is on its way to the pod, and the proxy's socket waits for it.
    if packet.protocol == TCP && !packet.portless && proxy::owns(ctx, packet) {
        return proxy::bring_back(ctx);
    }
    // A reset that the node's TCP sends in somebody's name opens nothing, and neither does an error.
    let source = epoch.resolve(&packet.source);
    if source.identity == HOST && !packet.is_icmp_error() && flows::track(packet) == Known::New {
        flows::open(packet);
    }
    TCX_NEXT
}

#[classifier]
pub fn from_port(ctx: TcContext) -> i32 {
    // SAFETY: the context is the program's own.
    let mark = unsafe { (*ctx.skb.skb).mark };
    let iface = Iface { endpoint: 0, flags: 0 };
    let Frame::Ip(packet) = Packet::parse(&ctx, &iface) else { return TC_ACT_SHOT };
    // Nobody but `hand_over` has business on this device.
    if mark & MARK_MASK != MARK_TO_PROXY {
        return TC_ACT_SHOT;
    }
    // An error about one of the proxy's packets; the mark is kept.
    if packet.is_icmp_error() {
        return proxy::deliver(&ctx, &iface);
    }
    if packet.protocol != TCP {
        return TC_ACT_SHOT;
    }
    let owner = proxy::owner(&ctx, packet);
    if owner == Owner::Proxy {
        return proxy::deliver(&ctx, &iface);
    }
    let taken = if packet.piece { Err(drop::FRAGMENT) } else { proxy::take(&ctx, packet, owner) };
    match taken {
        Ok(action) => action,
        Err(reason) => {
            let epoch = Epoch::now();
            let source = epoch.resolve(&packet.source);
            let destination = epoch.resolve(&packet.destination);
            deny(&ctx, packet, &source, &destination, INGRESS, reason, 0)
        }
    }
}

#[sk_lookup]
pub fn reopen(ctx: SkLookupContext) -> u32 {
    proxy::reopen(&ctx);
    SK_PASS
}

/// What is known of a packet before policy is asked.
#[derive(Clone, Copy)]
pub struct Case {
    source: AddrInfo,
    destination: AddrInfo,
    owner: Owner,
    known: Known,
}

/// The second half of a packet's way, the same for pods and for outside.
#[inline(always)]
fn decide(
    ctx: &TcContext,
    epoch: Epoch,
    iface: &Iface,
    packet: &Packet,
    source: &AddrInfo,
    destination: &AddrInfo,
) -> i32 {
    if source.endpoint == 0 && destination.endpoint == 0 && !packet.is_icmp_error() && packet.protocol != TCP {
        return TCX_NEXT;
    }
    packet.remember_pieces();
    let mut owner = Owner::Nobody;
    if packet.protocol == TCP && !packet.portless {
        owner = proxy::owner(ctx, packet);
        if owner == Owner::Proxy {
            return proxy::deliver(ctx, iface);
        }
    }
    let mut known = Known::New;
    let mut question = policy::Question::new(packet, source, destination, false);
    if packet.is_icmp_error() {
        if let Some(quoted) = quoted_of_exchange(ctx, packet, source) {
            if quoted.protocol == TCP && proxy::owns(ctx, &quoted.turned()) {
                return proxy::deliver(ctx, iface);
            }
            known = flows::quoted(&quoted);
            if known != Known::New {
                let other = epoch.resolve(&quoted.destination);
                question = policy::Question::new(&quoted, destination, &other, known == Known::Reply);
                known = Known::Reply;
            }
        }
    } else {
        known = flows::track(packet);
        if known == Known::Reply {
            question = policy::Question::new(packet, source, destination, true);
        }
    }
    let case = Case { source: *source, destination: *destination, owner, known };
    let Some(case) = maps::settle(&maps::CASE, 0, case) else { return TC_ACT_SHOT };
    let Case { source, destination, owner, known } = case;
    let verdict = policy::judge(epoch, question);
    let policy::Verdict { direction, cookie, .. } = verdict;
    match verdict.action {
        PASS if *known == Known::Reply => TCX_NEXT,
        PASS => {
            let new = *known == Known::New && (source.endpoint | destination.endpoint) != 0;
            if new && verdict.audited {
                record::count(ctx, COUNT_AUDITED, verdict.audit_direction);
                record::audited(packet, source, destination, verdict.audit_direction, verdict.audit_cookie);
            }
            // Nothing about showing may cost a packet: what the proxy cannot get goes on.
            if verdict.show
                && packet.is_syn()
                && !packet.piece
                && proxy::listens(packet)
                && let Ok(action) = proxy::accept(ctx, iface, packet, *owner)
            {
                record::count(ctx, COUNT_REDIRECTED, direction);
                record::redirected(packet, source, destination, direction, cookie);
                return action;
            }
            record::count(ctx, COUNT_FORWARDED, direction);
            if new {
                flows::open(packet);
                if !verdict.audited {
                    record::forwarded(packet, source, destination, direction, cookie);
                }
            }
            TCX_NEXT
        }
        // The listener is found by the first header, and forgotten where the pieces are put together.
        REDIRECT if packet.piece => deny(ctx, packet, source, destination, direction, drop::FRAGMENT, cookie),
        // A packet of a connection that was open before a rule for requests came gets a reset from the listener, in
        // either direction: it must not go past the proxy, and shall not hang.
        REDIRECT => match proxy::accept(ctx, iface, packet, *owner) {
            Ok(action) => {
                if packet.is_syn() {
                    record::count(ctx, COUNT_REDIRECTED, direction);
                    record::redirected(packet, source, destination, direction, cookie);
                }
                action
            }
            Err(reason) => deny(ctx, packet, source, destination, direction, reason, cookie),
        },
        reason => deny(ctx, packet, source, destination, direction, reason, cookie),
    }
}

/// The packet that an ICMP error quotes, if the error goes to who sent it, and, if a pod sends the error, comes from whom
/// it was sent to. Any other would be a letter to anybody in an official envelope.
#[inline(always)]
fn quoted_of_exchange(ctx: &TcContext, error: &Packet, source: &AddrInfo) -> Option<Packet> {
    let quoted = error.quoted(ctx)?;
    let answers = quoted.source == error.destination && (source.endpoint == 0 || quoted.destination == error.source);
    if answers { Some(quoted) } else { None }
}

/// Whether the pod behind `iface` may say in ARP or neighbour discovery that it has this address: its own, or one that
/// nobody is known to have.
#[inline(always)]
fn may_claim(epoch: Epoch, iface: &Iface, address: &weir_abi::Addr) -> bool {
    let owner = epoch.resolve(address);
    owner.endpoint == iface.endpoint || matches!(owner.identity, WORLD_IPV4 | WORLD_IPV6)
}

/// Whether neighbour discovery is for this very link; routers would carry anything else on.
#[inline(always)]
fn stays_on_link(iface: &Iface, packet: &Packet, destination: &AddrInfo) -> bool {
    packet::is_of_link(&packet.destination)
        || destination.identity == HOST
        || (iface.flags & IFACE_BRIDGE_PORT != 0 && destination.endpoint != 0)
}

#[inline(always)]
fn deny(
    ctx: &TcContext,
    packet: &Packet,
    from: &AddrInfo,
    to: &AddrInfo,
    direction: u8,
    reason: u8,
    cookie: u32,
) -> i32 {
    record::count(ctx, reason, direction);
    record::dropped(packet, from, to, direction, reason, cookie);
    TC_ACT_SHOT
}

/// Drops a frame that has no addresses to record.
#[inline(always)]
fn refuse(ctx: &TcContext, direction: u8, reason: u8) -> i32 {
    record::count(ctx, reason, direction);
    TC_ACT_SHOT
}

/// The device that the packet is seen on. A program on a device that the map does not know drops everything: the agent
/// writes the map before it attaches.
#[inline(always)]
fn interface(ctx: &TcContext) -> Option<Iface> {
    // SAFETY: the context is the program's own.
    known_interface(unsafe { (*ctx.skb.skb).ifindex })
}

#[inline(always)]
fn known_interface(ifindex: u32) -> Option<Iface> {
    // SAFETY: the value is copied at once.
    unsafe { maps::IFACES.get(ifindex).copied() }
}

/// Whether the endpoint's policy may deny something that is sent to it.
#[inline(always)]
fn enforces_ingress(epoch: Epoch, endpoint: u32) -> bool {
    let denying = flag(DEFAULT_DENY, INGRESS) | flag(DENIES, INGRESS);
    epoch.endpoint(endpoint).is_some_and(|endpoint| endpoint.flags & denying != 0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses programs that could.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
