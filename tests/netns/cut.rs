//! A policy change and what is open: connections that are denied now are cut at both ends, others are left alone.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use weir_lab::{Wiring, in_netns, runs_as_root, wait_until};

use crate::{
    redirect::{endpoints, one_way, port},
    site::{Member, SOON, Site},
};

/// An open connection, both ends of it.
struct Open {
    client: TcpStream,
    server: TcpStream,
}

impl Open {
    fn between(client: &Member, server: &Member, at: SocketAddr) -> Self {
        let listener = in_netns(server.netns(), || TcpListener::bind(at)).expect("listen in the pod");
        let client = in_netns(client.netns(), || TcpStream::connect_timeout(&at, SOON)).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        let mut open = Self { client, server };
        open.exchange();
        open
    }

    fn exchange(&mut self) {
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            (&*from).write_all(b"x").expect("send");
            to.set_read_timeout(Some(SOON)).expect("timeout");
            (&*to).read_exact(&mut [0]).expect("receive");
        }
    }

    /// Both ends are told, though neither sends anything.
    fn is_cut(&self) -> bool {
        [&self.client, &self.server].into_iter().all(|end| {
            end.set_read_timeout(Some(Duration::from_millis(1))).expect("timeout");
            match (&*end).read(&mut [0]) {
                Ok(length) => length == 0,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        })
    }
}

/// Everybody may call `web` but these.
fn deny(app: &str) -> String {
    let denial = one_way("denial", "web", "ingressDeny", &format!("{{{}}}", endpoints("fromEndpoints", app)));
    denial + "  ingress: [{fromEntities: [all]}]\n"
}

#[test]
fn what_is_denied_now_is_cut_at_both_ends_and_nothing_else() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let mut site = Site::new();
        let (client, other) = (site.pod("client", 11, wiring), site.pod("other", 12, wiring));
        let web = site.pod("web", 10, wiring);
        site.run();
        for v6 in [false, true] {
            let denied = Open::between(&client, &web, web.at(v6, 80));
            let mut others = Open::between(&other, &web, web.at(v6, 80));
            let mut back = Open::between(&web, &client, client.at(v6, 80));
            let edited = Instant::now();
            site.write("deny.yaml", &deny("client"));
            wait_until("both ends to be cut", SOON, || denied.is_cut()).expect("an open connection is cut");
            println!("both ends cut {:?} after the file was written", edited.elapsed());
            site.in_force();
            others.exchange();
            back.exchange();
            site.apply("deny.yaml", &deny("nobody"));
        }
    }
}

#[test]
fn a_connected_datagram_socket_is_cut_too() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair("");
    for v6 in [false, true] {
        let at = web.at(v6, 53);
        let server = in_netns(web.netns(), || UdpSocket::bind(at)).expect("bind");
        let asking = in_netns(client.netns(), || UdpSocket::bind(client.at(v6, 0))).expect("bind");
        asking.connect(at).expect("connect");
        asking.send(b"x").expect("send");
        server.set_read_timeout(Some(SOON)).expect("timeout");
        let (_, from) = server.recv_from(&mut [0]).expect("receive");
        server.send_to(b"y", from).expect("answer");
        asking.set_read_timeout(Some(SOON)).expect("timeout");
        asking.recv(&mut [0]).expect("receive the answer");
        site.apply("deny.yaml", &deny("client"));
        asking.set_read_timeout(Some(Duration::from_millis(1))).expect("timeout");
        let cut = || {
            let error = asking.recv(&mut [0]).expect_err("nothing comes");
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        };
        wait_until("the asking end to be told", SOON, cut).expect("a connected socket is cut");
        // An unconnected socket serves others, too; it stays.
        server.set_read_timeout(Some(Duration::from_millis(1))).expect("timeout");
        let error = server.recv_from(&mut [0]).expect_err("nothing comes");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        site.apply("deny.yaml", &deny("nobody"));
    }
}

#[test]
fn a_default_denial_and_a_port_rule_cut_as_a_deny_rule_does() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair("");
    let denied = Open::between(&client, &web, web.at(false, 80));
    let mut allowed = Open::between(&client, &web, web.at(false, 81));
    let only = format!("{{{}, {}}}", endpoints("fromEndpoints", "client"), port(81, "TCP"));
    site.apply("policy.yaml", &one_way("p", "web", "ingress", &only));
    wait_until("both ends to be cut", SOON, || denied.is_cut()).expect("an open connection is cut");
    allowed.exchange();
    // The client's side of the same kind.
    let egress = format!("{{{}, {}}}", endpoints("toEndpoints", "web"), port(80, "TCP"));
    site.apply("egress.yaml", &one_way("e", "client", "egress", &egress));
    wait_until("both ends to be cut", SOON, || allowed.is_cut()).expect("an open connection is cut");
}
