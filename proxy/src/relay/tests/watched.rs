//! What is only watched passes byte for byte, whatever it is; and what a change of the policy does to what is open.

use weir_model::{
    flow::{Flow, FlowKind, Verdict},
    policy::{Mode, PortRange},
    resolved::{DirectionPolicy, L4Rule},
};

use super::*;
use crate::world::tests::{allow, closed, world_of};

const LONG: Timeouts = Timeouts { head: Duration::from_secs(40), idle: Duration::from_secs(40) };

fn paths(path: &str) -> L4Rule {
    allow(PortRange::ALL, Some(vec![HttpRule { path: Some(path.into()), ..HttpRule::default() }]))
}

fn deny() -> L4Rule {
    L4Rule { deny: true, ..allow(PortRange::ALL, None) }
}

/// Rules of mode observe for `/ok…`, and nothing else.
fn observed() -> World {
    world_of(
        1,
        DirectionPolicy { rules: vec![L4Rule { mode: Mode::Observe, ..paths("/ok.*") }], ..DirectionPolicy::default() },
    )
}

/// A policy in trial, which allows `/ok…`.
fn audited() -> World {
    let rules = vec![L4Rule { mode: Mode::Audit, ..paths("/ok.*") }];
    world_of(1, DirectionPolicy { default_deny: false, audit_default_deny: true, rules })
}

/// The policy for what comes in becomes this one.
fn enforce(rig: &Rig, rules: Vec<L4Rule>) {
    rig.world.store(Arc::new(world_of(2, closed(rules))));
    rig.common.drain.wake(|_| true);
}

/// Verdict, path and refusal of each record.
fn records(ring: &SharedRing) -> Vec<(Verdict, String, String)> {
    let http = |flow: Flow| match flow.kind {
        FlowKind::Http(http) => (flow.verdict, http.path.to_string(), http.refusal.into_owned()),
        other => panic!("{other:?}"),
    };
    ring.lock().expect("no panic").read_after(0).flows.into_iter().map(http).collect()
}

/// Passes bytes in both directions, and waits for them.
async fn talk(client: &mut TcpStream, server: &mut TcpStream, up: &[u8], down: &[u8]) {
    pass(client, server, up).await;
    pass(server, client, down).await;
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    let (sent, read) = tokio::join!(from.write_all(bytes), to.read_exact(&mut got));
    sent.expect("send");
    read.expect("read");
    assert!(got == bytes, "{} came as {}", bytes.escape_ascii(), got.escape_ascii());
}

async fn expect_cut(mut rig: Rig, mut server: TcpStream) -> Vec<(Verdict, String, String)> {
    assert!(rest(&mut server).await.1.is_err(), "the server sees a reset");
    assert!(rest(&mut rig.client).await.1.is_err(), "the client sees a reset");
    let ring = Arc::clone(&rig.ring);
    assert_eq!(rig.ended().await, End::Cut);
    records(&ring)
}

#[test]
fn whatever_is_no_http_passes_and_one_record_says_so() {
    let request = |fields: &str| format!("GET /ok HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let preface = |frames: &[u8]| [weir_filters::http2::PREFACE.as_slice(), frames].concat();
    let rows: Vec<(Vec<u8>, &[u8])> = vec![
        (b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), b"\x16\x03\x03"),
        (b"PING\r\n".to_vec(), b"+PONG\r\n"),
        (b"AMQP\x00\x00\x09\x01".to_vec(), b"\x01\x00"),
        (b"PRI * HTTP/2.0".to_vec(), b"what?"),
        (preface(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"), b"\x00"),
        (
            preface(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x01\x05\x00\x00\x00\x01aaaaa"),
            b"HTTP/1.1 400 No\r\n\r\n",
        ),
        (request("Content-Length: 1\r\nContent-Length: 2\r\n"), b"HTTP/1.1 200 OK\r\n\r\n"),
        (request("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"), b"x"),
        (request("X : y\r\n"), b"x"),
        (request("X: y\n"), b"x"),
        (request(&"X: y\r\n".repeat(200)), b"x"),
        (request(&format!("X: {}\r\n", "y".repeat(70_000))), b"x"),
        (
            request("Connection: close\r\n\r\nmore"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\nmore",
        ),
        (request(""), b"no answer of HTTP"),
        (request(""), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (
            request("Content-Length: 4\r\nExpect: 100-continue\r\n").into_iter().chain(*b"body").collect(),
            b"HTTP/1.1 200 OK\r\n\r\n?",
        ),
        (request("Connection: upgrade\r\nUpgrade: x\r\n").into_iter().chain(*b"at once").collect(), b"?\n"),
        (request("").repeat(300), b"?\n"),
        (b"\r\n\r\n\r\n\n".to_vec(), b"?"),
        (Vec::new(), b"220 I speak first\r\n"),
    ];
    for (up, down) in rows {
        run(async {
            let mut rig = Rig::with(observed(), LONG).await;
            let mut server = rig.accept().await;
            talk(&mut rig.client, &mut server, &up, down).await;
            talk(&mut rig.client, &mut server, b"still \0 there", b"and back").await;
            let told = records(&rig.ring);
            let unseen = told.iter().filter(|(.., why)| why.starts_with("not inspected any more: ")).count();
            assert_eq!(unseen, 1, "{}: {told:?}", up[..up.len().min(80)].escape_ascii());
            assert!(told.iter().all(|(verdict, ..)| *verdict == Verdict::Forwarded), "{told:?}");
            // Both ends pass, one after the other.
            rig.client.shutdown().await.expect("shut down");
            assert_eq!(rest(&mut server).await.0, b"");
            talk(&mut server, &mut rig.client, b"half", b"").await;
            drop(server);
            assert_eq!(rest(&mut rig.client).await.0, b"");
            assert_eq!(rig.ended().await, End::Finished);
        });
    }
}

#[test]
fn the_server_is_called_before_the_client_speaks_and_its_refusal_is_passed_on() {
    run(async {
        let mut rig = Rig::with(observed(), LONG).await;
        let mut server = rig.accept().await;
        talk(&mut server, &mut rig.client, b"hello", b"hello").await;
        drop((server, rig));
        let mut rig = Rig::with(observed(), LONG).await;
        reset(rig.accept().await);
        assert!(rest(&mut rig.client).await.1.is_err());
    });
}

#[test]
fn requests_are_recorded_and_audited() {
    for (world, ok, no) in
        [(observed(), Verdict::Forwarded, Verdict::Forwarded), (audited(), Verdict::Forwarded, Verdict::Audited)]
    {
        run(async {
            let mut rig = Rig::with(world, LONG).await;
            let mut server = rig.accept().await;
            for path in ["/ok", "/no"] {
                talk(&mut rig.client, &mut server, get(path).as_bytes(), ok_bytes().as_slice()).await;
            }
            let expected = [(ok, "/ok".into(), String::new()), (no, "/no".into(), String::new())];
            assert_eq!(records(&rig.ring), expected);
            talk(&mut rig.client, &mut server, b"\0", b"").await;
            let last = records(&rig.ring).pop().expect("a record");
            assert_eq!((last.0, &*last.2), (no, "not inspected any more: not HTTP/1"));
        });
    }
}

fn ok_bytes() -> Vec<u8> {
    ok("ok").into_bytes()
}

#[test]
fn whatever_both_sides_send_arrives() {
    let words: [&[u8]; 16] = [
        b"GET /ok HTTP/1.1\r\n",
        b"POST /no HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: upgrade, close\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 S\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x01\x00\x0f\xff\xff",
        b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82",
        b"\0",
    ];
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut said = |count| -> Vec<u8> {
            let count = random.usize(..count);
            (0..count).flat_map(|_| words[random.usize(..words.len())]).copied().collect()
        };
        let (up, down) = (said(20), said(10));
        let mut piece = || random.usize(1..40);
        run(async {
            let mut rig = Rig::with(audited(), LONG).await;
            let mut server = rig.accept().await;
            let (mut ups, mut downs) = (&*up, &*down);
            while !ups.is_empty() || !downs.is_empty() {
                let (sent, answered) = (piece().min(ups.len()), piece().min(downs.len()));
                talk(&mut rig.client, &mut server, &ups[..sent], &downs[..answered]).await;
                (ups, downs) = (&ups[sent..], &downs[answered..]);
            }
            let about_unseen = records(&rig.ring).iter().filter(|(.., why)| !why.is_empty()).count();
            assert!(about_unseen <= 1, "seed {seed}: {:?}", records(&rig.ring));
        });
    }
}

#[test]
fn what_was_watched_is_judged_when_the_policy_says_so() {
    run(async {
        let mut rig = Rig::with(observed(), LONG).await;
        let mut server = rig.accept().await;
        talk(&mut rig.client, &mut server, get("/no").as_bytes(), ok_bytes().as_slice()).await;
        enforce(&rig, vec![paths("/ok.*")]);
        rig.client.write_all(get("/no").as_bytes()).await.expect("send");
        expect(&mut rig.client, DENIED).await;
        talk(&mut rig.client, &mut server, get("/ok").as_bytes(), ok_bytes().as_slice()).await;
        let verdicts: Vec<_> = records(&rig.ring).into_iter().map(|(verdict, ..)| verdict).collect();
        assert_eq!(verdicts, [Verdict::Forwarded, Verdict::Dropped, Verdict::Forwarded]);
    });
}

#[test]
fn what_can_not_be_judged_any_more_is_cut() {
    // A part of a head has passed; the connection goes on unseen.
    for sent in [&b"GET /ok HTTP/1.1\r\n"[..], b"\0"] {
        run(async {
            let mut rig = Rig::with(observed(), LONG).await;
            let mut server = rig.accept().await;
            talk(&mut rig.client, &mut server, sent, b"").await;
            enforce(&rig, vec![paths("/ok.*")]);
            let told = expect_cut(rig, server).await;
            let last = told.last().expect("a record");
            assert_eq!(last.0, Verdict::Dropped);
            assert!(last.2.starts_with("cut: the policy in force is about requests"), "{told:?}");
        });
    }
}

#[test]
fn a_peer_that_is_denied_altogether_is_cut_off() {
    for rules in [vec![paths("/ok.*"), deny()], vec![]] {
        run(async {
            let mut rig = Rig::new(LONG).await;
            let server = rig.begin(&get("/ok")).await;
            enforce(&rig, rules);
            let told = expect_cut(rig, server).await;
            assert_eq!(
                told[0],
                (Verdict::Dropped, String::new(), "cut: the policy in force does not allow the connection".into())
            );
        });
    }
}

#[test]
fn the_next_request_is_judged_by_the_rules_in_force() {
    run(async {
        let mut rig = Rig::new(LONG).await;
        let mut server = rig.begin(&get("/ok")).await;
        talk(&mut rig.client, &mut server, b"", ok_bytes().as_slice()).await;
        enforce(&rig, vec![paths("/new")]);
        rig.client.write_all(get("/ok").as_bytes()).await.expect("send");
        expect(&mut rig.client, DENIED).await;
        talk(&mut rig.client, &mut server, get("/new").as_bytes(), ok_bytes().as_slice()).await;
    });
}

#[test]
fn a_tunnel_stays_for_as_long_as_its_request_is_allowed() {
    let ask = "GET /ok/ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let granted = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let rows = [
        (vec![paths("/ok/ws"), paths("/x")], true),
        (vec![paths("/ok")], false),
        (vec![paths("/ok.*"), deny()], false),
        (vec![], false),
        (vec![allow(PortRange::ALL, None)], true),
    ];
    for (rules, stays) in rows {
        run(async {
            let mut rig = Rig::new(LONG).await;
            let mut server = rig.begin(ask).await;
            talk(&mut rig.client, &mut server, b"", granted).await;
            talk(&mut rig.client, &mut server, b"\x81\x00", b"\x81\x00").await;
            enforce(&rig, rules);
            if stays {
                talk(&mut rig.client, &mut server, b"\x81\x00", b"\x81\x00").await;
            } else {
                let told = expect_cut(rig, server).await;
                assert_eq!(told.len(), 2, "{told:?}");
            }
        });
    }
}

/// A watched connection that nobody can judge stays while the rules are not about requests.
#[test]
fn what_is_unseen_stays_while_it_is_allowed() {
    run(async {
        let mut rig = Rig::with(observed(), LONG).await;
        let mut server = rig.accept().await;
        talk(&mut rig.client, &mut server, b"\0", b"\0").await;
        enforce(&rig, vec![allow(PortRange::ALL, None)]);
        talk(&mut rig.client, &mut server, b"\0", b"\0").await;
        // A request for a tunnel that was refused opens nothing.
        enforce(&rig, vec![deny()]);
        expect_cut(rig, server).await;
    });
    run(async {
        let mut rig = Rig::with(observed(), LONG).await;
        let mut server = rig.accept().await;
        let ask = "GET /ok/ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        talk(&mut rig.client, &mut server, ask.as_bytes(), ok_bytes().as_slice()).await;
        talk(&mut rig.client, &mut server, b"\0", b"").await;
        enforce(&rig, vec![paths("/ok.*")]);
        expect_cut(rig, server).await;
    });
}

#[test]
fn silence_does_not_end_what_is_watched() {
    run(async {
        let short = Timeouts { head: Duration::from_millis(20), idle: Duration::from_millis(20) };
        let mut rig = Rig::with(observed(), short).await;
        let mut server = rig.accept().await;
        talk(&mut rig.client, &mut server, b"GET /ok HTT", b"").await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        talk(&mut rig.client, &mut server, b"P/1.1\r\n", b"").await;
    });
}

#[test]
fn a_tunnel_of_http2_stays_for_as_long_as_its_request_is_allowed() {
    // Literal fields without indexing: `CONNECT`, `:protocol`, `http`, the path, the host.
    let field = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).expect("short");
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let block = [
        field(":method", "CONNECT"),
        field(":protocol", "websocket"),
        field(":scheme", "http"),
        field(":path", "/ok/ws"),
        field(":authority", "web"),
    ]
    .concat();
    let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let head = [&[0, 0, u8::try_from(block.len()).expect("short"), 1, 4, 0, 0, 0, 1], &*block].concat();
    let data = b"\x00\x00\x01\x00\x00\x00\x00\x00\x01x";
    let granted = b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88";
    let over = b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x00";
    for (rules, ended, stays) in
        [(vec![paths("/ok/ws")], false, true), (vec![paths("/x")], false, false), (vec![paths("/x")], true, true)]
    {
        run(async {
            let mut rig = Rig::new(LONG).await;
            let preface = [&weir_filters::http2::PREFACE[..], settings].concat();
            rig.client.write_all(&[&preface[..], &head].concat()).await.expect("send");
            let mut server = rig.accept().await;
            let mut got = vec![0; weir_filters::http2::PREFACE.len()];
            server.read_exact(&mut got).await.expect("the preface");
            pass(&mut server, &mut rig.client, settings).await;
            let mut got = vec![0; settings.len() + head.len()];
            server.read_exact(&mut got).await.expect("the request");
            talk(&mut rig.client, &mut server, b"", granted).await;
            talk(&mut rig.client, &mut server, data, data).await;
            if ended {
                pass(&mut rig.client, &mut server, over).await;
            }
            enforce(&rig, rules);
            if stays {
                pass(&mut rig.client, &mut server, b"\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong").await;
            } else {
                expect_cut(rig, server).await;
            }
        });
    }
}

#[test]
fn a_denial_names_the_rule_or_the_default() {
    let explained = async |rules: Vec<L4Rule>| {
        let mut rig = Rig::explaining(world_of(1, closed(rules)), LONG).await;
        rig.client.write_all(get("/no").as_bytes()).await.expect("send");
        expect(&mut rig.client, "HTTP/1.1 403 Forbidden\r\nx-weir-policy: ").await;
        let mut line = vec![0; 16];
        rig.client.read_exact(&mut line).await.expect("read");
        let flow = rig.ring.lock().expect("no panic").read_after(0).flows.pop().expect("a record");
        (String::from_utf8(line).expect("text"), flow.rule_id, flow.direction)
    };
    run(async {
        let (line, id, direction) = explained(vec![paths("/ok.*")]).await;
        assert_eq!((&*line, id.reference(direction)), ("default; ingress", "default; ingress".into()));
    });
}
