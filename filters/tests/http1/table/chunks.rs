//! Chunked bodies: sizes, extensions, line endings, trailers.

use weir_filters::http::Refusal;

use super::{Allow, Deny, Drop, More, NO, PASS, Row, Step, Up, broken, request};

const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunks(name: &'static str, body: &[u8], steps: &[Step], source: &'static str) -> Row {
    request(name, [HEAD, body].concat(), steps, source)
}

/// So much of the body is forwarded.
fn chunk(length: usize) -> [Step; 5] {
    broken(HEAD.len() + length, Refusal::Chunk)
}

pub(crate) fn rows() -> Vec<Row> {
    // All but the trailers is forwarded: the last chunk's line has three bytes.
    let trailer = &broken(HEAD.len() + 3, Refusal::Trailer);
    let line = "chunk size, RFC 9112 section 7.1";
    let extension = "chunk extension, RFC 9112 section 7.1.1";
    let funky = "chunk extension with bare LF (2025 funky chunks)";
    let fields = "trailer, RFC 9112 section 7.1.2";
    let early = "RFC 9110 section 6.5.1: acted on before the body";
    vec![
        chunks("two chunks", b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", PASS, line),
        chunks("no data", b"0\r\n\r\n", PASS, line),
        chunks("not all there", b"5\r\nhe", PASS, line),
        chunks("only a size", b"5", PASS, line),
        chunks("no last chunk yet", b"3\r\nabc\r\n", PASS, line),
        chunks("no empty line yet", b"0\r\n", PASS, line),
        chunks(
            "trailers not all there",
            b"0\r\nX: y\r\n",
            &[Allow, Up(HEAD.len() + 3), More],
            "held back until complete",
        ),
        chunks(
            "both cases of digits",
            b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            PASS,
            "RFC 5234 appendix B.1: HEXDIG",
        ),
        chunks("leading zeros", b"0003\r\nabc\r\n000\r\n\r\n", PASS, "chunk size with leading zeros"),
        chunks("sixteen digits", b"0000000000000003\r\nabc\r\n0\r\n\r\n", PASS, "chunk size with leading zeros"),
        chunks(
            "seventeen digits",
            b"00000000000000003\r\n",
            &chunk(16),
            "chunk size with leading zeros that overflow a counter",
        ),
        chunks("2^64 - 1", b"ffffffffffffffff\r\nabc", PASS, "chunk size at its limit"),
        chunks(
            "2^64 + 3",
            b"10000000000000003\r\nabc\r\n0\r\n\r\n",
            &chunk(16),
            "chunk size that overflows: 3 for one who wraps",
        ),
        chunks("2^32 + 3", b"100000003\r\nabc", PASS, "chunk size that a server of 32 bits must refuse"),
        chunks("no size", b"\r\nabc", &chunk(0), line),
        chunks("extension without a size", b";a\r\nabc", &chunk(0), line),
        chunks("plus", b"+3\r\nabc", &chunk(0), "chunk size with a sign"),
        chunks("minus", b"-3\r\nabc", &chunk(0), "chunk size with a sign"),
        chunks("0x", b"0x3\r\nabc", &chunk(1), "chunk size with 0x"),
        chunks("underscore", b"1_0\r\n", &chunk(1), "chunk size with an underscore, as Python reads it"),
        chunks("dot", b"3.0\r\nabc", &chunk(1), "chunk size as scripts read numbers"),
        chunks("comma", b"3,3\r\nabc", &chunk(1), line),
        chunks("letter behind f", b"g\r\nabc", &chunk(0), line),
        chunks("quoted", b"\"3\"\r\nabc", &chunk(0), line),
        chunks("digit beyond ASCII", b"\xd9\xa3\r\nabc", &chunk(0), "digits as Unicode has them"),
        chunks("NUL behind the size", b"3\0\r\nabc", &chunk(1), "a text that ends early in C"),
        chunks("space before the size", b" 3\r\nabc", &chunk(0), line),
        chunks("space behind the size", b"3 \r\nabc", &chunk(1), "white space that old servers pad with"),
        chunks("tab behind the size", b"3\t\r\nabc", &chunk(1), line),
        chunks("space before the extension", b"3 ;a\r\nabc", &chunk(1), "RFC 9112 section 7.1.1: BWS, refused"),
        chunks("LF behind the size", b"3\nabc", &chunk(1), "TERM.EXT: a size line that ends at LF for one"),
        chunks("CR behind the size", b"3\rabc", &chunk(2), "a size line that ends at CR for one"),
        chunks("CR CR LF behind the size", b"3\r\r\nabc", &chunk(2), "a size line that ends at CR for one"),
        chunks("extension", b"3;a=b\r\nabc\r\n0\r\n\r\n", PASS, extension),
        chunks("quoted extension", b"3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", PASS, extension),
        chunks("quoted CR LF", b"3;a=\"\r\nabc\r\n0\r\n\r\n", PASS, "the line ends, whatever the quotes: funky chunks"),
        chunks(
            "empty extension",
            b"3;\r\nabc\r\n0;\r\n\r\n",
            PASS,
            "not of RFC 9112 section 7.1.1, but of one reading",
        ),
        chunks("semicolons", b"3;;;\r\nabc\r\n0\r\n\r\n", PASS, "not of RFC 9112 section 7.1.1, but of one reading"),
        chunks(
            "a signature",
            b"3;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9\r\nabc\r\n0\r\n\r\n",
            PASS,
            "signed uploads to S3",
        ),
        chunks("LF in an extension", b"3;a\nabc", &chunk(3), funky),
        chunks("LF at once in an extension", b"2;\nxx\r\n4c\r\n0\r\n\r\nGET /no HTTP/1.1\r\n", &chunk(2), funky),
        chunks("CR in an extension", b"3;a\rabc", &chunk(4), "EXT.TERM: an extension that ends at CR for one"),
        chunks(
            "CR CR LF in an extension",
            b"3;a\r\r\nabc",
            &chunk(4),
            "EXT.TERM: an extension that ends at CR for one",
        ),
        chunks("NUL in an extension", b"3;\0\r\nabc", &chunk(2), extension),
        chunks("byte beyond ASCII in an extension", b"3;\xff\r\nabc", &chunk(2), extension),
        chunks("data too long", b"3\r\nabcd\r\n", &chunk(6), "SPILL: data that runs over its size"),
        chunks("data too short", b"5\r\nabc\r\n0\r\n\r\n", &chunk(8), "a size that runs over the next line"),
        chunks(
            "LF behind the data",
            b"3\r\nabc\n0\r\n\r\n",
            &chunk(6),
            "ONE.TWO: a byte of ending where another skips two",
        ),
        chunks(
            "CR behind the data",
            b"3\r\nabc\r0\r\n\r\n",
            &chunk(7),
            "ONE.TWO: a byte of ending where another skips two",
        ),
        chunks(
            "any two bytes behind the data",
            b"3\r\nabcXX0\r\n\r\n",
            &chunk(6),
            "TWO.TERM: two bytes skipped unseen",
        ),
        chunks("no ending behind the data", b"3\r\nabc0\r\n\r\n", &chunk(6), "ZERO.TERM: the ending is left out"),
        chunks("space behind the data", b"3\r\nabc \r\n0\r\n\r\n", &chunk(6), line),
        chunks("empty line behind the data", b"3\r\nabc\r\n\r\n0\r\n\r\n", &chunk(8), line),
        chunks("trailers", b"0\r\nX-Sum: 5\r\nY: 6\r\n\r\n", PASS, fields),
        chunks("trailer of gRPC", b"0\r\ngrpc-status: 0\r\ngrpc-message:\r\n\r\n", PASS, fields),
        chunks("length in trailers", b"0\r\nContent-Length: 5\r\n\r\n", trailer, early),
        chunks("coding in trailers", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", trailer, early),
        chunks("underscored length in trailers", b"0\r\nContent_Length: 5\r\n\r\n", trailer, early),
        chunks("Host in trailers", b"0\r\nHost: a\r\n\r\n", trailer, early),
        chunks("Connection in trailers", b"0\r\nConnection: close\r\n\r\n", trailer, early),
        chunks("Upgrade in trailers", b"0\r\nUpgrade: h2c\r\n\r\n", trailer, early),
        chunks("Expect in trailers", b"0\r\nExpect: 100-continue\r\n\r\n", trailer, early),
        chunks("TE in trailers", b"0\r\nTE: gzip\r\n\r\n", trailer, early),
        chunks("Trailer in trailers", b"0\r\nTrailer: x\r\n\r\n", trailer, early),
        chunks("folded trailer", b"0\r\nX: a\r\n b\r\n\r\n", trailer, "RFC 9112 section 5.2: obs-fold"),
        chunks("LF in trailers", b"0\r\nX: a\n\r\n", trailer, "RFC 9112 section 2.2: bare LF"),
        chunks("CR in trailers", b"0\r\nX: a\rb\r\n\r\n", trailer, "RFC 9112 section 2.2: bare CR"),
        chunks("NUL in trailers", b"0\r\nX: \0\r\n\r\n", trailer, fields),
        chunks("space before the colon", b"0\r\nX : a\r\n\r\n", trailer, "space before colon, RFC 9112 section 5.1"),
        chunks("no colon", b"0\r\nX\r\n\r\n", trailer, fields),
        chunks(
            "a request for trailers",
            b"0\r\nGET /no HTTP/1.1\r\nHost: a\r\n\r\n",
            trailer,
            "a server without trailers reads a request here",
        ),
        chunks("a request as a trailer", b"0\r\nGET: /no\r\n\r\n", PASS, "no request line, wherever it is read"),
        chunks("LF for the empty line", b"0\r\n\n", trailer, "RFC 9112 section 2.2: bare LF"),
        chunks("CR for the empty line", b"0\r\n\rGET", trailer, "RFC 9112 section 2.2: bare CR"),
        chunks("text for the empty line", b"0\r\nX\r\nY\r\n\r\n", trailer, fields),
        chunks(
            "no chunk behind the last",
            b"0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[Allow, Up(HEAD.len() + 5), Step::Refused(Refusal::StartLine), Step::Stop],
            "RFC 9112 section 7.1: the last chunk ends it",
        ),
        chunks(
            "a request behind the last",
            &[b"0\r\n\r\n", NO].concat(),
            &[Allow, Up(HEAD.len() + 5), Deny, Drop(NO.len()), More],
            "RFC 9112 section 7.1: the last chunk ends it",
        ),
        chunks("a request in a chunk", &[b"1d\r\n", NO, b"\r\n0\r\n\r\n"].concat(), PASS, "data is not looked at"),
    ]
}
