//! Rows of (name, request, response, what becomes of it).

use weir_filters::http::{Abort, ClientStep, Eof, Refusal, ServerStep};

use crate::driver::{Wire, show};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const SOCKET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Forwarded whole; the next request is answered, too.
    Done,
    /// Forwarded whole, and more belongs to it.
    Open,
    /// Forwarded whole; nothing follows.
    Last,
    /// Forwarded whole; both directions are opaque.
    Tunnel,
    /// So many bytes are forwarded.
    Abort(usize, Abort),
}

use Want::{Done, Last, Open, Tunnel};

fn malformed(refusal: Refusal) -> Want {
    Want::Abort(0, Abort::Malformed(refusal))
}

fn run(rows: &[(&str, &[u8], &[u8], Want)]) {
    for (name, request, response, want) in rows {
        for size in [response.len(), 1] {
            let mut wire = Wire::new();
            wire.client(request);
            assert_eq!(show(&wire.upstream), show(request), "{name}");
            response.chunks(size).for_each(|chunk| {
                wire.server(chunk);
            });
            let context = format!("{name}, by {size}: {}", show(response));
            let forwarded = if let Want::Abort(length, _) = want { &response[..*length] } else { *response };
            assert_eq!(show(&wire.downstream), show(forwarded), "{context}");
            match want {
                Want::Abort(_, abort) => assert_eq!(wire.server_step, ServerStep::Abort(*abort), "{context}"),
                Tunnel => {
                    assert_eq!(wire.server_step, ServerStep::Opaque, "{context}");
                    wire.client(b"\x00anything").server(b"\x01else");
                    assert!(wire.upstream.ends_with(b"\x00anything"), "{context}");
                    assert!(wire.downstream.ends_with(b"\x01else"), "{context}");
                }
                Open => {
                    assert_eq!((wire.server_step, wire.inspector.outstanding()), (ServerStep::NeedMore, 1), "{context}")
                }
                Last => {
                    assert_eq!(wire.inspector.outstanding(), 0, "{context}");
                    wire.client(GET);
                    assert_eq!(wire.client_step, ClientStep::Stop, "nothing is read after the last, {context}");
                    assert_eq!(wire.server_eof(), Eof::Close, "{context}");
                }
                Done => {
                    assert!(wire.inspector.is_idle(), "{context}");
                    wire.client(GET).server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    assert!(wire.inspector.is_idle(), "{context}");
                    assert_eq!(wire.statuses().len(), 2, "{context}");
                }
            }
        }
    }
}

#[test]
fn bodies() {
    run(&[
        ("length", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Done),
        ("length, short", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Open),
        ("chunked", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Done),
        ("chunked with trailers", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", Done),
        ("until close", GET, b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Open),
        ("no reason", GET, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Done),
        ("empty reason", GET, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", Done),
        ("204", GET, b"HTTP/1.1 204 No Content\r\n\r\n", Done),
        ("204 with length 0", GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Done),
        ("304 with a length", GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Done),
        ("HEAD with a length", HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Done),
        ("HEAD, chunked", HEAD, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Done),
        ("HEAD without either", HEAD, b"HTTP/1.1 200 OK\r\n\r\n", Done),
        ("100, then 200", GET, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Done),
        ("103 twice", GET, b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 204 N\r\n\r\n", Done),
        ("100 only", GET, b"HTTP/1.1 100 Continue\r\n\r\n", Open),
        ("close", GET, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Last),
        ("1.0", GET, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Last),
        ("1.0, kept alive", GET, b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", Done),
        ("folded header of 9 bytes", GET, b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", malformed(Refusal::Header)),
    ]);
}

#[test]
fn malformed_heads() {
    let line = malformed(Refusal::StartLine);
    let (length, coding) = (malformed(Refusal::ContentLength), malformed(Refusal::TransferEncoding));
    run(&[
        ("bare LF", GET, b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", malformed(Refusal::LineEnding)),
        ("leading empty line", GET, b"\r\nHTTP/1.1 200 OK\r\n\r\n", line),
        ("HTTP/2.0", GET, b"HTTP/2.0 200 OK\r\n\r\n", line),
        ("status of two digits", GET, b"HTTP/1.1 20 OK\r\n\r\n", line),
        ("status 099", GET, b"HTTP/1.1 099 OK\r\n\r\n", line),
        ("not HTTP", GET, b"SSH-2.0-x\r\n\r\n", line),
        ("space before the colon", GET, b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", malformed(Refusal::Header)),
        ("both", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", coding),
        ("two lengths", GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", length),
        ("gzip, chunked", GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", coding),
        ("chunked in 1.0", GET, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", coding),
        ("both for HEAD", HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", coding),
        ("204 with a body", GET, b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\nhello", length),
        ("100 with a body", GET, b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\nhello", length),
        ("204, chunked", GET, b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", length),
    ]);
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let broken = [head, b"3\r\nabcX"].concat();
    run(&[("bad chunk", GET, &broken, Want::Abort(head.len() + 6, Abort::Malformed(Refusal::Chunk)))]);
    let twice = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    run(&[("two responses", GET, twice, Want::Abort(twice.len() / 2, Abort::Unsolicited))]);
}

#[test]
fn upgrades_and_tunnels() {
    let upgrade = |value: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {value}\r\n\r\n");
    let switch: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let http = Want::Abort(0, Abort::HttpUpgrade);
    run(&[
        ("101", SOCKET, switch, Tunnel),
        ("101 to plain GET", GET, switch, Want::Abort(0, Abort::UnaskedUpgrade)),
        ("101 to CONNECT", CONNECT, switch, Want::Abort(0, Abort::UnaskedUpgrade)),
        ("upgrade not taken", SOCKET, ok, Done),
        ("h2c", upgrade("h2c").as_bytes(), switch, http),
        ("H2C in a list", upgrade("websocket, H2C").as_bytes(), switch, http),
        ("HTTP/2.0", upgrade("HTTP/2.0").as_bytes(), switch, http),
        ("TLS", upgrade("TLS/1.0, HTTP/1.1").as_bytes(), switch, http),
        ("h2c in a second line", upgrade("websocket\r\nUpgrade: h2c").as_bytes(), switch, http),
        ("h2c not taken", upgrade("h2c").as_bytes(), ok, Done),
        ("CONNECT 200", CONNECT, b"HTTP/1.1 200 OK\r\n\r\n", Tunnel),
        ("CONNECT 204 with a length", CONNECT, b"HTTP/1.1 299 OK\r\nContent-Length: 5\r\n\r\n", Tunnel),
        ("CONNECT 403", CONNECT, b"HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\nno", Done),
    ]);
}

/// Behind such a request nothing is judged before its answer: it might not be HTTP.
#[test]
fn client_waits_for_the_answer_to_an_upgrade() {
    for request in [SOCKET, CONNECT] {
        let mut wire = Wire::new();
        wire.client(request).client(b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((wire.client_step, wire.decisions().len()), (ClientStep::Wait, 1));
        assert_eq!(wire.client_eof(), Eof::Wait, "there are bytes before the end");
        wire.server(b"HTTP/1.1 400 B\r\nContent-Length: 0\r\n\r\n");
        assert_eq!((wire.decisions().len(), wire.left()), (2, 0));
        assert!(wire.downstream.ends_with(b"Access denied\r\n"));
    }
    let mut wire = Wire::new();
    wire.client(b"PUT / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhe")
        .server(b"HTTP/1.1 101 S\r\n\r\n");
    assert_eq!(wire.server_step, ServerStep::Abort(Abort::UnaskedUpgrade), "the request is not complete");
}

#[test]
fn ends() {
    let mut wire = Wire::new();
    assert_eq!((wire.client_eof(), wire.server_eof()), (Eof::Shutdown, Eof::Close));
    wire.client(GET).server(b"HTTP/1.1 200 OK\r\n\r\nall");
    assert_eq!(wire.server_eof(), Eof::Close, "the end of the body");
    let mut wire = Wire::new();
    wire.client(GET);
    assert_eq!(wire.server_eof(), Eof::Close, "no answer, as without weir");
    wire.server(b"HTTP/1.1 2");
    assert_eq!(wire.server_eof(), Eof::Abort(Abort::Truncated));
    wire.server(b"00 OK\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(wire.server_eof(), Eof::Abort(Abort::Truncated));
    let mut wire = Wire::new();
    wire.client(SOCKET).server(b"HTTP/1.1 101 S\r\n\r\n");
    assert_eq!((wire.client_eof(), wire.server_eof()), (Eof::Shutdown, Eof::Shutdown));
    let mut wire = Wire::new();
    wire.server(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
    assert_eq!(wire.server_step, ServerStep::Abort(Abort::Unsolicited));
    assert_eq!(wire.client(GET).client_step, ClientStep::Stop);
}

const EXPECT: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 29\r\n\r\n";
const SMUGGLED: &[u8] = b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n";

/// The body of a request with `Expect` passes only when the upstream reads it as a body.
#[test]
fn expectation() {
    assert_eq!(SMUGGLED.len(), 29, "as EXPECT says");
    let mut wire = Wire::new();
    wire.client(EXPECT).client(SMUGGLED);
    assert_eq!(show(&wire.upstream), show(EXPECT), "held");
    assert!(wire.inspector.awaits_continue() && wire.client_step == ClientStep::Wait);
    wire.server(b"HTTP/1.1 103 E\r\n\r\n");
    assert!(wire.inspector.awaits_continue(), "103 says nothing about the body");
    wire.server(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(show(&wire.upstream), show(&[EXPECT, SMUGGLED].concat()));
    wire.server(b"HTTP/1.1 204 N\r\n\r\n");
    assert!(wire.inspector.is_idle() && !wire.closed);

    let mut wire = Wire::new();
    let answer = b"HTTP/1.1 417 E\r\nContent-Length: 2\r\n\r\nno";
    wire.client(EXPECT).client(SMUGGLED).server(answer);
    assert_eq!(show(&wire.upstream), show(EXPECT), "the body never passes");
    assert_eq!(show(&wire.downstream), show(answer));
    assert!(wire.closed && wire.client_step == ClientStep::Stop);

    let mut wire = Wire::new();
    wire.client(EXPECT).client(b"half");
    wire.inspector.release();
    wire.pump();
    assert_eq!(show(&wire.upstream), show(&[EXPECT, b"half"].concat()), "released");
    wire.server(answer).client(b"rest");
    assert!(wire.closed && wire.upstream.ends_with(b"half"), "the rest stays behind");
}
