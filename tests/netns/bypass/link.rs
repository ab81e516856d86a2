//! Below IP: what a pod on a bridge, or with frames of its own making, may try.

use std::net::UdpSocket;

use socket2::{Domain, SockAddr, Socket, Type};
use weir_lab::{Wiring, in_netns, runs_as_root, wait_until};

use super::{UDP, checksum, datagram, v4};
use crate::{
    redirect::{endpoints, get, one_way, port},
    site::{Member, NEVER, SOON, Site},
    traffic::{connect, server},
};

/// Packets that were dropped for this reason, as `weir status` counts them.
fn count(site: &Site, reason: &str) -> u64 {
    let status = site.status().expect("a status");
    status.packets.iter().filter(|(name, _, _)| name == reason).map(|(_, _, packets)| packets).sum()
}

/// `web` lets `friend` in on TCP port 81 and UDP port 53, and nobody else.
fn site(wiring: Wiring<'_>) -> (Site, Member, Member, Member) {
    let mut site = Site::new();
    let other = site.pod("other", 12, wiring);
    let friend = site.pod("friend", 13, wiring);
    let web = site.pod("web", 10, wiring);
    let friends = endpoints("fromEndpoints", "friend");
    let entry = format!("{{{friends}, {}}}, {{{friends}, {}}}", port(81, "TCP"), port(53, "UDP"));
    site.write("in.yaml", &one_way("in", "web", "ingress", &entry));
    site.run();
    (site, other, friend, web)
}

/// `sockaddr_ll` (linux/if_packet.h).
#[repr(C)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    ifindex: i32,
    kind: u16,
    packet: u8,
    length: u8,
    address: [u8; 8],
}

/// Sends a whole Ethernet frame by `eth0`.
fn send_frame(from: &Member, frame: &[u8]) {
    const AF_PACKET: i32 = 17;
    let link = from.netns().command("ip").args(["-o", "link", "show", "eth0"]).output().expect("ip link");
    let ifindex = String::from_utf8_lossy(&link.stdout).split(':').next().and_then(|n| n.parse().ok()).expect("eth0");
    let to = LinkAddress { family: 17, protocol: 0, ifindex, kind: 0, packet: 0, length: 0, address: [0; 8] };
    // SAFETY: the storage is larger than a link address, is aligned for any, and is told its length.
    #[expect(unsafe_code, reason = "nothing else makes the address of a device")]
    let (_, to) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<LinkAddress>().write(to);
            *length = u32::try_from(size_of::<LinkAddress>()).unwrap_or_default();
            Ok(())
        })
    }
    .expect("an address");
    let socket = in_netns(from.netns(), || Socket::new(Domain::from(AF_PACKET), Type::RAW, None)).expect("a socket");
    socket.send_to(frame, &to).expect("send the frame");
}

/// The Ethernet addresses on the way from `eth0` to a neighbour: the neighbour's, then one's own.
fn ethernet(from: &Member, neighbour: &str) -> Vec<u8> {
    let line = |args: &[&str], word: &str| {
        let output = from.netns().command("ip").args(args).output().expect("ip");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().skip_while(|w| *w != word).nth(1).expect("an Ethernet address").to_owned()
    };
    let macs = [
        line(&["neigh", "show", neighbour, "dev", "eth0"], "lladdr"),
        line(&["-o", "link", "show", "eth0"], "link/ether"),
    ];
    macs.iter().flat_map(|mac| mac.split(':').map(|b| u8::from_str_radix(b, 16).expect("hex"))).collect()
}

#[test]
fn a_vlan_tag_hides_nothing() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let (site, other, friend, web) = site(wiring);
        let socket = in_netns(web.netns(), || UdpSocket::bind(web.at(false, 53))).expect("bind in the pod");
        let neighbour = match wiring {
            Wiring::Routed => "169.254.1.1".to_owned(),
            Wiring::Bridge(_) => web.v4.to_string(),
        };
        // Tags with the number 0: the kernel takes all of them off and delivers what is inside.
        let send = |from: &Member, tags: usize| {
            // Any datagram makes the neighbour known.
            let asking = in_netns(from.netns(), || UdpSocket::bind(from.at(false, 0))).expect("bind in the pod");
            in_netns(from.netns(), || asking.send_to(b"hello", web.at(false, 54))).expect("send");
            let known = || {
                let shown = from.netns().command("ip").args(["neigh", "show", &neighbour]).output().expect("ip");
                String::from_utf8_lossy(&shown.stdout).contains("lladdr")
            };
            wait_until("the neighbour", SOON, known).expect("a neighbour");
            let mut packet =
                v4(from.v4, web.v4, UDP, 0, &[], &datagram(46_000, 53, &[u8::try_from(tags).expect("few")]));
            let length = u16::try_from(packet.len()).expect("short");
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            let sum = checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            let tags = [0x81, 0, 0, 0].repeat(tags);
            send_frame(from, &[ethernet(from, &neighbour), tags, vec![8, 0], packet].concat());
        };
        let mut byte = [0];
        socket.set_read_timeout(Some(SOON)).expect("timeout");
        // What is allowed without a tag is allowed with one, which is stripped before it is judged.
        for tags in [0, 1] {
            send(&friend, tags);
            socket.recv(&mut byte).expect("an allowed frame arrives");
            assert_eq!(usize::from(byte[0]), tags);
        }
        socket.set_read_timeout(Some(NEVER)).expect("timeout");
        for tags in [0, 1, 2, 3] {
            send(&other, tags);
            assert!(socket.recv(&mut byte).is_err(), "{tags} tags went past the policy, {wiring:?}");
        }
        assert!(count(&site, "InvalidPacket") >= 2, "not counted, {wiring:?}");
    }
}

#[test]
fn a_pod_on_a_bridge_is_nobody_else_to_its_neighbours() {
    if !runs_as_root() {
        return;
    }
    let (site, other, friend, web) = site(Wiring::Bridge("br0"));
    let _seen = server(web.netns(), web.at(false, 81));
    // Port to port, without the node's IP: judged all the same.
    assert!(connect(other.netns(), web.at(false, 81)).is_err(), "connected against the policy");
    let mut stream = connect(friend.netns(), web.at(false, 81)).expect("connect");
    assert_eq!(get(&mut stream, "/"), 200);
    // `other` takes the server's address and shouts it, and answers for it.
    let before = count(&site, "InvalidSourceIp");
    other.netns().sysctl("net/ipv4/conf/eth0/arp_notify", "1").expect("sysctl");
    other.netns().ip([format!("addr add {}/24 dev eth0", web.v4)]).expect("take the address");
    let seen = server(other.netns(), web.at(false, 81));
    friend.netns().ip(["neigh flush dev eth0"]).expect("forget the neighbours");
    other.netns().ip(["link set eth0 down", "link set eth0 up"]).expect("announce it");
    wait_until("the claim to be dropped", SOON, || count(&site, "InvalidSourceIp") > before).expect("it is counted");
    let mut stream = connect(friend.netns(), web.at(false, 81)).expect("connect to the real one");
    assert_eq!(get(&mut stream, "/"), 200);
    assert_eq!(seen.try_iter().count(), 0, "the impostor was called");
}
