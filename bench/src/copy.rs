//! A proxy that does nothing but copy: each direction of a connection is a thread that reads and writes. What it costs is
//! what the same bytes cost any proxy that takes them into its memory, before it looks at one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use clap::Args;

/// Of each direction.
const BUFFER: usize = 64 << 10;

/// `weir-bench copy`
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    listen: SocketAddrV4,
    #[arg(long)]
    server: SocketAddrV4,
}

/// Serves until it is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen).with_context(|| format!("listen at {}", options.listen))?;
    for client in listener.incoming() {
        let client = client.context("accept")?;
        let server = options.server;
        thread::spawn(move || {
            if let Err(error) = relay(client, server) {
                eprintln!("a connection to {server}: {error}");
            }
        });
    }
    Ok(())
}

fn relay(client: TcpStream, server: SocketAddrV4) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (client, server) = (Arc::new(client), Arc::new(server));
    let there = (Arc::clone(&client), Arc::clone(&server));
    let requests = thread::spawn(move || copy(&there.0, &there.1));
    let responses = copy(&server, &client);
    // A client that went away has its other direction end, too.
    client.shutdown(Shutdown::Read).or_else(not_connected)?;
    requests.join().unwrap_or(Ok(()))?;
    responses
}

/// By hand: `std::io::copy` between sockets is `splice`.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return to.shutdown(Shutdown::Write).or_else(not_connected);
        }
        to.write_all(&buffer[..n])?;
    }
}

fn not_connected(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_ends_pass_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").expect("listen");
        let at = SocketAddrV4::new([127, 0, 0, 1].into(), server.local_addr().expect("address").port());
        let front = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut client = TcpStream::connect(front.local_addr().expect("address")).expect("connect");
        let (accepted, _) = front.accept().expect("accept");
        let proxy = thread::spawn(move || relay(accepted, at));
        let (mut served, _) = server.accept().expect("accept");
        let body = vec![7; 3 * BUFFER + 1];
        let echo = thread::spawn(move || {
            let mut got = Vec::new();
            served.read_to_end(&mut got).expect("read");
            served.write_all(&got).expect("write");
        });
        client.write_all(&body).expect("write");
        client.shutdown(Shutdown::Write).expect("shut down");
        let mut back = Vec::new();
        client.read_to_end(&mut back).expect("read");
        assert!(back == body);
        echo.join().expect("the server");
        proxy.join().expect("the proxy").expect("no error");
    }
}
