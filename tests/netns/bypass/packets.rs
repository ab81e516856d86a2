//! Packets that no honest socket sends, and sockets that say they are somebody else's.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use weir_lab::{NODE_V4, NODE_V6, Netns, Wiring, in_netns, runs_as_root, wait_until};

use super::{TCP, UDP, bytes, checksum, datagram, inject, syn, v4, v6};
use crate::{
    redirect::{HTTP_A, endpoints, get, one_way, outside, port},
    site::{Member, NEVER, SOON, Site},
    traffic::{connect, server},
};

/// Waits for a record of a drop for this reason, of this port; 0 for what has none.
fn dropped(site: &Site, reason: &str, port: u16, what: &str) {
    let port = port.to_string();
    let args = ["--verdict", "dropped", "--port", &port];
    let of_reason = || {
        let flows = site.flows(if port == "0" { &args[..2] } else { &args });
        flows.iter().any(|record| record["flow"]["drop_reason_desc"] == reason)
    };
    let seen = || site.flows(&["--verdict", "dropped"]);
    wait_until(what, SOON, of_reason).unwrap_or_else(|_| panic!("{what}: no {reason} of port {port}: {:#?}", seen()));
}

/// `client` may use TCP 80 with rules for requests, TCP 81 and UDP 53 of `web`, both ways enforced; `other` nothing.
fn site() -> (Site, Member, Member, Member) {
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let other = site.pod("other", 12, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    let peer = endpoints("fromEndpoints", "client");
    let entries = format!("{{{peer}, {HTTP_A}}}, {{{peer}, {}}}, {{{peer}, {}}}", port(81, "TCP"), port(53, "UDP"));
    site.write("in.yaml", &one_way("in", "web", "ingress", &entries));
    let peer = endpoints("toEndpoints", "web");
    site.write("out.yaml", &one_way("out", "client", "egress", &format!("{{{peer}}}")));
    site.run();
    (site, client, other, web)
}

#[test]
fn a_pod_speaks_with_its_own_addresses_only() {
    if !runs_as_root() {
        return;
    }
    let (site, client, other, web) = site();
    let (_world, world) = outside(&site);
    for is_v6 in [false, true] {
        let at = web.at(is_v6, 53);
        let socket = in_netns(web.netns(), || UdpSocket::bind(at)).expect("bind in the pod");
        socket.set_read_timeout(Some(NEVER)).expect("timeout");
        let node: IpAddr = if is_v6 { NODE_V6.into() } else { NODE_V4.into() };
        let pod = client.at(is_v6, 0).ip();
        for (n, source) in (40_000..).zip([pod, world(is_v6), node]) {
            let payload = datagram(n, 53, b"forged");
            let packet = match is_v6 {
                false => v4(source, at.ip(), UDP, 0, &[], &payload),
                true => v6(bytes(source), bytes(at.ip()), UDP, &payload),
            };
            inject(other.netns(), &packet, at.ip());
            dropped(&site, "INVALID_SOURCE_IP", n, &format!("a packet from {source}"));
        }
        assert!(socket.recv(&mut [0; 16]).is_err(), "a forged datagram arrived");
    }
}

#[test]
fn ipv4_addresses_in_an_ipv6_header_are_nobodys() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    // A socket of the other family makes IPv4 packets, which are judged as such.
    let _seen = server(web.netns(), web.at(false, 80));
    let mapped = SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes(web.v4))), 80);
    let mut stream = connect(client.netns(), mapped).expect("connect");
    assert_eq!((get(&mut stream, "/a"), get(&mut stream, "/b")), (200, 403));
    // On the wire they are neither one's nor the other's.
    for (n, source, destination) in
        [(41_000, client.v4, web.v4), (41_001, client.v6, web.v4), (41_002, client.v4, web.v6)]
    {
        inject(client.netns(), &v6(bytes(source), bytes(destination), TCP, &syn(n, 81)), web.v6);
        dropped(&site, "INVALID_PACKET_DROPPED", n, &format!("{source} to {destination}"));
    }
}

#[test]
fn fragments_and_options_hide_no_port() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    const MORE: u16 = 0x2000;
    // The first piece is too short to be judged, and so the second is anybody's guess.
    let segment = syn(42_000, 81);
    inject(client.netns(), &v4(client.v4, web.v4, TCP, MORE, &[], &segment[..8]), web.v4);
    inject(client.netns(), &v4(client.v4, web.v4, TCP, 1, &[], &segment[8..]), web.v4);
    dropped(&site, "IP_FRAGMENTATION_NOT_SUPPORTED", 0, "a fragment");
    // The header's length is taken from the header.
    let nops = [1; 8];
    inject(client.netns(), &v4(client.v4, web.v4, TCP, 0, &nops, &syn(42_001, 82)), web.v4);
    dropped(&site, "POLICY_DENIED", 42_001, "a SYN behind options");
    inject(client.netns(), &v4(client.v4, web.v4, TCP, 0, &nops, &syn(42_002, 80)), web.v4);
    let redirected = || !site.flows(&["--verdict", "redirected", "--port", "42002"]).is_empty();
    wait_until("a SYN behind options to be redirected", SOON, redirected).expect("it is redirected");
}

#[test]
fn extension_headers_hide_no_port() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    let (from, to) = (bytes(client.v6), bytes(web.v6));
    // Next header, length, and options that are padding.
    let header = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let [hop_by_hop, options, routing, fragment] = [0, 60, 43, 44];
    let behind = |kinds: &[u8], n: u16, number: u16| {
        let nexts = kinds.iter().skip(1).chain([&TCP]);
        let mut packet: Vec<u8> = nexts.flat_map(|next| header(*next)).collect();
        packet.extend(syn(n, number));
        v6(from, to, kinds[0], &packet)
    };
    for (n, kinds) in (43_000..).zip([&[hop_by_hop][..], &[options], &[hop_by_hop, options]]) {
        inject(client.netns(), &behind(kinds, n, 82), web.v6);
        dropped(&site, "POLICY_DENIED", n, &format!("headers {kinds:?}"));
        inject(client.netns(), &behind(kinds, n + 100, 80), web.v6);
        let number = (n + 100).to_string();
        let redirected = || !site.flows(&["--verdict", "redirected", "--port", &number]).is_empty();
        wait_until("a redirect", SOON, redirected).unwrap_or_else(|_| panic!("not redirected behind {kinds:?}"));
    }
    // What lies behind these is not looked for.
    inject(client.netns(), &behind(&[routing], 43_300, 81), web.v6);
    inject(client.netns(), &behind(&[fragment], 43_301, 81), web.v6);
    inject(client.netns(), &behind(&[options; 5], 43_302, 81), web.v6);
    let hidden = || {
        let drops = site.flows(&["--verdict", "dropped"]);
        let of_reason = |reason: &str| {
            let hidden = |record: &&serde_json::Value| {
                record["flow"]["drop_reason_desc"] == reason
                    && record["flow"]["l4"]["TCP"]["destination_port"].is_null()
            };
            drops.iter().filter(hidden).count()
        };
        of_reason("POLICY_DENIED") == 2 && of_reason("IP_FRAGMENTATION_NOT_SUPPORTED") == 1
    };
    let waited = wait_until("the headers that hide a port to be dropped", SOON, hidden);
    assert!(waited.is_ok(), "not three records: {:#?}", site.flows(&["--verdict", "dropped"]));
}

#[test]
fn an_address_that_weir_does_not_know_opens_no_way_into_a_pod() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    // The server has one more address, on another device, and the node routes it there.
    let second = Ipv4Addr::new(198, 18, 7, 7);
    web.netns().ip([format!("addr add {second}/32 dev lo")]).expect("add the address");
    site.lab.node().ip([format!("route add {second}/32 dev {}", web.pod.host_link)]).expect("add the route");
    site.remove("out.yaml");
    let open = || site.status().is_some_and(|s| s.endpoints.iter().all(|e| !e.enforced.contains(&"egress".into())));
    wait_until("the client's egress to be free", SOON, open).expect("it is");
    let to = SocketAddr::new(second.into(), 81);
    let _seen = server(web.netns(), to);
    assert!(connect(client.netns(), to).is_err(), "connected past the rules for the other address");
    let records = || {
        let flows = site.flows(&["--verdict", "dropped", "--from-pod", "client", "--port", "81"]);
        !flows.is_empty()
    };
    wait_until("the record", SOON, records).expect("a record");
}

#[test]
fn weirs_marks_mean_nothing_in_a_pod() {
    if !runs_as_root() {
        return;
    }
    let (_site, client, _other, web) = site();
    for is_v6 in [false, true] {
        let (_seen, _plain) = (server(web.netns(), web.at(is_v6, 80)), server(web.netns(), web.at(is_v6, 82)));
        for mark in [0x1000, 0x2000, 0x3000] {
            let call = |number| {
                in_netns(client.netns(), || {
                    let to = web.at(is_v6, number);
                    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
                    socket.set_mark(mark).expect("mark it");
                    socket.connect_timeout(&to.into(), NEVER)?;
                    socket.set_read_timeout(Some(SOON))?;
                    std::io::Result::Ok(TcpStream::from(socket))
                })
            };
            let mut stream = call(80).expect("connect");
            assert_eq!((get(&mut stream, "/a"), get(&mut stream, "/b")), (200, 403), "mark {mark:x}");
            assert!(call(82).is_err(), "mark {mark:x}");
        }
    }
}

/// The ports of the listeners on loopback that have no other use: the proxy's.
fn listeners(node: &Netns) -> Vec<u16> {
    let table = in_netns(node, || fs::read_to_string("/proc/thread-self/net/tcp")).expect("the sockets");
    let port = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, _, state) = (columns.next()?, columns.next()?, columns.next()?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == "0A" && address == "0100007F" && port != 9962).then_some(port)
    };
    table.lines().filter_map(port).collect()
}

#[test]
fn nobody_is_served_at_the_proxys_own_address() {
    if !runs_as_root() {
        return;
    }
    let (site, client, other, _web) = site();
    let ports = listeners(site.lab.node());
    assert!(!ports.is_empty(), "no listener was found");
    for number in ports {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), number);
        if let Ok(mut stream) = connect(site.lab.node(), at) {
            let _ = stream.write_all(b"GET /a HTTP/1.1\r\nhost: web\r\n\r\n");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty(), "the node was answered: {:?}", String::from_utf8_lossy(&answer));
        }
        for pod in [&client, &other] {
            for address in [NODE_V4, Ipv4Addr::LOCALHOST] {
                assert!(connect(pod.netns(), SocketAddr::new(address.into(), number)).is_err(), "a pod was let in");
            }
            // With loopback as the destination on the wire.
            inject(pod.netns(), &v4(pod.v4, at.ip(), TCP, 0, &[], &syn(44_000, number)), NODE_V4.into());
        }
    }
}

#[test]
fn icmp_carries_no_letters_to_strangers() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    let (stranger, address) = outside(&site);
    for is_v6 in [false, true] {
        // An exchange that is allowed, to be quoted.
        let echo = in_netns(web.netns(), || UdpSocket::bind(web.at(is_v6, 53))).expect("bind in the pod");
        let ask = in_netns(client.netns(), || UdpSocket::bind(client.at(is_v6, 45_000))).expect("bind in the pod");
        in_netns(client.netns(), || ask.send_to(b"x", web.at(is_v6, 53))).expect("send");
        echo.recv_from(&mut [0; 4]).expect("the datagram");

        let (domain, protocol) = match is_v6 {
            true => (Domain::IPV6, Protocol::ICMPV6),
            false => (Domain::IPV4, Protocol::ICMPV4),
        };
        let raw =
            |netns: &Netns| in_netns(netns, || Socket::new(domain, Type::RAW, Some(protocol))).expect("a raw socket");
        let mut ear = raw(&stranger);
        ear.set_read_timeout(Some(NEVER)).expect("timeout");
        let (from, to) = (client.at(is_v6, 0).ip(), web.at(is_v6, 0).ip());
        let quoted = match is_v6 {
            false => v4(from, to, UDP, 0, &[], &datagram(45_000, 53, b"")),
            true => v6(bytes(from), bytes(to), UDP, &datagram(45_000, 53, b"")),
        };
        // Port unreachable, about an exchange that the addressee has no part in; and neighbour discovery for somebody
        // who is no neighbour. The text stands at the end.
        let unreachable = if is_v6 { [1, 4] } else { [3, 3] };
        let letters = [unreachable.to_vec(), vec![135, 0], vec![136, 0], vec![143, 0]];
        for letter in letters {
            let mut message = letter.clone();
            message.extend([0; 6]);
            message.extend(&quoted);
            message.extend(b"letter");
            if !is_v6 {
                let sum = checksum(&message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            let socket = raw(client.netns());
            if is_v6 {
                socket.set_unicast_hops_v6(255).expect("hop limit");
            }
            in_netns(client.netns(), || socket.send_to(&message, &SocketAddr::new(address(is_v6), 0).into()))
                .expect("send");
        }
        let mut buffer = [0; 512];
        while let Ok(n) = ear.read(&mut buffer) {
            assert!(!buffer[..n].ends_with(b"letter"), "a letter arrived: {:?}", &buffer[..n]);
        }
    }
    let drops = || !site.flows(&["--verdict", "dropped", "--protocol", "icmp", "--from-pod", "client"]).is_empty();
    wait_until("the record", SOON, drops).expect("a record");
}

#[test]
fn who_may_be_pinged_may_not_ping_with_the_same_identifier() {
    if !runs_as_root() {
        return;
    }
    let (site, client, _other, web) = site();
    let (v4_only, echo) = (Protocol::ICMPV4, |kind: u8| {
        let mut message = vec![kind, 0, 0, 0, 0x77, 0x77, 0, 1];
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    });
    site.apply("in.yaml", &one_way("in", "web", "ingress", &format!("{{{}}}", endpoints("fromEndpoints", "client"))));
    site.apply("deaf.yaml", &one_way("deaf", "client", "ingress", "{}"));
    let raw = |netns: &Netns| in_netns(netns, || Socket::new(Domain::IPV4, Type::RAW, Some(v4_only))).expect("raw");
    let (asking, mut hearing) = (raw(client.netns()), raw(client.netns()));
    hearing.set_read_timeout(Some(NEVER)).expect("timeout");
    in_netns(client.netns(), || asking.send_to(&echo(8), &web.at(false, 0).into())).expect("ping");
    let mut buffer = [0; 64];
    let n = hearing.read(&mut buffer).expect("the answer passes");
    assert_eq!((n, buffer[20]), (28, 0), "an echo reply");
    let back = raw(web.netns());
    in_netns(web.netns(), || back.send_to(&echo(8), &client.at(false, 0).into())).expect("ping");
    assert!(hearing.read(&mut buffer).is_err(), "a request came in as if it were an answer");
}
