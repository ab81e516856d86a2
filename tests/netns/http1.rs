//! HTTP/1.1 through a running weir: every way to frame a message, and every way to leave HTTP, byte for byte.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use weir_lab::{Wiring, in_netns, runs_as_root, wait_until};

use crate::{
    site::{Member, SOON, Site, http_ingress},
    traffic::{connect, exchange, response},
};

mod programs;

const DENIED: &str =
    "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nAccess denied\r\n";

/// A client's and a server's pod with weir between them: `/ok…` and CONNECT are allowed.
struct Stage {
    site: Site,
    client: Member,
    web: Member,
    /// The server's; the tests play the server.
    listener: TcpListener,
}

impl Stage {
    fn new(arguments: &[&str]) -> Option<Self> {
        if !runs_as_root() {
            return None;
        }
        let mut site = Site::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        site.write("policy.yaml", &http_ingress("web", "client", &["{path: \"/ok.*\"}", "{method: CONNECT}"]));
        let listener = in_netns(web.netns(), || TcpListener::bind(web.at(false, 80))).expect("listen in the pod");
        SockRef::from(&listener).set_read_timeout(Some(SOON)).expect("limit accept");
        site.run_with(arguments);
        Some(Self { site, client, web, listener })
    }

    fn connect(&self) -> TcpStream {
        connect(self.client.netns(), self.web.at(false, 80)).expect("connect")
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().expect("weir calls the server");
        stream.set_read_timeout(Some(SOON)).expect("limit reads");
        stream
    }

    /// A connection that has sent `request`, and the server's end of it, which has got it.
    fn begin(&self, request: &str) -> (TcpStream, TcpStream) {
        let mut client = self.connect();
        send(&mut client, request);
        let mut server = self.accept();
        expect(&mut server, request);
        (client, server)
    }
}

fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("send");
}

#[track_caller]
fn expect(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{error} instead of {text:?}"));
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// The stream ends in order, with nothing before.
#[track_caller]
fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// Nothing comes for so long.
#[track_caller]
fn expect_silence(stream: &mut TcpStream, time: Duration) {
    stream.set_read_timeout(Some(time)).expect("limit reads");
    let read = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::WouldBlock), "something came");
    stream.set_read_timeout(Some(SOON)).expect("limit reads");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: web\r\n\r\n")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Requests after their request line, and their responses. All pass over one connection, so that a wrong end of one
/// spoils the next.
const EXCHANGES: [(&str, &str, &str); 9] = [
    ("GET", "\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    ("POST", "content-length: 5\r\n\r\n12345", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
    (
        "POST",
        "transfer-encoding: chunked\r\n\r\n5;x=y\r\n12345\r\nA\r\n0123456789\r\n0\r\nx-sum: 7\r\nx-more: 8\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n",
    ),
    ("HEAD", "\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
    ("HEAD", "\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
    (
        "PUT",
        "content-length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
    ),
    ("DELETE", "\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET", "if-none-match: x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n"),
    (
        "PATCH",
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
];

#[test]
fn messages_of_every_framing_pass_as_they_are() {
    let Some(stage) = Stage::new(&[]) else { return };
    let (mut client, mut server) = stage.begin(&get("/ok/first"));
    send(&mut server, &ok("first"));
    expect(&mut client, &ok("first"));
    for (method, rest, answer) in EXCHANGES {
        let request = format!("{method} /ok HTTP/1.1\r\nhost: web\r\n{rest}");
        // Whole, and byte by byte.
        send(&mut client, &request);
        expect(&mut server, &request);
        send(&mut server, answer);
        expect(&mut client, answer);
        for byte in request.bytes() {
            client.write_all(&[byte]).expect("send a byte");
        }
        expect(&mut server, &request);
        for byte in answer.bytes() {
            server.write_all(&[byte]).expect("send a byte");
        }
        expect(&mut client, answer);
    }
}

#[test]
fn a_hundred_pipelined_requests_are_judged_one_by_one_and_answered_in_turn() {
    let Some(stage) = Stage::new(&[]) else { return };
    let allowed = |number: usize| number % 3 != 1;
    let body = |number: usize| format!("content-length: {}\r\n\r\n{}", number, "b".repeat(number));
    let request = |number: usize| {
        let path = if allowed(number) { "/ok" } else { "/no" };
        format!("POST {path}/{number} HTTP/1.1\r\nhost: web\r\n{}", body(number))
    };
    let mut client = stage.connect();
    send(&mut client, &(0..100).map(request).collect::<String>());
    let mut server = stage.accept();
    for number in (0..100).filter(|number| allowed(*number)) {
        expect(&mut server, &request(number));
        send(&mut server, &ok(&number.to_string()));
    }
    for number in 0..100 {
        expect(&mut client, &if allowed(number) { ok(&number.to_string()) } else { DENIED.to_owned() });
    }
    client.shutdown(Shutdown::Write).expect("shut down");
    expect_end(&mut server);
    let flows = stage.site.flows(&["--protocol", "http"]);
    assert_eq!(flows.len(), 100, "one record per request");
}

#[test]
fn a_body_that_waits_for_its_100_gets_it_or_is_released() {
    let Some(stage) = Stage::new(&[]) else { return };
    let head = "POST /ok HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    let (mut client, mut server) = stage.begin(head);
    send(&mut server, "HTTP/1.1 100 Continue\r\n\r\n");
    expect(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut client, "body");
    expect(&mut server, "body");
    send(&mut server, &ok("1"));
    expect(&mut client, &ok("1"));
    // A silent server, and a client that does not wait for ever.
    let begun = Instant::now();
    send(&mut client, &format!("{head}body"));
    expect(&mut server, &format!("{head}body"));
    assert!(begun.elapsed() >= Duration::from_millis(900), "released after {:?}", begun.elapsed());
    send(&mut server, &ok("2"));
    expect(&mut client, &ok("2"));
    // Denied: whether the body follows is the client's choice, so the connection ends.
    send(&mut client, &head.replace("/ok", "/no"));
    assert_eq!(response(&mut client), (403, "Access denied\r\n".into()));
    expect_end(&mut client);
}

#[test]
fn an_upgrade_that_is_accepted_makes_the_connection_opaque_and_a_refused_one_does_not() {
    let Some(stage) = Stage::new(&[]) else { return };
    let upgrade = "GET /ok HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let (mut client, mut server) = stage.begin(upgrade);
    send(&mut server, &ok("no upgrade here"));
    expect(&mut client, &ok("no upgrade here"));
    assert_eq!(exchange(&mut client, &get("/no")).0, 403, "the next request is judged");
    // What follows an upgrade waits for the answer: it may be a request.
    send(&mut client, &format!("{upgrade}{}", get("/no")));
    expect(&mut server, upgrade);
    expect_silence(&mut server, Duration::from_millis(100));
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    send(&mut server, &format!("{accepted}\0frame"));
    expect(&mut client, &format!("{accepted}\0frame"));
    expect(&mut server, &get("/no"));
    both_ways(client, server);
}

#[test]
fn a_tunnel_is_opaque_once_it_is_open() {
    let Some(stage) = Stage::new(&[]) else { return };
    let (mut client, mut server) = stage.begin("CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n");
    send(&mut server, "HTTP/1.1 200 Connected\r\n\r\n");
    expect(&mut client, "HTTP/1.1 200 Connected\r\n\r\n");
    both_ways(client, server);
}

/// Anything passes, also when one side has finished.
fn both_ways(mut client: TcpStream, mut server: TcpStream) {
    send(&mut client, "\0\n\n\rGET");
    expect(&mut server, "\0\n\n\rGET");
    send(&mut server, "HTTP/9 \0");
    expect(&mut client, "HTTP/9 \0");
    server.shutdown(Shutdown::Write).expect("shut down");
    expect_end(&mut client);
    let much = "m".repeat(3_000_000);
    let reader = thread::spawn({
        let much = much.clone();
        move || {
            expect(&mut server, &much);
            expect_end(&mut server);
        }
    });
    send(&mut client, &much);
    client.shutdown(Shutdown::Write).expect("shut down");
    reader.join().expect("the server gets all");
}

#[test]
fn ends_are_passed_on_as_they_come() {
    let Some(stage) = Stage::new(&[]) else { return };
    // An answer before the body is there, and the connection goes on.
    let head = "POST /ok HTTP/1.1\r\nhost: web\r\ncontent-length: 8\r\n\r\n";
    let (mut client, mut server) = stage.begin(&format!("{head}half"));
    send(&mut server, &ok("early"));
    expect(&mut client, &ok("early"));
    send(&mut client, &format!("rest{}", get("/ok")));
    expect(&mut server, &format!("rest{}", get("/ok")));
    // A body that ends with the connection.
    send(&mut server, "HTTP/1.1 200 OK\r\n\r\nall of it");
    server.shutdown(Shutdown::Write).expect("shut down");
    expect(&mut client, "HTTP/1.1 200 OK\r\n\r\nall of it");
    expect_end(&mut client);

    // The client has said all, and waits.
    let (mut client, mut server) = stage.begin(&get("/ok"));
    client.shutdown(Shutdown::Write).expect("shut down");
    expect_end(&mut server);
    send(&mut server, &ok("late"));
    expect(&mut client, &ok("late"));
    drop(server);
    expect_end(&mut client);

    // The server ends a connection between two requests.
    let (mut client, mut server) = stage.begin(&get("/ok"));
    send(&mut server, &ok(""));
    drop(server);
    expect(&mut client, &ok(""));
    expect_end(&mut client);

    // Either resets it.
    for by_client in [true, false] {
        let (client, server) = stage.begin(&get("/ok"));
        let (end, mut other) = if by_client { (client, server) } else { (server, client) };
        SockRef::from(&end).set_linger(Some(Duration::ZERO)).expect("set linger");
        drop(end);
        let seen = other.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(seen, Err(ErrorKind::ConnectionReset), "by the client: {by_client}");
    }
}

/// Header lines behind a request line and `Host`, or whole heads, that have two readings.
const AMBIGUOUS: [&str; 10] = [
    "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
    "content-length: 3\r\ncontent-length: 4\r\n\r\n",
    "content-length: 3, 3\r\n\r\n",
    "transfer-encoding: xchunked\r\n\r\n",
    "transfer-encoding: gzip, chunked\r\n\r\n",
    "transfer-encoding : chunked\r\n\r\n",
    "x: y\r\n folded\r\n\r\n",
    "x: y\nz: 1\r\n\r\n",
    "x: \0\r\n\r\n",
    "host: other\r\n\r\n",
];

#[test]
fn what_has_two_readings_is_refused_recorded_and_the_connections_end() {
    let Some(stage) = Stage::new(&[]) else { return };
    for rest in AMBIGUOUS {
        let mut client = stage.connect();
        send(&mut client, &format!("POST /ok HTTP/1.1\r\nhost: web\r\n{rest}{}", get("/ok/smuggled")));
        assert_eq!(response(&mut client).0, 400, "{rest:?}");
        expect_end(&mut client);
    }
    stage.listener.set_nonblocking(true).expect("look only");
    let called = stage.listener.accept().map(drop).map_err(|error: io::Error| error.kind());
    assert_eq!(called, Err(ErrorKind::WouldBlock), "the server was called");
    let errors = stage.site.flows(&["--verdict", "error"]);
    assert_eq!(errors.len(), AMBIGUOUS.len(), "{errors:#?}");
}

#[test]
fn heads_are_limited_in_size_number_and_time_and_silence_ends() {
    let Some(stage) = Stage::new(&["--head-timeout", "1", "--idle-timeout", "4"]) else { return };
    let large = format!("GET /ok HTTP/1.1\r\nhost: web\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    let many = format!("GET /ok HTTP/1.1\r\nhost: web\r\n{}\r\n", "x: y\r\n".repeat(128));
    for head in [large, many] {
        let mut client = stage.connect();
        // weir may have refused before all is sent.
        let _ = client.write_all(head.as_bytes());
        assert_eq!(response(&mut client).0, 431);
        expect_end(&mut client);
    }
    let fits = format!("GET /ok HTTP/1.1\r\nhost: web\r\n{}\r\n", format!("x: {}\r\n", "y".repeat(500)).repeat(127));
    let (mut client, mut server) = stage.begin(&fits);
    send(&mut server, &ok(""));
    expect(&mut client, &ok(""));

    let ended = |what: &str, mut client: TcpStream, at: std::ops::Range<f64>| {
        let begun = Instant::now();
        expect_end(&mut client);
        assert!(at.contains(&begun.elapsed().as_secs_f64()), "{what} ended after {:?}", begun.elapsed());
    };
    ended("an idle connection", client, 3.5..9.0);
    expect_end(&mut server);
    let mut client = stage.connect();
    send(&mut client, "GET /ok HTTP/1.1\r\nhost");
    ended("a head", client, 0.8..3.5);
    ended("a connection without a word", stage.connect(), 3.5..9.0);
    wait_until("no pair is left", SOON, || stage.site.status().is_some()).expect("weir answers");
}
