//! HTTP/1: byte for byte, but for the order of header lines.

use super::*;

/// A head: its first line, and the others sorted.
async fn head(stream: &mut TcpStream) -> (String, Vec<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let text = String::from_utf8(head).expect("text");
    let mut lines = text.trim_end().split("\r\n").map(str::to_owned);
    let first = lines.next().expect("a first line");
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    (first, lines)
}

async fn expect(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).await.expect("read what was sent");
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("an orderly end");
    String::from_utf8(bytes).expect("text")
}

async fn expect_silence(stream: &mut TcpStream) {
    assert!(timeout(Duration::from_millis(50), stream.read_u8()).await.is_err(), "something came");
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: web\r\n{headers}\r\n")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const RIGHT: &str = "X-Log: 1\r\nX-Add: 1\r\nX-Replace: 1\r\n";
const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\nx-weir-policy: default; ingress\r\n\r\nAccess denied\r\n";

#[test]
fn requests_are_edited_and_recorded() {
    run(async {
        let rows = [
            ("", "Host: web|x-add: 1|x-replace: 1", "X-Log=1 X-Add=1 X-Replace=1", ""),
            (RIGHT, "Host: web|X-Add: 1|X-Log: 1|X-Replace: 1", "", ""),
            (
                "X-Log: 2\r\nx-add: 2\r\nX-DELETE: 2\r\nX-Replace: 2\r\nX-Replace: 3\r\n",
                "Host: web|X-Log: 2|X-Replace: 1|x-add: 1|x-add: 2",
                "X-Log=1 X-Add=1 X-Replace=1",
                "X-Delete=2 X-Replace=2,3",
            ),
        ];
        let mut rig = Rig::new().await;
        let mut server = None;
        for (headers, expected, _, _) in rows {
            rig.send(&get("/ok?q=%2f", headers)).await;
            let server = match &mut server {
                Some(server) => server,
                none => none.insert(rig.accept().await),
            };
            let (line, lines) = head(server).await;
            assert_eq!(
                (line.as_str(), lines.join("|").to_lowercase()),
                ("GET /ok?q=%2f HTTP/1.1", expected.to_lowercase())
            );
            server.write_all(OK.as_bytes()).await.expect("answer");
            expect(&mut rig.client, OK).await;
        }
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        for ((verdict, http), (_, _, missing, rejected)) in rig.flows().into_iter().zip(rows) {
            let log = http.headers.unwrap_or_default();
            assert_eq!((verdict, http.status, http.http_rule), (Verdict::Forwarded, 200, Some(0)));
            assert_eq!((pairs(&log.missing).as_str(), pairs(&log.rejected).as_str()), (missing, rejected));
        }
        assert_eq!(rig.flows().len(), rows.len());
    });
}

#[test]
fn denied_requests_are_answered_in_their_turn() {
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/no", "")).await;
        expect(&mut rig.client, DENIED).await;
        rig.send("POST /no HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n").await;
        expect(&mut rig.client, DENIED).await;
        rig.send(&format!("0\r\n\r\nHEAD /no HTTP/1.1\r\nHost: web\r\n\r\n{}", get("/ok", RIGHT))).await;
        expect(&mut rig.client, DENIED.strip_suffix("Access denied\r\n").expect("its body")).await;
        let mut server = rig.accept().await;
        assert_eq!(head(&mut server).await.0, "GET /ok HTTP/1.1");
        server.write_all(OK.as_bytes()).await.expect("answer");
        expect(&mut rig.client, OK).await;
        let seen: Vec<_> = rig.flows().into_iter().map(|(verdict, http)| (verdict, http.status)).collect();
        let denied = (Verdict::Dropped, 403);
        assert_eq!(seen, [denied, denied, denied, (Verdict::Forwarded, 200)]);
    });
}

/// What the inspecting mode refuses is refused, also behind a request that is served.
#[test]
fn what_is_read_in_two_ways_is_refused() {
    let post = |fields: &str| format!("POST /ok HTTP/1.1\r\nHost: web\r\n{fields}\r\n0\r\n\r\n");
    let rows = [
        (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        (post("Content-Length: 5, 5\r\n"), 400),
        (post("Content_Length: 5\r\n"), 400),
        (post("Transfer_Encoding: chunked\r\n"), 400),
        (post("Transfer-Encoding: chunked, identity\r\n"), 400),
        (post("Host: other\r\n"), 400),
        (post("X: a\n"), 400),
        (post("X: a\r\n b\r\n"), 400),
        (post("X : a\r\n"), 400),
        (post("Connection: content-length\r\nContent-Length: 5\r\n"), 400),
        ("GET /ok/..;/no HTTP/1.1\r\nHost: web\r\n\r\n".into(), 400),
        ("GET http://other/ok HTTP/1.1\r\nHost: web\r\n\r\n".into(), 400),
        ("GET /ok HTTP/1.1\r\n\r\n".into(), 400),
        (format!("GET /ok HTTP/1.1\r\nHost: web\r\n{}\r\n", "X: a\r\n".repeat(130)), 431),
        (format!("GET /ok HTTP/1.1\r\nHost: web\r\nX: {}\r\n\r\n", "a".repeat(70_000)), 431),
        ("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n".into(), 501),
    ];
    for (bytes, status) in rows {
        run(async {
            let mut rig = Rig::new().await;
            rig.send(&format!("{}{bytes}", get("/no", ""))).await;
            expect(&mut rig.client, DENIED).await;
            let answer = rest(&mut rig.client).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected) && answer.contains("connection: close\r\n"), "{bytes:.90}: {answer}");
            rig.expect_no_call().await;
            let (verdict, http) = rig.flows().pop().expect("a record");
            assert_eq!((verdict, http.status, http.refusal.is_empty()), (Verdict::Error, status, false), "{bytes:.90}");
            drop(std::mem::replace(
                &mut rig.client,
                TcpStream::connect(rig.server.local_addr().unwrap()).await.unwrap(),
            ));
            assert_eq!(rig.ended().await, End::Finished);
        });
    }
}

#[test]
fn what_is_not_http_is_hung_up_on() {
    run(async {
        let mut rig = Rig::new().await;
        rig.send("\u{16}\u{3}\u{1}").await;
        assert_eq!(rest(&mut rig.client).await, "");
        rig.expect_no_call().await;
        assert_eq!(rig.flows().pop().expect("a record").1.refusal, "not HTTP/1");
    });
}

#[test]
fn bodies_and_trailers_are_streamed() {
    run(async {
        let mut rig = Rig::new().await;
        let fields = "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\nTE: trailers\r\n";
        rig.send(&format!("POST /ok HTTP/1.1\r\nHost: web\r\n{RIGHT}{fields}\r\n3\r\nabc\r\n")).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        expect(&mut server, "3\r\nabc\r\n").await;
        rig.send("2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n").await;
        expect(&mut server, "2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n").await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n";
        server.write_all(format!("{answer}1\r\na\r\n").as_bytes()).await.expect("answer");
        expect(&mut rig.client, &format!("{answer}1\r\na\r\n")).await;
        server.write_all(b"0\r\nx-sum: 1\r\n\r\n").await.expect("answer");
        expect(&mut rig.client, "0\r\nx-sum: 1\r\n\r\n").await;
        // A body that ends with the connection.
        rig.send(&get("/ok", RIGHT)).await;
        head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.expect("answer");
        drop(server);
        assert!(rest(&mut rig.client).await.ends_with("all of it\r\n0\r\n\r\n"));
        assert_eq!(rig.ended().await, End::Finished);
    });
}

/// As much is held as buffers hold, not what the server has.
#[test]
fn a_slow_reader_stops_the_sender() {
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/ok", RIGHT)).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        let size = 64 << 20;
        server
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())
            .await
            .expect("a head");
        let piece = vec![b'x'; 1 << 16];
        let mut sent = 0;
        while let Ok(written) = timeout(Duration::from_millis(200), server.write(&piece)).await {
            sent += written.expect("write");
        }
        assert!(sent < size / 2, "{sent} bytes were taken of a server whose client does not read");
        let writer = spawn_local(async move {
            while sent < size {
                let n = piece.len().min(size - sent);
                server.write_all(&piece[..n]).await.expect("write");
                sent += n;
            }
            server
        });
        head(&mut rig.client).await;
        let mut body = (&mut rig.client).take(size as u64);
        let read = tokio::io::copy(&mut body, &mut tokio::io::sink()).await.expect("read");
        assert_eq!(read, size as u64);
        writer.await.expect("all was taken");
    });
}

#[test]
fn a_body_waits_for_the_upstream_word() {
    let ask = format!("POST /ok HTTP/1.1\r\nHost: web\r\n{RIGHT}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&ask).await;
        let mut server = rig.accept().await;
        assert!(head(&mut server).await.1.contains(&"Expect: 100-continue".into()));
        expect_silence(&mut rig.client).await;
        server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("answer");
        expect(&mut rig.client, "HTTP/1.1 100 Continue\r\n\r\n").await;
        rig.send("abc").await;
        expect(&mut server, "abc").await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        expect(&mut rig.client, OK).await;
        // An answer instead: the body is not wanted, and may come nevertheless.
        rig.send(&ask).await;
        head(&mut server).await;
        server.write_all(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await.expect("answer");
        let answer = rest(&mut rig.client).await;
        assert!(answer.starts_with("HTTP/1.1 417 ") && answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(rest(&mut server).await, "", "nothing of the body");
    });
    // A silent server gets it after a second.
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&format!("{ask}abc")).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        expect(&mut server, "abc").await;
    });
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&ask.replace("/ok", "/no")).await;
        let answer = rest(&mut rig.client).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close\r\n"), "{answer}");
    });
}

#[test]
fn an_allowed_upgrade_becomes_a_tunnel() {
    run(async {
        let mut rig = Rig::new().await;
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        rig.send(&get("/ok", &format!("{RIGHT}{fields}"))).await;
        // Before the answer: bytes of the tunnel, if it comes to one.
        rig.send("early").await;
        let mut server = rig.accept().await;
        let (_, lines) = head(&mut server).await;
        assert!(lines.contains(&"Upgrade: websocket".into()), "{lines:?}");
        expect_silence(&mut server).await;
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nhello");
        server.write_all(answer.as_bytes()).await.expect("answer");
        head(&mut rig.client).await;
        expect(&mut rig.client, "hello").await;
        expect(&mut server, "early").await;
        rig.send("GET /no HTTP/1.1\r\n\r\n").await;
        expect(&mut server, "GET /no HTTP/1.1\r\n\r\n").await;
        rig.client.shutdown().await.expect("shut down");
        assert_eq!(rest(&mut server).await, "");
        server.write_all(b"bye").await.expect("the other half is open");
        drop(server);
        assert_eq!(rest(&mut rig.client).await, "bye");
        assert_eq!(rig.flows().pop().expect("a record").1.status, 101);
        assert_eq!(rig.ended().await, End::Finished);
    });
    // Refused by the server: the connection goes on, judged.
    run(async {
        let mut rig = Rig::new().await;
        let ask = get("/ok", &format!("{RIGHT}Connection: Upgrade\r\nUpgrade: websocket\r\n"));
        rig.send(&format!("{ask}{}", get("/no", ""))).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        expect(&mut rig.client, OK).await;
        expect(&mut rig.client, DENIED).await;
    });
}

/// Nor may the next hop be asked to drop what was edited.
#[test]
fn fields_that_connection_names_go_no_further() {
    run(async {
        let mut rig = Rig::new().await;
        let fields = "Connection: keep-alive, X-REPLACE\r\nConnection: X-Other\r\nX-Other: 1\r\n";
        rig.send(&get("/ok", &format!("{RIGHT}{fields}"))).await;
        let mut server = rig.accept().await;
        let (_, lines) = head(&mut server).await;
        let lines = lines.join("|").to_lowercase();
        assert_eq!(lines, "connection: keep-alive|host: web|x-add: 1|x-log: 1|x-replace: 1");
    });
}

/// Requests in another version of HTTP would not be judged here.
#[test]
fn other_upgrades_are_not_passed_on() {
    run(async {
        let mut rig = Rig::new().await;
        let fields = "Connection: Upgrade, X-Log, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
        rig.send(&get("/ok", &format!("{RIGHT}{fields}"))).await;
        let mut server = rig.accept().await;
        let (_, lines) = head(&mut server).await;
        let lines = lines.join("|").to_lowercase();
        assert_eq!(lines, "host: web|x-add: 1|x-replace: 1");
        server
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
            .await
            .expect("answer");
        let error = rig.client.read_u8().await.expect_err("both sides are reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(rig.ended().await, End::Aborted);
    });
}

#[test]
fn ends_are_passed_on() {
    // The server resets in the midst of an answer.
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/ok", RIGHT)).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.expect("answer");
        head(&mut rig.client).await;
        expect(&mut rig.client, "half").await;
        crate::socket::reset_on_close(&server);
        drop(server);
        let error = rig.client.read_u8().await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(rig.ended().await, End::UpstreamReset);
    });
    // The answer has two lengths.
    for framing in ["Content-Length: 1\r\nContent-Length: 1", "Content-Length: 1\r\nTransfer-Encoding: chunked"] {
        run(async {
            let mut rig = Rig::new().await;
            rig.send(&get("/ok", RIGHT)).await;
            let mut server = rig.accept().await;
            head(&mut server).await;
            server.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).await.expect("answer");
            let error = rig.client.read_u8().await.expect_err("a reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{framing}");
            assert_eq!(rig.ended().await, End::Aborted, "{framing}");
        });
    }
    // Nobody listens.
    run(async {
        let mut rig = Rig::new().await;
        rig.server = listen();
        rig.send(&get("/ok", RIGHT)).await;
        let error = rig.client.read_u8().await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let (verdict, http) = rig.flows().pop().expect("a record");
        assert_eq!((verdict, http.status), (Verdict::Forwarded, 0));
        assert_eq!(rig.ended().await, End::UpstreamReset);
    });
    // The client has said all it has to say, and still reads.
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/ok", RIGHT)).await;
        rig.client.shutdown().await.expect("shut down");
        let mut server = rig.accept().await;
        head(&mut server).await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        assert!(rest(&mut rig.client).await.ends_with("hi"));
        assert_eq!(rig.ended().await, End::Finished);
    });
    // The server has closed an idle connection.
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/ok", RIGHT)).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        drop(server);
        assert!(rest(&mut rig.client).await.ends_with("hi"));
    });
}

#[test]
fn a_drain_lets_an_exchange_finish() {
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/ok", RIGHT)).await;
        let mut server = rig.accept().await;
        head(&mut server).await;
        rig.common.drain.begin();
        expect_silence(&mut rig.client).await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        assert!(rest(&mut rig.client).await.ends_with("hi"));
        assert_eq!(rig.ended().await, End::Finished);
    });
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/no", "")).await;
        expect(&mut rig.client, DENIED).await;
        rig.common.drain.begin();
        assert_eq!(rest(&mut rig.client).await, "", "an idle connection ends at once");
    });
}

#[test]
fn slow_heads_and_idle_connections_end() {
    let limits = |head, idle| Timeouts { head: Duration::from_millis(head), idle: Duration::from_millis(idle) };
    for (limits, text) in [
        (limits(100, 100_000), "GET /ok"),
        (limits(100, 100_000), "P"),
        (limits(100_000, 100), ""),
        (limits(100_000, 100), "GET"),
    ] {
        run(async {
            let mut rig = Rig::with(editing(), limits).await;
            rig.send(&format!("{}{text}", get("/no", ""))).await;
            expect(&mut rig.client, DENIED).await;
            assert_eq!(rest(&mut rig.client).await, "");
            assert_eq!(rig.ended().await, End::TimedOut);
        });
    }
}

/// An open connection of the inspecting mode, under rules that edit by now: it ends instead of passing a request unedited.
#[test]
fn a_policy_edit_ends_an_inspected_connection() {
    run(async {
        let mut rig = Rig::with(plain(), Timeouts { head: STUCK * 2, idle: STUCK * 2 }).await;
        let request = get("/ok", "X-Replace: 2\r\n");
        rig.send(&request).await;
        let mut server = rig.accept().await;
        expect(&mut server, &request).await;
        rig.world.store(Arc::new(world(2, editing())));
        // What is under way may finish; a request behind it is not read.
        rig.send(&request).await;
        expect_silence(&mut server).await;
        server.write_all(OK.as_bytes()).await.expect("answer");
        assert_eq!(rest(&mut rig.client).await, OK);
        assert_eq!(rest(&mut server).await, "", "nothing unedited");
        drop(std::mem::replace(&mut rig.client, TcpStream::connect(rig.server.local_addr().unwrap()).await.unwrap()));
        assert_eq!(rig.ended().await, End::Finished);
    });
    // The other way round nothing is lost.
    run(async {
        let mut rig = Rig::new().await;
        rig.send(&get("/no", "")).await;
        expect(&mut rig.client, DENIED).await;
        rig.world.store(Arc::new(world(2, plain())));
        rig.send(&get("/ok", "X-Replace: 2\r\n")).await;
        let mut server = rig.accept().await;
        assert_eq!(head(&mut server).await.1, ["Host: web", "X-Replace: 2"]);
    });
}
