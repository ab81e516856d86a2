//! HTTP/1.1 messages written in pieces, and read back: the reference that weir is held against.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use crc32fast::Hasher;
use fastrand::Rng;

use super::plan::{LARGEST, Message};

/// The field with the body's hash: its CRC-32 (ISO-HDLC), mixed with the request's number.
const HASH: &str = "x-hash";
/// The longest line that is understood.
const LONGEST_LINE: u64 = 1024;

/// Bytes that bodies are cut from.
pub(super) struct Pool(Vec<u8>);

impl Pool {
    pub(super) fn new(seed: u64) -> Self {
        let mut bytes = vec![0; 2 * LARGEST];
        Rng::with_seed(seed).fill(&mut bytes);
        Self(bytes)
    }

    fn body(&self, message: &Message) -> &[u8] {
        &self.0[message.offset..][..message.size]
    }
}

/// The whole message as it goes onto the wire.
pub(super) fn encode(pool: &Pool, start: &str, number: u64, message: &Message) -> io::Result<Vec<u8>> {
    let body = pool.body(message);
    let hash = finish(&{
        let mut hasher = hasher(number);
        hasher.update(body);
        hasher
    });
    let mut wire = Vec::with_capacity(body.len() + 512);
    write!(wire, "{start}\r\nhost: integrity\r\n")?;
    let Some(chunks) = &message.chunks else {
        write!(wire, "{HASH}: {hash}\r\ncontent-length: {}\r\n\r\n", body.len())?;
        wire.extend_from_slice(body);
        return Ok(wire);
    };
    if !chunks.trailer {
        write!(wire, "{HASH}: {hash}\r\n")?;
    }
    write!(wire, "transfer-encoding: chunked\r\n\r\n")?;
    let mut rng = message.rng.clone();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.usize(1..=chunks.largest.min(rest.len())));
        write!(wire, "{:x}\r\n", chunk.len())?;
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
        rest = after;
    }
    write!(wire, "0\r\n")?;
    if chunks.trailer {
        write!(wire, "{HASH}: {hash}\r\n")?;
    }
    write!(wire, "\r\n")?;
    Ok(wire)
}

/// Writes in random pieces.
pub(super) fn send(mut stream: &TcpStream, wire: &[u8], message: &Message) -> io::Result<()> {
    let mut rng = message.rng.clone();
    let mut rest = wire;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.usize(1..=message.piece).min(rest.len()));
        stream.write_all(piece)?;
        rest = after;
    }
    Ok(())
}

/// Reads a message to its end, compares its hash, and returns its body's size; `None` at the end of the stream. `number`
/// finds the request's number in the start line.
pub(super) fn receive(
    reader: &mut BufReader<&TcpStream>,
    number: impl FnOnce(&str) -> Result<u64>,
) -> Result<Option<usize>> {
    let Some(start) = line(reader)? else { return Ok(None) };
    let mut hasher = hasher(number(&start)?);
    let mut fields = Fields::default();
    fields.read(reader)?;
    let size = match (fields.length, fields.chunked) {
        (Some(length), false) => copy(reader, &mut hasher, length)?,
        (None, true) => {
            let size = read_chunks(reader, &mut hasher)?;
            fields.read(reader)?;
            size
        }
        framing => bail!("framing {framing:?}"),
    };
    let (came, said) = (finish(&hasher), fields.hash.context("no hash")?);
    ensure!(came == said, "a body of {size} bytes has the hash {came}, and its sender said {said}");
    Ok(Some(size))
}

fn read_chunks(reader: &mut BufReader<&TcpStream>, hasher: &mut Hasher) -> Result<usize> {
    let mut size = 0;
    loop {
        let digits = line(reader)?.context("the end within a chunked body")?;
        let length = usize::from_str_radix(&digits, 16).with_context(|| format!("chunk size {digits:?}"))?;
        if length == 0 {
            return Ok(size);
        }
        size += copy(reader, hasher, length)?;
        ensure!(line(reader)?.as_deref() == Some(""), "no line end behind a chunk");
    }
}

#[derive(Debug, Default)]
struct Fields {
    length: Option<usize>,
    chunked: bool,
    hash: Option<String>,
}

impl Fields {
    /// Reads to the empty line.
    fn read(&mut self, reader: &mut BufReader<&TcpStream>) -> Result<()> {
        loop {
            let line = line(reader)?.context("the end within a head")?;
            if line.is_empty() {
                return Ok(());
            }
            let (name, value) = line.split_once(": ").with_context(|| format!("field {line:?}"))?;
            match name {
                "content-length" => self.length = Some(value.parse().context("content-length")?),
                "transfer-encoding" => self.chunked = value == "chunked",
                HASH => self.hash = Some(value.to_owned()),
                "host" => {}
                _ => bail!("field {line:?}, which nobody sent"),
            }
        }
    }
}

/// A line without its end; `None` at the end of the stream.
fn line(reader: &mut BufReader<&TcpStream>) -> Result<Option<String>> {
    let mut line = String::new();
    if reader.by_ref().take(LONGEST_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let text = line.strip_suffix("\r\n").with_context(|| format!("line {line:?}"))?;
    Ok(Some(text.to_owned()))
}

fn copy(reader: &mut BufReader<&TcpStream>, hasher: &mut Hasher, length: usize) -> Result<usize> {
    let mut left = length;
    while left > 0 {
        let data = reader.fill_buf()?;
        ensure!(!data.is_empty(), "the end {left} bytes before a body's end");
        let taken = left.min(data.len());
        hasher.update(&data[..taken]);
        reader.consume(taken);
        left -= taken;
    }
    Ok(length)
}

fn hasher(number: u64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher
}

fn finish(hasher: &Hasher) -> String {
    format!("{:08x}", hasher.clone().finalize())
}
