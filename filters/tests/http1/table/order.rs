//! Several exchanges on one connection: turns, early answers, endings.

use weir_filters::http::{Abort, Eof, Refusal};

use super::{
    Allow, Client, Deny, Down, Drop, GET, HEAD, More, NO, Next, OK, Refused, Reply, Row, Said, Server, Status, Step,
    Stop, Up, Wait, talk,
};
use crate::driver::{BAD, DENIED, DENIED_CLOSE};

const N: usize = GET.0.len();
const D: usize = NO.len();
const A: usize = OK.len();
const PUT: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

pub(crate) fn rows() -> Vec<Row> {
    [turns(), early(), ends()].into_iter().flatten().collect()
}

fn client(parts: &[&[u8]]) -> Said {
    Client(parts.concat())
}

fn server(parts: &[&[u8]]) -> Said {
    Server(parts.concat())
}

fn turns() -> Vec<Row> {
    let section = "RFC 9112 section 9.3.2: answers in the order of requests";
    let get = GET.0;
    vec![
        talk(
            "three at once",
            &[client(&[get, get, get]), server(&[OK, OK, OK])],
            &[Allow, Allow, Allow, Up(3 * N), More, Status(200), Status(200), Status(200), Down(3 * A), Next],
            section,
        ),
        talk(
            "a denial behind an answer that is owed",
            &[client(&[get, NO]), server(&[OK])],
            &[Allow, Up(N), Deny, Drop(D), More, Status(200), Down(A), Reply(DENIED), Next],
            section,
        ),
        talk(
            "a denial behind half an answer",
            &[client(&[get, NO]), server(&[&OK[..A - 1]]), server(&[&OK[A - 1..]])],
            &[Allow, Up(N), Deny, Drop(D), More, Status(200), Down(A - 1), Next, Down(1), Reply(DENIED), Next],
            section,
        ),
        talk(
            "a denial first",
            &[client(&[NO, get]), server(&[OK])],
            &[Deny, Drop(D), Reply(DENIED), Allow, Up(N), More, Status(200), Down(A), Next],
            section,
        ),
        talk(
            "a denial between two",
            &[client(&[get, NO, get]), server(&[OK, OK])],
            &[
                Allow,
                Up(N),
                Deny,
                Drop(D),
                Allow,
                Up(N),
                More,
                Status(200),
                Down(A),
                Reply(DENIED),
                Status(200),
                Down(A),
                Next,
            ],
            section,
        ),
        talk(
            "two denials behind one",
            &[client(&[get, NO, NO]), server(&[OK])],
            &[
                Allow,
                Up(N),
                Deny,
                Drop(D),
                Deny,
                Drop(D),
                More,
                Status(200),
                Down(A),
                Reply(DENIED),
                Reply(DENIED),
                Next,
            ],
            section,
        ),
        talk(
            "a denial behind interim answers",
            &[client(&[get, NO]), server(&[b"HTTP/1.1 103 E\r\n\r\n", OK])],
            &[Allow, Up(N), Deny, Drop(D), More, Status(200), Down(18 + A), Reply(DENIED), Next],
            "103 early hints before final",
        ),
        talk(
            "HEAD among others",
            &[client(&[get, HEAD.0, get]), server(&[OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", OK])],
            &[Allow, Allow, Allow, Up(2 * N + 28), More, Status(200), Status(200), Status(200), Down(2 * A + 38), Next],
            "RFC 9112 section 6.3: the answer to HEAD is its request's",
        ),
        talk(
            "a refusal waits for its turn",
            &[client(&[get, NO, b"GET /a b HTTP/1.1\r\n\r\n", get]), server(&[OK])],
            &[
                Allow,
                Up(N),
                Deny,
                Drop(D),
                Refused(Refusal::StartLine),
                Stop,
                Status(200),
                Down(A),
                Reply(DENIED),
                Reply(BAD),
                Next,
            ],
            section,
        ),
        talk(
            "one by one",
            &[client(&[get]), server(&[OK]), client(&[NO]), client(&[get]), server(&[OK])],
            &[
                Allow,
                Up(N),
                More,
                Status(200),
                Down(A),
                Next,
                Deny,
                Drop(D),
                Reply(DENIED),
                More,
                Allow,
                Up(N),
                More,
                Status(200),
                Down(A),
                Next,
            ],
            "RFC 9112 section 9.3",
        ),
        talk(
            "an answer too many",
            &[client(&[get, NO]), server(&[OK, OK])],
            &[Allow, Up(N), Deny, Drop(D), More, Status(200), Down(A), Reply(DENIED), Step::Abort(Abort::Unsolicited)],
            "response queue poisoning",
        ),
        talk(
            "an answer before any request",
            &[server(&[OK]), client(&[get])],
            &[Step::Abort(Abort::Unsolicited), Stop],
            "response queue poisoning",
        ),
        talk(
            "408 between requests",
            &[client(&[get]), server(&[OK]), server(&[b"HTTP/1.1 408 Request Timeout\r\n\r\n"])],
            &[Allow, Up(N), More, Status(200), Down(A), Next, Step::Abort(Abort::Unsolicited)],
            "RFC 9110 section 15.5.9: some servers say so when idle",
        ),
    ]
}

fn early() -> Vec<Row> {
    let section = "early response while the body is still coming, RFC 9112 section 9.3";
    let length = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let n = length.len();
    vec![
        talk(
            "the body goes on",
            &[client(&[length, b"01234"]), server(&[OK]), client(&[b"56789", GET.0]), server(&[OK])],
            &[
                Allow,
                Up(n + 5),
                More,
                Status(200),
                Down(A),
                Next,
                Up(5),
                Allow,
                Up(N),
                More,
                Status(200),
                Down(A),
                Next,
            ],
            section,
        ),
        talk(
            "half an answer, then the body",
            &[client(&[length, b"01234"]), server(&[&OK[..A - 1]]), client(&[b"56789"]), server(&[&OK[A - 1..]])],
            &[Allow, Up(n + 5), More, Status(200), Down(A - 1), Next, Up(5), More, Down(1), Next],
            section,
        ),
        talk(
            "an answer and close",
            &[
                client(&[length, b"01234"]),
                server(&[b"HTTP/1.1 413 L\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"]),
                client(&[b"56789", NO]),
            ],
            &[Allow, Up(n + 5), More, Status(413), Down(56), Next, Up(5), Stop],
            "RFC 9112 section 9.6: the body may go on, requests may not",
        ),
        talk(
            "the body breaks before the answer",
            &[client(&[PUT, b"zz"]), server(&[OK])],
            &[Allow, Up(PUT.len()), Refused(Refusal::Chunk), Reply(BAD), Stop, Step::Abort(Abort::Unsolicited)],
            "RFC 9112 section 7.1",
        ),
        talk(
            "the body breaks behind another request",
            &[client(&[GET.0, PUT, b"zz"]), server(&[OK])],
            &[Allow, Allow, Up(N + PUT.len()), Refused(Refusal::Chunk), Stop, Status(200), Down(A), Reply(BAD), Next],
            "RFC 9112 section 7.1",
        ),
        talk(
            "the body breaks behind its answer",
            &[client(&[PUT]), server(&[OK]), client(&[b"zz"])],
            &[
                Allow,
                Up(PUT.len()),
                More,
                Status(200),
                Down(A),
                Next,
                Refused(Refusal::Chunk),
                Step::Cut(Refusal::Chunk),
            ],
            "RFC 9112 section 7.1: no second answer",
        ),
        talk(
            "the body breaks within its answer",
            &[client(&[PUT]), server(&[&OK[..A - 1]]), client(&[b"zz"])],
            &[
                Allow,
                Up(PUT.len()),
                More,
                Status(200),
                Down(A - 1),
                Next,
                Refused(Refusal::Chunk),
                Step::Cut(Refusal::Chunk),
            ],
            "RFC 9112 section 7.1: no second answer",
        ),
        talk(
            "the body breaks behind 103",
            &[client(&[PUT]), server(&[b"HTTP/1.1 103 E\r\n\r\n"]), client(&[b"zz"])],
            &[Allow, Up(PUT.len()), More, Down(18), Next, Refused(Refusal::Chunk), Reply(BAD), Stop],
            "103 is not its answer",
        ),
    ]
}

fn ends() -> Vec<Row> {
    let after = "pipelined after Connection: close, RFC 9112 section 9.6";
    let end = Step::End;
    vec![
        talk(
            "nothing behind close",
            &[client(&[CLOSE, GET.0]), server(&[OK])],
            &[Allow, Up(CLOSE.len()), Stop, Status(200), Down(A), Next],
            after,
        ),
        talk(
            "nothing behind 1.0",
            &[client(&[b"GET / HTTP/1.0\r\n\r\n", NO])],
            &[Allow, Up(18), Stop],
            "RFC 9112 section 9.3",
        ),
        talk(
            "1.0, kept alive",
            &[client(&[b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", NO])],
            &[Allow, Up(42), Deny, Drop(D), More],
            "HTTP/1.0 keep-alive, RFC 9112 appendix C.2.2",
        ),
        talk(
            "1.0, keep-alive and close",
            &[client(&[b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", NO])],
            &[Allow, Up(49), Stop],
            "HTTP/1.0 keep-alive, RFC 9112 section 9.3",
        ),
        talk(
            "the body before close is whole",
            &[
                client(&[b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe"]),
                client(&[b"llo", NO]),
            ],
            &[Allow, Up(67), More, Up(3), Stop],
            after,
        ),
        talk(
            "a denial that closes, in its turn",
            &[client(&[GET.0, b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", GET.0]), server(&[OK])],
            &[Allow, Up(N), Deny, Drop(48), Stop, Status(200), Down(A), Reply(DENIED_CLOSE), Next],
            after,
        ),
        talk(
            "the server's close before a denial",
            &[client(&[GET.0, NO]), server(&[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])],
            &[Allow, Up(N), Deny, Drop(D), More, Status(200), Down(57), Next],
            "RFC 9112 section 9.6: nothing can follow",
        ),
        talk(
            "the server's close, and more of it",
            &[
                client(&[GET.0, GET.0]),
                server(&[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", OK]),
            ],
            &[Allow, Allow, Up(2 * N), More, Status(200), Down(57), Step::Abort(Abort::Unsolicited)],
            "RFC 9112 section 9.6",
        ),
        talk(
            "both ends at once",
            &[Said::ClientEnd, Said::ServerEnd],
            &[end(Eof::Shutdown), end(Eof::Close)],
            "RFC 9112 section 9.6",
        ),
        talk(
            "the client's end behind a request",
            &[client(&[GET.0]), Said::ClientEnd, server(&[OK])],
            &[Allow, Up(N), More, end(Eof::Shutdown), Status(200), Down(A), Next],
            "a half-close: the answer still comes",
        ),
        talk(
            "the client's end within a head",
            &[client(&[b"GET / HT"]), Said::ClientEnd],
            &[More, end(Eof::Shutdown)],
            "RFC 9112 section 8",
        ),
        talk(
            "the client's end within a body",
            &[client(&[PUT, b"5\r\nhe"]), Said::ClientEnd],
            &[Allow, Up(PUT.len() + 5), More, end(Eof::Shutdown)],
            "RFC 9112 section 8",
        ),
        talk(
            "the server's end without an answer",
            &[client(&[GET.0]), Said::ServerEnd],
            &[Allow, Up(N), More, end(Eof::Close)],
            "RFC 9112 section 9.5",
        ),
        talk(
            "the server's end within a head",
            &[client(&[GET.0]), server(&[b"HTTP/1.1 2"]), Said::ServerEnd],
            &[Allow, Up(N), More, Next, end(Eof::Abort(Abort::Truncated))],
            "RFC 9112 section 8",
        ),
        talk(
            "close-delimited with another owed",
            &[client(&[GET.0, GET.0]), server(&[b"HTTP/1.1 200 OK\r\n\r\nx"]), Said::ServerEnd, client(&[GET.0])],
            &[Allow, Allow, Up(2 * N), More, Status(200), Down(20), Next, end(Eof::Close), Stop],
            "close-delimited, RFC 9112 section 6.3",
        ),
        talk(
            "the pipeline's end is the client's wait",
            &[Client(GET.0.repeat(129)), server(&[OK])],
            &[&vec![Allow; 128][..], &[Up(128 * N), Wait, Status(200), Down(A), Allow, Up(N), Next]].concat(),
            "RFC 9112 section 9.3.2",
        ),
    ]
}
