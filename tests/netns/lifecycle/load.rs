//! Clients that never pause, so that a gap in what is served or denied is seen.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use weir_lab::{Netns, in_netns, wait_until};

use super::GET;
use crate::site::SOON;

/// Clients that call without a pause: some over one connection each, some over a new one each time.
pub struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(from: &Netns, to: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |kept: bool| {
            let (from, stop, served) = (from.clone(), Arc::clone(&stop), Arc::clone(&served));
            thread::spawn(move || in_netns(&from, || call_on(to, kept, &stop, &served)))
        };
        let threads = [true, true, true, false, false].map(client).into();
        let load = Self { stop, served, threads };
        load.goes_on();
        load
    }

    /// Waits until many more requests were served.
    pub fn goes_on(&self) {
        let before = self.served.load(Ordering::Relaxed);
        let more = || self.served.load(Ordering::Relaxed) > before + 200;
        wait_until("the load to go on", SOON, more).expect("the load goes on");
    }

    /// Ends, and fails if one request did.
    pub fn assert_no_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client panicked"));
        let failures: Vec<String> = failures.collect();
        let served = self.served.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {served} requests failed: {:?}", failures.len(), &failures[..1]);
        println!("{served} requests, none failed");
    }
}

fn call_on(to: SocketAddr, kept: bool, stop: &AtomicBool, served: &AtomicU64) -> Vec<String> {
    let mut failures = Vec::new();
    let mut open = None;
    while !stop.load(Ordering::Relaxed) {
        let result = match open.take() {
            Some(stream) => Ok(stream),
            // A SYN that is lost is sent again after a second; that is late, not failed.
            None => TcpStream::connect_timeout(&to, SOON),
        };
        match result.and_then(|mut stream| call(&mut stream).map(|()| stream)) {
            Ok(stream) => {
                served.fetch_add(1, Ordering::Relaxed);
                open = kept.then_some(stream);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

fn call(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(GET.as_bytes())?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"\r\n\r\n/a") {
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::Error::other(format!("cut off after {:?}", String::from_utf8_lossy(&answer)))),
            n => answer.extend_from_slice(&chunk[..n]),
        }
        if answer.starts_with(b"HTTP/1.1 4") {
            return Err(std::io::Error::other("denied"));
        }
    }
    Ok(())
}

/// Somebody who tries to connect all the time, and must not succeed.
pub struct Hammer {
    stop: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    threads: Vec<JoinHandle<u64>>,
}

impl Hammer {
    pub fn start(from: &Netns, to: SocketAddr) -> Self {
        let (stop, attempts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let hammer = |_| {
            let (from, stop, attempts) = (from.clone(), Arc::clone(&stop), Arc::clone(&attempts));
            thread::spawn(move || {
                in_netns(&from, || {
                    let mut connected = 0;
                    while !stop.load(Ordering::Relaxed) {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        connected += u64::from(TcpStream::connect_timeout(&to, Duration::from_millis(3)).is_ok());
                    }
                    connected
                })
            })
        };
        let threads = (0..3).map(hammer).collect();
        Self { stop, attempts, threads }
    }

    pub fn goes_on(&self) {
        let before = self.attempts.load(Ordering::Relaxed);
        let more = || self.attempts.load(Ordering::Relaxed) > before + 50;
        wait_until("the attempts to go on", SOON, more).expect("the attempts go on");
    }

    pub fn assert_never_connected(self) {
        self.stop.store(true, Ordering::Relaxed);
        let connected: u64 = self.threads.into_iter().map(|thread| thread.join().expect("a client panicked")).sum();
        let attempts = self.attempts.load(Ordering::Relaxed);
        assert_eq!(connected, 0, "of {attempts} attempts");
        println!("{attempts} attempts, none succeeded");
    }
}
