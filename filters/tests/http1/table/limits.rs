//! Bounds of what is held.

use weir_filters::http::{Limits, Refusal};

use super::{Allow, INCOMPLETE, More, PASS, Row, Up, broken, refuse, request};

pub(crate) fn rows() -> Vec<Row> {
    let limits = Limits::default();
    let head = |length: usize| {
        let begin = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
        [&begin[..], &vec![b'x'; length - begin.len() - 4], b"\r\n\r\n"].concat()
    };
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = |length: usize| format!("{chunked}0;{}\r\n\r\n", "x".repeat(length - 1));
    let trailer = |length: usize| format!("{chunked}0\r\nx: {}\r\n\r\n", "x".repeat(length - 7));
    let trailers = |count: usize| format!("{chunked}0\r\n{}\r\n", "X: y\r\n".repeat(count));
    let (large, many) = (&refuse(Refusal::HeadTooLarge), &refuse(Refusal::TooManyHeaders));
    let tight = |row: Row| Row {
        limits: Limits { head_bytes: 40, headers: 2, chunk_extension_bytes: 2, trailer_bytes: 8, pipelined: 1 },
        ..row
    };
    let asked = "RFC 9112 section 3: a limit, and 431 of RFC 6585 section 5";
    vec![
        request("largest head", head(limits.head_bytes), PASS, asked),
        request("head too large", head(limits.head_bytes + 1), large, asked),
        request("head without an end", &head(limits.head_bytes + 100)[..limits.head_bytes], large, asked),
        request(
            "one byte less without an end",
            &head(limits.head_bytes + 100)[..limits.head_bytes - 1],
            INCOMPLETE,
            asked,
        ),
        request(
            "target without an end",
            format!("GET /{}", "a".repeat(limits.head_bytes)),
            large,
            "RFC 9110 section 15.5.15",
        ),
        request("most fields", fields(limits.headers), PASS, asked),
        request("too many fields", fields(limits.headers + 1), many, asked),
        request("longest extension", extension(limits.chunk_extension_bytes), PASS, "RFC 9112 section 7.1.1: a limit"),
        request(
            "extension too long",
            extension(limits.chunk_extension_bytes + 1),
            &broken(chunked.len() + 1 + limits.chunk_extension_bytes, Refusal::Chunk),
            "RFC 9112 section 7.1.1: a limit",
        ),
        request("longest trailers", trailer(limits.trailer_bytes), PASS, "RFC 9112 section 7.1.2"),
        request(
            "trailers too long",
            trailer(limits.trailer_bytes + 1),
            &broken(chunked.len() + 3, Refusal::Trailer),
            "RFC 9112 section 7.1.2",
        ),
        request("most trailers", trailers(128), PASS, "RFC 9112 section 7.1.2"),
        request(
            "too many trailers",
            trailers(129),
            &broken(chunked.len() + 3, Refusal::Trailer),
            "RFC 9112 section 7.1.2",
        ),
        tight(request("tight, fits", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", super::PASS_WAIT, asked)),
        tight(request("tight, head", b"GET /12345678901234 HTTP/1.1\r\nHost: a\r\n\r\n", large, asked)),
        tight(request("tight, fields", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\r\n\r\n", many, asked)),
        tight(request(
            "tight, the pipeline",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &[Allow, Up(27), super::Wait],
            "RFC 9112 section 9.3.2: further requests wait",
        )),
        request(
            "a long method",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(1000)),
            &[Allow, Up(super::ALL), More],
            "RFC 9110 section 9.1: no limit of its own",
        ),
    ]
}
