//! Random exchanges over random pieces, stalls and ends, against the byte streams that must come out.
//!
//! A run follows from its seed, up to the order in which the kernel wakes sockets; `WEIR_SEED` repeats one.

use fastrand::Rng;

use super::*;

/// How long runs go on.
const TIME: Duration = Duration::from_secs(4);

/// What happens over one pair.
struct Script {
    /// As the client writes it.
    requests: Vec<u8>,
    /// For each allowed request: how much of [`Self::forwarded`] the server reads before it answers, and the answer.
    answers: Vec<(usize, Vec<u8>)>,
    /// What the server has to see.
    forwarded: Vec<u8>,
    /// What the client has to see.
    responses: Vec<u8>,
    /// Whether the server ends the connection after its last answer, or the client after its last request.
    server_ends: bool,
}

impl Script {
    fn random(rng: &mut Rng) -> Self {
        let server_ends = rng.bool();
        let mut script = Self { requests: vec![], answers: vec![], forwarded: vec![], responses: vec![], server_ends };
        for _ in 0..rng.usize(0..12) {
            script.exchange(rng);
        }
        match rng.u8(..4) {
            0 => script.tunnel(rng),
            1 => script.last(rng),
            _ if server_ends => script.exchange_of(rng, true),
            _ => {}
        }
        script
    }

    fn exchange(&mut self, rng: &mut Rng) {
        let allowed = rng.u8(..3) > 0;
        self.exchange_of(rng, allowed);
    }

    fn exchange_of(&mut self, rng: &mut Rng, allowed: bool) {
        let path = if allowed { "/ok" } else { "/no" };
        let method = ["GET", "POST", "PUT"][rng.usize(..3)];
        let body = message(rng);
        let request = [format!("{method} {path} HTTP/1.1\r\nhost: web\r\n").as_bytes(), &body].concat();
        if !allowed {
            self.requests.extend(request);
            self.responses.extend(DENIED.as_bytes());
            return;
        }
        let interim: &[u8] = if rng.u8(..8) == 0 { b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" } else { b"" };
        let answer = [interim, b"HTTP/1.1 200 OK\r\n", &message(rng)].concat();
        // Some servers answer before they have read the body.
        let least = request.len() - body.len() + body.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
        let read = if rng.u8(..4) == 0 { least } else { request.len() };
        self.allowed(&request, read, answer);
    }

    /// A last exchange that says so, perhaps with a body that ends with the connection.
    fn last(&mut self, rng: &mut Rng) {
        let request = b"GET /ok HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n";
        let until_close = rng.bool();
        let body = if until_close { [b"\r\n", &*bytes(rng)].concat() } else { message(rng) };
        self.allowed(request, request.len(), [b"HTTP/1.1 200 OK\r\n", &*body].concat());
        self.server_ends = true;
    }

    /// An upgrade, and bytes of any kind both ways.
    fn tunnel(&mut self, rng: &mut Rng) {
        let request = b"GET /ok HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n";
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n";
        self.allowed(request, request.len(), [head, &*bytes(rng)].concat());
        let more = bytes(rng);
        self.requests.extend(&more);
        self.forwarded.extend(&more);
    }

    fn allowed(&mut self, request: &[u8], read: usize, answer: Vec<u8>) {
        self.answers.push((self.forwarded.len() + read, answer.clone()));
        self.requests.extend(request);
        self.forwarded.extend(request);
        self.responses.extend(answer);
    }
}

/// The rest of a head, and a body.
fn message(rng: &mut Rng) -> Vec<u8> {
    let body = bytes(rng);
    if rng.bool() {
        return [format!("content-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    }
    let mut wire = b"transfer-encoding: chunked\r\n\r\n".to_vec();
    let mut rest = &*body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.usize(1..=rest.len()));
        wire.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        rest = after;
    }
    wire.extend(if rng.bool() { &b"0\r\n\r\n"[..] } else { b"0\r\nx-sum: 1\r\n\r\n" });
    wire
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let length = [0, 1, rng.usize(..100), rng.usize(..5_000), rng.usize(..400_000)][rng.usize(..5)];
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

async fn pause(rng: &mut Rng) {
    match rng.u8(..16) {
        0 => tokio::time::sleep(Duration::from_micros(rng.u64(..3000))).await,
        1..4 => tokio::task::yield_now().await,
        _ => {}
    }
}

async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), data: &[u8], rng: &mut Rng) -> io::Result<()> {
    let most = [1 + data.len() / 50, 1 + data.len() / 5, data.len().max(1)][rng.usize(..3)];
    let mut rest = data;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.usize(1..=most).min(rest.len()));
        stream.write_all(piece).await?;
        rest = after;
        pause(rng).await;
    }
    Ok(())
}

/// Reads until there are `wanted` bytes, or the end; returns whether it was the end.
async fn read(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    seen: &mut Vec<u8>,
    wanted: usize,
    rng: &mut Rng,
) -> io::Result<bool> {
    let mut buffer = vec![0; [100, 5_000, 200_000][rng.usize(..3)]];
    while seen.len() < wanted {
        pause(rng).await;
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(true);
        }
        seen.extend_from_slice(&buffer[..n]);
    }
    Ok(false)
}

/// Plays the server; returns what it saw.
async fn serve(stream: TcpStream, script: Rc<Script>, mut rng: Rng) -> io::Result<Vec<u8>> {
    let (mut from, mut to) = stream.into_split();
    let mut seen = Vec::new();
    let (progress, mut at) = tokio::sync::watch::channel(0);
    let (answers, mut writing) = (Rc::clone(&script), rng.fork());
    let writer = spawn_local(async move {
        for (wanted, answer) in &answers.answers {
            if at.wait_for(|seen| seen >= wanted).await.is_err() {
                break;
            }
            write(&mut to, answer, &mut writing).await?;
        }
        if answers.server_ends {
            // A server that ends a stream of requests has read them all: it would reset the connection otherwise.
            let _ = at.wait_for(|seen| *seen >= answers.forwarded.len()).await;
            to.shutdown().await?;
        }
        Ok::<_, io::Error>(to)
    });
    loop {
        let wanted = seen.len() + 1;
        let ended = read(&mut from, &mut seen, wanted, &mut rng).await?;
        progress.send_replace(seen.len());
        if ended {
            break;
        }
    }
    writer.await.expect("no panic")?.shutdown().await?;
    Ok(seen)
}

async fn simulate(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let script = Rc::new(Script::random(&mut rng));
    let rig = Rig::patient().await;
    let Rig { client, server, relay, .. } = rig;
    let (played, serving) = (Rc::clone(&script), rng.fork());
    let server = spawn_local(async move {
        if played.answers.is_empty() {
            return Ok(Vec::new());
        }
        let (stream, _) = server.accept().await?;
        serve(stream, played, serving).await
    });
    let (mut from, mut to) = client.into_split();
    let (played, mut writing) = (Rc::clone(&script), rng.fork());
    let writer = spawn_local(async move {
        write(&mut to, &played.requests, &mut writing).await?;
        if !played.server_ends || played.answers.is_empty() || writing.bool() {
            to.shutdown().await?;
        }
        Ok::<_, io::Error>(to)
    });
    let mut seen = Vec::new();
    read(&mut from, &mut seen, usize::MAX, &mut rng).await.expect("the client reads to an orderly end");
    drop(writer.await.expect("no panic").expect("the client writes all"));
    drop(from);
    let forwarded = server.await.expect("no panic").expect("the server reads and writes all");
    assert!(seen == script.responses, "the client saw {} bytes of {}", seen.len(), script.responses.len());
    assert!(forwarded == script.forwarded, "the server saw {} of {}", forwarded.len(), script.forwarded.len());
    assert_eq!(relay.await.expect("no panic"), End::Finished);
}

#[test]
fn every_byte_arrives_once_and_in_order_and_no_pair_gets_stuck() {
    let given = std::env::var("WEIR_SEED").ok().map(|seed| seed.parse::<u64>().expect("WEIR_SEED is a number"));
    let (first, begun) = (given.unwrap_or_else(|| fastrand::u64(..1 << 32)), Instant::now());
    for seed in first.. {
        let result = std::panic::catch_unwind(|| run(simulate(seed)));
        assert!(result.is_ok(), "repeat it with WEIR_SEED={seed}");
        if given.is_some() || begun.elapsed() > TIME {
            break;
        }
    }
}
