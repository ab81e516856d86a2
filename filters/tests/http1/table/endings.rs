//! Line endings and bytes that end a text.

use weir_filters::http::Refusal;

use super::{Allow, Drop, INCOMPLETE, More, PASS, Row, Up, refuse, request};

pub(crate) fn rows() -> Vec<Row> {
    let ending = &refuse(Refusal::LineEnding);
    let nul = &refuse(Refusal::Nul);
    vec![
        request(
            "LF after the request line",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            ending,
            "RFC 9112 section 2.2: bare LF",
        ),
        request("LF after a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", ending, "RFC 9112 section 2.2: bare LF"),
        request("LF for the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", ending, "RFC 9112 section 2.2: bare LF"),
        request("LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", ending, "RFC 9112 section 2.2: bare LF"),
        request("LF in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n", ending, "field injection by LF"),
        request("LF CR for CR LF", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r", ending, "RFC 9112 section 2.2"),
        request(
            "CR in a value",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
            ending,
            "RFC 9112 section 2.2: bare CR",
        ),
        request(
            "CR hides a length",
            b"PUT / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\nhello",
            ending,
            "CR as a line ending, as old servers took it",
        ),
        request("CR for every ending", b"GET / HTTP/1.1\rHost: a\r\r", ending, "RFC 9112 section 2.2: bare CR"),
        request("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", ending, "RFC 9112 section 2.2: bare CR"),
        request("CR in the target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", ending, "RFC 9112 section 2.2: bare CR"),
        request("CR in the method", b"G\rET / HTTP/1.1\r\nHost: a\r\n\r\n", ending, "RFC 9112 section 2.2: bare CR"),
        request(
            "CR LF in the target",
            b"GET /\r\n HTTP/1.1\r\nHost: a\r\n\r\n",
            &refuse(Refusal::StartLine),
            "request splitting in the target",
        ),
        request("leading LF", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ending, "RFC 9112 section 2.2"),
        request("leading CR", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", ending, "RFC 9112 section 2.2"),
        request("leading CR alone", b"\r", INCOMPLETE, "RFC 9112 section 2.2"),
        request(
            "leading empty lines",
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Drop(4), Allow, Up(27), More],
            "RFC 9112 section 2.2: ignored",
        ),
        request("empty lines alone", b"\r\n\r\n\r\n", &[Drop(6), More], "RFC 9112 section 2.2: ignored"),
        request(
            "empty lines between requests",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Allow, Up(27), Drop(2), Allow, Up(27), More],
            "RFC 9112 section 2.2: an old client's CR LF behind a body",
        ),
        request(
            "an empty line, then LF",
            b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[&[Drop(2)], &ending[..]].concat(),
            "RFC 9112 section 2.2",
        ),
        request(
            "Unicode line separator",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\xe2\x80\xa8Y: c\r\n\r\n",
            PASS,
            "octets, not characters: a value like another",
        ),
        request(
            "overlong CR LF",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: b\xc0\x8d\xc0\x8aY: c\r\n\r\n",
            PASS,
            "octets, not characters: a value like another",
        ),
        request(
            "wide CR LF",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe5\x98\x8d\xe5\x98\x8aY: c\r\n\r\n",
            PASS,
            "U+560D U+560A, cut to CR LF by a lossy recoding",
        ),
        request("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", nul, "RFC 9110 section 5.5"),
        request("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", nul, "a text that ends early in C"),
        request("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", nul, "RFC 9110 section 5.1"),
        request("NUL in the method", b"G\0ET / HTTP/1.1\r\nHost: a\r\n\r\n", nul, "RFC 9110 section 5.6.2"),
        request(
            "NUL behind the coding",
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n",
            nul,
            "TE.TE with a text that ends early in C",
        ),
        request("NUL first", b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", &refuse(Refusal::NotHttp), "RFC 9112 section 2.2"),
    ]
}
