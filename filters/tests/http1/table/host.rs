//! The `Host` field.

use weir_filters::http::Refusal;

use super::{PASS, PASS_LAST, Row, refuse, request};

fn host(name: &'static str, value: &[u8], steps: &[super::Step], source: &'static str) -> Row {
    request(name, [b"GET / HTTP/1.1\r\nHost: ", value, b"\r\n\r\n"].concat(), steps, source)
}

pub(crate) fn rows() -> Vec<Row> {
    let refused = &refuse(Refusal::Host);
    vec![
        request("none in 1.1", b"GET / HTTP/1.1\r\n\r\n", refused, "RFC 9112 section 3.2"),
        request("none in 1.0", b"GET / HTTP/1.0\r\n\r\n", PASS_LAST, "RFC 9112 section 3.2"),
        host("two", b"a\r\nHost: b", refused, "two Hosts, RFC 9112 section 3.2"),
        host("two alike", b"a\r\nhost: a", refused, "two Hosts, RFC 9112 section 3.2"),
        host("two, one empty", b"a\r\nHost:", refused, "two Hosts, RFC 9112 section 3.2"),
        host("two, apart", b"a\r\nX: y\r\nHOST: b", refused, "two Hosts, RFC 9112 section 3.2"),
        request(
            "two in 1.0",
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            refused,
            "two Hosts, RFC 9112 section 3.2",
        ),
        host("folded", b"a\r\n b", &refuse(Refusal::Header), "two Hosts by obs-fold"),
        host("empty", b"", PASS, "RFC 9110 section 7.2"),
        host("port", b"a.b-c_d~e:8080", PASS, "RFC 3986 section 3.2.2"),
        host("empty port", b"a:", PASS, "RFC 3986 section 3.2.3"),
        host("trailing dot", b"a.", PASS, "RFC 3986 section 3.2.2: the root's dot"),
        host("upper case", b"A.EXAMPLE", PASS, "RFC 3986 section 3.2.2: a rule sees it as it is"),
        host("white space around", b" \ta\t ", PASS, "RFC 9112 section 5.1: OWS"),
        host("IPv4", b"127.0.0.1:80", PASS, "RFC 3986 section 3.2.2"),
        host("IPv6", b"[2001:db8::1]:80", PASS, "RFC 3986 section 3.2.2"),
        host("IPv6 without a port", b"[::1]", PASS, "RFC 3986 section 3.2.2"),
        host("IPv6 with an IPv4 tail", b"[::ffff:10.0.0.1]:80", PASS, "RFC 4291 section 2.2"),
        host("IPv6 with a zone", b"[fe80::1%25eth0]", refused, "RFC 6874: dropped again by RFC 9844"),
        host("port without a host", b":80", refused, "RFC 3986 section 3.2.2"),
        host("IPv6 without brackets", b"2001:db8::1", refused, "RFC 3986 section 3.2.2"),
        host("empty brackets", b"[]", refused, "RFC 3986 section 3.2.2"),
        host("open bracket", b"[::1", refused, "RFC 3986 section 3.2.2"),
        host("text behind brackets", b"[::1]a", refused, "RFC 3986 section 3.2.2"),
        host("future address", b"[v1.a]", refused, "RFC 3986 section 3.2.2: IPvFuture, which nobody has"),
        host("list", b"a, b", refused, "two Hosts in one line"),
        host("list without a space", b"a,b", refused, "two Hosts in one line"),
        host("space inside", b"a b", refused, "RFC 3986 section 3.2.2"),
        host("user", b"a@b", refused, "authority with @: host a for one, b for another"),
        host("user and password", b"a:1@b:2", refused, "authority with @: host a for one, b for another"),
        host("path", b"a/b", refused, "RFC 9110 section 7.2"),
        host("backslash", b"a\\b", refused, "a slash for some parsers"),
        host("query", b"a?b", refused, "RFC 9110 section 7.2"),
        host("fragment", b"a#b", refused, "RFC 9110 section 7.2"),
        host("scheme", b"http://a", refused, "RFC 9110 section 7.2"),
        host("escape", b"a%2eb", refused, "RFC 3986 section 3.2.2: a reg-name that one decodes"),
        host("quote", b"\"a\"", refused, "RFC 3986 section 3.2.2"),
        host("port that is no number", b"a:b", refused, "RFC 3986 section 3.2.3"),
        host("two ports", b"a:80:81", refused, "RFC 3986 section 3.2.3"),
        host("port too long", b"a:000080", refused, "RFC 3986 section 3.2.3: a number that one cuts off"),
        host("negative port", b"a:-1", refused, "RFC 3986 section 3.2.3"),
        host("beyond ASCII", b"\xc3\xa9", refused, "RFC 3986 section 3.2.2"),
        host("not UTF-8", b"\xff", refused, "RFC 3986 section 3.2.2"),
    ]
}
