//! `Upgrade`, WebSocket and CONNECT: the ways out of HTTP/1.

use weir_filters::http::{Abort, Eof};

use super::{
    Allow, Asked, Client, DENY, Down, GET, More, NO, Next, OK, PASS, Row, Said, Server, Status, Step, Tunnel, Up, Wait,
    abort, answer, done, request, talk, tunnel,
};
use crate::driver::DENIED;

const SOCKET: Asked = (
    concat!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .as_bytes(),
    Wait,
);
const SETTINGS: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
const CONNECT: Asked = (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Wait);
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
const OPENED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

macro_rules! upgrade {
    ($value:expr) => {
        (concat!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ", $value, "\r\n\r\n").as_bytes(), Wait)
    };
}

pub(crate) fn rows() -> Vec<Row> {
    [asked(), behind(), around()].into_iter().flatten().collect()
}

fn asked() -> Vec<Row> {
    let http = |name, asked, source| abort(name, asked, SWITCH, Abort::HttpUpgrade, source);
    let past = "h2c smuggling: requests past the rules";
    let unasked = Abort::UnaskedUpgrade;
    vec![
        tunnel("WebSocket", SOCKET, 101, SWITCH, "WebSocket through an allowed upgrade, RFC 6455 section 4"),
        tunnel("any other protocol", upgrade!("x/1, y"), 101, SWITCH, "RFC 9110 section 7.8"),
        tunnel(
            "without Connection",
            (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n", Wait),
            101,
            SWITCH,
            "RFC 9110 section 7.8: not asked, but some servers take it",
        ),
        done("not taken", SOCKET, 200, OK, "RFC 9110 section 7.8: a server may ignore it"),
        done(
            "refused",
            SOCKET,
            426,
            b"HTTP/1.1 426 U\r\nUpgrade: y\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15.5.22",
        ),
        abort("to plain GET", GET, SWITCH, unasked, "RFC 9110 section 15.2.2"),
        abort("to CONNECT", CONNECT, SWITCH, unasked, "RFC 9110 section 15.2.2"),
        http("h2c", upgrade!("h2c"), past),
        http("H2C in a list", upgrade!("websocket, H2C"), past),
        http("h2", upgrade!("h2"), past),
        http("h2c with a version", upgrade!("h2c/1"), past),
        http("h2c in a second line", upgrade!("websocket\r\nUpgrade: h2c"), past),
        http("h2c before websocket", upgrade!("h2c\r\nUpgrade: websocket"), past),
        http("HTTP/2.0", upgrade!("HTTP/2.0"), past),
        http("HTTP/3", upgrade!("http/3"), past),
        http("TLS", upgrade!("TLS/1.0, HTTP/1.1"), "RFC 2817: HTTP inside of TLS"),
        done("h2c not taken", upgrade!("h2c"), 200, OK, "RFC 9113 appendix A: servers ignore it"),
        answer(
            "h2c with settings",
            (SETTINGS, Wait),
            SWITCH,
            &[Down(SWITCH.len()), Step::Http2],
            "RFC 7540 section 3.2: HTTP/2, which is judged too",
        ),
        http("h2c with two settings", upgrade!("h2c\r\nHTTP2-Settings: AAMAAABk\r\nHTTP2-Settings: AAMAAABk"), past),
        http("h2c with half a setting", upgrade!("h2c\r\nHTTP2-Settings: AAMAAA"), past),
        http("h2c with settings that are none", upgrade!("h2c\r\nHTTP2-Settings: ===="), past),
        http("h2c among others, with settings", upgrade!("h2c, websocket\r\nHTTP2-Settings: AAMAAABk"), past),
        done("h2c with settings, not taken", (SETTINGS, Wait), 200, OK, "RFC 7540 section 3.2: servers may ignore it"),
        tunnel("CONNECT 200", CONNECT, 200, OPENED, "RFC 9110 section 9.3.6"),
        tunnel("CONNECT 204", CONNECT, 204, b"HTTP/1.1 204 N\r\n\r\n", "RFC 9110 section 9.3.6: any 2xx"),
        tunnel(
            "CONNECT 299 with a length",
            CONNECT,
            299,
            b"HTTP/1.1 299 OK\r\nContent-Length: 5\r\n\r\n",
            "RFC 9112 section 6.3: framing is ignored",
        ),
        tunnel(
            "CONNECT 200, chunked",
            CONNECT,
            200,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "RFC 9112 section 6.3: framing is ignored",
        ),
        abort(
            "CONNECT 204 with a length",
            CONNECT,
            b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n",
            Abort::Malformed(weir_filters::http::Refusal::ContentLength),
            "204 with Content-Length",
        ),
        done("CONNECT 403", CONNECT, 403, b"HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\nno", "RFC 9110 section 9.3.6"),
        done("CONNECT 407", CONNECT, 407, b"HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n", "RFC 9110 section 9.3.6"),
    ]
}

/// Behind such a request nothing is judged before its answer: it might not be HTTP.
fn behind() -> Vec<Row> {
    let mut rows = Vec::new();
    for (names, asked, source) in [
        (
            ["upgrade refused, a request behind", "upgrade taken, bytes behind", "upgrade taken, a response behind"],
            SOCKET,
            "upgrade, pipelined: RFC 9110 section 7.8",
        ),
        (
            ["CONNECT refused, a request behind", "CONNECT taken, bytes behind", "CONNECT taken, a response behind"],
            CONNECT,
            "CONNECT, pipelined: RFC 9110 section 9.3.6",
        ),
    ] {
        let (head, n) = (asked.0.to_vec(), asked.0.len());
        let refused = b"HTTP/1.1 400 B\r\nContent-Length: 0\r\n\r\n";
        rows.push(talk(
            names[0],
            &[Client([&head, NO].concat()), Said::ClientEnd, Server(refused.to_vec())],
            &[
                &[Allow, Up(n), Wait, Step::End(Eof::Wait), Status(400), Down(refused.len())],
                &[Step::Deny, Step::Drop(NO.len()), Step::Reply(DENIED)][..],
                &[Next],
            ]
            .concat(),
            source,
        ));
        let (taken, status) = if asked.0.starts_with(b"C") { (OPENED, 200) } else { (SWITCH, 101) };
        rows.push(talk(
            names[1],
            &[Client([&head, NO].concat()), Server(taken.to_vec())],
            &[Allow, Up(n), Wait, Status(status), Down(taken.len()), Up(NO.len()), Tunnel],
            source,
        ));
        rows.push(talk(
            names[2],
            &[Client(head), Server([taken, OK].concat()), Said::ClientEnd, Said::ServerEnd],
            &[
                Allow,
                Up(n),
                Wait,
                Status(status),
                Down(taken.len() + OK.len()),
                Tunnel,
                Step::End(Eof::Shutdown),
                Step::End(Eof::Shutdown),
            ],
            "response to pipelined after 101: it is the other protocol's",
        ));
    }
    rows
}

fn around() -> Vec<Row> {
    let put = b"PUT / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n";
    let with_body = "upgrade with a body, RFC 9110 section 7.8";
    vec![
        talk(
            "101 before the body is complete",
            &[Client([put, &b"he"[..]].concat()), Server(SWITCH.to_vec())],
            &[Allow, Up(put.len() + 2), More, Step::Abort(Abort::UnaskedUpgrade)],
            with_body,
        ),
        talk(
            "101 behind the body",
            &[Client([put, &b"hello"[..]].concat()), Server(SWITCH.to_vec()), Client(b"\0".to_vec())],
            &[Allow, Up(put.len() + 5), Wait, Status(101), Down(SWITCH.len()), Tunnel, Up(1), Step::Opaque],
            with_body,
        ),
        talk(
            "200 before the body is complete",
            &[Client([put, &b"he"[..]].concat()), Server(OK.to_vec()), Client([b"llo", NO].concat())],
            &[&[Allow, Up(put.len() + 2), More, Status(200), Down(OK.len()), Next, Up(3)], DENY_NO].concat(),
            with_body,
        ),
        talk(
            "100 and 101",
            &[Client(SOCKET.0.to_vec()), Server([b"HTTP/1.1 100 C\r\n\r\n", SWITCH].concat())],
            &[Allow, Up(SOCKET.0.len()), Wait, Status(101), Down(18 + SWITCH.len()), Tunnel],
            "RFC 9110 section 15.2",
        ),
        talk(
            "behind another request",
            &[Client([GET.0, SOCKET.0, NO].concat()), Server([OK, SWITCH].concat())],
            &[
                Allow,
                Allow,
                Up(27 + SOCKET.0.len()),
                Wait,
                Status(200),
                Status(101),
                Down(OK.len() + SWITCH.len()),
                Up(NO.len()),
                Tunnel,
            ],
            "upgrade, pipelined",
        ),
        talk(
            "101 to the request before",
            &[Client([GET.0, SOCKET.0].concat()), Server(SWITCH.to_vec())],
            &[Allow, Allow, Up(27 + SOCKET.0.len()), Wait, Step::Abort(Abort::UnaskedUpgrade)],
            "101 in the place of another's answer",
        ),
        talk(
            "frames in both directions",
            &[
                Client(SOCKET.0.to_vec()),
                Server(SWITCH.to_vec()),
                Client(b"\x81\x85\0\0\0\0hello".to_vec()),
                Server(b"\x81\x05world".to_vec()),
                Client(NO.to_vec()),
            ],
            &[
                Allow,
                Up(SOCKET.0.len()),
                Wait,
                Status(101),
                Down(SWITCH.len()),
                Tunnel,
                Up(11),
                Step::Opaque,
                Down(7),
                Tunnel,
                Up(NO.len()),
                Step::Opaque,
            ],
            "WebSocket through an allowed upgrade, RFC 6455 section 5",
        ),
        request(
            "an empty Upgrade",
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade:\r\n\r\n",
            super::PASS_WAIT,
            "RFC 9110 section 7.8",
        ),
        request(
            "Upgrade as an option alone",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
            PASS,
            "RFC 9110 section 7.8: nothing to upgrade to",
        ),
        request(
            "HTTP2-Settings alone",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
            PASS,
            "RFC 9113 appendix A: nothing without Upgrade",
        ),
        request("denied", b"GET /no HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", DENY, "RFC 9110 section 7.8"),
    ]
}

const DENY_NO: &[Step] = &[Step::Deny, Step::Drop(NO.len()), Step::Reply(DENIED), More];
