//! The way of a packet: which wiring, which direction, which end; what the server sees, and what comes back.

mod links;
mod open;
mod ports;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
};

use weir_lab::{NODE_V4, NODE_V6, Netns, Pod, PodSpec, Wiring, in_netns, runs_as_root};

use crate::{
    site::{Member, SOON, Site, http_ingress, pod_manifest, policy},
    traffic::{connect, exchange, server},
};

/// A policy for `app: <subject>` with these entries (YAML in flow style) in one direction.
pub fn one_way(name: &str, subject: &str, direction: &str, entries: &str) -> String {
    let spec = format!("  endpointSelector: {{matchLabels: {{app: {subject}}}}}\n  {direction}: [{entries}]\n");
    policy(name, &spec)
}

/// A `toPorts` list with one port, plain.
pub fn port(number: u16, protocol: &str) -> String {
    format!("toPorts: [{{ports: [{{port: \"{number}\", protocol: {protocol}}}]}}]")
}

/// A `toPorts` list with TCP port 80 and paths that begin with `/a`.
pub const HTTP_A: &str = "toPorts: [{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{path: \"/a.*\"}]}}]";

/// A peer list: the pods with this label.
pub fn endpoints(field: &str, app: &str) -> String {
    format!("{field}: [{{matchLabels: {{app: {app}}}}}]")
}

/// The status of a GET on an open connection.
pub fn get(stream: &mut TcpStream, path: &str) -> u16 {
    exchange(stream, &format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")).0
}

/// Another machine, and its address in a family.
pub fn outside(site: &Site) -> (Netns, impl Fn(bool) -> IpAddr + use<>) {
    let (v4, v6) = (Ipv4Addr::new(198, 19, 0, 9), Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9));
    let netns = site.lab.outside(Some(v4), Some(v6)).expect("build the outside");
    (netns, move |is_v6| if is_v6 { v6.into() } else { v4.into() })
}

/// A pod like [`Site::pod`], in the subnets 198.18.`subnet`.0/24 and 2001:db8:`subnet`::/64.
fn pod_in(site: &Site, subnet: u8, name: &str, wiring: Wiring<'_>) -> Member {
    let (v4, v6) = (Ipv4Addr::new(198, 18, subnet, 10), Ipv6Addr::new(0x2001, 0xdb8, subnet.into(), 0, 0, 0, 0, 10));
    let pod = site.lab.pod(PodSpec { name, v4: Some(v4), v6: Some(v6), wiring }).expect("build the pod");
    site.write(&format!("pod-{name}.yaml"), &pod_manifest(name, &[v4.into(), v6.into()]));
    Member { pod, v4: v4.into(), v6: v6.into() }
}

/// `/a` is allowed and `/b` is not, over one connection of each family; the server sees the client's address and port.
fn is_judged(client: &Netns, web: &Netns, at: impl Fn(bool) -> SocketAddr) {
    let seen = judged_as(client, web, &at);
    assert!(seen.iter().all(|(seen, from)| seen == from), "the server saw another client: {seen:?}");
}

/// As [`is_judged`]; says whom the server saw, and who called, for each request that arrived.
fn judged_as(client: &Netns, web: &Netns, at: impl Fn(bool) -> SocketAddr) -> Vec<(SocketAddr, SocketAddr)> {
    let mut all = Vec::new();
    for v6 in [false, true] {
        let seen = server(web, at(v6));
        let mut stream = connect(client, at(v6)).expect("connect");
        let statuses = ["/a1", "/b", "/a2"].map(|path| get(&mut stream, path));
        assert_eq!(statuses, [200, 403, 200], "at {}", at(v6));
        let from = stream.local_addr().expect("local address");
        let seen: Vec<_> = seen.try_iter().map(|(peer, _)| (peer, from)).collect();
        assert_eq!(seen.len(), 2, "two requests were allowed");
        all.extend(seen);
    }
    all
}

#[test]
fn pods_are_judged_and_seen_as_themselves_whichever_way_each_is_wired() {
    if !runs_as_root() {
        return;
    }
    let (routed, bridge) = (Wiring::Routed, Wiring::Bridge("br0"));
    for (client_wiring, server_wiring, server_subnet) in
        [(routed, routed, 1), (bridge, bridge, 1), (bridge, routed, 2), (routed, bridge, 2)]
    {
        let mut site = Site::new();
        let web = pod_in(&site, server_subnet, "web", server_wiring);
        let client = site.pod("client", 11, client_wiring);
        // The second pod of the bridge, in the client's subnet.
        let web = if server_subnet == 1 && server_wiring == bridge { site.pod("web2", 10, bridge) } else { web };
        let app = if web.v4 == IpAddr::V4(Ipv4Addr::new(198, 18, 0, 10)) { "web2" } else { "web" };
        let entry = format!("{{{}, {HTTP_A}}}", endpoints("fromEndpoints", "client"));
        site.write("policy.yaml", &one_way("a", app, "ingress", &entry));
        site.run();
        println!("client {client_wiring:?}, server {server_wiring:?}");
        is_judged(client.netns(), web.netns(), |v6| web.at(v6, 80));
        // Another port is not allowed, also not from one bridge port to the other.
        for v6 in [false, true] {
            let _seen = server(web.netns(), web.at(v6, 81));
            assert!(connect(client.netns(), web.at(v6, 81)).is_err(), "connected to another port");
        }
    }
}

#[test]
fn what_a_pod_asks_of_the_world_is_judged_by_its_egress() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let mut site = Site::new();
        let client = site.pod("client", 11, wiring);
        let (world, address) = outside(&site);
        site.write("policy.yaml", &one_way("a", "client", "egress", &format!("{{{HTTP_A}}}")));
        site.run();
        is_judged(client.netns(), &world, |v6| SocketAddr::new(address(v6), 80));
        for v6 in [false, true] {
            let to = SocketAddr::new(address(v6), 81);
            let _seen = server(&world, to);
            assert!(connect(client.netns(), to).is_err(), "connected to a port that no rule names");
        }
    }
}

#[test]
fn what_the_world_asks_of_a_pod_is_judged_by_its_ingress() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let mut site = Site::new();
        let web = site.pod("web", 10, wiring);
        let (world, _) = outside(&site);
        site.write("policy.yaml", &one_way("a", "web", "ingress", &format!("{{{HTTP_A}}}")));
        site.run();
        is_judged(&world, web.netns(), |v6| web.at(v6, 80));
    }
}

#[test]
fn the_node_reaches_its_pods_on_any_port_and_hears_their_answers() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let mut site = Site::new();
        let web = site.pod("web", 10, wiring);
        // Both directions enforced; the node is named in neither.
        site.write(
            "in.yaml",
            &one_way("in", "web", "ingress", &format!("{{{}, {HTTP_A}}}", endpoints("fromEndpoints", "x"))),
        );
        site.write("out.yaml", &one_way("out", "web", "egress", "{}"));
        site.run();
        for (v6, number) in [(false, 80), (true, 80), (false, 81), (true, 81)] {
            let seen = server(web.netns(), web.at(v6, number));
            let mut stream = connect(site.lab.node(), web.at(v6, number)).expect("the node connects");
            assert_eq!(get(&mut stream, "/anything"), 200);
            assert_eq!(seen.try_iter().count(), 1);
            // Its answers are answers only: the pod opens nothing towards the node.
            let node = SocketAddr::new(if v6 { NODE_V6.into() } else { NODE_V4.into() }, number);
            let _seen = server(site.lab.node(), node);
            assert!(connect(web.netns(), node).is_err(), "the pod connected to the node");
        }
    }
}

#[test]
fn a_pod_reaches_the_node_as_its_egress_says() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let entries = format!("{{{HTTP_A}}}, {{{}}}", port(81, "TCP"));
    site.write("policy.yaml", &one_way("a", "client", "egress", &entries));
    site.run();
    let node = |v6: bool, number| SocketAddr::new(if v6 { NODE_V6.into() } else { NODE_V4.into() }, number);
    for v6 in [false, true] {
        for number in [81, 82] {
            let _seen = server(site.lab.node(), node(v6, number));
            let connected = connect(client.netns(), node(v6, number)).map(|mut stream| get(&mut stream, "/b"));
            assert_eq!(connected.ok(), (number == 81).then_some(200), "port {number}");
        }
    }
    // The server is on the node itself, and answers to an address of a pod; the answer is the proxy's all the same. Its
    // port is another one, since on the node both connections would have the same ends.
    let seen = judged_as(client.netns(), site.lab.node(), |v6| node(v6, 80));
    assert!(seen.iter().all(|(seen, from)| seen.ip() == from.ip()), "the server saw another address: {seen:?}");
}

#[test]
fn either_side_may_finish_sending_first() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    let listener = in_netns(web.netns(), || std::net::TcpListener::bind(web.at(false, 80))).expect("listen");
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    let request = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
    // The client has said all; the answer still comes, and then the end.
    stream.write_all(request.as_bytes()).expect("send");
    stream.shutdown(std::net::Shutdown::Write).expect("finish");
    let (mut upstream, _) = listener.accept().expect("accept");
    let mut asked = String::new();
    upstream.read_to_string(&mut asked).expect("the end of the client's stream");
    assert_eq!(asked, request);
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("answer");
    drop(upstream);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer and the end");
    assert!(answer.ends_with("ok"), "{answer}");

    // The server has said all, its length is its end; the client may still be sending.
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    stream.write_all(b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 4\r\n\r\nab").expect("send");
    let (mut upstream, _) = listener.accept().expect("accept");
    upstream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok").expect("answer");
    upstream.shutdown(std::net::Shutdown::Write).expect("finish");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer and the end");
    assert!(answer.ends_with("ok"), "{answer}");
    drop(site);
}

#[test]
fn a_reset_of_either_side_reaches_the_other_as_a_reset() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    for server_resets in [true, false] {
        let listener = in_netns(web.netns(), || std::net::TcpListener::bind(web.at(false, 80))).expect("listen");
        let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").expect("send");
        let (mut upstream, _) = listener.accept().expect("accept");
        let mut byte = [0];
        upstream.read_exact(&mut byte).expect("the request");
        let (resetting, mut other) = if server_resets { (upstream, stream) } else { (stream, upstream) };
        socket2::SockRef::from(&resetting).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
        drop(resetting);
        other.set_read_timeout(Some(SOON)).expect("timeout");
        let seen = other.read_to_end(&mut Vec::new()).expect_err("a reset");
        assert_eq!(seen.kind(), std::io::ErrorKind::ConnectionReset, "server resets: {server_resets}");
    }
    drop(site);
}

#[test]
fn a_server_that_refuses_or_is_away_shows_as_a_reset() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = visible_pair();
    for away in [false, true] {
        if away {
            // The node answers for the address now: no route to host.
            site.lab.node().ip([format!("route replace unreachable {}/32", web.v4)]).expect("take the route away");
        }
        let mut stream = connect(client.netns(), web.at(false, 80)).expect("the proxy accepts first");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n").expect("send");
        let seen = stream.read_to_end(&mut Vec::new()).expect_err("a reset");
        assert_eq!(seen.kind(), std::io::ErrorKind::ConnectionReset, "away: {away}");
    }
}

/// A site with `client` and `web`, all of whose requests to port 80 are proxied and allowed.
fn visible_pair() -> (Site, Member, Member) {
    Site::pair(&http_ingress("web", "client", &["{}"]))
}

/// Takes the pod away and its manifest with it.
fn remove(site: &Site, name: &str, pod: Pod) {
    site.remove(&format!("pod-{name}.yaml"));
    site.lab.remove(pod).expect("remove the pod");
}
