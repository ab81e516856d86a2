//! Requests that say one thing to weir and, if it were careless, another to the server.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
};

use socket2::{Domain, Socket, Type};
use weir_lab::{in_netns, runs_as_root, wait_until};

use crate::{
    redirect::{endpoints, one_way},
    site::{Member, NEVER, SOON, Site, http_ingress},
    traffic::{connect, server},
};

/// `client` may GET below `/public/` of `web`, and nothing else.
fn site() -> (Site, Member, Member) {
    Site::pair(&http_ingress("web", "client", &["{method: GET, path: \"/public/.*\"}"]))
}

/// Waits for a record of a denial of the connection from this port.
fn denied(site: &Site, port: u16, what: &str) {
    let port = port.to_string();
    let args = ["--protocol", "http", "--verdict", "dropped", "--verdict", "error", "--port", &port];
    wait_until(what, SOON, || !site.flows(&args).is_empty()).unwrap_or_else(|_| panic!("{what}: no record"));
}

#[test]
fn a_forbidden_request_does_not_arrive_however_it_is_written() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = site();
    let ok = "GET /public/a HTTP/1.1\r\nhost: web\r\n";
    let rows: Vec<(&str, String)> = vec![
        ("pipelined behind an allowed one", format!("{ok}\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n")),
        ("double slash", "GET //private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("dot segment", "GET /./private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("dot-dot segment", "GET /public/../private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("encoded dots", "GET /public/%2e%2e/private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("half-encoded dots", "GET /public/.%2E/private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("encoded slash", "GET /public/..%2Fprivate HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("backslash", "GET /public/..\\private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("absolute form", "GET http://web/private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("mixed-case method", "GeT /public/private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        (
            "length and chunked",
            format!(
                "{ok}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"
            ),
        ),
        (
            "chunked, disguised",
            format!("{ok}transfer-encoding: xchunked\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"),
        ),
        (
            "chunked, twice",
            format!(
                "{ok}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"
            ),
        ),
        (
            "chunked, with a tab",
            format!("{ok}transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"),
        ),
        (
            "space before the colon",
            format!("{ok}transfer-encoding : chunked\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"),
        ),
        (
            "two lengths",
            format!(
                "{ok}content-length: 0\r\ncontent-length: 44\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\nx: yyy\r\n\r\n"
            ),
        ),
        (
            "two lengths in one line",
            format!("{ok}content-length: 0, 44\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n"),
        ),
        ("length with a sign", format!("{ok}content-length: +0\r\n\r\nGET /private HTTP/1.1\r\nhost: web\r\n\r\n")),
        ("folded line", format!("{ok}x: a\r\n transfer-encoding: chunked\r\n\r\n")),
        ("bare line feeds", "GET /private HTTP/1.1\nhost: web\n\n".into()),
        ("bare line feed between headers", format!("{ok}x: a\ncontent-length: 99\r\n\r\n")),
        ("bare carriage return", format!("{ok}x: a\rcontent-length: 99\r\n\r\n")),
        ("NUL in a path", "GET /public/\0/private HTTP/1.1\r\nhost: web\r\n\r\n".into()),
        ("NUL in a header", format!("{ok}x: a\0b\r\n\r\n")),
        ("two hosts", format!("{ok}host: other\r\n\r\n")),
    ];
    for v6 in [false, true] {
        let seen = server(web.netns(), web.at(v6, 80));
        for (what, text) in &rows {
            let mut stream = connect(client.netns(), web.at(v6, 80)).expect("connect");
            let port = stream.local_addr().expect("local address").port();
            stream.write_all(text.as_bytes()).expect("send");
            stream.shutdown(Shutdown::Write).expect("finish");
            let mut answer = Vec::new();
            // However it ends: what counts is what the server saw.
            let _ = stream.read_to_end(&mut answer);
            let arrived: Vec<String> = seen.try_iter().map(|(_, head)| head).collect();
            let forbidden = arrived.iter().any(|head| !head.starts_with("GET /public/a HTTP/1.1\r\n"));
            assert!(!forbidden, "{what}: the server saw {arrived:?}");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains(" 403 ") || answer.contains(" 400 "), "{what}: the client got {answer:?}");
            denied(&site, port, what);
        }
    }
}

#[test]
fn a_forbidden_request_is_denied_wherever_it_is_cut() {
    if !runs_as_root() {
        return;
    }
    let (_site, client, web) = site();
    let seen = server(web.netns(), web.at(false, 80));
    let request = b"GET /private HTTP/1.1\r\nhost: web\r\n\r\n";
    // Each part in a segment of its own, on one connection after the other, and on one connection.
    let mut kept = connect(client.netns(), web.at(false, 80)).expect("connect");
    kept.set_nodelay(true).expect("nodelay");
    for at in 1..request.len() {
        let mut fresh = connect(client.netns(), web.at(false, 80)).expect("connect");
        fresh.set_nodelay(true).expect("nodelay");
        for stream in [&mut fresh, &mut kept] {
            stream.write_all(&request[..at]).expect("send the first part");
            // Another connection comes in between, so that the proxy most likely reads the two parts one by one.
            drop(connect(client.netns(), web.at(false, 80)).expect("connect"));
            stream.write_all(&request[at..]).expect("send the rest");
            assert_eq!(crate::traffic::response(stream).0, 403, "cut at {at}");
        }
    }
    let mut bytewise = connect(client.netns(), web.at(false, 80)).expect("connect");
    bytewise.set_nodelay(true).expect("nodelay");
    for byte in request {
        bytewise.write_all(&[*byte]).expect("send a byte");
    }
    assert_eq!(crate::traffic::response(&mut bytewise).0, 403);
    assert_eq!(seen.try_iter().count(), 0, "the server saw a forbidden request");
}

#[test]
fn a_request_in_the_first_packet_is_judged_like_any_other() {
    if !runs_as_root() {
        return;
    }
    const MSG_FASTOPEN: i32 = 0x2000_0000;
    let (site, client, web) = site();
    site.apply("egress.yaml", &one_way("e", "client", "egress", &format!("{{{}}}", endpoints("toEndpoints", "web"))));
    // Data in the SYN, without asking for a cookie first; the server takes it so, too.
    client.netns().sysctl("net/ipv4/tcp_fastopen", "0x5").expect("sysctl");
    web.netns().sysctl("net/ipv4/tcp_fastopen", "0x602").expect("sysctl");
    for v6 in [false, true] {
        let seen = server(web.netns(), web.at(v6, 80));
        let plain = server(web.netns(), web.at(v6, 81));
        let call = |path: &str, number: u16| {
            let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
            let mut socket = in_netns(client.netns(), || Socket::new(domain, Type::STREAM, None)).expect("a socket");
            socket.set_read_timeout(Some(if number == 80 { SOON } else { NEVER })).expect("timeout");
            let request = format!("GET {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
            socket.set_nonblocking(number != 80).expect("nonblocking");
            let sent = socket.send_to_with_flags(request.as_bytes(), &web.at(v6, number).into(), MSG_FASTOPEN);
            if number == 80 {
                sent.expect("send with the SYN");
            }
            let mut answer = [0; 12];
            socket.read_exact(&mut answer).map(|()| String::from_utf8_lossy(&answer).into_owned())
        };
        assert_eq!(call("/public/a", 80).expect("an answer"), "HTTP/1.1 200");
        assert_eq!(call("/private", 80).expect("an answer"), "HTTP/1.1 403");
        assert!(call("/public/a", 81).is_err(), "a port that no rule names");
        let paths: Vec<_> = seen.try_iter().map(|(_, head)| head).collect();
        assert!(paths.len() == 1 && paths[0].starts_with("GET /public/a"), "{paths:?}");
        assert_eq!(plain.try_iter().count(), 0);
    }
}
