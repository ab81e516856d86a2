//! Responses before the final one.

use weir_filters::http::{Abort, Eof, Refusal};

use super::{GET, HEAD, Row, abort, done, open};

pub(crate) fn rows() -> Vec<Row> {
    let framed = Abort::Malformed(Refusal::ContentLength);
    let hints = "103 early hints before final, RFC 8297";
    vec![
        done(
            "100, then 200",
            GET,
            200,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15.2: a 100 that nobody asked for",
        ),
        done("103, then 204", GET, 204, b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 204 N\r\n\r\n", hints),
        done(
            "103 twice",
            GET,
            200,
            b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            hints,
        ),
        done(
            "103 before HEAD's",
            HEAD,
            200,
            b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            hints,
        ),
        done(
            "102, then 207",
            GET,
            207,
            b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 207 M\r\nContent-Length: 0\r\n\r\n",
            "RFC 2518 section 10.1",
        ),
        done(
            "an unknown 1xx",
            GET,
            200,
            b"HTTP/1.1 199 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15.2",
        ),
        done(
            "100 with length 0",
            GET,
            200,
            b"HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 8.6: must not, but is harmless",
        ),
        done(
            "1xx with close goes on",
            GET,
            200,
            b"HTTP/1.1 103 E\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "the final response says what becomes of the connection",
        ),
        open("100 only", GET, None, b"HTTP/1.1 100 Continue\r\n\r\n", Eof::Close, "RFC 9110 section 15.2"),
        open("103 and half a head", GET, None, b"HTTP/1.1 103 E\r\n\r\n", Eof::Close, hints),
        abort(
            "100 with a body",
            GET,
            b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\nhello",
            framed,
            "1xx with Content-Length, RFC 9110 section 8.6",
        ),
        abort(
            "103, chunked",
            GET,
            b"HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            framed,
            "1xx with TE, RFC 9112 section 6.1",
        ),
        abort(
            "101 that nobody asked for",
            GET,
            b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            Abort::UnaskedUpgrade,
            "RFC 9110 section 15.2.2",
        ),
        abort(
            "100 in HTTP/0.9",
            GET,
            b"100 Continue\r\n\r\n",
            Abort::Malformed(Refusal::StartLine),
            "RFC 9112 section 4",
        ),
    ]
}
