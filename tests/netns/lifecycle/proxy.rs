//! A proxy of its own is killed and comes back: without it L7 ports are closed.

use std::io::{Read as _, Write as _};

use weir_lab::{runs_as_root, wait_until};

use super::{Apart, GET};
use crate::{
    site::SOON,
    traffic::{connect, exchange},
};

#[test]
fn two_processes_serve_as_one_does() {
    if !runs_as_root() {
        return;
    }
    let apart = Apart::new();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
    apart.assert_l4();
    let requests = apart.site.flows(&["--protocol", "http"]);
    assert_eq!(requests.len(), 2, "two over port 80 and none else: {requests:#?}");
}

#[test]
fn without_a_proxy_l7_ports_are_closed_and_l4_goes_on() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let mut open = connect(apart.client.netns(), apart.web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut open, GET).0, 200);
    while apart.seen.try_recv().is_ok() {}
    apart.kill_proxy();
    let closed = open.write_all(GET.as_bytes()).and_then(|()| open.read(&mut [0; 64]));
    assert!(matches!(closed, Ok(0) | Err(_)), "the open connection goes on without a proxy");
    apart.assert_l4();
    apart.assert_l7_closed();
    let drops = apart.site.recorded(1, &["--verdict", "dropped", "--from-pod", "client"]);
    assert_eq!(drops[0]["flow"]["drop_reason_desc"], "SOCKET_LOOKUP_FAILED", "{drops:#?}");
    let named = || apart.site.status().is_some_and(|s| s.problems.iter().any(|p| p.contains("no proxy is connected")));
    wait_until("the missing proxy to be a problem", SOON, named).expect("status says so");

    apart.kill_agent();
    apart.assert_l4();
    apart.assert_l7_closed();

    apart.site.start_proxy();
    apart.site.start_agent();
    apart.site.in_force();
    apart.assert_l4();
    assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
}

#[test]
fn a_proxy_that_comes_back_serves_with_an_agent_that_never_went() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    for _ in 0..3 {
        apart.kill_proxy();
        apart.site.start_proxy();
        let serves = || connect(apart.client.netns(), apart.web.at(false, 80)).is_ok();
        wait_until("the proxy to serve", SOON, serves).expect("the proxy serves");
        assert_eq!((apart.status("/a"), apart.status("/b")), (200, 403));
    }
}
