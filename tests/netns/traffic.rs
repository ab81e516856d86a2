//! What every later test builds on: allowed requests reach the server as the client's, denied ones do not reach it.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use weir_lab::{Netns, Wiring, in_netns, runs_as_root, wait_until};

use crate::site::{NEVER, SOON, Site, http_ingress, l4_ingress};

/// A request as a server saw it: who called, and the head.
pub type Seen = (SocketAddr, String);

/// A server that answers every request with 200 and the path as its body, and reports what it saw. It ends with its
/// namespace's test.
pub fn server(netns: &Netns, at: SocketAddr) -> mpsc::Receiver<Seen> {
    let listener = in_netns(netns, || TcpListener::bind(at)).expect("listen in the pod");
    let (report, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let report = report.clone();
            thread::spawn(move || serve(&stream, &report));
        }
    });
    seen
}

fn serve(stream: &TcpStream, report: &mpsc::Sender<Seen>) {
    let Ok(peer) = stream.peer_addr() else { return };
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
        if report.send((peer, head)).is_err() || (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Connects from a pod; an error if nobody answers within [`NEVER`].
pub fn connect(netns: &Netns, to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = in_netns(netns, || TcpStream::connect_timeout(&to, NEVER))?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Sends a request and reads its response; returns status and body.
pub fn exchange(stream: &mut TcpStream, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).expect("send the request");
    response(stream)
}

/// Reads one response with a content-length; returns status and body.
pub fn response(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("read the response's head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("the head is text");
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut body = vec![0; length.and_then(|l| l.trim().parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).expect("read the response's body");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, String::from_utf8(body).expect("the body is text"))
}

#[test]
fn an_allowed_request_arrives_as_the_clients_and_a_denied_one_does_not_arrive() {
    if !runs_as_root() {
        return;
    }
    let (_site, client, web) = Site::pair(&http_ingress("web", "client", &["{method: GET, path: \"/public/.*\"}"]));
    for v6 in [false, true] {
        let seen = server(web.netns(), web.at(v6, 80));
        let mut stream = connect(client.netns(), web.at(v6, 80)).expect("connect");
        let from = stream.local_addr().expect("local address");
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n");
        assert_eq!(exchange(&mut stream, &get("/public/a")), (200, "/public/a".into()));
        assert_eq!(exchange(&mut stream, &get("/private")), (403, "Access denied\r\n".into()));
        assert_eq!(exchange(&mut stream, &get("/public/b")), (200, "/public/b".into()));
        let paths: Vec<Seen> = seen.try_iter().collect();
        assert_eq!(paths.len(), 2, "the server saw {paths:?}");
        assert!(paths.iter().all(|(peer, _)| *peer == from), "the server saw another client: {paths:?}, not {from}");
    }
}

#[test]
fn an_edit_is_in_force_for_the_next_request_of_an_open_connection() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &["{path: /a}"]));
    let _seen = server(web.netns(), web.at(false, 80));
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    let mut get = |path: &str| exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")).0;
    assert_eq!((get("/a"), get("/b")), (200, 403));
    site.write("policy.yaml", &http_ingress("web", "client", &["{path: /b}"]));
    wait_until("the edit", SOON, || get("/b") == 200).expect("the edit is in force");
    assert_eq!((get("/a"), get("/b")), (403, 200));
}

#[test]
fn another_pod_cannot_connect_and_its_drop_is_recorded() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let other = site.pod("other", 12, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &l4_ingress("web", "client"));
    site.run();
    let _seen = server(web.netns(), web.at(false, 80));
    assert!(connect(other.netns(), web.at(false, 80)).is_err(), "connected against the policy");
    let drops = site.recorded(1, &["--verdict", "dropped", "--from-pod", "other"]);
    assert_eq!(drops[0]["flow"]["drop_reason_desc"], "POLICY_DENIED", "{}", drops[0]);
}
