//! One table of everything that a message may do, and of everything that is done to slip one past a proxy: rows of
//! (name, bytes, expected steps, source). The files below are its subjects.
//!
//! Each row is played as it stands, with what may be spliced spliced, byte by byte, and cut in two at every place; it must
//! come to the same.

use std::{collections::BTreeSet, fmt::Write};

use weir_filters::http::{Abort, ClientStep, Decision, Eof, Limits, Refusal, ServerStep};

use crate::driver::{BAD, DENIED, DENIED_CLOSE, Event, Move, TOO_LARGE, Wire, show};

mod answers;
mod chunks;
mod denials;
mod endings;
mod expectations;
mod fields;
mod framing;
mod host;
mod interim;
mod limits;
mod order;
mod start_line;
mod target;
mod upgrades;

/// What arrives.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Client(Vec<u8>),
    Server(Vec<u8>),
    /// The caller calls `release`.
    Release,
    /// The client's end.
    ClientEnd,
    /// The server's end.
    ServerEnd,
}

/// What is seen of it: the judge's part, the moves in their order, and where each side rests when all was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request was judged and allowed.
    Allow,
    /// A request was judged and denied.
    Deny,
    /// The judge was told of a refusal.
    Refused(Refusal),
    /// The judge was told of a response.
    Status(u16),
    /// Client bytes forwarded.
    Up(usize),
    /// Client bytes discarded.
    Drop(usize),
    /// Server bytes forwarded.
    Down(usize),
    /// A local reply.
    Reply(&'static [u8]),
    /// The client's side rests at `NeedMore`, `Wait`, `Stop`, `Opaque`, `Abort`.
    More,
    Wait,
    Stop,
    Opaque,
    Cut(Refusal),
    /// The server's side rests at `NeedMore`, `Opaque`, `Abort`.
    Next,
    Tunnel,
    Abort(Abort),
    /// Either side rests at `Http2`.
    Http2,
    /// What an end leads to.
    End(Eof),
}

use Said::{Client, Server};
use Step::{Allow, Deny, Down, Drop, More, Next, Refused, Reply, Status, Stop, Tunnel, Up, Wait};

/// All bytes of that side.
pub(crate) const ALL: usize = usize::MAX;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) talk: Vec<Said>,
    pub(crate) steps: Vec<Step>,
    /// Where it comes from: a section, or the name under which an attack is known.
    pub(crate) source: &'static str,
    pub(crate) limits: Limits,
}

/// A row of any form.
pub(crate) fn talk(name: &'static str, talk: &[Said], steps: &[Step], source: &'static str) -> Row {
    Row { name, talk: talk.to_vec(), steps: steps.to_vec(), source, limits: Limits::default() }
}

/// A row of the client's bytes alone.
pub(crate) fn request(name: &'static str, bytes: impl AsRef<[u8]>, steps: &[Step], source: &'static str) -> Row {
    talk(name, &[Client(bytes.as_ref().to_vec())], steps, source)
}

/// Forwarded whole.
pub(crate) const PASS: &[Step] = &[Allow, Up(ALL), More];
/// Forwarded whole, and the client must wait.
pub(crate) const PASS_WAIT: &[Step] = &[Allow, Up(ALL), Wait];
/// Forwarded whole, and the last of its connection.
pub(crate) const PASS_LAST: &[Step] = &[Allow, Up(ALL), Stop];
/// Discarded whole, and answered.
pub(crate) const DENY: &[Step] = &[Deny, Drop(ALL), Reply(DENIED), More];
/// As [`DENY`], and the last of its connection.
pub(crate) const DENY_LAST: &[Step] = &[Deny, Drop(ALL), Reply(DENIED_CLOSE), Stop];
/// Not complete.
pub(crate) const INCOMPLETE: &[Step] = &[More];

/// Nothing of it is forwarded, and the connection ends.
pub(crate) fn refuse(refusal: Refusal) -> [Step; 3] {
    let reply: &[u8] = match refusal {
        Refusal::HeadTooLarge | Refusal::TooManyHeaders => TOO_LARGE,
        Refusal::NotHttp | Refusal::Http2 => b"",
        _ => BAD,
    };
    [Refused(refusal), Reply(reply), Stop]
}

/// A request whose body is refused behind so many bytes of the whole.
pub(crate) fn broken(length: usize, refusal: Refusal) -> [Step; 5] {
    [Allow, Up(length), Refused(refusal), Reply(BAD), Stop]
}

/// A request to be answered, and where the client's side rests behind it.
pub(crate) type Asked = (&'static [u8], Step);

pub(crate) const GET: Asked = (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", More);
pub(crate) const HEAD: Asked = (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", More);
pub(crate) const NO: &[u8] = b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A row of one request and the server's bytes.
pub(crate) fn answer(
    name: &'static str,
    asked: Asked,
    response: impl AsRef<[u8]>,
    steps: &[Step],
    source: &'static str,
) -> Row {
    let begin = [Allow, Up(asked.0.len()), asked.1];
    let said = [Client(asked.0.to_vec()), Server(response.as_ref().to_vec())];
    talk(name, &said, &[&begin, steps].concat(), source)
}

/// The response is complete, and another exchange follows it.
pub(crate) fn done(name: &'static str, asked: Asked, status: u16, response: &[u8], source: &'static str) -> Row {
    let mut row = answer(name, asked, response, &[Status(status), Down(response.len()), Next], source);
    row.talk.extend([Client(GET.0.to_vec()), Server(OK.to_vec())]);
    row.steps.extend([Allow, Up(GET.0.len()), More, Status(200), Down(OK.len()), Next]);
    row
}

/// More belongs to the response; if the server ends here, that is what `end` says.
pub(crate) fn open(
    name: &'static str,
    asked: Asked,
    status: Option<u16>,
    response: &[u8],
    end: Eof,
    source: &'static str,
) -> Row {
    let mut row = answer(name, asked, response, &[], source);
    row.steps.extend(status.map(Status));
    row.steps.extend([Down(response.len()), Next, Step::End(end)]);
    row.talk.push(Said::ServerEnd);
    row
}

/// The response is complete, and nothing can follow it.
pub(crate) fn last(name: &'static str, asked: Asked, status: u16, response: &[u8], source: &'static str) -> Row {
    let mut row = answer(name, asked, response, &[Status(status), Down(response.len()), Next], source);
    row.talk.extend([Client(GET.0.to_vec()), Said::ServerEnd]);
    row.steps.extend([Stop, Step::End(Eof::Close)]);
    row
}

/// Both sides leave HTTP.
pub(crate) fn tunnel(name: &'static str, asked: Asked, status: u16, response: &[u8], source: &'static str) -> Row {
    let mut row = answer(name, asked, response, &[Status(status), Down(response.len()), Tunnel], source);
    row.talk.extend([Client(b"\0any\n".to_vec()), Server(b"\x01thing".to_vec())]);
    row.steps.extend([Up(5), Step::Opaque, Down(6), Tunnel]);
    row
}

/// Nothing of the response is passed on, and the connection breaks.
pub(crate) fn abort(
    name: &'static str,
    asked: Asked,
    response: impl AsRef<[u8]>,
    abort: Abort,
    source: &'static str,
) -> Row {
    answer(name, asked, response, &[Step::Abort(abort)], source)
}

/// As [`abort`], behind the first `length` bytes.
pub(crate) fn abort_behind(
    name: &'static str,
    status: u16,
    length: usize,
    response: &[u8],
    abort: Abort,
    source: &'static str,
) -> Row {
    answer(name, GET, response, &[Status(status), Down(length), Step::Abort(abort)], source)
}

pub(crate) fn subjects() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("start line", start_line::rows()),
        ("endings", endings::rows()),
        ("fields", fields::rows()),
        ("host", host::rows()),
        ("target", target::rows()),
        ("framing", framing::rows()),
        ("chunks", chunks::rows()),
        ("limits", limits::rows()),
        ("denials", denials::rows()),
        ("answers", answers::rows()),
        ("interim", interim::rows()),
        ("upgrades", upgrades::rows()),
        ("expectations", expectations::rows()),
        ("order", order::rows()),
    ]
}

/// Plays a talk. `cut` takes the bytes of all that is said apart.
fn play(row: &Row, splices: bool, cut: impl Fn(&[u8]) -> Vec<&[u8]>) -> (Vec<Step>, Wire) {
    let mut wire = Wire::with(row.limits);
    wire.splices = splices;
    let mut steps = Vec::new();
    for said in &row.talk {
        match said {
            Client(bytes) => cut(bytes).into_iter().for_each(|piece| _ = wire.client(piece)),
            Server(bytes) => cut(bytes).into_iter().for_each(|piece| _ = wire.server(piece)),
            Said::Release => {
                wire.inspector.release();
                wire.pump();
            }
            Said::ClientEnd | Said::ServerEnd => {}
        }
        for log in std::mem::take(&mut wire.log) {
            let step = match log {
                Move::Told(Event::Judged(.., Decision::Allow)) => Allow,
                Move::Told(Event::Judged(.., Decision::Deny)) => Deny,
                Move::Told(Event::Refused(refusal)) => Refused(refusal),
                Move::Told(Event::Responded(status)) => Status(status),
                Move::Up(n) => Up(n),
                Move::Dropped(n) => Drop(n),
                Move::Down(n) => Down(n),
                Move::Reply(bytes) => Reply(bytes),
            };
            steps.push(step);
        }
        steps.push(match said {
            Client(_) | Said::Release => match wire.client_step {
                ClientStep::NeedMore => More,
                ClientStep::Wait => Wait,
                ClientStep::Stop => Stop,
                ClientStep::Opaque => Step::Opaque,
                ClientStep::Http2 => Step::Http2,
                ClientStep::Abort(refusal) => Step::Cut(refusal),
                step => panic!("{step:?} is no rest"),
            },
            Server(_) => match wire.server_step {
                ServerStep::NeedMore => Next,
                ServerStep::Opaque => Tunnel,
                ServerStep::Http2 => Step::Http2,
                ServerStep::Abort(abort) => Step::Abort(abort),
                step => panic!("{step:?} is no rest"),
            },
            Said::ClientEnd => Step::End(wire.client_eof()),
            Said::ServerEnd => Step::End(wire.server_eof()),
        });
    }
    (steps, wire)
}

/// What the judge was told; the moves and rests; and how much was discarded, in all. A cut may change how these three
/// interleave: the judge hears of a request before it is forwarded, one move may take many requests, and a reply may
/// come before the rest of its request.
fn essence(steps: &[Step]) -> (Vec<Step>, Vec<Step>, usize) {
    let (mut told, mut moves, mut dropped) = (Vec::new(), Vec::new(), 0);
    for step in steps {
        match (moves.last_mut(), *step) {
            (_, Allow | Deny | Refused(_) | Status(_)) => told.push(*step),
            (_, Drop(n)) => dropped += n,
            (Some(Up(before)), Up(n)) | (Some(Down(before)), Down(n)) => *before += n,
            _ => moves.push(*step),
        }
    }
    (told, moves, dropped)
}

fn both(how: &str, expected: &[Step], seen: &[Step]) -> String {
    let list = |steps: &[Step]| {
        let text = |step: &Step| match step {
            Reply(bytes) => show(bytes).chars().take(12).collect(),
            step => format!("{step:?}"),
        };
        steps.iter().map(text).collect::<Vec<String>>().join(", ")
    };
    format!("{how}\n  expected {}\n  seen     {}", list(expected), list(seen))
}

fn check(row: &Row) -> Result<(), String> {
    let sum = |side: fn(&Said) -> usize| row.talk.iter().map(side).sum::<usize>();
    let sent = sum(|said| if let Client(bytes) = said { bytes.len() } else { 0 });
    let answered = sum(|said| if let Server(bytes) = said { bytes.len() } else { 0 });
    let expected: Vec<Step> = row
        .steps
        .iter()
        .map(|step| match step {
            Up(ALL) => Up(sent),
            Drop(ALL) => Drop(sent),
            Down(ALL) => Down(answered),
            step => *step,
        })
        .collect();
    let (steps, wire) = play(row, false, |bytes| vec![bytes]);
    if essence(&steps) != essence(&expected) {
        return Err(both("whole", &expected, &steps));
    }
    if (wire.upstream.len() + wire.discarded.len() + wire.left(), wire.from_server + wire.server_left())
        != (sent, answered)
    {
        return Err("a byte is not accounted for".into());
    }
    let (spliced, _) = play(row, true, |bytes| vec![bytes]);
    if essence(&spliced) != essence(&expected) {
        return Err(both("spliced", &expected, &spliced));
    }
    let (drops, _) = play(row, false, |bytes| bytes.chunks(1).collect());
    if essence(&drops) != essence(&expected) {
        return Err(both("by drops", &expected, &drops));
    }
    let longest = row.talk.iter().map(|said| if let Client(b) | Server(b) = said { b.len() } else { 0 }).max();
    // Long rows are about lengths: their ends matter.
    for place in (1..longest.unwrap_or_default()).filter(|place| *place < 400 || place % 997 == 0) {
        let (halves, _) = play(row, place % 2 == 1, |bytes| {
            let (left, right) = bytes.split_at(place.min(bytes.len()));
            [left, right].into_iter().filter(|piece| !piece.is_empty()).collect()
        });
        if essence(&halves) != essence(&expected) {
            return Err(both(&format!("cut at {place}"), &expected, &halves));
        }
    }
    Ok(())
}

#[test]
fn every_row_goes_as_it_says() {
    let mut failed = String::new();
    for (subject, rows) in subjects() {
        for row in rows {
            if let Err(reason) = check(&row) {
                let Row { name, source, .. } = &row;
                let _ = writeln!(failed, "{subject}: {name} ({source}): {reason}");
                for said in &row.talk {
                    let (who, bytes) = match said {
                        Client(bytes) => (">", bytes.as_slice()),
                        Server(bytes) => ("<", bytes.as_slice()),
                        _ => continue,
                    };
                    let _ = writeln!(failed, "  {who} {}", show(&bytes[..bytes.len().min(300)]));
                }
            }
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

#[test]
fn rows_are_many_and_each_is_named_once() {
    let mut count = 0;
    for (subject, rows) in subjects() {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        let mut sorted: Vec<&str> = rows.iter().map(|row| row.name).collect();
        sorted.sort_unstable();
        assert!(names.len() == rows.len(), "{subject}: a name twice in {sorted:?}");
        assert!(rows.iter().all(|row| !row.source.is_empty()), "{subject}");
        count += rows.len();
    }
    println!("{count} rows");
    assert!(count >= 250, "{count} rows");
}
