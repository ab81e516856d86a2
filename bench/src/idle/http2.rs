//! A client connection of HTTP/2 with prior knowledge, at its plainest (RFC 9113): no dynamic table, one stream at a time.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};

use crate::work::Protocol;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;
/// Of DATA and HEADERS; of SETTINGS the same bit is ACK.
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// `:status: 200`, indexed in the static table (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// One GET, on the stream of this number (odd, each higher than the last; 1 opens the connection), read to its end.
pub(super) fn request(stream: &mut TcpStream, id: u32) -> Result<()> {
    let mut wire = Vec::new();
    if id == 1 {
        wire.extend_from_slice(PREFACE);
        frame(&mut wire, SETTINGS, 0, 0, &[]);
    }
    frame(&mut wire, HEADERS, END_STREAM | END_HEADERS, id, &head(Protocol::H2.rule().allowed));
    stream.write_all(&wire)?;
    loop {
        let (kind, flags, of, payload) = read_frame(stream)?;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let mut ack = Vec::new();
                frame(&mut ack, SETTINGS, ACK, 0, &[]);
                stream.write_all(&ack)?;
            }
            HEADERS if of == id => ensure!(is_200(flags, &payload), "not 200: {payload:?}"),
            GOAWAY | RST_STREAM => bail!("frame of type {kind}: {payload:?}"),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && of == id && flags & END_STREAM != 0 {
            return Ok(());
        }
    }
}

/// A field block: everything literal, or indexed in the static table.
fn head(path: &str) -> Vec<u8> {
    // :method: GET; :scheme: http; literals without indexing, named by index 4 (:path) and 1 (:authority).
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(0x04, path), (0x01, "server")] {
        block.push(name);
        block.push(u8::try_from(value.len()).ok().filter(|len| *len < 127).unwrap_or_default());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// The server of this bench, and every proxy before it, begins its block with the status.
fn is_200(flags: u8, payload: &[u8]) -> bool {
    let skipped = usize::from(flags & PADDED != 0) + if flags & PRIORITY != 0 { 5 } else { 0 };
    // Updates of the table's size may come first: 001 in the highest bits, here always in one byte or with one more each.
    let block = payload.get(skipped..).unwrap_or_default();
    let first = block.iter().position(|byte| *byte == STATUS_200);
    first.is_some_and(|at| at == 0 || block[0] & 0xe0 == 0x20)
}

fn frame(wire: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    wire.extend_from_slice(&length[1..]);
    wire.extend_from_slice(&[kind, flags]);
    wire.extend_from_slice(&id.to_be_bytes());
    wire.extend_from_slice(payload);
}

/// Type, flags, stream, payload.
fn read_frame(stream: &mut TcpStream) -> Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).context("the head of a frame")?;
    let [l0, l1, l2, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
    stream.read_exact(&mut payload).context("a frame's payload")?;
    Ok((kind, flags, u32::from_be_bytes(id) & 0x7fff_ffff, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_written_as_the_standard_draws_it() {
        let mut wire = Vec::new();
        frame(&mut wire, HEADERS, END_STREAM | END_HEADERS, 3, b"ab");
        assert_eq!(wire, [0, 0, 2, 1, 5, 0, 0, 0, 3, b'a', b'b']);
    }

    #[test]
    fn the_status_is_found_behind_size_updates_and_priority() {
        assert!(is_200(0, &[0x88, 0x76]));
        assert!(is_200(0, &[0x20, 0x3f, 0xe1, 0x1f, 0x88]));
        assert!(is_200(PRIORITY, &[0, 0, 0, 0, 16, 0x88]));
        assert!(!is_200(0, &[0x8d]));
        assert!(!is_200(0, &[0x48, 3, b'4', b'0', b'3', 0x88]));
        assert!(!is_200(0, &[]));
    }
}
