//! The two ends: threads with blocking sockets, three per connection.
//!
//! A connection's sender takes the next numbers, writes their requests, and waits until the checker has seen all their
//! responses. So at most a batch is under way per connection, and the two never wait for each other while both are full.

use std::io::BufReader;
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use weir_lab::{Netns, in_netns};

use super::plan::Plan;
use super::wire::{self, Pool};

/// The deepest pipeline.
const DEEPEST: u64 = 8;
/// One batch in so many is pipelined.
const PIPELINED: u8 = 8;
/// Nothing takes so long, however busy the machine is.
const STALLED: Duration = Duration::from_secs(60);
const READ_BUFFER: usize = 64 << 10;

/// A run, shared by all threads.
pub(super) struct Run {
    seed: u64,
    requests: u64,
    pool: Pool,
    /// Before that only weir's readiness is probed.
    begun: AtomicBool,
    next: AtomicU64,
    done: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Run {
    pub(super) fn new(seed: u64, requests: u64) -> Self {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let begun = AtomicBool::new(false);
        Self { seed, requests, pool: Pool::new(seed), begun, next, done, failure: Mutex::default() }
    }

    /// Exchanges that were in order.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The first thing that went wrong.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, who: &str, error: &anyhow::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // What comes later is mostly the consequence.
        failure.get_or_insert_with(|| format!("{who}: {error:#}"));
        self.next.store(self.requests, Ordering::Relaxed);
    }

    /// Serves in `netns` until the program ends.
    pub(super) fn serve(self: &Arc<Self>, netns: &Netns) -> Result<()> {
        let listener = in_netns(netns, || TcpListener::bind(("0.0.0.0", 80))).context("listen in the server's pod")?;
        let run = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(std::io::Result::ok) {
                let run = Arc::clone(&run);
                thread::spawn(move || {
                    if let Err(error) = run.answer(&stream)
                        && run.begun.load(Ordering::Relaxed)
                    {
                        run.fail("server", &error);
                    }
                });
            }
        });
        Ok(())
    }

    fn answer(&self, stream: &TcpStream) -> Result<()> {
        prepare(stream)?;
        let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
        let mut number = 0;
        loop {
            let of = |start: &str| {
                number = path_number(start)?;
                Ok(number)
            };
            let received = wire::receive(&mut reader, of);
            let Some(size) = received.with_context(|| format!("request {number} or the next"))? else {
                return Ok(());
            };
            let plan = Plan::of(self.seed, number);
            ensure!(size == plan.request.size, "request {number}: {size} bytes came, not {}", plan.request.size);
            let answer = wire::encode(&self.pool, &format!("HTTP/1.1 200 {number}"), number, &plan.response)?;
            wire::send(stream, &answer, &plan.response).with_context(|| format!("response {number}"))?;
        }
    }

    /// Starts the connections from `netns`.
    pub(super) fn call(self: &Arc<Self>, netns: &Netns, to: SocketAddrV4, count: u32) -> Result<Vec<JoinHandle<()>>> {
        self.begun.store(true, Ordering::Relaxed);
        let mut threads = Vec::new();
        for number in 0..count {
            let stream = in_netns(netns, || TcpStream::connect_timeout(&to.into(), STALLED));
            let stream = stream.with_context(|| format!("connection {number}"))?;
            prepare(&stream)?;
            let run = Arc::clone(self);
            threads.push(thread::spawn(move || run.exchange(&stream, u64::from(number))));
        }
        Ok(threads)
    }

    fn exchange(&self, stream: &TcpStream, connection: u64) {
        let (batches, sent) = mpsc::sync_channel(1);
        let (checked, answers) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(move || {
                if let Err(error) = self.check(stream, &sent, &checked) {
                    self.fail("client", &error);
                    // The sender may wait for room.
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                }
            });
            if let Err(error) = self.send(stream, connection, &batches, &answers) {
                self.fail("client", &error);
            }
            drop(batches);
        });
    }

    fn send(
        &self,
        stream: &TcpStream,
        connection: u64,
        batches: &SyncSender<(u64, u64)>,
        answers: &Receiver<()>,
    ) -> Result<()> {
        let mut rng = Rng::with_seed(self.seed.rotate_left(32) ^ connection);
        loop {
            let depth = if rng.u8(..PIPELINED) == 0 { rng.u64(2..=DEEPEST) } else { 1 };
            let first = self.next.fetch_add(depth, Ordering::Relaxed);
            let end = (first + depth).min(self.requests);
            // The checker has hung up if it has failed.
            if first >= end || batches.send((first, end)).is_err() {
                return Ok(());
            }
            for number in first..end {
                let request = Plan::of(self.seed, number).request;
                let start = format!("POST /n/{number} HTTP/1.1");
                let wire = wire::encode(&self.pool, &start, number, &request)?;
                wire::send(stream, &wire, &request).with_context(|| format!("request {number}"))?;
            }
            if answers.recv().is_err() {
                return Ok(());
            }
        }
    }

    fn check(&self, stream: &TcpStream, sent: &Receiver<(u64, u64)>, checked: &SyncSender<()>) -> Result<()> {
        let mut reader = BufReader::with_capacity(READ_BUFFER, stream);
        for (first, end) in sent {
            for number in first..end {
                let of = |start: &str| {
                    ensure!(start == format!("HTTP/1.1 200 {number}"), "the answer is {start:?}");
                    Ok(number)
                };
                let received = wire::receive(&mut reader, of).with_context(|| format!("response {number}"))?;
                let size = received.with_context(|| format!("response {number}: the connection ended"))?;
                let wanted = Plan::of(self.seed, number).response.size;
                ensure!(size == wanted, "response {number}: {size} bytes came, not {wanted}");
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            if checked.send(()).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// The number in a request line.
fn path_number(start: &str) -> Result<u64> {
    let number = start.strip_prefix("POST /n/").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("the request is {start:?}"))
}

fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALLED))?;
    stream.set_write_timeout(Some(STALLED))?;
    Ok(())
}
