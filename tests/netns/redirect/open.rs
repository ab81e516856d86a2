//! What is open or under way when something else happens: replies, errors, edits.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    thread,
    time::Duration,
};

use weir_lab::{Netns, Wiring, in_netns, runs_as_root, wait_until};

use super::{endpoints, get, one_way, port};
use crate::{
    site::{Member, NEVER, SOON, Site, http_ingress, l4_ingress},
    traffic::{connect, server},
};

/// Sends back what it gets.
fn udp_echo(netns: &Netns, at: SocketAddr) {
    let socket = in_netns(netns, || UdpSocket::bind(at)).expect("bind in the pod");
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..n], from);
        }
    });
}

/// A connected UDP socket of a pod.
fn udp(client: &Member, to: SocketAddr) -> UdpSocket {
    let socket = in_netns(client.netns(), || UdpSocket::bind(client.at(to.is_ipv6(), 0))).expect("bind");
    in_netns(client.netns(), || socket.connect(to)).expect("connect");
    socket.set_read_timeout(Some(NEVER)).expect("timeout");
    socket
}

/// Whether an answer comes in time.
fn answers(socket: &UdpSocket, time: Duration) -> std::io::Result<()> {
    socket.set_read_timeout(Some(time))?;
    socket.send(b"x")?;
    socket.recv(&mut [0; 16]).map(drop)
}

/// Whether a ping of the kernel's own kind (`ping_group_range`) is answered.
fn ping(netns: &Netns, to: SocketAddr) -> bool {
    netns.sysctl("net/ipv4/ping_group_range", "0 0").expect("sysctl");
    let (domain, protocol, kind) = match to.is_ipv6() {
        true => (socket2::Domain::IPV6, socket2::Protocol::ICMPV6, 128),
        false => (socket2::Domain::IPV4, socket2::Protocol::ICMPV4, 8),
    };
    in_netns(netns, || {
        let mut socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(protocol)).expect("a ping socket");
        socket.set_read_timeout(Some(NEVER)).expect("timeout");
        socket.connect(&SocketAddr::new(to.ip(), 0).into()).expect("connect");
        socket.send(&[kind, 0, 0, 0, 0, 0, 0, 1, 42]).expect("send");
        socket.read(&mut [0; 64]).is_ok()
    })
}

#[test]
fn datagrams_and_pings_are_judged_and_their_answers_pass() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let friend = site.pod("friend", 12, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    // Everything of the friend's, one port of the client's; no way out for either server or client but this.
    let ingress = format!(
        "{{{}, {}}}, {{{}}}",
        endpoints("fromEndpoints", "client"),
        port(53, "UDP"),
        endpoints("fromEndpoints", "friend")
    );
    site.write("in.yaml", &one_way("in", "web", "ingress", &ingress));
    site.write("out.yaml", &one_way("out", "web", "egress", "{}"));
    site.run();
    for v6 in [false, true] {
        udp_echo(web.netns(), web.at(v6, 53));
        udp_echo(web.netns(), web.at(v6, 54));
        for (who, from, number, allowed) in
            [("client", &client, 53, true), ("client", &client, 54, false), ("friend", &friend, 54, true)]
        {
            let answered = answers(&udp(from, web.at(v6, number)), if allowed { SOON } else { NEVER });
            assert_eq!(answered.is_ok(), allowed, "UDP from {who} to port {number}");
        }
        assert!(ping(friend.netns(), web.at(v6, 0)), "a ping that is allowed");
        assert!(!ping(client.netns(), web.at(v6, 0)), "a ping that no rule allows");
        assert!(!ping(web.netns(), friend.at(v6, 0)), "a ping in the direction of the answers");
    }
    let drops = site.recorded(1, &["--verdict", "dropped", "--from-pod", "client", "--protocol", "udp"]);
    assert_eq!(drops[0]["flow"]["drop_reason_desc"], "POLICY_DENIED", "{}", drops[0]);
}

#[test]
fn an_error_about_an_allowed_datagram_comes_back() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    let both = |name: &str, direction: &str, peer: &str| {
        one_way(direction, name, direction, &format!("{{{}, {}}}", peer, port(53, "UDP")))
    };
    site.write("in.yaml", &both("web", "ingress", &endpoints("fromEndpoints", "client")));
    site.write("out.yaml", &one_way("out", "web", "egress", "{}"));
    site.write("client.yaml", &both("client", "egress", &endpoints("toEndpoints", "web")));
    site.write("client-in.yaml", &one_way("client-in", "client", "ingress", "{}"));
    site.run();
    for v6 in [false, true] {
        // Nobody listens: port unreachable.
        let error = answers(&udp(&client, web.at(v6, 53)), SOON).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "IPv6: {v6}");
    }
}

#[test]
fn a_connection_older_than_a_rule_for_requests_is_reset_not_let_past_the_proxy() {
    if !runs_as_root() {
        return;
    }
    for client_speaks in [true, false] {
        let (site, client, web) = Site::pair(&l4_ingress("web", "client"));
        let listener = in_netns(web.netns(), || TcpListener::bind(web.at(false, 80))).expect("listen");
        let stream = connect(client.netns(), web.at(false, 80)).expect("connect");
        let (upstream, _) = listener.accept().expect("accept");
        let (mut speaks, mut listens) = if client_speaks { (stream, upstream) } else { (upstream, stream) };
        speaks.write_all(b"x").expect("send");
        listens.read_exact(&mut [0]).expect("it arrives while the rule is plain");
        site.apply("policy.yaml", &http_ingress("web", "client", &["{path: /a}"]));
        speaks.write_all(b"y").expect("send");
        speaks.set_read_timeout(Some(SOON)).expect("timeout");
        listens.set_read_timeout(Some(NEVER)).expect("timeout");
        let seen = speaks.read(&mut [0]).expect_err("the sender's connection is over");
        assert_eq!(seen.kind(), ErrorKind::ConnectionReset, "client speaks: {client_speaks}");
        let passed = listens.read(&mut [0]);
        assert!(!matches!(passed, Ok(1..)), "a byte went past the proxy, client speaks: {client_speaks}");
    }
}

#[test]
fn a_proxied_connection_survives_the_end_of_the_rules_that_made_it_one() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &["{path: /a}"]));
    let _seen = server(web.netns(), web.at(false, 80));
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!((get(&mut stream, "/a"), get(&mut stream, "/b")), (200, 403));
    site.apply("policy.yaml", &l4_ingress("web", "client"));
    assert_eq!(get(&mut stream, "/b"), 200, "a plain rule allows every request");
    site.remove("policy.yaml");
    let enforced = || site.status().is_none_or(|s| s.endpoints.iter().any(|e| !e.enforced.is_empty()));
    wait_until("no policy to be left", SOON, || !enforced()).expect("nothing is enforced");
    assert_eq!(get(&mut stream, "/b"), 200, "without a policy everything is allowed");
}

#[test]
fn an_edit_that_denies_an_open_exchange_stops_both_of_its_sides() {
    if !runs_as_root() {
        return;
    }
    let allow =
        |app| one_way("in", "web", "ingress", &format!("{{{}, {}}}", endpoints("fromEndpoints", app), port(53, "UDP")));
    let (site, client, web) = Site::pair(&allow("client"));
    let answering = in_netns(web.netns(), || UdpSocket::bind(web.at(false, 53))).expect("bind in the pod");
    // One that is connected would be cut.
    let asking = in_netns(client.netns(), || UdpSocket::bind(client.at(false, 0))).expect("bind in the pod");
    asking.set_read_timeout(Some(NEVER)).expect("timeout");
    let ask = || asking.send_to(b"x", web.at(false, 53)).expect("send");
    ask();
    let (_, from) = answering.recv_from(&mut [0; 16]).expect("a question");
    answering.send_to(b"1", from).expect("answer");
    asking.recv(&mut [0; 16]).expect("an answer");
    site.apply("policy.yaml", &allow("somebody"));
    // The server goes on answering what is no longer allowed to be asked.
    answering.send_to(b"2", from).expect("answer");
    assert!(asking.recv(&mut [0; 16]).is_err(), "an answer to what is denied came through");
    site.apply("policy.yaml", &allow("client"));
    ask();
    answering.send_to(b"3", from).expect("answer");
    asking.recv(&mut [0; 16]).expect("an answer, now that it is allowed again");
}
