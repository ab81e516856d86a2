//! The traffic: a server in one pod, callers in the other, on one runtime of their own.

use std::net::{SocketAddrV4, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use fastrand::Rng;
use h2::client::SendRequest;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use weir_lab::{Netns, in_netns};

use super::oracle::Sighting;

/// Connections of HTTP/1.1, and connections of HTTP/2 with their streams.
const H1: u32 = 16;
const H2: u32 = 4;
const STREAMS: u32 = 4;
/// No answer takes so long, however busy the machine is.
const STALLED: Duration = Duration::from_secs(20);
/// The largest body, in bytes.
const LARGEST: usize = 20_000;
/// A connection is used so often at most: enough new ones that the agent remembers no more after the start.
const USES: u32 = 20;

/// The two ends, before the traffic.
pub(super) struct Callers {
    client: Arc<Netns>,
    targets: [SocketAddrV4; 2],
}

/// Traffic that flows.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    seen: Seen,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
}

type Seen = Arc<Mutex<Vec<Sighting>>>;

impl Callers {
    /// Starts the server.
    pub(super) fn start(client: &Netns, server: &Netns, targets: [SocketAddrV4; 2]) -> Result<Self> {
        for (target, is_h2) in targets.into_iter().zip([false, true]) {
            let listener = in_netns(server, || StdListener::bind(target)).with_context(|| format!("bind {target}"))?;
            listener.set_nonblocking(true)?;
            thread::spawn(move || runtime()?.block_on(serve(listener, is_h2)));
        }
        Ok(Self { client: Arc::new(client.clone()), targets })
    }

    /// Calls at this rate until it is stopped.
    pub(super) fn call(self, rate: u32, seed: u64) -> Result<Traffic> {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
        let context = Shared {
            client: self.client,
            stop: Arc::clone(&stop),
            seen: Arc::clone(&seen),
            pause: Duration::from_secs(1) * (H1 + H2 * STREAMS) / rate,
        };
        let [h1, h2] = self.targets;
        let calls = async move {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..H1 {
                tasks.spawn_local(call_h1(context.clone(), h1, Rng::with_seed(seed + u64::from(number))));
            }
            for number in 0..H2 {
                tasks.spawn_local(call_h2(context.clone(), h2, seed + 1000 * u64::from(number + 1)));
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok(())
        };
        let thread = thread::spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime()?, calls)
        });
        Ok(Traffic { stop, seen, thread: Mutex::new(Some(thread)) })
    }
}

impl Traffic {
    /// What was seen since the last call.
    pub(super) fn sightings(&self) -> Vec<Sighting> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No later sighting began before this.
    pub(super) fn oldest(&self) -> Instant {
        Instant::now().checked_sub(STALLED * 2).unwrap_or_else(Instant::now)
    }

    /// Ends it.
    pub(super) fn stop(&self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| thread.join().map_err(|_| anyhow!("a caller panicked"))?)
    }
}

/// What each caller has.
#[derive(Clone)]
struct Shared {
    client: Arc<Netns>,
    stop: Arc<AtomicBool>,
    seen: Seen,
    pause: Duration,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn connect(&self, target: SocketAddrV4) -> Result<TcpStream> {
        let stream = in_netns(&self.client, || StdStream::connect_timeout(&target.into(), STALLED))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(TcpStream::from_std(stream)?)
    }

    fn saw(&self, key: u8, how: &'static str, begun: Instant, allowed: Option<bool>) {
        let sighting = Sighting { key, how, begun, ended: Instant::now(), allowed };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn verdict(status: u16) -> Option<bool> {
    match status {
        200 => Some(true),
        403 => Some(false),
        _ => None,
    }
}

async fn call_h1(context: Shared, target: SocketAddrV4, mut rng: Rng) -> Result<()> {
    while context.goes_on() {
        let mut stream = BufStream::new(context.connect(target).await?);
        for _ in 0..rng.u32(1..USES) {
            let (key, size) = (rng.u8(..8), body_size(&mut rng));
            let head = if size == 0 {
                format!("GET /{key}/x HTTP/1.1\r\nhost: soak\r\n\r\n")
            } else {
                format!("POST /{key}/x HTTP/1.1\r\nhost: soak\r\ncontent-length: {size}\r\n\r\n")
            };
            let begun = Instant::now();
            let exchange = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&vec![b'x'; size]).await?;
                stream.flush().await?;
                let status = read_head(&mut stream).await?;
                anyhow::Ok(status)
            };
            let status = timeout(STALLED, exchange).await.ok().and_then(Result::ok);
            context.saw(key, "h1", begun, status.and_then(verdict));
            sleep(context.pause).await;
            if status.is_none() || !context.goes_on() {
                break;
            }
        }
    }
    Ok(())
}

/// The status of a response, whose body is read too.
async fn read_head(stream: &mut BufStream<TcpStream>) -> Result<u16> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        anyhow::ensure!(stream.read_line(&mut line).await? > 0, "the connection ended");
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(rest) = text.strip_prefix("http/1.1 ") {
            status = rest.get(..3).and_then(|digits| digits.parse().ok()).context("no status")?;
        }
        if let Some(digits) = text.strip_prefix("content-length: ") {
            length = digits.parse()?;
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(status)
}

async fn call_h2(context: Shared, target: SocketAddrV4, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    while context.goes_on() {
        let (client, connection) = h2::client::handshake(context.connect(target).await?).await?;
        let connection = tokio::task::spawn_local(connection);
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn_local(call_streams(context.clone(), client.clone(), Rng::with_seed(rng.u64(..))));
        }
        while streams.join_next().await.is_some() {}
        drop(client);
        let _ = timeout(STALLED, connection).await;
    }
    Ok(())
}

async fn call_streams(context: Shared, mut client: SendRequest<Bytes>, mut rng: Rng) {
    for _ in 0..rng.u32(1..USES) {
        let (key, size, is_grpc) = (rng.u8(..8), body_size(&mut rng), rng.bool());
        let begun = Instant::now();
        let answer = timeout(STALLED, exchange(&mut client, key, size, is_grpc)).await.ok().and_then(Result::ok);
        context.saw(key, if is_grpc { "grpc" } else { "h2" }, begun, answer.flatten());
        sleep(context.pause).await;
        if answer.is_none() || !context.goes_on() {
            return;
        }
    }
}

/// The verdict that an answer shows.
async fn exchange(client: &mut SendRequest<Bytes>, key: u8, size: usize, is_grpc: bool) -> Result<Option<bool>> {
    let mut request = http::Request::post(format!("http://soak/{key}/x"));
    if is_grpc {
        request = request.header("content-type", "application/grpc").header("te", "trailers");
    }
    let mut ready = client.clone().ready().await?;
    let (response, mut body) = ready.send_request(request.body(())?, size == 0)?;
    if size > 0 {
        // A denied request is reset before its body has gone.
        let _ = body.send_data(vec![b'x'; size].into(), true);
    }
    let response = response.await?;
    let status = response.status().as_u16();
    let grpc = response.headers().get("grpc-status").map(|status| status.as_bytes().to_vec());
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        // The last word after a denial is a reset without an error.
        let Ok(data) = data else { break };
        let _ = body.flow_control().release_capacity(data.len());
    }
    Ok(match (is_grpc, grpc.as_deref()) {
        (true, Some(b"7")) => Some(false),
        (true, Some(_)) => None,
        _ => verdict(status),
    })
}

/// Mostly none, some small, a few that take several frames.
fn body_size(rng: &mut Rng) -> usize {
    match rng.u8(..8) {
        0 => rng.usize(1..LARGEST),
        1 | 2 => rng.usize(1..500),
        _ => 0,
    }
}

/// Answers every request with 200.
async fn serve(listener: StdListener, is_h2: bool) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move { if is_h2 { serve_h2(stream).await } else { serve_h1(stream).await } });
    }
}

async fn serve_h1(stream: TcpStream) -> Result<()> {
    let mut stream = BufStream::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(digits) = line.trim_end().strip_prefix("content-length: ") {
                length = digits.parse()?;
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
        stream.flush().await?;
    }
}

async fn serve_h2(stream: TcpStream) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                let length = data?.len();
                body.flow_control().release_capacity(length)?;
            }
            let mut stream = respond.send_response(http::Response::new(()), false)?;
            stream.send_data(Bytes::from_static(b"ok"), true)?;
            anyhow::Ok(())
        });
    }
    Ok(())
}
