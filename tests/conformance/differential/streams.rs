//! The byte streams: the HTTP/1 seeds of the fuzz targets, the requests in the tables of the filters' tests, each alone
//! and followed by a denied request and an allowed one, and seeded mutations of all of these.

use std::{fmt, fs};

/// What follows a stream, so that one that ends elsewhere for a server than for weir shows: the first is denied.
const FOLLOWERS: &str = "GET /no/follower HTTP/1.1\r\nHost: a\r\n\r\nGET /yes/follower HTTP/1.1\r\nHost: a\r\n\r\n";
/// Header lines that one server may read differently from another.
const LINES: [&str; 16] = [
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length: 0x5",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: xchunked",
    "Host: b",
    "Connection: close",
    "Connection: content-length",
    "Expect: 100-continue",
];
/// Bytes that mean something to a parser.
const BYTES: &[u8] = b"\r\n\t \0:;,/0159aAfF%.?#\x0b\x7f\x80\xff";
/// Longer ones take time and show nothing new.
const LONGEST: usize = 4096;

/// Some bytes that a client may send, and where they come from.
#[derive(Clone)]
pub struct Stream {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: \"{}\"", self.name, self.bytes.escape_ascii())
    }
}

/// Seeds first, then `mutations` of them.
pub fn streams(seed: u64, mutations: usize) -> Vec<Stream> {
    let mut streams = Vec::new();
    for Stream { name, bytes } in corpus().into_iter().chain(tables()) {
        let followed = [&bytes, FOLLOWERS.as_bytes()].concat();
        streams.push(Stream { name: format!("{name}, followed"), bytes: followed });
        streams.push(Stream { name, bytes });
    }
    streams.retain(|stream| stream.bytes.len() <= LONGEST);
    let seeds = streams.len();
    let mut random = fastrand::Rng::with_seed(seed);
    for n in 0..mutations {
        let other = random.usize(..seeds);
        let base = &streams[random.usize(..seeds)];
        let mut bytes = base.bytes.clone();
        for _ in 0..random.usize(1..4) {
            mutate(&mut random, &mut bytes, &streams[other].bytes);
        }
        bytes.truncate(LONGEST);
        streams.push(Stream { name: format!("mutation {n} of {}", base.name), bytes });
    }
    streams
}

/// `filters/fuzz/corpus/http1`: a byte of options, what the client sends, 0xff, what the server answers.
fn corpus() -> Vec<Stream> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/fuzz/corpus/http1");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut seeds: Vec<Stream> = files
        .map(|file| {
            let bytes = fs::read(file.path()).expect("read a seed");
            let client = bytes[1..].split(|byte| *byte == 0xff).next().unwrap_or_default().to_vec();
            Stream { name: format!("corpus/{}", file.file_name().display()), bytes: client }
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

/// The byte strings that look like requests in `filters/tests/http1/table`.
fn tables() -> Vec<Stream> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/tests/http1/table");
    let mut files: Vec<_> = fs::read_dir(folder).expect("list the tables").flatten().map(|file| file.path()).collect();
    files.sort();
    let mut rows = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let source = fs::read_to_string(file).expect("read a table");
        let stem = file.file_stem().unwrap_or_default().display();
        let requests = literals(&source).into_iter().filter(|bytes| request_like(bytes));
        rows.extend(requests.enumerate().map(|(n, bytes)| Stream { name: format!("{stem}/{n}"), bytes }));
    }
    rows.dedup_by(|a, b| a.bytes == b.bytes);
    rows
}

fn request_like(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.windows(6).any(|window| window == b" HTTP/") && !bytes.starts_with(b"HTTP/")
}

/// The values of the byte-string literals of a Rust source.
fn literals(source: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("b\"") {
        rest = &rest[at + 2..];
        let mut value = Vec::new();
        let mut bytes = rest.as_bytes().iter().copied();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
        while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
            match (byte, if byte == b'\\' { bytes.next() } else { None }) {
                (b'\\', Some(b'r')) => value.push(b'\r'),
                (b'\\', Some(b'n')) => value.push(b'\n'),
                (b'\\', Some(b't')) => value.push(b'\t'),
                (b'\\', Some(b'0')) => value.push(0),
                (b'\\', Some(b'x')) => {
                    let value_of = digit(bytes.next()) * 16 + digit(bytes.next());
                    value.extend(u8::try_from(value_of));
                }
                // A line that goes on: what the next one is indented by is not part of it.
                (b'\\', Some(b'\n')) => {
                    while bytes.clone().next().is_some_and(|byte| byte.is_ascii_whitespace()) {
                        bytes.next();
                    }
                }
                (b'\\', Some(other)) => value.push(other),
                _ => value.push(byte),
            }
        }
        rest = &rest[rest.len() - bytes.len()..];
        found.push(value);
    }
    found
}

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    let some = BYTES[random.usize(..BYTES.len())];
    let starts: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1] == b'\n').collect();
    let line = starts.get(random.usize(..starts.len().max(1))).copied().unwrap_or(0);
    match random.u8(..8) {
        0 => bytes[at] = some,
        1 => bytes.insert(at, some),
        2 => drop(bytes.remove(at)),
        3 => {
            // A line more.
            let text = format!("{}\r\n", LINES[random.usize(..LINES.len())]);
            bytes.splice(line..line, text.into_bytes());
        }
        4 => {
            // A line twice.
            let end =
                bytes[line..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| line + length + 1);
            let twice = bytes[line..end].to_vec();
            bytes.splice(line..line, twice);
        }
        5 => {
            // A line's end in another form.
            if let Some(end) = bytes[line..].iter().position(|byte| *byte == b'\r').map(|length| line + length) {
                bytes.remove(end);
            }
        }
        6 => bytes.truncate(at),
        _ => {
            let from = random.usize(..=other.len());
            bytes.splice(at..at, other[from..].iter().copied());
        }
    }
}
