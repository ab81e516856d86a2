//! A strict parser of another house, hyper, gets the same bytes: it finds the same messages at the same places, or one
//! of the two refuses. What weir lets pass is exactly what hyper then sees.

use std::{cell::RefCell, convert::Infallible, error::Error as _, io, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use weir_filters::http::{Abort, ClientStep, Decision, Eof, ServerStep};

use crate::{
    driver::{Wire, show},
    properties::{exchange, noise},
    table::{Asked, GET, HEAD},
};

/// More than any of the inputs and answers here.
const PIPE: usize = 1 << 20;

/// A request as one of the two sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    host: String,
    path: String,
    /// The body's data; `None` if it is not complete or not well-formed.
    body: Option<Vec<u8>>,
}

/// The data in a message's body, found without the inspector and without hyper; `None` if it does not end in `raw`.
fn payload(head: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let field = |name: &str| {
        let lines = head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| std::str::from_utf8(line).ok());
        let mut values = lines.filter_map(|line| line.split_once(':')).filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim().to_string())
    };
    if field("transfer-encoding").is_some() {
        return chunks(raw);
    }
    let length = field("content-length").map_or(Some(0), |value| value.parse().ok())?;
    raw.get(..length).map(<[u8]>::to_vec)
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let line = |bytes: &[u8]| bytes.windows(2).position(|pair| pair == b"\r\n");
    let mut data = Vec::new();
    loop {
        let end = line(rest)?;
        let digits = rest[..end].split(|byte| *byte == b';').next().and_then(|size| std::str::from_utf8(size).ok())?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return (rest.starts_with(b"\r\n") || rest.windows(4).any(|end| end == b"\r\n\r\n")).then_some(data);
        }
        data.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// What the inspector makes of the client's bytes, which come one by one.
fn inspected(bytes: &[u8]) -> (Wire, Vec<(Seen, Decision)>) {
    let mut wire = Wire::new();
    // Where each head begins and ends.
    let (mut begin, mut heads) = (0, Vec::new());
    let mut was_in_head = false;
    for (at, byte) in bytes.iter().enumerate() {
        wire.client(&[*byte]);
        while wire.inspector.awaits_continue() {
            wire.inspector.release();
            wire.pump();
        }
        if wire.inspector.in_head() && !was_in_head {
            begin = at;
        }
        was_in_head = wire.inspector.in_head();
        if wire.decisions().len() > heads.len() {
            heads.push((begin, at + 1));
        }
    }
    let ends = heads.iter().skip(1).map(|(begin, _)| *begin).chain([bytes.len()]);
    let judged = wire.judge.events.iter().filter_map(|event| match event {
        crate::driver::Event::Judged(method, host, path, _, decision) => Some((method, host, path, *decision)),
        _ => None,
    });
    let seen = judged.zip(&heads).zip(ends).map(|(((method, host, path, decision), (begin, end)), next)| {
        let [method, host, path] = [method, host, path].map(String::clone);
        (Seen { method, host, path, body: payload(&bytes[*begin..*end], &bytes[*end..next]) }, decision)
    });
    let seen = seen.collect();
    (wire, seen)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    let in_time = async { tokio::time::timeout(Duration::from_secs(20), work).await.expect("hyper comes to an end") };
    RUNTIME.with(|runtime| runtime.block_on(in_time))
}

async fn collected<B: Body<Error = hyper::Error> + Unpin>(body: B) -> Result<Vec<u8>, hyper::Error> {
    Ok(body.collect().await?.to_bytes().to_vec())
}

/// What a hyper server makes of the same bytes, and whether it then refused something.
fn served(bytes: &[u8]) -> (Vec<Seen>, bool) {
    let seen = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        let uri = request.uri();
        let field = request.headers().get("host").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let one = Seen {
            method: request.method().to_string(),
            host: uri.authority().map(ToString::to_string).or(field).unwrap_or_default(),
            path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            body: None,
        };
        let seen = &seen;
        async move {
            let at = seen.borrow().len();
            seen.borrow_mut().push(one);
            let body = collected(request.into_body()).await.ok();
            seen.borrow_mut()[at].body = body;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let refused = block_on(async {
        let (near, far) = duplex(PIPE);
        let server =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(far), service);
        let (mut reader, mut writer) = split(near);
        let client = async {
            writer.write_all(bytes).await.expect("room for all");
            writer.shutdown().await.expect("an end");
            let mut answers = Vec::new();
            reader.read_to_end(&mut answers).await.expect("answers");
            answers
        };
        let (result, answers) = tokio::join!(server, client);
        result.is_err() || answers.windows(12).any(|line| line == b"HTTP/1.1 400")
    });
    (seen.into_inner(), refused)
}

/// What a hyper client makes of the answer to its request: the status and the data, or whether it wants more.
fn received(asked: Asked, answer: &[u8]) -> Result<(u16, Vec<u8>), bool> {
    let method = if asked == HEAD { "HEAD" } else { "GET" };
    let request = Request::builder().method(method).uri("/").header("host", "a").body(Empty::<Bytes>::new());
    block_on(async {
        let (near, mut far) = duplex(PIPE);
        let hands = hyper::client::conn::http1::handshake(TokioIo::new(near)).await;
        let (mut sender, connection) = hands.expect("nothing is sent yet");
        let server = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(far.read_u8().await.expect("a request"));
            }
            far.write_all(answer).await.expect("room for all");
            far.shutdown().await.expect("an end");
            far
        };
        let client = async {
            let response = sender.send_request(request.expect("a request")).await?;
            Ok((response.status().as_u16(), collected(response.into_body()).await?))
        };
        let (_, _, result) = tokio::join!(connection, server, client);
        result.map_err(|error: hyper::Error| error.is_incomplete_message() || is_end(&error))
    })
}

/// Whether the connection's end came within a body.
fn is_end(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Bytes, and small damage to them.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let parts: Vec<&'static [u8]> = vec![
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b":",
        b",",
        b";",
        b"0",
        b"1",
        b"f",
        b"+",
        b"-",
        b"_",
        b"x",
        b"/",
        b"@",
        b"#",
        b"?",
        b"%",
        b"\"",
        b"\x80",
        b"chunked",
        b"close",
        b"Content-Length: 1\r\n",
        b"Host: b\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Connection: close\r\n",
        b"HTTP/1.0",
    ];
    let edit = (any::<Index>(), 0..3_usize, prop::sample::select(parts));
    (bytes, vec(edit, 0..4)).prop_map(|(mut bytes, edits)| {
        for (place, removed, part) in edits {
            let at = place.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, part.iter().copied());
        }
        bytes
    })
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let exchanges = vec(exchange(), 1..5).prop_map(|all| all.into_iter().flat_map(|one| one.request).collect());
    prop_oneof![4 => damaged(exchanges), 1 => damaged(noise())]
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let odd: Vec<&'static [u8]> = vec![
        b"HTTP/1.1 200 OK\r\n\r\nsome",
        b"HTTP/1.0 200 OK\r\n\r\nsome",
        b"HTTP/1.1 204 N\r\n\r\n",
        b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ];
    let answer = prop_oneof![
        4 => exchange().prop_map(|one| one.response),
        1 => prop::sample::select(odd).prop_map(<[u8]>::to_vec),
    ];
    damaged(answer)
}

/// The server sees the first `k` of what was judged, as it was judged; more only if the inspector had stopped to read,
/// fewer only if it refused.
fn agree(ours: &[Seen], theirs: &[Seen], stopped: bool, refused: bool) -> Result<(), TestCaseError> {
    for (mine, other) in ours.iter().zip(theirs) {
        let same = (&mine.method, &mine.host, &mine.path) == (&other.method, &other.host, &other.path);
        prop_assert!(same, "{:?} but {:?}", mine, other);
        // A body that does not end is broken off by the end, and one that is malformed by a refusal.
        prop_assert!(mine.body == other.body || refused || stopped, "{:?} but {:?}", mine, other);
        prop_assert!(
            mine.body.is_none() || other.body.is_none() || mine.body == other.body,
            "{:?} but {:?}",
            mine,
            other
        );
    }
    prop_assert!(theirs.len() <= ours.len() || stopped, "unjudged: {:?}", &theirs[ours.len()..]);
    prop_assert!(theirs.len() >= ours.len() || refused, "not seen: {:?}", &ours[theirs.len()..]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// Both read the client's bytes.
    #[test]
    fn a_hyper_server_finds_the_same_requests(bytes in requests()) {
        let (wire, ours) = inspected(&bytes);
        let (theirs, refused) = served(&bytes);
        let ours: Vec<Seen> = ours.into_iter().map(|(seen, _)| seen).collect();
        // It had read all that it could, or would not read on.
        let stopped = !matches!(wire.client_step, ClientStep::NeedMore);
        agree(&ours, &theirs, stopped, refused)?;
    }

    /// A server behind weir sees the allowed requests, and nothing else at all.
    #[test]
    fn a_hyper_server_sees_what_was_allowed(bytes in requests()) {
        let (wire, ours) = inspected(&bytes);
        let (theirs, refused) = served(&wire.upstream);
        let allowed = ours.into_iter().filter(|(_, decision)| *decision == Decision::Allow);
        let allowed: Vec<Seen> = allowed.map(|(seen, _)| seen).collect();
        agree(&allowed, &theirs, false, refused || wire.client_step == ClientStep::Stop)?;
    }

    /// A client behind weir sees the answer that the inspector saw, and where it ends.
    #[test]
    fn a_hyper_client_finds_the_same_response(bytes in answers(), head in any::<bool>()) {
        let asked = if head { HEAD } else { GET };
        let mut wire = Wire::new();
        wire.client(asked.0);
        bytes.iter().for_each(|byte| _ = wire.server(&[*byte]));
        let by_end = wire.inspector.outstanding() > 0;
        // What comes behind a response is not of it.
        let is_broken = matches!(wire.server_step, ServerStep::Abort(abort) if abort != Abort::Unsolicited);
        let ends = !by_end || wire.server_eof() == Eof::Close;
        let complete = !wire.statuses().is_empty() && ends && !is_broken;
        match received(asked, &wire.downstream) {
            Ok((status, body)) => {
                prop_assert!(complete, "{} of {}", status, show(&wire.downstream));
                prop_assert_eq!(wire.statuses()[0], status);
                let mut rest = wire.downstream.as_slice();
                let data = loop {
                    let end = rest.windows(4).position(|end| end == b"\r\n\r\n").map_or(rest.len(), |at| at + 4);
                    let (head_bytes, raw) = rest.split_at(end);
                    let bodiless = head || matches!(status, 204 | 304);
                    match head_bytes.get(9..10) {
                        Some(b"1") => rest = raw,
                        _ if bodiless => break Some(Vec::new()),
                        _ if by_end => break Some(raw.to_vec()),
                        _ => break payload(head_bytes, raw),
                    }
                };
                prop_assert_eq!(data, Some(body));
            }
            Err(wants_more) => prop_assert!(!(wants_more && complete), "no end in {}", show(&wire.downstream)),
        }
    }
}
