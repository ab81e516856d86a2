//! The HTTP/1 inspector, both directions.
//!
//! The input is a script. Its first byte chooses the limits (even: the defaults, odd: tight ones). The rest is what
//! arrives, from the client at first; a byte 0xff says that the server's bytes follow, 0xfe the client's, and 0xfd that
//! the caller has lost its patience with an expectation. So a mark between two pieces of one side is a cut.
#![no_main]

use driver::{Event, Wire, show};
use libfuzzer_sys::{Corpus, fuzz_target};
use weir_filters::http::{ClientStep, Decision, Limits};

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../../../tests/http1/driver.rs"]
mod driver;

const RELEASE: u8 = 0xfd;
const CLIENT: u8 = 0xfe;
const SERVER: u8 = 0xff;

/// What arrives: [`CLIENT`] or [`SERVER`] and bytes, or [`RELEASE`].
type Act = (u8, Vec<u8>);

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((flags, script)) = data.split_first() else { return Corpus::Reject };
    let tight = Limits { head_bytes: 200, headers: 4, pipelined: 2, chunk_extension_bytes: 4, trailer_bytes: 40 };
    let limits = if flags & 1 == 0 { Limits::default() } else { tight };
    // As it comes.
    let acts = acts(script);
    reinspect(&run(limits, &acts, usize::MAX, Manner::AsItComes));
    // In large pieces and in drops.
    let acts = joined(acts);
    let mut whole = run(limits, &acts, usize::MAX, Manner::Paused);
    reinspect(&whole);
    compare(&mut whole, run(limits, &acts, 1, Manner::Paused));
    compare(&mut whole, run(limits, &acts, 3, Manner::Spliced));
    Corpus::Keep
});

fn acts(script: &[u8]) -> Vec<Act> {
    let (mut acts, mut side) = (Vec::new(), CLIENT);
    let mut rest = script;
    loop {
        let end = rest.iter().position(|byte| *byte >= RELEASE).unwrap_or(rest.len());
        acts.push((side, rest[..end].to_vec()));
        match rest.get(end) {
            None => return acts,
            Some(&RELEASE) => acts.push((RELEASE, Vec::new())),
            Some(mark) => side = *mark,
        }
        rest = &rest[end + 1..];
    }
}

/// Without the cuts.
fn joined(acts: Vec<Act>) -> Vec<Act> {
    let mut joined: Vec<Act> = Vec::new();
    for (side, bytes) in acts {
        match joined.last_mut() {
            Some((last, before)) if *last == side => before.extend(bytes),
            _ => joined.push((side, bytes)),
        }
    }
    joined
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    AsItComes,
    /// The server pauses behind every byte that the client waits for.
    Paused,
    /// So, and what may pass unseen does.
    Spliced,
}

/// Lets it all happen, in pieces of at most `size`.
fn run(limits: Limits, acts: &[Act], size: usize, manner: Manner) -> Wire {
    let mut wire = Wire::with(limits);
    wire.splices = manner == Manner::Spliced;
    for (side, bytes) in acts {
        for piece in bytes.chunks(size) {
            match *side {
                CLIENT => wire.client(piece),
                _ if manner == Manner::AsItComes => wire.server(piece),
                _ => wire.server_paused(piece),
            };
        }
        if *side == RELEASE {
            wire.inspector.release();
            wire.pump();
        }
    }
    account(&wire, acts);
    wire
}

/// Each byte is in one place, and nothing is forwarded without a verdict.
fn account(wire: &Wire, acts: &[Act]) {
    let sent = |side: u8| acts.iter().filter(|act| act.0 == side).map(|act| act.1.len()).sum::<usize>();
    assert_eq!(wire.upstream.len() + wire.discarded.len() + wire.left(), sent(CLIENT));
    assert_eq!(wire.from_server + wire.server_left(), sent(SERVER));
    assert!(wire.upstream.is_empty() || wire.decisions().contains(&Decision::Allow));
    assert!(wire.from_server == 0 || !wire.upstream.is_empty(), "an answer to nothing");
}

/// What was forwarded is the allowed requests, and nothing else: a second inspector finds the same in it.
fn reinspect(wire: &Wire) {
    let mut second = Wire::with(Limits { pipelined: usize::MAX, ..Limits::default() });
    second.client(&wire.upstream);
    while second.inspector.awaits_continue() {
        second.inspector.release();
        second.pump();
    }
    let judged = |wire: &Wire, wanted: Decision| {
        let events = wire.judge.events.iter().filter(|event| matches!(event, Event::Judged(.., d) if *d == wanted));
        events.cloned().collect::<Vec<_>>()
    };
    let (allowed, found) = (judged(wire, Decision::Allow), judged(&second, Decision::Allow));
    assert!(allowed.starts_with(&found), "{allowed:?} but {found:?} in {}", show(&wire.upstream));
    if matches!(wire.client_step, ClientStep::Opaque | ClientStep::Http2) || second.client_step == ClientStep::Wait {
        // It cannot look behind a request for an upgrade.
        return;
    }
    assert_eq!(allowed, found, "{}", show(&wire.upstream));
    let is_refused = second.judge.events.iter().any(|event| matches!(event, Event::Refused(_)));
    assert_eq!((is_refused, second.left(), second.discarded.len()), (false, 0, 0), "{}", show(&wire.upstream));
    assert_eq!(second.decisions().len(), found.len(), "{}", show(&wire.upstream));
}

fn compare(one: &mut Wire, mut other: Wire) {
    assert_eq!(show(&one.upstream), show(&other.upstream));
    assert_eq!(show(&one.discarded), show(&other.discarded));
    assert_eq!(show(&one.downstream), show(&other.downstream));
    assert_eq!(one.judge.events, other.judge.events);
    assert_eq!((one.client_step, one.server_step), (other.client_step, other.server_step));
    assert_eq!((one.closed, one.client_eof()), (other.closed, other.client_eof()));
    assert_eq!(one.inspector.outstanding(), other.inspector.outstanding());
}
