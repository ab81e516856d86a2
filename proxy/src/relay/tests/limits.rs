//! Time limits, the drain, and bounds on what a peer can make weir hold.

use super::*;

async fn ends_within(rig: Rig, least: Duration, most: Duration) {
    let begun = Instant::now();
    assert_eq!(rig.ended().await, End::TimedOut);
    let took = begun.elapsed();
    assert!(took >= least && took < most, "after {took:?}");
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    run(async {
        let mut rig = Rig::new(Timeouts { head: SHORT, idle: STUCK }).await;
        // Not before a head has begun.
        tokio::time::sleep(SHORT * 2).await;
        rig.client.write_all(b"GET /ok HT").await.expect("send");
        let mut client = rig.client;
        rig.client = TcpStream::connect(listen().local_addr().expect("an address")).await.expect("a stand-in");
        spawn_local(async move {
            // Every byte is activity, but the head is no nearer to its end.
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        ends_within(rig, SHORT / 2, SHORT * 3).await;
    });
}

#[test]
fn silence_ends_a_pair_and_activity_does_not() {
    run(async {
        let mut rig = Rig::new(Timeouts { head: STUCK, idle: SHORT }).await;
        let mut server = rig.begin(&get("/ok")).await;
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("answer");
        for _ in 0..6 {
            tokio::time::sleep(SHORT / 2).await;
            server.write_all(b"x").await.expect("send more");
        }
        ends_within(rig, SHORT / 2, SHORT * 3).await;
    });
}

#[test]
fn a_body_that_nobody_asked_for_goes_after_a_second() {
    run(async {
        let mut rig = Rig::patient().await;
        let head = "POST /ok HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
        let mut server = rig.begin(head).await;
        let begun = Instant::now();
        rig.client.write_all(b"body").await.expect("send the body");
        expect(&mut server, "body").await;
        assert!((0.9..2.0).contains(&begun.elapsed().as_secs_f64()), "after {:?}", begun.elapsed());
        server.write_all(ok("1").as_bytes()).await.expect("answer");
        expect(&mut rig.client, &ok("1")).await;
        // The second's time is its own, although the first had some left when it was answered.
        rig.client.write_all(format!("{head}body").as_bytes()).await.expect("send the next");
        expect(&mut server, head).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.expect("ask for the body");
        expect(&mut server, "body").await;
        server.write_all(ok("2").as_bytes()).await.expect("answer");
        rig.client.write_all(format!("{head}body").as_bytes()).await.expect("send the third");
        let begun = Instant::now();
        expect(&mut server, &format!("{head}body")).await;
        assert!(begun.elapsed() > Duration::from_millis(900), "after {:?}", begun.elapsed());
    });
}

#[test]
fn a_client_that_stays_after_the_last_reply_is_left_after_two_seconds() {
    run(async {
        let mut rig = Rig::patient().await;
        rig.client.write_all(b"nonsense\n").await.expect("send");
        let mut head = [0; 12];
        rig.client.read_exact(&mut head).await.expect("a reply");
        assert_eq!(&head, b"HTTP/1.1 400");
        ends_within(rig, Duration::from_millis(1500), Duration::from_secs(4)).await;
    });
}

#[test]
fn a_drain_ends_idle_pairs_at_once_and_others_after_their_exchange() {
    run(async {
        let (idle, mut busy) = (Rig::patient().await, Rig::patient().await);
        idle.common.drain.begin();
        assert_eq!(idle.ended().await, End::Finished);
        let mut server = busy.begin(&get("/ok")).await;
        busy.common.drain.begin();
        let common = Rc::clone(&busy.common);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!busy.relay.is_finished());
        server.write_all(ok("done").as_bytes()).await.expect("answer");
        expect(&mut busy.client, &ok("done")).await;
        assert_eq!(busy.ended().await, End::Finished);
        common.drain.ended().await;
    });
}

#[test]
fn a_client_that_does_not_read_its_denials_is_not_read_from_for_ever() {
    run(async {
        let rig = Rig::patient().await;
        let (mut from_weir, mut to_weir) = rig.client.into_split();
        let requests = 30_000;
        let sent = Rc::new(std::cell::Cell::new(0));
        let count = Rc::clone(&sent);
        spawn_local(async move {
            let request = get("/x");
            for _ in 0..requests {
                to_weir.write_all(request.as_bytes()).await.expect("send");
                count.set(count.get() + 1);
            }
            to_weir
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let stalled = sent.get();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(sent.get() == stalled && stalled < requests / 2, "{stalled} and then {} were read", sent.get());
        let mut reply = [0; DENIED.len()];
        for _ in 0..requests {
            from_weir.read_exact(&mut reply).await.expect("a reply");
            assert_eq!(reply, DENIED.as_bytes());
        }
    });
}

#[test]
fn an_idle_pair_is_small() {
    // Sockets, tasks and timers come on top; `weir-bench idle` measures all of it.
    assert!(size_of::<Relay>() <= 1024, "{} bytes", size_of::<Relay>());
}
