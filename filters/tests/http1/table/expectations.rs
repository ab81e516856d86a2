//! `Expect: 100-continue`: the body passes only when the upstream reads it as a body.

use weir_filters::http::{Eof, Refusal};

use super::{
    Allow, Client, Down, GET, More, NO, Next, OK, PASS, PASS_LAST, Refused, Reply, Row, Said, Server, Status, Step,
    Stop, Up, Wait, request, talk,
};
use crate::driver::BAD;

const EXPECT: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 29\r\n\r\n";
const CHUNKS: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const NOT: &[u8] = b"HTTP/1.1 417 E\r\nContent-Length: 2\r\n\r\nno";

pub(crate) fn rows() -> Vec<Row> {
    let n = EXPECT.len();
    let sent = || Client([EXPECT, NO].concat());
    let server = |bytes: &[&[u8]]| Server(bytes.concat());
    let held: &[Step] = &[Allow, Up(n), Wait];
    let section = "100-continue, RFC 9110 section 10.1.1";
    let smuggling = "0.CL with Expect: a server that answers without reading reads the body as a request";
    vec![
        talk("the body waits", &[sent()], held, section),
        talk(
            "100, the body, 200",
            &[sent(), server(&[CONTINUE]), server(&[OK])],
            &[held, &[Down(CONTINUE.len()), Up(29), Next, Status(200), Down(OK.len()), Next]].concat(),
            section,
        ),
        talk(
            "100 before the body",
            &[Client(EXPECT.to_vec()), server(&[CONTINUE]), Client(NO.to_vec())],
            &[held, &[Down(CONTINUE.len()), Next, Up(29), More]].concat(),
            section,
        ),
        talk(
            "103 does not let it go",
            &[sent(), server(&[b"HTTP/1.1 103 E\r\n\r\n"])],
            &[held, &[Down(18), Next]].concat(),
            "RFC 8297: says nothing about the body",
        ),
        talk(
            "103, then 100",
            &[sent(), server(&[b"HTTP/1.1 103 E\r\n\r\n"]), server(&[CONTINUE])],
            &[held, &[Down(18), Next, Down(CONTINUE.len()), Up(29), Next]].concat(),
            section,
        ),
        talk(
            "417 instead",
            &[sent(), server(&[NOT])],
            &[held, &[Status(417), Down(NOT.len()), Reply(b""), Next]].concat(),
            smuggling,
        ),
        talk(
            "200 instead",
            &[sent(), server(&[OK]), Client(GET.0.to_vec())],
            &[held, &[Status(200), Down(OK.len()), Reply(b""), Next, Stop]].concat(),
            smuggling,
        ),
        talk(
            "200 without its body yet",
            &[sent(), server(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"])],
            &[held, &[Status(200), Down(38), Next]].concat(),
            smuggling,
        ),
        talk("the end instead", &[sent(), Said::ServerEnd], &[held, &[Step::End(Eof::Close)]].concat(), section),
        talk("the client's end waits", &[sent(), Said::ClientEnd], &[held, &[Step::End(Eof::Wait)]].concat(), section),
        talk(
            "patience lost",
            &[sent(), Said::Release, server(&[OK])],
            &[held, &[Up(29), More, Status(200), Down(OK.len()), Next]].concat(),
            "RFC 9110 section 10.1.1: a client need not wait for ever",
        ),
        talk(
            "patience lost, an answer within the body",
            &[Client([EXPECT, b"half"].concat()), Said::Release, server(&[NOT]), Client(b"rest".to_vec())],
            &[held, &[Up(4), More, Status(417), Down(NOT.len()), Reply(b""), Next, Stop]].concat(),
            smuggling,
        ),
        talk(
            "100 twice",
            &[sent(), server(&[CONTINUE]), server(&[CONTINUE, OK])],
            &[held, &[Down(CONTINUE.len()), Up(29), Next, Status(200), Down(CONTINUE.len() + OK.len()), Next]].concat(),
            section,
        ),
        talk(
            "chunked",
            &[Client([CHUNKS, b"1\r\nx\r\n0\r\n\r\n"].concat()), server(&[CONTINUE])],
            &[Allow, Up(CHUNKS.len()), Wait, Down(CONTINUE.len()), Up(11), Next],
            section,
        ),
        talk(
            "chunked, and broken",
            &[Client([CHUNKS, b"zz"].concat()), server(&[CONTINUE])],
            &[Allow, Up(CHUNKS.len()), Wait, Down(CONTINUE.len()), Refused(Refusal::Chunk), Reply(BAD), Next],
            section,
        ),
        talk(
            "behind another request",
            &[Client([GET.0, EXPECT, NO].concat()), server(&[OK]), server(&[CONTINUE])],
            &[Allow, Allow, Up(27 + n), Wait, Status(200), Down(OK.len()), Next, Down(CONTINUE.len()), Up(29), Next],
            "its own 100, not another's answer, lets it go",
        ),
        talk(
            "a 100 for another request",
            &[Client([GET.0, EXPECT, NO].concat()), server(&[CONTINUE])],
            &[Allow, Allow, Up(27 + n), Wait, Down(CONTINUE.len()), Next],
            "0.CL with Expect, pipelined",
        ),
        request(
            "without a body",
            b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            PASS,
            "RFC 9110 section 10.1.1: no body, no expectation",
        ),
        request(
            "length 0",
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            PASS,
            "RFC 9110 section 10.1.1: no body, no expectation",
        ),
        request(
            "in 1.0",
            b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhe",
            PASS_LAST,
            "RFC 9110 section 10.1.1: ignored in 1.0",
        ),
        request(
            "any other value",
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 2\r\n\r\nhe",
            &[Allow, Up(70), Wait],
            "0.CL with a garbled Expect (2025): lenient servers find 100-continue in it",
        ),
        request(
            "folded",
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect:\r\n 100-continue\r\nContent-Length: 2\r\n\r\nhe",
            &super::refuse(Refusal::Header),
            "0.CL with a folded Expect (2025)",
        ),
        request(
            "twice",
            b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 2\r\n\r\nhe",
            &[Allow, Up(79), Wait],
            "0.CL with two Expects",
        ),
    ]
}
