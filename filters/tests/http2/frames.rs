//! Frames as lines of text, to write and to read tests with.
//!
//! ```text
//!   HEADERS id [es] [open] [pad=n] [prio] field…     fields: METHOD /path, name=value, and one of these before it:
//!   CONTINUATION id [open] field…                            + into the table   ! never indexed
//!   DATA id [es] [pad=n] bytes                               #62 by index       ~n size update     raw=hex
//!   SETTINGS [ack] [setting=n…]                      settings: table push streams window frame list
//!   PING [ack]    RST id code    PRIORITY id    GOAWAY last code    WINDOW id bytes    PUSH id
//!   FRAME type flags id bytes    BYTES hex
//! ```
//!
//! `open` is a block that goes on in the next frame. An id `+` is the client's next. `METHOD /path` stands for all four
//! pseudo-header fields, with scheme `http` and authority `h`. In a value `\s` is a space. A number and `*` repeat a line.

use std::fmt::Write;

use httlib_hpack::Decoder;
use weir_filters::hpack::encode;

use crate::{
    account::{Seen, fragment, split},
    driver::Field,
};

const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];
const SETTINGS: [&str; 6] = ["table", "push", "streams", "window", "frame", "list"];
const DENIED: &[u8] = b"Access denied\r\n";

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Writes lines as bytes, and knows which stream is next.
#[derive(Default)]
pub(crate) struct Writer {
    last: Option<u32>,
}

impl Writer {
    pub(crate) fn line(&mut self, line: &str) -> Vec<u8> {
        let (times, line) = match line.split_once("* ") {
            Some((times, rest)) if times.bytes().all(|byte| byte.is_ascii_digit()) => (number(times), rest),
            _ => (1, line),
        };
        (0..times).flat_map(|_| self.frame(line)).collect()
    }

    fn frame(&mut self, line: &str) -> Vec<u8> {
        let mut words = line.split_whitespace();
        let kind = words.next().expect("a frame");
        if kind == "BYTES" {
            return unhex(&words.collect::<String>());
        }
        let (mut flags, mut padding, mut payload, mut rest) = (0, None, Vec::new(), Vec::new());
        let mut words = words.peekable();
        let on_stream = !matches!(kind, "SETTINGS" | "PING" | "GOAWAY" | "FRAME");
        let stream = if on_stream { self.stream(words.next().expect("a stream")) } else { 0 };
        let block = matches!(kind, "HEADERS" | "CONTINUATION" | "PUSH");
        if block {
            flags |= 4;
        }
        for word in words {
            match word {
                "es" | "ack" => flags |= 1,
                "open" => flags &= !4,
                "prio" => {
                    flags |= 0x20;
                    payload.extend([0, 0, 0, 0, 15]);
                }
                _ if word.starts_with("pad=") => {
                    flags |= 8;
                    padding = Some(number(&word[4..]));
                }
                _ => rest.push(word),
            }
        }
        let kind = match (kind, rest.as_slice()) {
            ("DATA", [length]) => {
                payload.resize(number(length) as usize, b'x');
                0
            }
            ("HEADERS", fields) => {
                payload.extend(block_of(fields));
                1
            }
            ("PRIORITY", []) => {
                payload.extend([0, 0, 0, 0, 15]);
                2
            }
            ("RST", [code]) => {
                payload.extend(self::code(code).to_be_bytes());
                3
            }
            ("SETTINGS", settings) => {
                settings.iter().for_each(|setting| payload.extend(self::setting(setting)));
                4
            }
            ("PUSH", fields) => {
                payload.extend([0, 0, 0, 2]);
                payload.extend(block_of(fields));
                5
            }
            ("PING", []) => {
                payload.extend(*b"pingpong");
                6
            }
            ("GOAWAY", [last, code]) => {
                payload.extend(number(last).to_be_bytes());
                payload.extend(self::code(code).to_be_bytes());
                7
            }
            ("WINDOW", [increment]) => {
                payload.extend(number(increment).to_be_bytes());
                8
            }
            ("CONTINUATION", fields) => {
                payload.extend(block_of(fields));
                9
            }
            ("FRAME", [kind, flags, stream, length]) => {
                let [kind, flags] = [kind, flags].map(|text| u8::try_from(number(text)).expect("a byte"));
                return frame(kind, flags, number(stream), &vec![b'x'; number(length) as usize]);
            }
            _ => panic!("no frame: {line}"),
        };
        if let Some(padding) = padding {
            payload.insert(0, u8::try_from(padding).expect("a byte"));
            payload.resize(payload.len() + padding as usize, 0);
        }
        frame(kind, flags, stream, &payload)
    }

    fn stream(&mut self, word: &str) -> u32 {
        if word != "+" {
            let stream = number(word);
            if stream % 2 == 1 {
                self.last = self.last.max(Some(stream));
            }
            return stream;
        }
        let next = self.last.map_or(1, |last| last + 2);
        self.last = Some(next);
        next
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn code(text: &str) -> u32 {
    let place = CODES.iter().position(|code| *code == text).unwrap_or_else(|| panic!("no code: {text}"));
    u32::try_from(place).expect("a code")
}

fn setting(text: &str) -> Vec<u8> {
    let (name, value) = text.split_once('=').expect("a setting");
    let place = SETTINGS.iter().position(|setting| *setting == name);
    let id = place.map_or_else(|| number(name), |place| u32::try_from(place).expect("a setting") + 1);
    [&id.to_be_bytes()[2..], &number(value).to_be_bytes()].concat()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex")).collect()
}

/// A header block of these words.
pub(crate) fn block_of(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(hex) = word.strip_prefix("raw=") {
            out.extend(unhex(hex));
        } else if let Some(index) = word.strip_prefix('#') {
            out.push(0x80 | u8::try_from(number(index)).expect("a short index"));
        } else if let Some(size) = word.strip_prefix('~') {
            encode::size_update(&mut out, number(size) as usize);
        } else if word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let path = words.next().expect("a path");
            for (name, value) in [(":method", *word), (":scheme", "http"), (":path", *path), (":authority", "h")] {
                encode::literal(&mut out, name.as_bytes(), value.as_bytes(), false);
            }
        } else {
            let (name, value) = word[1..].split_once('=').unwrap_or_else(|| panic!("no field: {word}"));
            let (mark, value) = (&word[..1], value.replace("\\s", " ").replace("\\t", "\t").replace("\\0", "\0"));
            match mark {
                "+" => {
                    out.push(0x40);
                    for text in [name, &value] {
                        out.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
                        out.extend_from_slice(text.as_bytes());
                    }
                }
                "!" => encode::literal(&mut out, name.as_bytes(), value.as_bytes(), true),
                _ => encode::literal(&mut out, format!("{mark}{name}").as_bytes(), value.as_bytes(), false),
            }
        }
    }
    out
}

/// Reads frames as lines: each line ends where the header block does. It stands for the end that gets the bytes, and has a
/// decoder of another make.
pub(crate) struct Reader {
    decoder: Decoder<'static>,
}

impl Default for Reader {
    fn default() -> Self {
        // A larger table than it has announced does no harm: the newest entries have the same indices.
        Self { decoder: Decoder::with_dynamic_size(1 << 16) }
    }
}

impl Reader {
    pub(crate) fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        let (frames, rest) = split(bytes);
        let mut lines: Vec<String> = Vec::new();
        let mut block: Option<(String, u32, Vec<u8>)> = None;
        for frame in frames {
            if let Some((_, stream, joined)) = &mut block {
                assert_eq!((frame.kind, frame.stream), (9, *stream), "a frame within a header block");
                joined.extend_from_slice(&frame.payload);
            } else if frame.kind == 1 {
                let ends = frame.flags & 1 != 0;
                let line = format!("HEADERS {}{}", frame.stream, if ends { " es" } else { "" });
                block = Some((line, frame.stream, fragment(&frame).to_vec()));
            } else {
                lines.push(line(&frame));
                continue;
            }
            if frame.flags & 4 != 0 {
                let (line, _, joined) = block.take().expect("a block");
                lines.push(line + &text(&joined, &self.fields(&joined)));
            }
        }
        assert!(block.is_none() || !rest.is_empty() || bytes.is_empty(), "a block without an end");
        if !rest.is_empty() {
            lines.push(format!("BYTES {}", rest.len()));
        }
        lines
    }

    pub(crate) fn fields(&mut self, block: &[u8]) -> Vec<Field> {
        let mut fields = Vec::new();
        self.decoder.decode(&mut block.to_vec(), &mut fields).unwrap_or_else(|error| panic!("{error:?} in {block:x?}"));
        let never = |flags| flags & Decoder::NEVER_INDEXED != 0;
        fields.into_iter().map(|(name, value, flags)| (name, value, never(flags))).collect()
    }
}

fn text(block: &[u8], fields: &[Field]) -> String {
    let mut line = String::new();
    if matches!(block, [0x20..0x40, ..]) {
        line.push_str(" ~");
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(' ', "\\s");
    let mut rest = fields;
    if let [method, scheme, path, authority, more @ ..] = fields
        && (method.0.as_slice(), path.0.as_slice()) == (b":method", b":path")
        && (scheme.0.as_slice(), scheme.1.as_slice()) == (b":scheme", b"http")
        && (authority.0.as_slice(), authority.1.as_slice()) == (b":authority", b"h")
    {
        let _ = write!(line, " {} {}", show(&method.1), show(&path.1));
        rest = more;
    }
    for (name, value, never) in rest {
        let _ = write!(line, " {}{}={}", if *never { "!" } else { "" }, show(name), show(value));
    }
    line
}

fn line(frame: &Seen) -> String {
    let Seen { kind, flags, stream, payload } = frame;
    let ends = if flags & 1 != 0 { " es" } else { "" };
    let ack = if flags & 1 != 0 { " ack" } else { "" };
    let word = |at: usize| payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let code = |at| CODES.get(word(at) as usize).map_or_else(|| word(at).to_string(), ToString::to_string);
    match kind {
        0 if payload == DENIED => format!("DATA {stream}{ends} denied"),
        0 if flags & 8 != 0 => format!("DATA {stream}{ends} padded {}", payload.len()),
        0 => format!("DATA {stream}{ends} {}", payload.len()),
        2 => format!("PRIORITY {stream}"),
        3 => format!("RST {stream} {}", code(0)),
        4 => {
            let settings = payload.as_chunks::<6>().0.iter().map(|&[i1, i0, v3, v2, v1, v0]| {
                let id = u16::from_be_bytes([i1, i0]);
                let name = SETTINGS.get(usize::from(id).wrapping_sub(1));
                let name = name.map_or_else(|| id.to_string(), ToString::to_string);
                format!(" {name}={}", u32::from_be_bytes([v3, v2, v1, v0]))
            });
            format!("SETTINGS{ack}{}", settings.collect::<String>())
        }
        6 => format!("PING{ack}"),
        7 => format!("GOAWAY {} {}", word(0), code(4)),
        8 => format!("WINDOW {stream} {}", word(0)),
        _ => format!("FRAME {kind} {flags} {stream} {}", payload.len()),
    }
}
