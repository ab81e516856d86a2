//! The programs that run in the kernel.
//!
//! | program | hook | judges |
//! |---|---|---|
//! | `from_pod` | tcx ingress of a pod's host-side veth | what the pod sends: its egress, and the ingress of a pod of this node |
//! | `from_net` | tcx ingress of the node's other devices | what comes from outside: the ingress of a pod of this node |
//! | `to_pod` | tcx egress of a pod's host-side veth | nothing new: remembers what the node itself opened, and stops what escaped the other two |
//! | `from_port` | tcx ingress of weir's own veth | nothing: hands packets from bridge ports to the proxy's sockets |
//!
//! A packet's way through `from_pod` and `from_net`: parse → whose is it → does the proxy have this connection → is it
//! a reply → policy → drop, pass, or redirect.
#![no_std]
#![no_main]

mod flows;
mod maps;
mod packet;
mod policy;
mod proxy;
mod record;

use aya_ebpf::{macros::classifier, programs::TcContext};
use flows::Known;
use packet::{Frame, Packet, TCP};
use policy::Verdict;
use weir_abi::{
    AddrInfo, COUNT_FORWARDED, COUNT_REDIRECTED, EGRESS, ENFORCE_INGRESS, INGRESS, Iface, MARK_FROM_PROXY, MARK_MASK,
    MARK_TO_PROXY, drop,
};

/// Let the next program decide (`TCX_NEXT`).
const TCX_NEXT: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
/// Identity of the node.
const HOST: u32 = 1;

#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    let Some(iface) = interface(&ctx) else { return TC_ACT_SHOT };
    let packet = match Packet::parse(&ctx) {
        Frame::Ip(packet) => packet,
        Frame::NotIp => return TCX_NEXT,
        Frame::Malformed => {
            record::count(&ctx, drop::INVALID_PACKET, EGRESS);
            return TC_ACT_SHOT;
        }
    };
    if packet.is_neighbour_discovery() {
        return TCX_NEXT;
    }
    let source = policy::resolve(&packet.source);
    let destination = policy::resolve(&packet.destination);
    if source.endpoint != iface.endpoint {
        return deny(&ctx, &packet, &source, &destination, EGRESS, drop::INVALID_SOURCE);
    }
    decide(&ctx, &iface, &packet, &source, &destination)
}

#[classifier]
pub fn from_net(ctx: TcContext) -> i32 {
    let Some(iface) = interface(&ctx) else { return TC_ACT_SHOT };
    let packet = match Packet::parse(&ctx) {
        Frame::Ip(packet) => packet,
        Frame::NotIp => return TCX_NEXT,
        Frame::Malformed => {
            record::count(&ctx, drop::INVALID_PACKET, INGRESS);
            return TC_ACT_SHOT;
        }
    };
    if packet.is_neighbour_discovery() {
        return TCX_NEXT;
    }
    let source = policy::resolve(&packet.source);
    let destination = policy::resolve(&packet.destination);
    // A pod of this node speaks from its own interface only.
    if source.endpoint != 0 {
        return deny(&ctx, &packet, &source, &destination, INGRESS, drop::INVALID_SOURCE);
    }
    decide(&ctx, &iface, &packet, &source, &destination)
}

#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    // SAFETY: the context is the program's own.
    let (mark, came_from) = unsafe { ((*ctx.skb.skb).mark, (*ctx.skb.skb).ingress_ifindex) };
    if mark & MARK_MASK == MARK_FROM_PROXY {
        return TCX_NEXT;
    }
    let (Some(iface), Frame::Ip(packet)) = (interface(&ctx), Packet::parse(&ctx)) else { return TCX_NEXT };
    if packet.is_neighbour_discovery() {
        return TCX_NEXT;
    }
    let source = policy::resolve(&packet.source);
    if came_from == 0 {
        // The node itself may always reach its pods (kubelet's probes need it); the answers must come back. A reset
        // that the node's TCP sends in somebody's name opens nothing.
        if source.identity == HOST && flows::track(&packet) == Known::New {
            flows::open(&packet);
        }
        return TCX_NEXT;
    }
    let destination = policy::resolve(&packet.destination);
    // Every other packet was judged where it came in, as one for the endpoint that owns the address. One for an
    // address that weir does not know as this endpoint's was judged as somebody else's.
    if destination.endpoint != iface.endpoint && enforces_ingress(iface.endpoint) {
        return deny(&ctx, &packet, &source, &destination, INGRESS, drop::UNKNOWN_DESTINATION);
    }
    TCX_NEXT
}

#[classifier]
pub fn from_port(ctx: TcContext) -> i32 {
    // SAFETY: the context is the program's own.
    let mark = unsafe { (*ctx.skb.skb).mark };
    let Frame::Ip(packet) = Packet::parse(&ctx) else { return TC_ACT_SHOT };
    // Nobody but `hand_over` has business on this device.
    if mark & MARK_MASK != MARK_TO_PROXY || packet.protocol != TCP {
        return TC_ACT_SHOT;
    }
    let iface = Iface { endpoint: 0, flags: 0 };
    if proxy::owns(&ctx, &packet) {
        return proxy::deliver(&ctx, &iface);
    }
    match proxy::assign_listener(&ctx, &packet) {
        Ok(action) => action,
        Err(reason) => {
            let source = policy::resolve(&packet.source);
            let destination = policy::resolve(&packet.destination);
            deny(&ctx, &packet, &source, &destination, INGRESS, reason)
        }
    }
}

/// The second half of a packet's way, the same for pods and for outside.
#[inline(always)]
fn decide(ctx: &TcContext, iface: &Iface, packet: &Packet, source: &AddrInfo, destination: &AddrInfo) -> i32 {
    if source.endpoint == 0 && destination.endpoint == 0 && !packet.is_icmp_error() && packet.protocol != TCP {
        return TCX_NEXT;
    }
    if packet.protocol == TCP && !packet.fragment && proxy::owns(ctx, packet) {
        return proxy::deliver(ctx, iface);
    }
    if packet.is_icmp_error() {
        if let Some(quoted) = packet.quoted(ctx) {
            if flows::is_tracked(&quoted) {
                return TCX_NEXT;
            }
        }
    }
    let known = flows::track(packet);
    if known == Known::Reply {
        return TCX_NEXT;
    }
    match policy::judge(packet, source, destination) {
        Verdict::Allow { direction, cookie } => {
            record::count(ctx, COUNT_FORWARDED, direction);
            if known == Known::New && (source.endpoint | destination.endpoint) != 0 {
                flows::open(packet);
                record::forwarded(packet, source, destination, direction, cookie);
            }
            TCX_NEXT
        }
        Verdict::Redirect { direction, cookie } => match proxy::accept(ctx, iface, packet) {
            Ok(action) => {
                if packet.is_syn() {
                    record::count(ctx, COUNT_REDIRECTED, direction);
                    record::redirected(packet, source, destination, direction, cookie);
                }
                action
            }
            Err(reason) => deny(ctx, packet, source, destination, direction, reason),
        },
        Verdict::Drop { direction, reason } => deny(ctx, packet, source, destination, direction, reason),
    }
}

#[inline(always)]
fn deny(ctx: &TcContext, packet: &Packet, from: &AddrInfo, to: &AddrInfo, direction: u8, reason: u8) -> i32 {
    record::count(ctx, reason, direction);
    record::dropped(packet, from, to, direction, reason);
    TC_ACT_SHOT
}

/// The device that the packet is seen on. A program on a device that the map does not know drops everything: the agent
/// writes the map before it attaches.
#[inline(always)]
fn interface(ctx: &TcContext) -> Option<Iface> {
    // SAFETY: the context is the program's own; the value is copied at once.
    unsafe { maps::IFACES.get((*ctx.skb.skb).ifindex).copied() }
}

#[inline(always)]
fn enforces_ingress(endpoint: u32) -> bool {
    // SAFETY: the value is read once.
    unsafe { maps::ENDPOINTS.get(endpoint) }.is_some_and(|endpoint| endpoint.flags & ENFORCE_INGRESS != 0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses programs that could.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
