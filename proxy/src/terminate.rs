//! The other way to serve a connection: every message is read by one side of hyper and written anew by the other. Only for
//! connections whose rules edit headers, since it costs several times what [`crate::relay`] does.
//!
//! ```text
//!                ┌ wire ── gate ┐                ┌─ judge, edit ─┐
//!   client ◀────▶│              ├─▶ hyper server ┤   exchange    ├ hyper client ◀─▶ upstream
//!                └──────────────┘                └───────────────┘
//! ```
//!
//! * The version is told by the client's first bytes, and the upstream is spoken to in the same. One client connection
//!   maps to one upstream connection, made with the first allowed request from the client's own address.
//! * The strict head and framing rules of HTTP/1 stand in front of hyper ([`Gate`]), so that what the inspector refuses is
//!   refused here; and a request is judged as hyper will write it.
//! * Bodies and trailers are streamed, with back-pressure; of HTTP/1 trailers those that `Trailer` announces. A body that
//!   waits for `100 Continue` waits for the upstream's. An allowed upgrade becomes a copy of bytes in both directions.
//! * What this mode does not do: CONNECT, `Upgrade: h2c` (the request goes on in HTTP/1), informational responses other than
//!   100 and 101.
//!
//! The two sockets are in `wire`, one request and its answer in `exchange`, bodies in `body`, upgrades in `tunnel`.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn, service::service_fn};
use tokio::{
    net::TcpStream,
    task::{AbortHandle, spawn_local},
    time::{Instant, Sleep, sleep_until, timeout},
};
use weir_filters::{
    http::{self, inspect::gate::Gate},
    http2::{self, PREFACE},
};
use weir_model::flow::HttpVersion;

use self::{
    exchange::Sender,
    tunnel::Tunnel,
    wire::{Activity, ClientWire, Front, SharedFront},
};
use crate::{
    inspect::{Course, Session},
    relay::{Common, End, Timeouts},
    socket,
};

mod body;
mod exchange;
mod tunnel;
mod wire;

#[cfg(test)]
mod tests;

/// After the last byte for the client its rest is read and dropped for so long, so that a reset does not overtake the answer.
const LINGER: Duration = Duration::from_secs(2);

/// A limit of 0 shall not make the timer fire all the time.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// Bytes that a peer may send on one stream of HTTP/2 before somebody reads them; and on all of a connection's.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Spawns on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// One connection under termination.
struct Connection {
    session: RefCell<Session>,
    common: Rc<Common>,
    client: Arc<TcpStream>,
    version: HttpVersion,
    front: SharedFront,
    activity: Arc<Activity>,
    /// How the upstream is spoken to, once it is.
    sender: tokio::sync::Mutex<Option<Sender>>,
    upstream: RefCell<Option<Arc<TcpStream>>>,
    /// The upstream's half of hyper.
    task: RefCell<Option<AbortHandle>>,
    /// Number of the last request.
    requests: Cell<u32>,
    tunnel: RefCell<Option<Tunnel>>,
    /// The upstream will not answer any more; the client is told to go.
    leaving: Cell<bool>,
    /// Set by whoever finds that it is over.
    end: Cell<Option<End>>,
    waker: RefCell<Waker>,
}

impl Connection {
    /// Ends the connection at once.
    fn end(&self, end: End) {
        self.end.set(self.end.get().or(Some(end)));
        self.waker.borrow().wake_by_ref();
    }

    /// Drops the upstream's connection.
    fn hang_up(&self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.upstream.take();
    }

    /// Ends the connection when what is under way is done.
    fn leave(&self) {
        self.leaving.set(true);
        self.waker.borrow().wake_by_ref();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Serves a client's connection to its end. The caller's task is to be woken when the drain begins.
pub async fn serve(client: TcpStream, mut session: Session, common: Rc<Common>) -> End {
    let first = match first_bytes(&client, &mut session, &common).await {
        Ok(first) => first,
        Err(end) => {
            if end == End::Cut {
                socket::reset_on_close(&client);
            }
            return end;
        }
    };
    if first.is_empty() {
        return End::Finished;
    }
    let version = if first.starts_with(PREFACE) { HttpVersion::Http2 } else { HttpVersion::Http11 };
    let client = Arc::new(client);
    let connection = Rc::new(Connection {
        session: RefCell::new(session),
        common,
        client: Arc::clone(&client),
        version,
        front: Front::shared(Gate::new(http::Limits::default())),
        activity: Arc::default(),
        sender: tokio::sync::Mutex::new(None),
        upstream: RefCell::default(),
        task: RefCell::default(),
        requests: Cell::new(0),
        tunnel: RefCell::default(),
        leaving: Cell::new(false),
        end: Cell::new(None),
        waker: RefCell::new(Waker::noop().clone()),
    });
    let end = match version {
        HttpVersion::Http2 => serve_http2(&connection, first).await,
        _ => serve_http1(&connection, first).await,
    };
    // Makes the other side see what happened to this one.
    if matches!(end, End::ClientReset | End::Aborted | End::Cut)
        && let Some(upstream) = &*connection.upstream.borrow()
    {
        socket::reset_on_close(upstream);
    }
    // What the server still has to say, nobody will hear.
    connection.hang_up();
    match end {
        End::UpstreamReset | End::Aborted | End::Cut => socket::reset_on_close(&client),
        End::Finished => linger(&client, &connection.common).await,
        End::ClientReset | End::TimedOut => {}
    }
    end
}

/// Reads until the version is known; nothing if the client ends before, or the proxy.
async fn first_bytes(client: &TcpStream, session: &mut Session, common: &Common) -> Result<Vec<u8>, End> {
    let mut readable = pin!(timeout(common.timeouts.idle.max(SHORTEST_TICK), client.readable()));
    let begun = poll_fn(|cx| match readable.as_mut().poll(cx) {
        Poll::Pending if common.drain.is_on() => Poll::Ready(Ok(None)),
        Poll::Pending if session.course(false) == Course::Cut => Poll::Ready(Err(End::Cut)),
        polled => polled.map(|begun| Ok(Some(begun))),
    });
    match begun.await? {
        None => return Ok(Vec::new()),
        Some(Ok(readable)) => readable.map_err(|_| End::ClientReset)?,
        Some(Err(_)) => return Err(End::TimedOut),
    }
    let read = timeout(common.timeouts.head.max(SHORTEST_TICK), read_version(client)).await;
    read.map_err(|_| End::TimedOut)?.map_err(|_| End::ClientReset)
}

async fn read_version(client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    loop {
        client.readable().await?;
        let mut buffer = [0; 4096];
        match client.try_read(&mut buffer) {
            Ok(0) => return Ok(first),
            Ok(n) => first.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if first.starts_with(PREFACE) || !PREFACE.starts_with(&first) {
            return Ok(first);
        }
    }
}

async fn serve_http1(connection: &Rc<Connection>, first: Vec<u8>) -> End {
    let wire = ClientWire::gated(connection, first);
    let service = service_fn(|request: Request<Incoming>| {
        let connection = Rc::clone(connection);
        async move { Ok::<_, Infallible>(exchange::serve_http1(&connection, request).await) }
    });
    let served = conn::http1::Builder::new()
        // As the relay: the end of what a client sends is not the end of what it reads.
        .half_close(true)
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_headers(http::MAX_HEADERS)
        .serve_connection(wire, service)
        .with_upgrades();
    let mut served = pin!(served);
    let mut clock = Clock::new(&connection.common.timeouts);
    let mut told = false;
    let served = poll_fn(|cx| {
        if connection.is_to_leave() && !std::mem::replace(&mut told, true) {
            served.as_mut().graceful_shutdown();
        }
        let polled = served.as_mut().poll(cx);
        connection.poll_end(polled, &mut clock, cx)
    })
    .await;
    let refusal = wire::lock(&connection.front).refusal.take();
    if let Some(refusal) = refusal {
        connection.session.borrow().unreadable(HttpVersion::Http11, 400, refusal.to_string());
    }
    let tunnel = connection.tunnel.take();
    match (served, tunnel) {
        (Err(end), _) => end,
        (Ok(Ok(())), Some(tunnel)) => {
            let mut copied = pin!(tunnel.run(connection));
            poll_fn(|cx| match connection.cut(true).map_or_else(|| copied.as_mut().poll(cx), Poll::Ready) {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending => clock.poll(connection, cx).map(|()| End::TimedOut),
            })
            .await
        }
        (Ok(Ok(())), None) => End::Finished,
        (Ok(Err(error)), _) => connection.lost(&error, refusal.is_some()),
    }
}

async fn serve_http2(connection: &Rc<Connection>, first: Vec<u8>) -> End {
    let wire = ClientWire::open(connection, first);
    let limits = http2::Limits::default();
    let service = service_fn(|request: Request<Incoming>| {
        let connection = Rc::clone(connection);
        async move { exchange::serve_http2(&connection, request).await }
    });
    let served = conn::http2::Builder::new(Local)
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(u32::try_from(limits.streams).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(limits.list_bytes).unwrap_or(u32::MAX))
        .serve_connection(wire, service);
    let mut served = pin!(served);
    let mut clock = Clock::new(&connection.common.timeouts);
    let mut told = false;
    let served = poll_fn(|cx| {
        if connection.is_to_leave() && !std::mem::replace(&mut told, true) {
            served.as_mut().graceful_shutdown();
        }
        let polled = served.as_mut().poll(cx);
        connection.poll_end(polled, &mut clock, cx)
    })
    .await;
    match served {
        Err(end) => end,
        Ok(Ok(())) => End::Finished,
        Ok(Err(error)) => connection.lost(&error, false),
    }
}

impl Connection {
    fn is_to_leave(&self) -> bool {
        self.leaving.get() || self.common.drain.is_on()
    }

    /// Ready when hyper is (`Ok`), or when it shall not go on.
    fn poll_end<T>(&self, served: Poll<T>, clock: &mut Clock, cx: &mut Context<'_>) -> Poll<Result<T, End>> {
        if !self.waker.borrow().will_wake(cx.waker()) {
            *self.waker.borrow_mut() = cx.waker().clone();
        }
        if let Some(end) = self.end.get().or_else(|| self.cut(false)) {
            return Poll::Ready(Err(end));
        }
        match served {
            Poll::Ready(served) => Poll::Ready(Ok(served)),
            Poll::Pending => clock.poll(self, cx).map(|()| Err(End::TimedOut)),
        }
    }

    /// What ends the connection if the policy in force does not allow it.
    fn cut(&self, opaque: bool) -> Option<End> {
        (self.session.borrow_mut().course(opaque) == Course::Cut).then_some(End::Cut)
    }

    /// Hyper could not go on with the client.
    fn lost(&self, error: &hyper::Error, recorded: bool) -> End {
        tracing::debug!(ends = ?self.session.borrow().ends(), %error, "the client's connection broke off");
        if error.is_parse() && !recorded {
            // Hyper has answered 400 then.
            self.session.borrow().unreadable(self.version, 400, error.to_string());
            return End::Finished;
        }
        // Half a head, and the end: nobody needs to hear of it.
        if error.is_incomplete_message() { End::Finished } else { End::ClientReset }
    }
}

/// The time limits of a connection, on one timer.
struct Clock {
    timer: Pin<Box<Sleep>>,
    limits: Timeouts,
}

impl Clock {
    fn new(limits: &Timeouts) -> Self {
        let mut clock = Self { timer: Box::pin(sleep_until(Instant::now())), limits: *limits };
        let first = Instant::now() + clock.tick();
        clock.timer.as_mut().reset(first);
        clock
    }

    fn tick(&self) -> Duration {
        self.limits.head.min(self.limits.idle).max(SHORTEST_TICK)
    }

    /// Ready when a limit is reached.
    fn poll(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let head = wire::lock(&connection.front).head_since.map(|since| since + self.limits.head);
            let idle = connection.activity.last() + self.limits.idle;
            let due = head.map_or(idle, |head| head.min(idle));
            let now = Instant::now();
            if due <= now {
                return Poll::Ready(());
            }
            let next = due.min(now + self.tick());
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// Reads and drops what the client still sends, until it ends too.
async fn linger(client: &TcpStream, common: &Common) {
    socket::finish(client);
    let drop_all = async {
        let mut buffer = vec![0; 16 << 10];
        while client.readable().await.is_ok() {
            match client.try_read(&mut buffer) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    let patience = if common.drain.is_on() { Duration::ZERO } else { LINGER };
    let _ = timeout(patience, drop_all).await;
}
