//! An end in order: exchanges under way may finish, and what nobody needs any more is removed.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
};

use rustix::process::Signal;
use weir_lab::{Netns, Process, Wiring, in_netns, runs_as_root};

use super::{Apart, GET, assert_nothing_left, links, output, stderr};
use crate::{
    site::{Member, SOON, Site, http_ingress},
    traffic::{connect, exchange, response, server},
};

/// A server that answers its first request when told to. Sends on the first channel when it has the request.
fn late_server(netns: &Netns, at: SocketAddr) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = in_netns(netns, || TcpListener::bind(at)).expect("listen in the pod");
    let ((report, has_it), (release, released)) = (mpsc::channel(), mpsc::channel());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = report.send(());
        let _ = released.recv();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        // Held open until the client's side ends.
        let _ = stream.read(&mut head);
    });
    (has_it, release)
}

/// An exchange is under way, another connection is idle; `process` is told to end and does so in order.
fn assert_drains(client: &Member, web: &Member, process: &Process) {
    let (has_it, release) = late_server(web.netns(), web.at(true, 80));
    let mut idle = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut idle, GET).0, 200);
    let mut busy = connect(client.netns(), web.at(true, 80)).expect("connect");
    busy.write_all(GET.as_bytes()).expect("send the request");
    has_it.recv_timeout(SOON).expect("the server has the request");
    process.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0; 64]).expect("an orderly end"), 0, "an idle connection is closed");
    assert!(process.exit_status().is_none(), "it ended before the exchange did");
    release.send(()).expect("the server waits");
    assert_eq!(response(&mut busy), (200, "late".into()));
    assert_eq!(busy.read(&mut [0; 64]).expect("an orderly end"), 0, "the connection is closed after its exchange");
    let status = process.wait(SOON).expect("it ends");
    assert!(status.success(), "{status}: {}", process.log());
}

#[test]
fn weir_run_drains_and_leaves_nothing() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Bridge("br0"));
    let web = site.pod("web", 10, Wiring::Bridge("br0"));
    site.write("policy.yaml", &http_ingress("web", "client", &["{}"]));
    site.run();
    let links = site.lab.node().command("ip").arg("link").output().expect("run ip").stdout;
    assert!(String::from_utf8_lossy(&links).contains("weir0"), "weir has a device of its own");
    let _seen = server(web.netns(), web.at(false, 80));
    assert_drains(&client, &web, site.agent.as_ref().expect("weir runs"));
    assert_nothing_left(&site.lab);
}

#[test]
fn weir_proxy_drains() {
    if !runs_as_root() {
        return;
    }
    let apart = Apart::new();
    assert_drains(&apart.client, &apart.web, apart.site.proxy.as_ref().expect("a proxy runs"));
    apart.assert_l4();
    while apart.seen.try_recv().is_ok() {}
    apart.assert_l7_closed();
}

#[test]
fn weir_agent_leaves_what_is_in_force_and_cleanup_removes_it() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let cleanup = |site: &Site| output(site.weir("cleanup"));
    let refused = cleanup(&apart.site);
    assert!(!refused.status.success(), "it removed what an agent keeps");
    assert!(stderr(&refused).contains("belongs to an agent that runs"), "{}", stderr(&refused));
    let before = links(&apart.site.lab);
    let agent = apart.site.agent.take().expect("an agent runs");
    let status = agent.stop();
    assert!(status.success(), "{status}: {}", agent.log());
    assert_eq!(links(&apart.site.lab), before);
    apart.assert_l4();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));

    assert!(apart.site.proxy.take().expect("a proxy runs").stop().success());
    for _ in 0..2 {
        let done = cleanup(&apart.site);
        assert!(done.status.success(), "{}", stderr(&done));
        assert_nothing_left(&apart.site.lab);
    }
    let everybody = connect(apart.other.netns(), apart.web.at(false, 80));
    assert!(everybody.is_ok(), "without weir nothing is denied");
}

#[test]
fn cleanup_of_nothing_succeeds() {
    if !runs_as_root() {
        return;
    }
    let site = Site::new();
    let done = output(site.weir("cleanup"));
    assert!(done.status.success(), "{}", stderr(&done));
    assert_nothing_left(&site.lab);
}
