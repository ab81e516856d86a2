//! A client connection of HTTP/1.1, at its plainest.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, anyhow, ensure};

use crate::work::Protocol;

/// One GET on an open connection, read to the end of its answer.
pub(super) fn request(stream: &mut TcpStream) -> Result<()> {
    let path = Protocol::H1.rule().allowed;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(done) = complete(&answer) {
            return done;
        }
        let n = stream.read(&mut chunk)?;
        ensure!(n > 0, "closed after {} bytes", answer.len());
        answer.extend_from_slice(&chunk[..n]);
    }
}

/// `None`: more bytes are needed. The server of this bench always gives a length.
fn complete(answer: &[u8]) -> Option<Result<()>> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let Some(length) = length else { return Some(Err(anyhow!("no content-length in {head:?}"))) };
    (body.len() >= length).then(|| {
        ensure!(head.starts_with("HTTP/1.1 200"), "not 200: {head:?}");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte_and_not_before() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..answer.len() {
            assert!(complete(&answer[..end]).is_none(), "{end}");
        }
        assert!(complete(answer).is_some_and(|done| done.is_ok()));
        assert!(complete(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").is_some_and(|done| done.is_err()));
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_some_and(|done| done.is_err()));
    }
}
