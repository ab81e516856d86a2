//! How streams end: in order, within a message, by a reset; and what the other side sees of it.

use super::*;

#[test]
fn an_answer_that_comes_before_the_body_is_read_reaches_the_client() {
    run(async {
        let mut rig = Rig::patient().await;
        let head = "POST /ok HTTP/1.1\r\nhost: web\r\ncontent-length: 4000000\r\n\r\n";
        let mut server = rig.begin(head).await;
        // The body fills everything between the two, since the server reads none of it.
        let (mut from_weir, mut to_weir) = rig.client.into_split();
        let upload = spawn_local(async move { to_weir.write_all(&[b'x'; 4_000_000]).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = "HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\nconnection: close\r\n\r\nno!\n";
        server.write_all(answer.as_bytes()).await.expect("answer");
        server.shutdown().await.expect("shut down");
        let mut seen = Vec::new();
        from_weir.read_to_end(&mut seen).await.expect("an orderly end, no reset");
        assert_eq!(String::from_utf8_lossy(&seen), answer);
        drop(upload);
    });
}

#[test]
fn a_slow_reader_gets_all_before_the_last_reply() {
    run(async {
        let head = Duration::from_millis(50);
        let mut rig = Rig::new(Timeouts { head, idle: STUCK }).await;
        let mut server = rig.begin(&get("/ok")).await;
        // Refused, in its turn: with that reply everything for the client is queued, but not in the kernel's hands.
        rig.client.write_all(b"nonsense\n").await.expect("send");
        tokio::time::sleep(head).await;
        let answer = ok(&"x".repeat(60_000));
        server.write_all(answer.as_bytes()).await.expect("answer");
        // Longer than any tick of the timer.
        tokio::time::sleep(head * 6).await;
        expect(&mut rig.client, &answer).await;
        let (bytes, end) = rest(&mut rig.client).await;
        assert!(bytes.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&bytes));
        end.expect("an orderly end");
    });
}

#[test]
fn a_response_that_breaks_off_ends_for_the_client_as_it_does_for_weir() {
    run(async {
        let mut rig = Rig::patient().await;
        let mut server = rig.begin(&get("/ok")).await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.expect("answer");
        drop(server);
        let (bytes, end) = rest(&mut rig.client).await;
        assert!(bytes.ends_with(b"half"), "{}", String::from_utf8_lossy(&bytes));
        end.expect("an end, as without weir");
    });
}

#[test]
fn a_reset_of_the_server_is_a_reset_for_the_client() {
    run(async {
        let mut rig = Rig::patient().await;
        let mut server = rig.begin(&get("/ok")).await;
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").await.expect("answer");
        let mut seen = [0; 23];
        rig.client.read_exact(&mut seen).await.expect("read what came");
        reset(server);
        let (_, end) = rest(&mut rig.client).await;
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(rig.ended().await, End::UpstreamReset);
    });
}

/// The kernel tells of a reset once. If a write learns of it, the next read finds a mere end of the stream, and that
/// would end a body without a length in order.
#[test]
fn a_reset_that_a_write_learns_of_is_not_taken_for_the_end_of_a_body() {
    run(async {
        let mut rig = Rig::patient().await;
        let head = "POST /ok HTTP/1.1\r\nhost: web\r\ncontent-length: 4000000\r\n\r\n";
        let mut server = rig.begin(head).await;
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").await.expect("answer");
        let (mut from_weir, mut to_weir) = rig.client.into_split();
        spawn_local(async move { to_weir.write_all(&[b'x'; 4_000_000]).await });
        let mut seen = [0; 23];
        from_weir.read_exact(&mut seen).await.expect("read what came");
        // The relay now waits for room in the direction of the server.
        tokio::time::sleep(Duration::from_millis(50)).await;
        reset(server);
        let mut bytes = Vec::new();
        from_weir.read_to_end(&mut bytes).await.expect_err("a reset");
        assert_eq!(rig.relay.await.expect("no panic"), End::UpstreamReset);
    });
}

#[test]
fn a_reset_of_the_client_is_a_reset_for_the_server() {
    for more in ["", "POST /ok HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: 1\r\n\r\nxjunk"] {
        run(async {
            let mut rig = Rig::patient().await;
            let mut server = rig.begin(&get("/ok")).await;
            rig.client.write_all(more.as_bytes()).await.expect("send more");
            tokio::time::sleep(Duration::from_millis(50)).await;
            reset(rig.client);
            let (_, end) = rest(&mut server).await;
            assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset, "after {more:?}");
            assert_eq!(rig.relay.await.expect("no panic"), End::ClientReset);
        });
    }
}

#[test]
fn a_server_that_refuses_is_a_reset_for_the_client() {
    run(async {
        let mut rig = Rig::patient().await;
        rig.server = listen();
        rig.client.write_all(get("/ok").as_bytes()).await.expect("send");
        let (bytes, end) = rest(&mut rig.client).await;
        assert!(bytes.is_empty());
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(rig.ended().await, End::UpstreamReset);
    });
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answer() {
    run(async {
        let mut rig = Rig::patient().await;
        let mut server = rig.begin(&get("/ok")).await;
        rig.client.shutdown().await.expect("shut down");
        let (bytes, end) = rest(&mut server).await;
        assert!(bytes.is_empty() && end.is_ok(), "the server sees the client's end");
        server.write_all(ok("late").as_bytes()).await.expect("answer");
        expect(&mut rig.client, &ok("late")).await;
        drop(server);
        assert!(rest(&mut rig.client).await.1.is_ok());
        assert_eq!(rig.ended().await, End::Finished);
    });
}

#[test]
fn what_follows_the_last_reply_does_not_spoil_it() {
    run(async {
        let mut rig = Rig::patient().await;
        let mut server = rig.begin(&get("/ok")).await;
        // A refusal that waits for its turn behind the answer, and an answer with something behind it.
        rig.client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await.expect("send");
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.write_all(format!("{}junk", ok("1")).as_bytes()).await.expect("answer");
        let (bytes, end) = rest(&mut rig.client).await;
        end.expect("an orderly end");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with(&format!("{}HTTP/1.1 400 ", ok("1"))), "{text}");
    });
}
