//! Which HTTP it is, and the way from HTTP/1.1 to HTTP/2 (RFC 7540 section 3.2).

use weir_filters::{
    connection::{ClientStep, Inspector},
    http2::PREFACE,
};

use crate::{
    driver::{Wire, show},
    frames::{Reader, Writer},
};

/// `AAMAAABk` is SETTINGS_MAX_CONCURRENT_STREAMS = 100, `AAEAAAAA` SETTINGS_HEADER_TABLE_SIZE = 0.
fn offer(path: &str, settings: &str) -> Vec<u8> {
    let fields = "Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n";
    format!("GET {path} HTTP/1.1\r\n{fields}{settings}\r\n").into_bytes()
}

const SETTINGS: &str = "HTTP2-Settings: AAMAAABk\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

fn wire() -> Wire {
    Wire::around(Box::new(Inspector::new()))
}

fn bytes(lines: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    lines.iter().flat_map(|line| writer.line(line)).collect()
}

fn feed(wire: &mut Wire, pieces: usize, client: &[u8], server: &[u8]) {
    for piece in client.chunks(pieces) {
        wire.client(piece);
    }
    for piece in server.chunks(pieces) {
        wire.server(piece);
    }
}

#[test]
fn the_preface_tells() {
    for size in [1, 2, 7, 1_000] {
        let mut wire = wire();
        let begin = [&PREFACE[..], &bytes(&["SETTINGS", "HEADERS 1 es GET /a"])].concat();
        feed(&mut wire, size, &begin, &bytes(&["SETTINGS"]));
        assert_eq!(wire.upstream, begin);
        assert_eq!(wire.judge.told, ["allow 1 GET /a"]);
    }
}

/// For the time limit on heads.
#[test]
fn a_part_of_the_preface_is_a_part_of_a_head() {
    let mut wire = wire();
    assert!(wire.inspector.is_idle() && !wire.inspector.in_head());
    feed(&mut wire, 1, &PREFACE[..9], b"");
    assert!(!wire.inspector.is_idle() && wire.inspector.in_head());
    feed(&mut wire, 1, &PREFACE[9..], b"");
    assert!(wire.inspector.in_head(), "the server has not shown yet that it speaks HTTP/2");
    feed(&mut wire, 1, b"", &bytes(&["SETTINGS"]));
    assert!(wire.inspector.is_idle() && !wire.inspector.in_head());
}

#[test]
fn what_is_almost_the_preface_is_http1() {
    for text in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "PRI * HTTP/2.1\r\n\r\n", "PRI * HTTP/2.0\r\nHost: a\r\n\r\n"] {
        let mut wire = wire();
        feed(&mut wire, 1, text.as_bytes(), b"");
        assert!(wire.closed && wire.upstream.is_empty(), "{text}: {:?}", wire.judge.told);
    }
    let mut wire = wire();
    feed(&mut wire, 1, b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", b"");
    assert_eq!(wire.judge.told, ["allow 0 PUT /a"]);
    feed(&mut wire, 1_000, &PREFACE[..], b"");
    assert_eq!(wire.judge.told.len(), 2, "the preface is no second request: {:?}", wire.judge.told);
    assert!(wire.judge.told[1].starts_with("refused"));
}

#[test]
fn an_upgrade_goes_on_as_stream_1() {
    for size in [1, 3, 10_000] {
        let mut wire = wire();
        let request = offer("/a", SETTINGS);
        let frames = bytes(&["SETTINGS", "HEADERS 3 es GET /no", "HEADERS 5 es GET /b"]);
        // The client does not wait for the 101; its bytes do.
        feed(&mut wire, size, &[&request, &PREFACE[..], &frames].concat(), b"");
        assert_eq!(show(&wire.upstream), show(&request));
        assert_eq!(wire.client_step, ClientStep::Wait);
        feed(&mut wire, size, b"", &[SWITCH, &bytes(&["SETTINGS"])].concat());
        let server = bytes(&["HEADERS 1 :status=200", "DATA 1 es 3", "HEADERS 5 es :status=204"]);
        feed(&mut wire, size, b"", &server);
        let told =
            ["allow 0 GET /a", "upgraded", "deny 3 GET /no", "allow 5 GET /b", "answered 1 200", "answered 5 204"];
        let mut seen = wire.judge.told.clone();
        // Whether the client's bytes or the server's are looked at first, the caller decides.
        seen[1..].sort();
        let mut wanted = told.map(String::from);
        wanted[1..].sort();
        assert_eq!(seen, wanted, "{size}");
        let up = wire.upstream.strip_prefix([&request, &PREFACE[..]].concat().as_slice()).expect("preface");
        assert_eq!(Reader::default().lines(up), ["SETTINGS", "HEADERS 5 es ~ GET /b"]);
        let down = Reader::default().lines(wire.downstream.strip_prefix(SWITCH).expect("101"));
        assert_eq!(down[0], "SETTINGS");
        for line in ["HEADERS 1 :status=200", "DATA 1 es 3", "DATA 3 es denied", "HEADERS 5 es :status=204"] {
            assert!(down.iter().any(|seen| seen == line), "{line} in {down:?}");
        }
    }
}

#[test]
fn stream_1_is_closed_for_the_client() {
    let mut wire = wire();
    let request = offer("/a", SETTINGS);
    feed(&mut wire, 1_000, &request, SWITCH);
    feed(
        &mut wire,
        1_000,
        &[&PREFACE[..], &bytes(&["SETTINGS", "HEADERS 1 es GET /b"])].concat(),
        &bytes(&["SETTINGS"]),
    );
    assert!(wire.closed && !wire.judge.told.contains(&"allow 1 GET /b".into()), "{:?}", wire.judge.told);
}

#[test]
fn the_offers_settings_are_in_force() {
    let mut wire = wire();
    let request = offer("/a", "HTTP2-Settings: AAEAAAAA\r\n");
    feed(&mut wire, 1_000, &request, &[SWITCH, &bytes(&["SETTINGS"])].concat());
    let frames = bytes(&["SETTINGS", "HEADERS 3 es HEAD /no"]);
    feed(&mut wire, 1_000, &[&PREFACE[..], &frames].concat(), b"");
    let down = Reader::default().lines(wire.downstream.strip_prefix(SWITCH).expect("101"));
    assert!(down[1].starts_with("HEADERS 3 es ~ :status=403"), "{down:?}");
}

#[test]
fn another_answer_leaves_it_at_http1() {
    let mut wire = wire();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    feed(&mut wire, 1, &offer("/a", SETTINGS), answer);
    feed(&mut wire, 1, b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    assert_eq!(wire.judge.told, ["allow 0 GET /a", "answered 0 200", "deny 0 GET /no"]);
    assert!(wire.downstream.starts_with(answer) && !wire.closed);
}

#[test]
fn a_denied_offer_is_answered_in_http1() {
    let mut wire = wire();
    feed(&mut wire, 1, &offer("/no", SETTINGS), b"");
    feed(&mut wire, 1, &PREFACE[..], b"");
    assert!(wire.upstream.is_empty());
    assert!(wire.downstream.starts_with(b"HTTP/1.1 403"), "{}", show(&wire.downstream));
}

#[test]
fn an_offer_that_is_none_must_not_be_taken() {
    let rows = [
        "",
        "HTTP2-Settings: AAMAAABk\r\nHTTP2-Settings: AAMAAABk\r\n",
        "HTTP2-Settings: AAMAAAB\r\n",
        "HTTP2-Settings: AAMAAABk=\r\n",
        "HTTP2-Settings: AAMAAABkAA\r\n",
        "HTTP2-Settings: a b\r\n",
        "Upgrade: websocket\r\nHTTP2-Settings: AAMAAABk\r\n",
    ];
    for settings in rows {
        let mut wire = wire();
        feed(&mut wire, 1_000, &offer("/a", settings), SWITCH);
        assert!(wire.closed, "{settings}");
        assert!(wire.judge.told.last().is_some_and(|told| told.starts_with("abort")), "{:?}", wire.judge.told);
        assert!(wire.downstream.is_empty(), "{settings}");
    }
}
