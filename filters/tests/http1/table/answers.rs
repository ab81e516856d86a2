//! Responses: where they end, and those that are none.

use weir_filters::http::{Abort, Eof, Refusal};

use super::{Asked, GET, HEAD, OK, Row, abort, abort_behind, done, last, open};

const POST: Asked = (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", super::More);

pub(crate) fn rows() -> Vec<Row> {
    [bodies(), malformed(), broken()].into_iter().flatten().collect()
}

fn bodies() -> Vec<Row> {
    let cut = Eof::Abort(Abort::Truncated);
    vec![
        done("length", GET, 200, OK, "RFC 9112 section 6.2"),
        done("length 0", GET, 200, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "RFC 9112 section 6.2"),
        open(
            "length, short",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            cut,
            "RFC 9112 section 8: incomplete",
        ),
        done(
            "chunked",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "RFC 9112 section 7.1",
        ),
        open(
            "chunked, short",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            cut,
            "RFC 9112 section 8: incomplete",
        ),
        done(
            "chunked with trailers",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
            "RFC 9112 section 7.1.2",
        ),
        done(
            "chunked with an extension",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
            "RFC 9112 section 7.1.1",
        ),
        open(
            "close-delimited",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\n\r\nsome",
            Eof::Close,
            "close-delimited, RFC 9112 section 6.3",
        ),
        open(
            "close-delimited, empty",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\n\r\n",
            Eof::Close,
            "close-delimited, RFC 9112 section 6.3",
        ),
        open(
            "a response in a close-delimited one",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            Eof::Close,
            "close-delimited, RFC 9112 section 6.3",
        ),
        open(
            "close-delimited in 1.0",
            GET,
            Some(200),
            b"HTTP/1.0 200 OK\r\n\r\nsome",
            Eof::Close,
            "RFC 1945 section 7.2.2",
        ),
        open(
            "close-delimited, and keep-alive",
            GET,
            Some(200),
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nsome",
            Eof::Close,
            "RFC 9112 section 9.3: the end is the framing",
        ),
        done(
            "no reason",
            GET,
            200,
            b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            "RFC 9112 section 4, lenient: no space",
        ),
        done("empty reason", GET, 200, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "RFC 9112 section 4"),
        done(
            "long reason",
            GET,
            200,
            b"HTTP/1.1 200 All is well: 200 OK\r\nContent-Length: 0\r\n\r\n",
            "RFC 9112 section 4",
        ),
        done(
            "status 299",
            GET,
            299,
            b"HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15: unknown of a class",
        ),
        done(
            "status 999",
            GET,
            999,
            b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15: invalid, and in use",
        ),
        done("204", GET, 204, b"HTTP/1.1 204 No Content\r\n\r\n", "RFC 9112 section 6.3"),
        done(
            "204 with length 0",
            GET,
            204,
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 8.6: must not, but is harmless",
        ),
        done(
            "205 with length 0",
            GET,
            205,
            b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
            "RFC 9110 section 15.3.6",
        ),
        done("304", GET, 304, b"HTTP/1.1 304 Not Modified\r\n\r\n", "RFC 9112 section 6.3"),
        done(
            "304 with a length",
            GET,
            304,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "RFC 9110 section 8.6: of the 200 that it stands for",
        ),
        done(
            "304, chunked",
            GET,
            304,
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            "RFC 9112 section 6.1: of the 200 that it stands for",
        ),
        done(
            "HEAD with a length",
            HEAD,
            200,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            "RFC 9110 section 9.3.2",
        ),
        done(
            "HEAD, chunked",
            HEAD,
            200,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "RFC 9112 section 6.1",
        ),
        done("HEAD without either", HEAD, 200, b"HTTP/1.1 200 OK\r\n\r\n", "RFC 9112 section 6.3"),
        done("HEAD, 404", HEAD, 404, b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", "RFC 9110 section 9.3.2"),
        done("POST, 201", POST, 201, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "RFC 9110 section 15.3.2"),
        done(
            "206 of parts",
            GET,
            206,
            b"HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 2\r\n\r\nab",
            "RFC 9110 section 15.3.7: framed by its length",
        ),
        done(
            "other case of a coding",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
            "RFC 9112 section 7",
        ),
        done(
            "Host in a response",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
            "no meaning there",
        ),
        last(
            "close",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "RFC 9112 section 9.6",
        ),
        last(
            "close, chunked",
            GET,
            200,
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "RFC 9112 section 9.6",
        ),
        last("close, 204", GET, 204, b"HTTP/1.1 204 N\r\nConnection: close\r\n\r\n", "RFC 9112 section 9.6"),
        last("1.0", GET, 200, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "RFC 9112 section 9.3"),
        done(
            "1.0, kept alive",
            GET,
            200,
            b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.0 keep-alive, RFC 9112 appendix C.2.2",
        ),
    ]
}

fn malformed() -> Vec<Row> {
    let of = Abort::Malformed;
    let (line, field, ending) = (of(Refusal::StartLine), of(Refusal::Header), of(Refusal::LineEnding));
    let (length, coding) = (of(Refusal::ContentLength), of(Refusal::TransferEncoding));
    vec![
        abort("bare LF", GET, b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", ending, "RFC 9112 section 2.2"),
        abort(
            "bare CR in a value",
            GET,
            b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 9\r\n\r\n",
            ending,
            "RFC 9112 section 2.2",
        ),
        abort("NUL", GET, b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", of(Refusal::Nul), "RFC 9110 section 5.5"),
        abort(
            "leading empty line",
            GET,
            b"\r\nHTTP/1.1 200 OK\r\n\r\n",
            line,
            "RFC 9112 section 2.2 is about requests",
        ),
        abort("HTTP/2.0", GET, b"HTTP/2.0 200 OK\r\n\r\n", line, "RFC 9112 section 2.3"),
        abort("HTTP/1.2", GET, b"HTTP/1.2 200 OK\r\n\r\n", line, "RFC 9112 section 2.3"),
        abort("lower-case version", GET, b"http/1.1 200 OK\r\n\r\n", line, "RFC 9112 section 2.3"),
        abort("status of two digits", GET, b"HTTP/1.1 20 OK\r\n\r\n", line, "RFC 9112 section 4"),
        abort("status of four digits", GET, b"HTTP/1.1 2000 OK\r\n\r\n", line, "RFC 9112 section 4"),
        abort("status 099", GET, b"HTTP/1.1 099 OK\r\n\r\n", line, "RFC 9110 section 15"),
        abort("status with a sign", GET, b"HTTP/1.1 +20 OK\r\n\r\n", line, "RFC 9112 section 4"),
        abort("no status", GET, b"HTTP/1.1 \r\n\r\n", line, "RFC 9112 section 4"),
        abort("two spaces", GET, b"HTTP/1.1  200 OK\r\n\r\n", line, "RFC 9112 section 4"),
        abort("not HTTP", GET, b"SSH-2.0-x\r\n\r\n", line, "RFC 9112 section 4"),
        abort("HTTP/0.9", GET, b"<html></html>\r\n\r\n", line, "HTTP/0.9: a body without a head"),
        abort("ICY", GET, b"ICY 200 OK\r\n\r\n", line, "SHOUTcast, which some clients take"),
        abort("folded", GET, b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", field, "RFC 9112 section 5.2"),
        abort(
            "space before the colon",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            field,
            "RFC 9112 section 5.1",
        ),
        abort(
            "underscored coding",
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer_Encoding: chunked\r\n\r\n",
            field,
            "- and _ taken for one",
        ),
        abort(
            "length as an option",
            GET,
            b"HTTP/1.1 200 OK\r\nConnection: content-length\r\n\r\n",
            field,
            "hop-by-hop abuse",
        ),
        abort(
            "both",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            coding,
            "RFC 9112 section 6.1: response splitting",
        ),
        abort(
            "two lengths",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            length,
            "RFC 9112 section 6.3",
        ),
        abort(
            "list of lengths",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            length,
            "RFC 9112 section 6.3",
        ),
        abort(
            "length with a sign",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            length,
            "RFC 9110 section 8.6",
        ),
        abort(
            "length overflow",
            GET,
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            length,
            "RFC 9110 section 8.6",
        ),
        abort(
            "gzip, chunked",
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            coding,
            "RFC 9112 section 6.1: allowed, but not asked for",
        ),
        abort(
            "identity",
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            coding,
            "Transfer-Encoding: identity, of RFC 2616 alone",
        ),
        abort(
            "chunked in 1.0",
            GET,
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            coding,
            "RFC 9112 section 6.1",
        ),
        abort(
            "both for HEAD",
            HEAD,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            coding,
            "RFC 9112 section 6.1",
        ),
        abort(
            "204 with a body",
            GET,
            b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\nhello",
            length,
            "RFC 9110 section 8.6: 204 with Content-Length",
        ),
        abort(
            "204, chunked",
            GET,
            b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n",
            length,
            "RFC 9112 section 6.1: 204 with TE",
        ),
        abort(
            "204 with a body, to HEAD",
            HEAD,
            b"HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n",
            length,
            "RFC 9110 section 8.6: 204 with Content-Length",
        ),
        abort(
            "too many fields",
            GET,
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(129)),
            of(Refusal::TooManyHeaders),
            "as of a request",
        ),
        abort(
            "head too large",
            GET,
            format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(64 << 10)),
            of(Refusal::HeadTooLarge),
            "as of a request",
        ),
    ]
}

fn broken() -> Vec<Row> {
    let chunk = Abort::Malformed(Refusal::Chunk);
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let behind = |name, body: &[u8], length, abort, source| {
        abort_behind(name, 200, head.len() + length, &[head, body].concat(), abort, source)
    };
    let splitting = "response splitting: the second has no request";
    vec![
        behind("bad chunk", b"3\r\nabcX", 6, chunk, "RFC 9112 section 7.1"),
        behind("bare LF in an extension", b"3;\nabc", 2, chunk, "chunk extension with bare LF (2025 funky chunks)"),
        behind("chunk size overflow", b"10000000000000000\r\n", 16, chunk, "RFC 9112 section 7.1"),
        behind(
            "length in trailers",
            b"0\r\nContent-Length: 5\r\n\r\n",
            3,
            Abort::Malformed(Refusal::Trailer),
            "RFC 9110 section 6.5.1",
        ),
        abort_behind("two responses", 200, OK.len(), &[OK, OK].concat(), Abort::Unsolicited, splitting),
        abort_behind("more than its length", 200, OK.len(), &[OK, b"!"].concat(), Abort::Unsolicited, splitting),
        abort_behind(
            "a body behind 304",
            304,
            18,
            b"HTTP/1.1 304 N\r\n\r\nhello",
            Abort::Unsolicited,
            "RFC 9112 section 6.3: ends with the head",
        ),
        abort_behind("an empty line behind it", 200, OK.len(), &[OK, b"\r\n"].concat(), Abort::Unsolicited, splitting),
        abort_behind(
            "a split by a field's value",
            302,
            51,
            &[b"HTTP/1.1 302 F\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", OK, b"\r\nContent-Length: 9\r\n\r\n"]
                .concat(),
            Abort::Unsolicited,
            splitting,
        ),
    ]
}
