//! Properties of any stream, and of any way to cut it.

use proptest::{collection::vec, prelude::*};
use weir_filters::http::{ClientStep, Decision};

use crate::driver::{DENIED, Wire, show};

/// A request: its bytes, and the answer that its server gives.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    allowed: bool,
}

fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let chunk =
        vec(any::<u8>(), 1..40).prop_map(|data| [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat());
    prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..60).prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        (vec(chunk, 0..4), prop::bool::ANY).prop_map(|(chunks, trailers)| {
            let end: &[u8] = if trailers { b"0\r\nX-Sum: 1\r\n\r\n" } else { b"0;a=b\r\n\r\n" };
            ("Transfer-Encoding: chunked\r\n".to_string(), [chunks.concat().as_slice(), end].concat())
        }),
    ]
}

pub(crate) fn exchange() -> impl Strategy<Value = Exchange> {
    let target = prop_oneof!["/yes[a-z/.]{0,8}", "/no[a-z]{0,8}", "http://h/(yes|no)\\?q=[a-z]{0,3}"]
        .prop_filter("a path that is not ambiguous", |target| !target.contains(".."));
    let method = prop_oneof![Just("GET"), Just("POST"), Just("PUT")];
    let early = prop_oneof![Just(""), Just("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")];
    (method, target, "[ -~]{0,20}", body(), body(), early).prop_map(|(method, target, value, sent, answered, early)| {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\nX-Any: {value}\r\n{}\r\n", sent.0);
        // Without framing a response would end with the connection.
        let framing = if answered.0.is_empty() { "Content-Length: 0\r\n" } else { &answered.0 };
        Exchange {
            request: [head.as_bytes(), &sent.1].concat(),
            response: [format!("{early}HTTP/1.1 200 OK\r\n{framing}\r\n").as_bytes(), &answered.1].concat(),
            allowed: !(target.starts_with("/no") || target.starts_with("http://h/no")),
        }
    })
}

/// Cuts `bytes` at the given places.
pub(crate) fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Bytes that are almost HTTP.
pub(crate) fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"POST /no HTTP/1.1\r\n",
        b"HEAD /x HTTP/1.0\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 C\r\n\r\n",
        b"HTTP/1.1 101 S\r\n\r\n",
        b"HTTP/1.1 204 N\r\n\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"X: y\r\n",
        b"/%2e%2e/",
    ];
    let word = prop_oneof![8 => prop::sample::select(words).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..4)];
    vec(word, 0..16).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Exactly the allowed requests reach the upstream, and every request is answered in order.
    #[test]
    fn pipelines_are_judged_and_answered_in_order(
        exchanges in vec(exchange(), 1..12),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
        answer_cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let requests = exchanges.iter().flat_map(|e| e.request.clone()).collect::<Vec<u8>>();
        let allowed = || exchanges.iter().filter(|e| e.allowed);
        let responses = allowed().flat_map(|e| e.response.clone()).collect::<Vec<u8>>();
        let mut wire = Wire::new();
        for piece in pieces(&requests, &cuts) {
            wire.client(piece);
        }
        for piece in pieces(&responses, &answer_cuts) {
            wire.server(piece);
        }
        let upstream = allowed().flat_map(|e| e.request.clone()).collect::<Vec<u8>>();
        prop_assert_eq!(show(&wire.upstream), show(&upstream));
        let answers = exchanges.iter().flat_map(|e| if e.allowed { e.response.clone() } else { DENIED.to_vec() });
        prop_assert_eq!(show(&wire.downstream), show(&answers.collect::<Vec<u8>>()));
        let wanted = |e: &Exchange| if e.allowed { Decision::Allow } else { Decision::Deny };
        prop_assert_eq!(wire.decisions(), exchanges.iter().map(wanted).collect::<Vec<_>>());
        prop_assert!(wire.inspector.is_idle() && !wire.closed);
    }

    /// Whatever comes, how it is cut changes nothing, every byte is accounted for once, and nothing panics.
    #[test]
    fn cuts_do_not_matter(
        client in noise(),
        server in noise(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut whole = Wire::new();
        whole.client(&client);
        let mut cut = Wire::new();
        for piece in pieces(&client, &cuts) {
            cut.client(piece);
        }
        prop_assert_eq!(show(&whole.upstream), show(&cut.upstream));
        prop_assert_eq!(show(&whole.discarded), show(&cut.discarded));
        prop_assert_eq!(whole.upstream.len() + whole.discarded.len() + whole.left(), client.len());
        prop_assert_eq!(whole.client_step, cut.client_step);
        whole.server_paused(&server);
        for piece in pieces(&server, &cuts) {
            cut.server_paused(piece);
        }
        prop_assert_eq!(show(&whole.downstream), show(&cut.downstream));
        prop_assert_eq!(whole.from_server + whole.server_left(), server.len());
        prop_assert_eq!(show(&whole.upstream), show(&cut.upstream));
        prop_assert_eq!(whole.server_step, cut.server_step);
        prop_assert_eq!(&whole.judge.events, &cut.judge.events);
        prop_assert_eq!(whole.closed, cut.closed);
        prop_assert_eq!(whole.client_eof(), cut.client_eof());
        prop_assert_eq!(whole.server_eof(), cut.server_eof());
    }

    /// Bytes without any sense: no panic, and nothing is forwarded without a verdict.
    #[test]
    fn random_bytes_do_no_harm(client in vec(any::<u8>(), 0..200), server in vec(any::<u8>(), 0..200)) {
        let mut wire = Wire::new();
        wire.client(&client).server(&server);
        prop_assert!(wire.upstream.is_empty() || wire.decisions().contains(&Decision::Allow));
        prop_assert!(!matches!(wire.client_step, ClientStep::Opaque));
    }
}
