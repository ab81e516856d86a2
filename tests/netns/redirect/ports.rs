//! The client's own port towards the server, again and again.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use socket2::{Domain, Socket, Type};
use weir_lab::{Netns, in_netns, runs_as_root, wait_until};

use super::{get, visible_pair};
use crate::{
    site::{SOON, Site},
    traffic::{connect, server},
};

/// The sum of a metric of the admin port.
fn metric(site: &Site, name: &str) -> u64 {
    let mut stream = in_netns(site.lab.node(), || TcpStream::connect("127.0.0.1:9962")).expect("the admin port");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("ask");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read the metrics");
    let value = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<u64>().ok();
    text.lines().filter_map(value).sum()
}

/// One exchange from a given port; who closes first is in the request.
fn once(netns: &Netns, from: SocketAddr, to: SocketAddr, server_closes: bool) -> std::io::Result<u16> {
    let call = || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&from.into()).expect("bind");
        match socket.connect_timeout(&to.into(), SOON) {
            // The client's own kernel: its clock for TIME_WAIT has not ticked yet.
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => None,
            result => Some(result.map(|()| socket)),
        }
    };
    let called = in_netns(netns, || wait_until("the client's own TIME_WAIT to end", SOON, call));
    let socket = called.expect("a port")?;
    let mut stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(SOON))?;
    if server_closes {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        return Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0));
    }
    Ok(get(&mut stream, "/"))
}

/// A server that closes after its answer if the client asks for it, and otherwise when the client does.
fn closing_server(netns: &Netns, at: SocketAddr) {
    let listener = in_netns(netns, || TcpListener::bind(at)).expect("listen in the pod");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut chunk = [0; 256];
                while let Ok(n @ 1..) = stream.read(&mut chunk) {
                    head.extend_from_slice(&chunk[..n]);
                    if head.ends_with(b"\r\n\r\n") {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                        if head.windows(5).any(|word| word == b"close") {
                            return;
                        }
                        head.clear();
                    }
                }
            });
        }
    });
}

#[test]
fn ports_are_used_again_at_once_whoever_closed_first() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    // The client may call again from a port that it has used a millisecond ago; so the proxy must be able to.
    for (key, value) in [("net/ipv4/tcp_tw_reuse", "1"), ("net/ipv4/tcp_tw_reuse_delay", "1")] {
        client.netns().sysctl(key, value).expect("sysctl");
    }
    for v6 in [false, true] {
        closing_server(web.netns(), web.at(v6, 80));
        for server_closes in [true, false] {
            for round in 0..50_u16 {
                let from = client.at(v6, 20_000 + round % 5);
                let status = once(client.netns(), from, web.at(v6, 80), server_closes);
                assert!(
                    matches!(status, Ok(200)),
                    "round {round}, IPv6: {v6}, the server closes: {server_closes}: {status:?}"
                );
            }
        }
    }
    assert_eq!(metric(&site, "weir_upstream_port_fallbacks"), 0);
}

#[test]
fn thousands_of_short_connections_of_one_client_keep_their_ports() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    client.netns().sysctl("net/ipv4/ip_local_port_range", "20000 24000").expect("sysctl");
    client.netns().sysctl("net/ipv4/tcp_tw_reuse", "1").expect("sysctl");
    client.netns().sysctl("net/ipv4/tcp_tw_reuse_delay", "1").expect("sysctl");
    closing_server(web.netns(), web.at(false, 80));
    let to = web.at(false, 80);
    in_netns(client.netns(), || {
        for n in 0..5000 {
            let mut stream = TcpStream::connect_timeout(&to, SOON).unwrap_or_else(|e| panic!("connection {n}: {e}"));
            stream.set_read_timeout(Some(SOON)).expect("timeout");
            if n % 2 == 0 {
                assert_eq!(get(&mut stream, "/"), 200, "connection {n}");
            } else {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").expect("send");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap_or_else(|e| panic!("connection {n}: {e}"));
                assert!(answer.starts_with("HTTP/1.1 200"), "connection {n}: {answer:?}");
            }
        }
    });
    assert_eq!(metric(&site, "weir_upstream_port_fallbacks"), 0);
}

#[test]
fn a_port_that_the_node_listens_on_is_replaced_and_counted() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    let _listener = in_netns(site.lab.node(), || TcpListener::bind("0.0.0.0:20000")).expect("listen on the node");
    let seen = server(web.netns(), web.at(false, 80));
    assert_eq!(once(client.netns(), client.at(false, 20_000), web.at(false, 80), false).expect("a response"), 200);
    let (peer, _) = seen.try_iter().next().expect("a request");
    assert_eq!(peer.ip(), client.v4, "the address is the client's still");
    assert_eq!(metric(&site, "weir_upstream_port_fallbacks"), 1);
    // And only there.
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(get(&mut stream, "/"), 200);
    assert_eq!(metric(&site, "weir_upstream_port_fallbacks"), 1);
}
