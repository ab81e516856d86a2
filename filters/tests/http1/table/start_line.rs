//! The request line, and what stands in its place.

use weir_filters::http::Refusal;

use super::{DENY, INCOMPLETE, PASS, PASS_LAST, Row, refuse, request};

pub(crate) fn rows() -> Vec<Row> {
    let line = &refuse(Refusal::StartLine);
    let other = &refuse(Refusal::NotHttp);
    vec![
        request("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", PASS, "RFC 9112 section 3"),
        request("denied", b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n", DENY, "RFC 9110 section 15.5.4"),
        request(
            "any token is a method",
            b"M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
            PASS,
            "RFC 9110 section 9.1",
        ),
        request(
            "lower-case method",
            b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
            PASS,
            "RFC 9110 section 9.1: methods have a case",
        ),
        request("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", PASS_LAST, "RFC 9112 section 3.2"),
        request("incomplete", b"GET / HTTP/1.1\r\nHost: a\r\n", INCOMPLETE, "RFC 9112 section 8"),
        request("incomplete in the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\r", INCOMPLETE, "RFC 9112 section 8"),
        request("incomplete in the method", b"GE", INCOMPLETE, "RFC 9112 section 8"),
        request(
            "two spaces before the target",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3: one SP",
        ),
        request(
            "two spaces before the version",
            b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3: one SP",
        ),
        request(
            "tab for a space",
            b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3: lenient white space",
        ),
        request(
            "vertical tab for a space",
            b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3: lenient white space",
        ),
        request(
            "form feed for a space",
            b"GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3: lenient white space",
        ),
        request("trailing space", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", line, "RFC 9112 section 3"),
        request("trailing tab", b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", line, "RFC 9112 section 3"),
        request(
            "space in the target",
            b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 3.2: no attempt to mend it",
        ),
        request(
            "a second request in the line",
            b"GET / HTTP/1.1 GET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "request splitting in the target",
        ),
        request(
            "leading space",
            b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            other,
            "RFC 9112 section 2.2: white space before the line",
        ),
        request(
            "leading tab",
            b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            other,
            "RFC 9112 section 2.2: white space before the line",
        ),
        request(
            "byte order mark",
            b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            other,
            "RFC 9112 section 2.2: octets, not characters",
        ),
        request("method with a separator", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9110 section 5.6.2"),
        request("method with a colon", b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9110 section 5.6.2"),
        request("method with a quote", b"\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9110 section 5.6.2"),
        request("method beyond ASCII", b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9110 section 5.6.2"),
        request("no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 3"),
        request("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 3"),
        request("HTTP/0.9", b"GET /\r\n\r\n", line, "HTTP/0.9: a line without a version, RFC 9112 section 3"),
        request("HTTP/0.9 to a denied path", b"GET /no\r\n\r\n", line, "HTTP/0.9, smuggled as the rest of a body"),
        request("HTTP/0.9 spelled out", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", line, "HTTP/0.9"),
        request(
            "HTTP/1.2",
            b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 2.3: servers downgrade it or not",
        ),
        request("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3"),
        request("HTTP/3", b"GET / HTTP/3\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3"),
        request("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3: DIGIT dot DIGIT"),
        request("HTTP/1.", b"GET / HTTP/1.\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3: DIGIT dot DIGIT"),
        request("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3: one digit each"),
        request("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3: one digit each"),
        request("HTTP/1,1", b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3"),
        request(
            "HTTP/+1.1",
            b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 2.3: numbers read with a sign",
        ),
        request(
            "lower-case version",
            b"GET / http/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 2.3: HTTP has a case",
        ),
        request(
            "mixed-case version",
            b"GET / Http/1.1\r\nHost: a\r\n\r\n",
            line,
            "RFC 9112 section 2.3: HTTP has a case",
        ),
        request("another protocol", b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", other, "RFC 9112 section 2.3"),
        request("no slash in the version", b"GET / HTTP1.1\r\nHost: a\r\n\r\n", line, "RFC 9112 section 2.3"),
        request(
            "mixed-case HEAD",
            b"Head / HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "a server without case sends no body, RFC 9110 section 9.1",
        ),
        request(
            "mixed-case CONNECT",
            b"connect / HTTP/1.1\r\nHost: a\r\n\r\n",
            line,
            "a server without case opens a tunnel, RFC 9110 section 9.1",
        ),
        request("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &refuse(Refusal::Http2), "RFC 9113 section 3.4"),
        request("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", other, "RFC 8446 section 5.1"),
        request(
            "PROXY protocol",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\n\r\n",
            other,
            "the PROXY protocol of HAProxy, version 1",
        ),
        request(
            "PROXY protocol, version 2",
            b"\r\n\r\n\0\r\nQUIT\n",
            &[super::Step::Drop(4), super::Step::Refused(Refusal::NotHttp), super::Step::Reply(b""), super::Step::Stop],
            "the PROXY protocol of HAProxy, version 2",
        ),
        request("a response", b"HTTP/1.1 200 OK\r\n\r\n", line, "RFC 9112 section 2.1"),
    ]
}
