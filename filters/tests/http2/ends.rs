//! Real ends: an h2 client and an h2 server, and the inspector between them. Bodies are intact, each request is judged, no
//! denied one arrives, and nothing hangs. Everything random comes from a seed that a failure prints.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split},
    task::LocalSet,
};
use weir_filters::{
    connection::{ClientStep, Inspector, ServerStep},
    http2,
};

use crate::driver::{Subject, Witness};

/// Marsaglia's xorshift.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Moves bytes through an inspector by the letter of the contract, in pieces of any size.
async fn relay(client: DuplexStream, server: DuplexStream, mut random: Random) -> Witness {
    let mut inspector: Box<dyn Subject> = match random.below(2) {
        0 => Box::new(Inspector::new()),
        _ => Box::new(http2::Inspector::new(http2::Limits::default())),
    };
    let mut judge =
        Witness { told: Vec::new(), allowed: Vec::new(), now: Instant::now(), allows_all: false, reason: None };
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) = (split(client), split(server));
    let (mut client_in, mut server_in) = (Vec::new(), Vec::new());
    let (mut to_client, mut to_server) = (Vec::<u8>::new(), Vec::<u8>::new());
    let (mut waiting, mut holding, mut closed) = (false, false, false);
    let largest = random.pick(&[1, 10, 1_000, 30_000]);
    let (mut a, mut b) = (vec![0; 40_000], vec![0; 40_000]);
    loop {
        let sizes = [1 + random.below(largest), 1 + random.below(largest)];
        let out = [1 + random.below(40_000), 1 + random.below(40_000)].map(|size| size.max(largest));
        let ends = tokio::select! {
            n = client_read.read(&mut a[..sizes[0]]), if !waiting && to_server.len() < 100_000 => {
                let n = n.unwrap_or(0);
                client_in.extend_from_slice(&a[..n]);
                n == 0
            }
            n = server_read.read(&mut b[..sizes[1]]), if !holding && to_client.len() < 100_000 => {
                let n = n.unwrap_or(0);
                server_in.extend_from_slice(&b[..n]);
                n == 0
            }
            n = client_write.write(&to_client[..to_client.len().min(out[0])]), if !to_client.is_empty() => {
                let n = n.unwrap_or(0);
                to_client.drain(..n);
                n == 0
            }
            n = server_write.write(&to_server[..to_server.len().min(out[1])]), if !to_server.is_empty() => {
                let n = n.unwrap_or(0);
                to_server.drain(..n);
                n == 0
            }
        };
        if ends || closed {
            return judge;
        }
        loop {
            let mut moved = false;
            if !waiting && !client_in.is_empty() {
                let step = inspector.client(&client_in, &mut judge);
                moved = true;
                match step {
                    ClientStep::Forward(n) => to_server.extend(client_in.drain(..n)),
                    ClientStep::Replace(n) => {
                        to_server.extend(inspector.take_replacement());
                        client_in.drain(..n);
                    }
                    ClientStep::Discard(n) => drop(client_in.drain(..n)),
                    ClientStep::NeedMore => moved = false,
                    ClientStep::Wait => (waiting, moved) = (true, false),
                    step => panic!("{step:?}: {:?}", judge.told),
                }
                holding &= !moved;
            }
            if !holding && !server_in.is_empty() && (!moved || random.below(2) == 0) {
                match inspector.server(&server_in, &mut judge) {
                    ServerStep::Forward(n) => {
                        to_client.extend(server_in.drain(..n));
                        (waiting, moved) = (false, true);
                    }
                    ServerStep::Replace(n) => {
                        to_client.extend(inspector.take_replacement());
                        server_in.drain(..n);
                        (waiting, moved) = (false, true);
                    }
                    ServerStep::NeedMore => {}
                    ServerStep::Hold => holding = true,
                    step => panic!("{step:?}: {:?}", judge.told),
                }
            }
            while let Some(reply) = inspector.take_reply() {
                to_client.extend_from_slice(&reply.bytes);
                closed |= reply.close;
                (waiting, moved) = (false, true);
            }
            if !moved {
                break;
            }
        }
    }
}

/// A request, and what is to come of it.
#[derive(Clone, Debug)]
struct Call {
    number: usize,
    denied: bool,
    method: &'static str,
    grpc: bool,
    trailers: bool,
    body: Vec<u8>,
}

impl Call {
    fn random(number: usize, random: &mut Random) -> Self {
        let size = match random.below(4) {
            0 => 0,
            1 => random.below(100),
            2 => random.below(20_000),
            _ => random.below(200_000),
        };
        let body = (0..size).map(|at| (at * 7 + number).to_le_bytes()[0]).collect();
        let method = random.pick(&["POST", "PUT", "GET"]);
        Self {
            number,
            denied: random.below(3) == 0,
            method,
            grpc: random.below(4) == 0,
            trailers: random.below(3) == 0,
            body,
        }
    }

    fn path(&self) -> String {
        format!("/{}/{}", if self.denied { "no" } else { "yes" }, self.number)
    }
}

async fn send(mut stream: SendStream<Bytes>, body: &[u8], trailers: bool, mut random: Random) -> Result<(), h2::Error> {
    let mut rest = body;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(1 + random.below(60_000)));
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap_or(Ok(0))?;
        if room == 0 {
            return Ok(());
        }
        let (piece, behind) = rest.split_at(room.min(rest.len()));
        rest = behind;
        stream.send_data(Bytes::copy_from_slice(piece), rest.is_empty() && !trailers)?;
        if random.below(3) == 0 {
            tokio::task::yield_now().await;
        }
    }
    if trailers {
        let mut map = HeaderMap::new();
        map.insert("x-sum", body.len().into());
        return stream.send_trailers(map);
    }
    if body.is_empty() { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

async fn receive(mut stream: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    loop {
        match stream.data().await {
            Some(Ok(piece)) => {
                stream.flow_control().release_capacity(piece.len())?;
                body.extend_from_slice(&piece);
            }
            // The client is asked not to send the rest.
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Ok((body, None)),
            Some(Err(error)) => return Err(error),
            None => return Ok((body, stream.trailers().await.unwrap_or(None))),
        }
    }
}

type Arrived = Rc<RefCell<BTreeMap<usize, Vec<u8>>>>;

async fn serve(io: DuplexStream, arrived: Arrived, mut random: Random) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(random.pick(&[1_000, 65_535, 1 << 20]));
    builder.max_concurrent_streams(random.pick(&[3, 100]));
    builder.max_frame_size(random.pick(&[16_384, 100_000]));
    if random.below(2) == 0 {
        builder.initial_connection_window_size(random.pick(&[65_535, 1 << 20]));
    }
    let mut connection = builder.handshake::<_, Bytes>(io).await.expect("a handshake");
    while let Some(request) = connection.accept().await {
        let Ok((request, mut respond)) = request else { return };
        let (arrived, random) = (Rc::clone(&arrived), Random(random.below(1 << 40) as u64 + 1));
        tokio::task::spawn_local(async move {
            let path = request.uri().path().to_string();
            let number = path.strip_prefix("/yes/").unwrap_or_else(|| panic!("{path}")).parse().expect("a number");
            let trailers = request.headers().contains_key("x-trailers");
            let (body, _) = receive(request.into_body()).await.expect("a body");
            assert!(arrived.borrow_mut().insert(number, body.clone()).is_none(), "twice");
            let response =
                Response::builder().header("x-number", number).header("server", "s").body(()).expect("a head");
            let stream = respond.send_response(response, false).expect("a response");
            send(stream, &body, trailers, random).await.expect("an answer");
        });
    }
}

async fn ask(mut sender: h2::client::SendRequest<Bytes>, call: Call, mut random: Random) {
    sender = sender.ready().await.expect("a connection");
    let mut request = Request::builder().method(call.method).uri(format!("http://h{}", call.path()));
    request = request.header("x-random", random.below(3)).header("x-number", call.number);
    if call.grpc {
        request = request.header("content-type", "application/grpc");
    }
    if call.trailers {
        request = request.header("x-trailers", "1");
    }
    if random.below(2) == 0 && !call.trailers {
        request = request.header("content-length", call.body.len());
    }
    let (response, stream) = sender.send_request(request.body(()).expect("a head"), false).expect("a request");
    let body = call.body.clone();
    let sending = tokio::task::spawn_local(async move { send(stream, &body, call.trailers, random).await });
    let response = response.await.unwrap_or_else(|error| panic!("{} {error}", call.path()));
    let (head, body) = response.into_parts();
    let (body, trailers) = receive(body).await.unwrap_or_else(|error| panic!("{} {error}", call.path()));
    if !call.denied {
        sending.await.expect("a task").expect("sent");
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers["x-number"], call.number.to_string());
        assert!(body == call.body, "another body for {}", call.path());
        assert_eq!(trailers.is_some_and(|map| map.contains_key("x-sum")), call.trailers);
    } else if call.grpc {
        assert_eq!((head.status, &head.headers["grpc-status"]), (StatusCode::OK, &"7".parse().expect("a value")));
    } else {
        assert_eq!(head.status, StatusCode::FORBIDDEN);
        let length = head.headers["content-length"].to_str().expect("a number").parse::<usize>().expect("a number");
        assert_eq!(body, &b"Access denied\r\n"[..length]);
    }
}

async fn connection(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let buffer = random.pick(&[100, 5_000, 100_000]);
    let ((client, near), (far, server)) = (tokio::io::duplex(buffer), tokio::io::duplex(buffer));
    let arrived = Arrived::default();
    let relay = tokio::task::spawn_local(relay(near, far, Random(seed + 1)));
    tokio::task::spawn_local(serve(server, Rc::clone(&arrived), Random(seed + 2)));

    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(random.pick(&[10, 15, 1_000, 65_535, 1 << 20]));
    builder.header_table_size(random.pick(&[0, 100, 4_096, 100_000]));
    builder.enable_push(false);
    if random.below(2) == 0 {
        builder.initial_connection_window_size(random.pick(&[65_535, 1 << 20]));
    }
    let (sender, driver) = builder.handshake::<_, Bytes>(client).await.expect("a handshake");
    let driver = tokio::task::spawn_local(driver);
    let calls: Vec<Call> = (0..1 + random.below(40)).map(|number| Call::random(number, &mut random)).collect();
    let asked: Vec<_> = calls
        .iter()
        .map(|call| {
            tokio::task::spawn_local(ask(sender.clone(), call.clone(), Random(random.below(1 << 40) as u64 + 1)))
        })
        .collect();
    drop(sender);
    for task in asked {
        task.await.expect("a call");
    }
    driver.await.expect("a task").expect("a connection");
    let told = relay.await.expect("a relay").told;
    for call in &calls {
        let word = if call.denied { "deny" } else { "allow" };
        let verdicts = told.iter().filter(|told| told.ends_with(&format!(" {}", call.path())));
        let verdicts: Vec<&String> = verdicts.collect();
        assert!(verdicts.len() == 1 && verdicts[0].starts_with(word), "{}: {verdicts:?}", call.path());
        let body = arrived.borrow_mut().remove(&call.number);
        assert_eq!(body.is_some(), !call.denied, "{}", call.path());
        assert!(body.is_none_or(|body| body == call.body), "another body for {}", call.path());
    }
    assert!(arrived.borrow().is_empty());
    assert!(!told.iter().any(|told| told.starts_with("refused")), "{told:?}");
}

#[test]
fn real_ends_understand_each_other() {
    for seed in 0..40 {
        println!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let local = LocalSet::new();
        let run = async { tokio::time::timeout(Duration::from_secs(60), connection(seed)).await };
        local.block_on(&runtime, run).unwrap_or_else(|_| panic!("seed {seed}: it hangs"));
    }
}
