//! The tap: whatever both sides say, it follows or says that it cannot.
//!
//! The input is a script: what arrives, from the client at first; a byte 0xff says that the server's bytes follow, 0xfe
//! the client's. So a mark between two pieces of one side is a cut.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use weir_filters::{
    connection::{self, Inspector},
    http::{self, Decision, RequestHead, ResponseHead},
    http2,
    tap::{Seen, Tap},
};

const CLIENT: u8 = 0xfe;

fuzz_target!(|data: &[u8]| {
    let (lost, seen) = play(data, usize::MAX);
    // What stands behind an offer to upgrade is looked at when the answer has come. A server that answers both in one piece
    // is lost then, and one that does so byte by byte is followed: known, and nothing but sight depends on it.
    if data.to_ascii_lowercase().windows(7).any(|bytes| bytes == b"upgrade") {
        return;
    }
    let (lost_by_drops, seen_by_drops) = play(data, 1);
    // Behind what it is lost with, more may be seen or not.
    assert!(lost == lost_by_drops && (lost || seen == seen_by_drops), "a cut made a difference");
});

/// Whether the tap has lost sight, and how many requests it has seen, in pieces of at most `size`.
fn play(data: &[u8], size: usize) -> (bool, usize) {
    let (mut inspector, mut tap, mut count) = (Inspector::new(), Tap::default(), Count::default());
    let mut side = CLIENT;
    for part in data.chunk_by(|before, _| *before < CLIENT) {
        let (bytes, mark) = match part.split_last() {
            Some((&mark, bytes)) if mark >= CLIENT => (bytes, Some(mark)),
            _ => (part, None),
        };
        for piece in bytes.chunks(size) {
            let seen = if side == CLIENT {
                tap.client(&mut inspector, piece, &mut count)
            } else {
                tap.server(&mut inspector, piece, &mut count)
            };
            match seen {
                Ok(Seen::Yes) => {}
                Ok(Seen::Opaque) => return (false, count.0),
                Err(_) => return (true, count.0),
            }
        }
        side = mark.unwrap_or(side);
    }
    (false, count.0)
}

/// Allows everything, and counts it.
#[derive(Default)]
struct Count(usize);

impl http::Judge for Count {
    fn judge(&mut self, _: &RequestHead<'_>) -> Decision {
        self.0 += 1;
        Decision::Allow
    }

    fn responded(&mut self, _: &ResponseHead<'_>) {}

    fn refused(&mut self, _: http::Refusal, _: Option<&RequestHead<'_>>) {}
}

impl http2::Judge for Count {
    fn judge_stream(&mut self, _: u32, _: &RequestHead<'_>, _: bool) -> Decision {
        self.0 += 1;
        Decision::Allow
    }

    fn stream_answered(&mut self, _: u32, _: u16, _: Option<u16>) {}

    fn stream_answering(&mut self, _: u32) {}

    fn stream_reset(&mut self, _: u32) {}

    fn stream_refused(&mut self, _: http2::Refusal, _: Option<&RequestHead<'_>>) {}

    fn now(&mut self) -> Instant {
        Instant::now()
    }
}

impl connection::Judge for Count {
    fn upgraded(&mut self) {}
}
