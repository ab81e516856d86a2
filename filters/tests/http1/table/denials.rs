//! Requests that are denied: what is swallowed, what is answered, and what goes on.

use super::{Allow, DENY, DENY_LAST, Deny, Drop, GET, More, Reply, Row, Stop, Up, request};
use crate::driver::{BAD, DENIED, DENIED_CLOSE};
use weir_filters::http::Refusal;

const KEPT: &[u8] = concat!(
    "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n",
    "connection: keep-alive\r\n\r\nAccess denied\r\n"
)
.as_bytes();

pub(crate) fn rows() -> Vec<Row> {
    let swallowed = "RFC 9112 section 9.3: a server reads the whole request or closes";
    let (bodiless, bodiless_close) = (&DENIED[..DENIED.len() - 15], &DENIED_CLOSE[..DENIED_CLOSE.len() - 15]);
    vec![
        request(
            "plain",
            b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            DENY,
            "semantics of Envoy's filter: 403, Access denied",
        ),
        request(
            "length",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            &[Deny, Drop(53), Reply(DENIED), More],
            swallowed,
        ),
        request(
            "half of its body",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
            &[Deny, Drop(50), Reply(DENIED), More],
            swallowed,
        ),
        request(
            "chunked",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
            DENY,
            swallowed,
        ),
        request(
            "a request in its body",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            DENY,
            "swallowed, not judged",
        ),
        request(
            "a request behind its body",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Deny, Drop(49), Reply(DENIED), Allow, Up(27), More],
            swallowed,
        ),
        request(
            "a bad chunk",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX",
            &[Deny, Drop(63), Reply(DENIED), super::Refused(Refusal::Chunk), Reply(BAD), Stop],
            "RFC 9112 section 7.1",
        ),
        request(
            "a bad trailer",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n",
            &[Deny, Drop(60), Reply(DENIED), super::Refused(Refusal::Trailer), Reply(BAD), Stop],
            "RFC 9112 section 7.1.2",
        ),
        request(
            "close",
            b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            DENY_LAST,
            "RFC 9112 section 9.6",
        ),
        request(
            "close, and another request",
            b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Deny, Drop(48), Reply(DENIED_CLOSE), Stop],
            "pipelined after Connection: close, RFC 9112 section 9.6",
        ),
        request(
            "close, with a body",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            &[Deny, Drop(67), Reply(DENIED_CLOSE), Stop],
            "the same however it is cut: its body is not read",
        ),
        request("1.0", b"GET /no HTTP/1.0\r\n\r\n", DENY_LAST, "RFC 9112 section 9.3"),
        request(
            "1.0, kept alive",
            b"GET /no HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            &[Deny, Drop(44), Reply(KEPT), Allow, Up(18), Stop],
            "HTTP/1.0 keep-alive, RFC 9112 appendix C.2.2",
        ),
        request(
            "HEAD",
            b"HEAD /no HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Deny, Drop(30), Reply(bodiless), More],
            "RFC 9110 section 9.3.2: no body",
        ),
        request(
            "HEAD, close",
            b"HEAD /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            &[Deny, Drop(49), Reply(bodiless_close), Stop],
            "RFC 9110 section 9.3.2: no body",
        ),
        request(
            "Expect without a body",
            b"GET /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            DENY,
            "RFC 9110 section 10.1.1",
        ),
        request(
            "Expect",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            DENY_LAST,
            "0.CL with Expect: whether the body comes is the client's choice",
        ),
        request(
            "Expect, and its body",
            b"PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            &[Deny, Drop(70), Reply(DENIED_CLOSE), Stop],
            "0.CL with Expect: what follows is not read",
        ),
        request(
            "an upgrade",
            [b"GET /no HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", GET.0].concat(),
            &[Deny, Drop(49), Reply(DENIED), Allow, Up(27), More],
            "RFC 9110 section 7.8: a server may ignore it",
        ),
        request(
            "two",
            b"GET /no HTTP/1.1\r\nHost: a\r\n\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Deny, Drop(29), Reply(DENIED), Deny, Drop(29), Reply(DENIED), More],
            "RFC 9112 section 9.3.2",
        ),
    ]
}
