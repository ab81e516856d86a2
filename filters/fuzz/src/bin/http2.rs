//! The HTTP/2 inspector, both directions.
//!
//! The input is a script of frames, so that their lengths are right. Its first byte chooses: bit 0 tight limits, bit 1 that
//! both prefaces are part of the script. Then each frame has five bytes and its payload:
//!
//! ```text
//!   control    type    flags    stream    length    payload…
//!     bit 0: the server's    bit 1: the payload alone, without a frame header    bit 2: the proxy leaves
//!     bit 3: the stream's number times 1,000 and one
//! ```
#![no_main]

use account::{Seen, account, split};
use driver::{Field, Wire};
use libfuzzer_sys::{Corpus, fuzz_target};
use weir_filters::{
    hpack::Decoder,
    http2::{Limits, PREFACE, Rate},
};

#[path = "../../../tests/http2/account.rs"]
mod account;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../../../tests/http2/driver.rs"]
mod driver;

const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const ACKNOWLEDGED: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

enum Act {
    Client(Vec<u8>),
    Server(Vec<u8>),
    Leave,
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((flags, script)) = data.split_first() else { return Corpus::Reject };
    let rate = Rate { burst: 6, per_second: 10 };
    let tight = Limits {
        block_bytes: 300,
        block_frames: 3,
        list_bytes: 300,
        fields: 6,
        streams: 3,
        dropped_bytes: 1 << 16,
        table_bytes: 4_096,
        settings: rate,
        pings: rate,
        resets: rate,
        updates: rate,
        idle_frames: rate,
    };
    let limits = if flags & 1 == 0 { Limits::default() } else { tight };
    let mut acts = Vec::new();
    if flags & 2 == 0 {
        acts.push(Act::Client([&PREFACE[..], &SETTINGS].concat()));
        acts.push(Act::Server([SETTINGS, ACKNOWLEDGED].concat()));
        acts.push(Act::Client(ACKNOWLEDGED.to_vec()));
    }
    read(script, &mut acts);
    let frames = run(limits, &acts, usize::MAX);
    check(&frames);
    let acts = joined(acts);
    let (whole, drops) = (run(limits, &acts, usize::MAX), run(limits, &acts, 1));
    check(&whole);
    assert_eq!(whole.judge.told, drops.judge.told);
    assert_eq!(whole.closed, drops.closed);
    assert_eq!(driver::show(&whole.upstream), driver::show(&drops.upstream));
    if !whole.judge.told.last().is_some_and(|told| told.starts_with("abort")) {
        assert_eq!(downstream(&whole), downstream(&drops));
    }
    Corpus::Keep
});

fn read(script: &[u8], acts: &mut Vec<Act>) {
    let mut rest = script;
    while let Some((&[control, kind, flags, stream, length], behind)) = rest.split_first_chunk::<5>() {
        let (payload, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        if control & 4 != 0 {
            acts.push(Act::Leave);
            continue;
        }
        let stream = if control & 8 == 0 { u32::from(stream) } else { u32::from(stream) * 1_000 + 1 };
        let size = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
        let header = [&size[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let bytes = if control & 2 == 0 { [&header, payload].concat() } else { payload.to_vec() };
        acts.push(if control & 1 == 0 { Act::Client(bytes) } else { Act::Server(bytes) });
    }
}

/// What one side says without a break, in one piece.
fn joined(acts: Vec<Act>) -> Vec<Act> {
    let mut joined: Vec<Act> = Vec::new();
    for act in acts {
        match (joined.last_mut(), act) {
            (Some(Act::Client(before)), Act::Client(bytes)) | (Some(Act::Server(before)), Act::Server(bytes)) => {
                before.extend(bytes);
            }
            (_, act) => joined.push(act),
        }
    }
    joined
}

/// Lets it all happen, in pieces of at most `size`.
fn run(limits: Limits, acts: &[Act], size: usize) -> Wire {
    let mut wire = Wire::new(limits);
    for act in acts {
        match act {
            Act::Client(bytes) => bytes.chunks(size).for_each(|piece| {
                wire.client(piece);
            }),
            Act::Server(bytes) => bytes.chunks(size).for_each(|piece| {
                wire.server(piece);
            }),
            Act::Leave if !wire.closed => {
                wire.inspector.leave();
                wire.take_replies();
            }
            Act::Leave => {}
        }
    }
    wire
}

/// With a decoder whose table is as large as any.
fn check(wire: &Wire) {
    let mut decoder = Decoder::new(64 << 10);
    account(wire, |block| {
        let mut fields: Vec<Field> = Vec::new();
        let decoded = decoder.decode(block, |field| {
            fields.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed));
        });
        decoded.expect("a block that can be decoded");
        fields
    });
}

/// The client's frames without WINDOW_UPDATE of the connection, the bytes that those give back, and what is no frame.
fn downstream(wire: &Wire) -> (Vec<Seen>, u64, Vec<u8>) {
    let (frames, rest) = split(&wire.downstream);
    let (windows, frames): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| frame.kind == 8 && frame.stream == 0);
    let bytes = |frame: &Seen| frame.payload.first_chunk().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)));
    (frames, windows.iter().map(bytes).sum(), rest.to_vec())
}
