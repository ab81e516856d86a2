//! Rows of (name, request, what becomes of it).

use weir_filters::http::{ClientStep, Limits, Refusal, path::PathError};

use crate::driver::{BAD, DENIED, DENIED_CLOSE, Event, TOO_LARGE, Wire, show};

/// What becomes of a row's bytes.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// All of it is forwarded.
    Pass,
    /// Nothing is forwarded, all is discarded, 403.
    Deny,
    /// As `Deny`, and the connection closes.
    DenyClose,
    /// Nothing is forwarded, nothing more is read, 400 or 431, close.
    Refuse(Refusal),
    /// So many bytes are forwarded, then the body is refused.
    Broken(usize, Refusal),
    /// Nothing yet.
    More,
}

use Want::{Broken, Deny, DenyClose, More, Pass, Refuse};

fn check(name: &str, bytes: &[u8], want: Want, wire: &Wire, how: &str) {
    let context = format!("{name} ({how}): {}\nevents {:?}", show(&bytes[..bytes.len().min(300)]), wire.judge.events);
    let (upstream, discarded, reply): (&[u8], &[u8], &[u8]) = match want {
        Pass => (bytes, b"", b""),
        Deny => (b"", bytes, DENIED),
        DenyClose => (b"", bytes, DENIED_CLOSE),
        Refuse(Refusal::HeadTooLarge | Refusal::TooManyHeaders) => (b"", b"", TOO_LARGE),
        Refuse(_) => (b"", b"", BAD),
        Broken(length, _) => (&bytes[..length], b"", BAD),
        More => (b"", b"", b""),
    };
    assert_eq!(show(&wire.upstream), show(upstream), "forwarded, {context}");
    assert_eq!(show(&wire.discarded), show(discarded), "discarded, {context}");
    assert_eq!(show(&wire.downstream), show(reply), "reply, {context}");
    let refusal = if let Refuse(refusal) | Broken(_, refusal) = want { Some(refusal) } else { None };
    assert_eq!(wire.refusal(), refusal, "{context}");
    let judged = usize::from(matches!(want, Pass | Deny | DenyClose | Broken(..)));
    assert_eq!(wire.decisions().len(), judged, "judged once, {context}");
    let closes = matches!(want, DenyClose | Refuse(_) | Broken(..));
    assert_eq!(wire.closed, closes, "close, {context}");
    if closes {
        assert_eq!(wire.client_step, ClientStep::Stop, "{context}");
    }
}

fn run(rows: &[(&str, &[u8], Want)]) {
    for (name, bytes, want) in rows {
        let mut whole = Wire::new();
        whole.client(bytes);
        check(name, bytes, *want, &whole, "whole");
        let mut drops = Wire::new();
        bytes.iter().for_each(|byte| {
            drops.client(&[*byte]);
        });
        check(name, bytes, *want, &drops, "byte by byte");
    }
}

#[test]
fn request_line() {
    let line = Refuse(Refusal::StartLine);
    run(&[
        ("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("any token is a method", b"M-SEARCH! / HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("lower-case method", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", Pass),
        ("incomplete", b"GET / HTTP/1.1\r\nHost: a\r\n", More),
        ("incomplete in the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\r", More),
        ("two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("tab for a space", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("trailing space", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", line),
        ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("leading space", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::NotHttp)),
        ("method with a separator", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("method beyond ASCII", b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("no version (HTTP/0.9)", b"GET /\r\n\r\n", line),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", line),
        ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", line),
        ("HTTP/0.9 spelled out", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", line),
        ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", line),
        ("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", line),
        ("lower-case version", b"GET / http/1.1\r\nHost: a\r\n\r\n", line),
        ("mixed-case HEAD", b"Head / HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("mixed-case CONNECT", b"connect / HTTP/1.1\r\nHost: a\r\n\r\n", line),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refuse(Refusal::Http2)),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refuse(Refusal::NotHttp)),
        ("a response", b"HTTP/1.1 200 OK\r\n\r\n", line),
    ]);
}

#[test]
fn line_endings() {
    let ending = Refuse(Refusal::LineEnding);
    run(&[
        ("LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", ending),
        ("LF after a header", b"GET / HTTP/1.1\r\nHost: a\n\r\n", ending),
        ("LF for the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", ending),
        ("LF in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", ending),
        ("CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", ending),
        ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", ending),
        ("CR in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", ending),
        ("leading LF", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ending),
        ("leading CR", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", ending),
        ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Refuse(Refusal::Nul)),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::Nul)),
        ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", Refuse(Refusal::Nul)),
    ]);
    for split in 0..5 {
        let mut wire = Wire::new();
        let (first, second) = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".split_at(split);
        wire.client(first).client(second);
        assert_eq!(show(&wire.discarded), "\\r\\n\\r\\n", "empty lines before a request are dropped");
        assert_eq!(show(&wire.upstream), show(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn header_lines() {
    let header = Refuse(Refusal::Header);
    run(&[
        ("empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", Pass),
        ("no space", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", Pass),
        ("white space around the value", b"GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n", Pass),
        ("obs-text in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xfc\r\n\r\n", Pass),
        ("tab in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n", Pass),
        ("space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", header),
        ("tab before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", header),
        ("folded with a space", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", header),
        ("folded with a tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", header),
        ("folded at once", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", header),
        ("empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", header),
        ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", header),
        ("name with a separator", b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", header),
        ("name with a quote", b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n", header),
        ("name beyond ASCII", b"GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa9: b\r\n\r\n", header),
        ("control byte in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", header),
        ("vertical tab in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", header),
        ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", header),
        ("underscored length", b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\n\r\n", header),
        ("underscored coding", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", header),
        ("other underscores", b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: 3\r\n\r\n", Pass),
        ("Host as an option", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te, Host\r\n\r\n", header),
        ("length as an option", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n", header),
    ]);
}

#[test]
fn host() {
    let host = Refuse(Refusal::Host);
    run(&[
        ("none in 1.1", b"GET / HTTP/1.1\r\n\r\n", host),
        ("two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", host),
        ("two alike", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", host),
        ("two in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", host),
        ("empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Pass),
        ("port", b"GET / HTTP/1.1\r\nHost: a.b-c_d:8080\r\n\r\n", Pass),
        ("empty port", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", Pass),
        ("IPv6", b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", Pass),
        ("IPv6 without a port", b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", Pass),
        ("port without a host", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", host),
        ("IPv6 without brackets", b"GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n", host),
        ("open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", host),
        ("text behind brackets", b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", host),
        ("list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", host),
        ("list without a space", b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", host),
        ("user", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", host),
        ("path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", host),
        ("escape", b"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", host),
        ("port that is no number", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", host),
        ("port too long", b"GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", host),
        ("beyond ASCII", b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", host),
    ]);
}

#[test]
fn target() {
    let target = Refuse(Refusal::Target);
    run(&[
        ("query", b"GET /a?b=c&d=%zz HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("beyond ASCII", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("relative", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("star for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("star for OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("authority for GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("absolute", b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("absolute with a port", b"GET http://a:81/b HTTP/1.1\r\nHost: a:81\r\n\r\n", Pass),
        ("absolute, upper-case scheme", b"GET HTTP://a/b HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("absolute https", b"GET https://a/b HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("absolute without a path", b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("absolute, 1.0 without Host", b"GET http://a/b HTTP/1.0\r\n\r\n", Pass),
        ("absolute, other Host", b"GET http://a/b HTTP/1.1\r\nHost: b\r\n\r\n", Refuse(Refusal::Host)),
        ("absolute, other case", b"GET http://a/b HTTP/1.1\r\nHost: A\r\n\r\n", Refuse(Refusal::Host)),
        ("absolute, other port", b"GET http://a:80/b HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::Host)),
        ("absolute, empty Host", b"GET http://a/b HTTP/1.1\r\nHost:\r\n\r\n", Refuse(Refusal::Host)),
        ("absolute with a user", b"GET http://u@a/b HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("absolute without a host", b"GET http:///b HTTP/1.1\r\nHost:\r\n\r\n", target),
        ("absolute, query at once", b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("absolute, other scheme", b"GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("absolute OPTIONS, no path", b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Pass),
        ("CONNECT, Host without port", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", Pass),
        ("CONNECT, other Host", b"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", Refuse(Refusal::Host)),
        ("CONNECT, no port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", target),
        ("CONNECT, path", b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", target),
        (
            "CONNECT, body",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            Refuse(Refusal::ContentLength),
        ),
        ("bad escape", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::Path(PathError::Escape))),
        ("short escape", b"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::Path(PathError::Escape))),
        ("encoded NUL", b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", Refuse(Refusal::Path(PathError::Nul))),
    ]);
}

#[test]
fn body_framing() {
    let (length, coding) = (Refuse(Refusal::ContentLength), Refuse(Refusal::TransferEncoding));
    run(&[
        ("length", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Pass),
        ("length 0", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Pass),
        ("length of GET", b"GET / HTTP/1.1\r\nHost: a\r\ncontent-length: 1\r\n\r\nx", Pass),
        ("two lengths", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", length),
        ("two equal lengths", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", length),
        ("list of lengths", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", length),
        ("plus", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", length),
        ("minus", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", length),
        ("hexadecimal", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", length),
        ("space inside", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", length),
        ("empty length", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", length),
        ("2^64", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", length),
        ("2^64 - 1", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nx", Pass),
        ("chunked", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Pass),
        ("Chunked", b"PUT / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n", Pass),
        ("both", b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", coding),
        (
            "both, reversed",
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            coding,
        ),
        (
            "twice",
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            coding,
        ),
        ("list", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", coding),
        ("chunked, chunked", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", coding),
        ("identity", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", coding),
        ("gzip", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", coding),
        ("empty coding", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", coding),
        ("chunked with a parameter", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", coding),
        ("quoted", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", coding),
        ("xchunked", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", coding),
        ("chunked in 1.0", b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", coding),
    ]);
}

/// Name, chunked body, and how much of the body is forwarded before it is refused.
type ChunkRow = (&'static str, &'static [u8], Option<(usize, Refusal)>);

#[test]
fn chunks() {
    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let rows: &[ChunkRow] = &[
        ("two chunks", b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", None),
        ("leading zeros", b"0003\r\nabc\r\n000\r\n\r\n", None),
        ("sixteen digits", b"0000000000000003\r\nabc\r\n0\r\n\r\n", None),
        ("seventeen digits", b"00000000000000003\r\n", Some((16, Refusal::Chunk))),
        ("extension", b"3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", None),
        ("no size", b"\r\nabc", Some((0, Refusal::Chunk))),
        ("sign", b"+3\r\nabc", Some((0, Refusal::Chunk))),
        ("0x", b"0x3\r\nabc", Some((1, Refusal::Chunk))),
        ("space before the size", b" 3\r\nabc", Some((0, Refusal::Chunk))),
        ("space after the size", b"3 \r\nabc", Some((1, Refusal::Chunk))),
        ("LF after the size", b"3\nabc", Some((1, Refusal::Chunk))),
        ("CR after the size", b"3\rabc", Some((2, Refusal::Chunk))),
        ("LF in an extension", b"3;a\nabc", Some((3, Refusal::Chunk))),
        ("NUL in an extension", b"3;\0\r\nabc", Some((2, Refusal::Chunk))),
        ("data too long", b"3\r\nabcd\r\n", Some((6, Refusal::Chunk))),
        ("LF after the data", b"3\r\nabc\n0\r\n\r\n", Some((6, Refusal::Chunk))),
        ("CR after the data", b"3\r\nabc\r0\r\n\r\n", Some((7, Refusal::Chunk))),
        ("trailers", b"0\r\nX-Sum: 5\r\nY: 6\r\n\r\n", None),
        ("length in trailers", b"0\r\nContent-Length: 5\r\n\r\n", Some((3, Refusal::Trailer))),
        ("coding in trailers", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", Some((3, Refusal::Trailer))),
        ("Host in trailers", b"0\r\nHost: a\r\n\r\n", Some((3, Refusal::Trailer))),
        ("TE in trailers", b"0\r\nTE: gzip\r\n\r\n", Some((3, Refusal::Trailer))),
        ("folded trailer", b"0\r\nX: a\r\n b\r\n\r\n", Some((3, Refusal::Trailer))),
        ("LF in trailers", b"0\r\nX: a\n\r\n", Some((3, Refusal::Trailer))),
        ("space before the colon", b"0\r\nX : a\r\n\r\n", Some((3, Refusal::Trailer))),
        ("no colon", b"0\r\nGET / HTTP/1.1\r\n\r\n", Some((3, Refusal::Trailer))),
        ("LF for the empty line", b"0\r\n\n", Some((3, Refusal::Trailer))),
    ];
    for (name, body, broken) in rows {
        let bytes = [HEAD, body].concat();
        let want = broken.map_or(Pass, |(length, refusal)| Broken(HEAD.len() + length, refusal));
        run(&[(name, &bytes, want)]);
    }
}

#[test]
fn limits() {
    let large = |length: usize| {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
        [&head[..], &vec![b'x'; length - head.len() - 4], b"\r\n\r\n"].concat()
    };
    let headers =
        |count: usize| [b"GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n".repeat(count - 1).as_bytes(), b"\r\n"].concat();
    let ext = |length: usize| {
        [
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;",
            "x".repeat(length - 1).as_bytes(),
            b"\r\n\r\n",
        ]
        .concat()
    };
    let chunked = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".len();
    let trailer = |length: usize| {
        [
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ",
            "x".repeat(length - 7).as_bytes(),
            b"\r\n\r\n",
        ]
        .concat()
    };
    let limits = Limits::default();
    run(&[
        ("largest head", &large(limits.head_bytes), Pass),
        ("head too large", &large(limits.head_bytes + 1), Refuse(Refusal::HeadTooLarge)),
        ("head without an end", &large(limits.head_bytes + 100)[..limits.head_bytes], Refuse(Refusal::HeadTooLarge)),
        ("most headers", &headers(limits.headers), Pass),
        ("too many headers", &headers(limits.headers + 1), Refuse(Refusal::TooManyHeaders)),
        ("longest extension", &ext(limits.chunk_extension_bytes), Pass),
        (
            "extension too long",
            &ext(limits.chunk_extension_bytes + 1),
            Broken(chunked + 1 + limits.chunk_extension_bytes, Refusal::Chunk),
        ),
        ("largest trailer", &trailer(limits.trailer_bytes), Pass),
        ("trailer too large", &trailer(limits.trailer_bytes + 1), Broken(chunked + 3, Refusal::Trailer)),
    ]);
}

#[test]
fn denials() {
    run(&[
        ("plain", b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n", Deny),
        ("body", b"PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Deny),
        (
            "chunked",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
            Deny,
        ),
        ("close", b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", DenyClose),
        ("close with a body", b"PUT /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", DenyClose),
        ("1.0", b"GET /no HTTP/1.0\r\n\r\n", DenyClose),
        ("Expect without a body", b"GET /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", Deny),
        ("Expect", b"PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", DenyClose),
    ]);
    let mut wire = Wire::new();
    wire.client(b"GET /no HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /yes HTTP/1.0\r\n\r\n");
    assert!(wire.downstream.starts_with(b"HTTP/1.1 403 Forbidden\r\n"));
    assert!(show(&wire.downstream).contains("connection: keep-alive"), "HTTP/1.0 wants to be told");
    assert_eq!(show(&wire.upstream), show(b"GET /yes HTTP/1.0\r\n\r\n"));
    let mut wire = Wire::new();
    wire.client(b"HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(show(&wire.downstream), show(&DENIED[..DENIED.len() - 15]), "HEAD: the length without the body");
}

/// (target, host field, judged host, judged path, normalised path)
#[test]
fn what_is_judged() {
    let rows = [
        ("GET", "/a?b=/../c", "h:80", "h:80", "/a?b=/../c", "/a?b=/../c"),
        ("GET", "http://h:80/a", "h:80", "h:80", "/a", "/a"),
        ("GET", "http://h", "h", "h", "/", "/"),
        ("OPTIONS", "*", "h", "h", "*", "*"),
        ("CONNECT", "h:443", "h", "h:443", "", ""),
        ("GET", "//h/a/./b", "x", "x", "//h/a/./b", "/h/a/b"),
        ("GET", "/%41/../b?c", "x", "x", "/%41/../b?c", "/b?c"),
    ];
    for (method, target, field, host, path, normal) in rows {
        let mut wire = Wire::new();
        wire.client(format!("{method} {target} HTTP/1.1\r\nHost: {field}\r\n\r\n").as_bytes());
        let [method, host, path, normal] = [method, host, path, normal].map(String::from);
        let decision = weir_filters::http::Decision::Allow;
        assert_eq!(wire.judge.events, [Event::Judged(method, host, path, normal, decision)], "{target}");
    }
}
