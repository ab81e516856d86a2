//! Field lines: names, values, folding, and options that ask the next hop to drop a field. They stand behind `Host`.

use weir_filters::http::Refusal;

use super::{INCOMPLETE, PASS, PASS_LAST, Row, refuse, request};

fn lines(name: &'static str, lines: &[u8], steps: &[super::Step], source: &'static str) -> Row {
    request(name, [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat(), steps, source)
}

pub(crate) fn rows() -> Vec<Row> {
    let header = &refuse(Refusal::Header);
    vec![
        lines("empty value", b"X:\r\n", PASS, "RFC 9110 section 5.5"),
        lines("value of spaces", b"X:   \t \r\n", PASS, "RFC 9112 section 5.1: OWS"),
        lines("no space", b"X:y\r\n", PASS, "RFC 9112 section 5.1: OWS"),
        lines("white space around the value", b"X: \t a \t \r\n", PASS, "RFC 9112 section 5.1: OWS"),
        lines("obs-text in a value", b"X: \xfc\r\n", PASS, "RFC 9110 section 5.5"),
        lines("tab in a value", b"X: a\tb\r\n", PASS, "RFC 9110 section 5.5"),
        lines("colon in a value", b"X: a: b\r\n", PASS, "RFC 9110 section 5.5"),
        lines("a field twice", b"X: a\r\nX: b\r\n", PASS, "RFC 9110 section 5.3"),
        lines("name of all token bytes", b"!#$%&'*+-.^_`|~09aZ: b\r\n", PASS, "RFC 9110 section 5.6.2"),
        lines("no empty line yet", b"X: a", INCOMPLETE, "RFC 9112 section 8"),
        lines("space before the colon", b"X : a\r\n", header, "RFC 9112 section 5.1: space before colon"),
        lines(
            "space before the colon of a length",
            b"Content-Length : 5\r\n",
            header,
            "space before colon: a length that one of two sees",
        ),
        lines(
            "space before the colon of a coding",
            b"Transfer-Encoding : chunked\r\n",
            header,
            "TE.TE, space before colon",
        ),
        lines("tab before the colon", b"X\t: a\r\n", header, "RFC 9112 section 5.1"),
        lines(
            "vertical tab before the colon",
            b"Transfer-Encoding\x0b: chunked\r\n",
            header,
            "TE.TE, vertical tab before colon",
        ),
        lines("folded with a space", b"X: a\r\n b\r\n", header, "RFC 9112 section 5.2: obs-fold"),
        lines("folded with a tab", b"X: a\r\n\tb\r\n", header, "RFC 9112 section 5.2: obs-fold"),
        lines("folded coding", b"Transfer-Encoding:\r\n chunked\r\n", header, "TE.TE, obs-fold in TE"),
        lines("folded length", b"Content-Length:\r\n\t5\r\n", header, "obs-fold in CL"),
        lines(
            "coding in a fold",
            b"X: a\r\n Transfer-Encoding: chunked\r\n",
            header,
            "a fold that one reads as a field",
        ),
        lines("fold of a space", b"X: a\r\n \r\n", header, "RFC 9112 section 5.2: obs-fold"),
        request(
            "folded at once",
            b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            header,
            "RFC 9112 section 2.2: white space before the first field",
        ),
        request(
            "tab at once",
            b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
            header,
            "RFC 9112 section 2.2: white space before the first field",
        ),
        lines("empty name", b": b\r\n", header, "RFC 9110 section 5.1"),
        lines("no colon", b"X\r\n", header, "RFC 9112 section 5"),
        lines("a request line as a field", b"GET /no HTTP/1.1\r\n", header, "request splitting"),
        lines("name with a separator", b"X(: b\r\n", header, "RFC 9110 section 5.6.2"),
        lines("name with a quote", b"\"X\": b\r\n", header, "RFC 9110 section 5.6.2"),
        lines("name with a slash", b"X/Y: b\r\n", header, "RFC 9110 section 5.6.2"),
        lines("name with a space", b"X Y: b\r\n", header, "RFC 9110 section 5.6.2"),
        lines("name beyond ASCII", b"\xc3\xa9: b\r\n", header, "RFC 9110 section 5.6.2"),
        lines("soft hyphen in a name", b"Content\xadLength: 5\r\n", header, "a best-fit recoding makes it a hyphen"),
        lines(
            "Kelvin sign in a name",
            b"Transfer-Encoding\xe2\x84\xaa: chunked\r\n",
            header,
            "lower case beyond ASCII",
        ),
        lines("control byte in a value", b"X: \x01\r\n", header, "RFC 9110 section 5.5"),
        lines("vertical tab in a value", b"X: a\x0bb\r\n", header, "RFC 9110 section 5.5"),
        lines("form feed in a value", b"X: a\x0cb\r\n", header, "RFC 9110 section 5.5"),
        lines("escape byte in a value", b"X: \x1b[2J\r\n", header, "RFC 9110 section 5.5: log injection"),
        lines("DEL in a value", b"X: \x7f\r\n", header, "RFC 9110 section 5.5"),
        lines("underscored length", b"Content_Length: 3\r\n", header, "CGI: - and _ are one in a variable's name"),
        lines(
            "underscored coding",
            b"Transfer_Encoding: chunked\r\n",
            header,
            "CGI: - and _ are one in a variable's name",
        ),
        lines(
            "half underscored, other case",
            b"TRANSFER_encoding: chunked\r\n",
            header,
            "CGI: - and _ are one in a variable's name",
        ),
        lines("other underscores", b"X_Y: 3\r\n", PASS, "RFC 9110 section 5.6.2"),
        lines(
            "Host as an option",
            b"Connection: te, Host\r\n",
            header,
            "hop-by-hop abuse: the next hop drops what is named",
        ),
        lines(
            "length as an option",
            b"Connection: content-length\r\n",
            header,
            "hop-by-hop abuse: the next hop drops what is named",
        ),
        lines(
            "length as an option of another line",
            b"Connection: x\r\nConnection: Content-Length\r\n",
            header,
            "hop-by-hop abuse, in a second line",
        ),
        lines("any other option", b"Connection: x, keep-alive,, y\r\n", PASS, "RFC 9110 section 7.6.1"),
        lines("close", b"Connection: close\r\n", PASS_LAST, "RFC 9112 section 9.6"),
        lines(
            "close among options, other case",
            b"Connection: x ,\tCLOSE , y\r\n",
            PASS_LAST,
            "RFC 9110 section 7.6.1",
        ),
        lines("close in a second line", b"Connection: x\r\nConnection: close\r\n", PASS_LAST, "RFC 9110 section 5.3"),
        lines(
            "close and keep-alive",
            b"Connection: keep-alive, close\r\n",
            PASS_LAST,
            "RFC 9112 section 9.3: close is stronger",
        ),
        lines("not close", b"Connection: closed, xclose\r\n", PASS, "RFC 9110 section 7.6.1"),
        lines("Proxy-Connection", b"Proxy-Connection: close\r\n", PASS, "RFC 9112 appendix C.2.2: not a field of ours"),
        lines("TE", b"TE: trailers, gzip;q=0.5\r\n", PASS, "RFC 9110 section 10.1.4"),
        lines(
            "method override",
            b"X-HTTP-Method-Override: DELETE\r\n",
            PASS,
            "a rule can ask for this field; it frames nothing",
        ),
        lines("path override", b"X-Original-URL: /no\r\n", PASS, "a rule can ask for this field; it frames nothing"),
    ]
}
