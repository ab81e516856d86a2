//! What each frame leads to. A row is a name and a talk, line by line in the language of [`crate::frames`]:
//!
//! ```text
//!   > frame      the client sends it           < frame      the server sends it
//!   leave        the proxy wants to end        tick ms      time passes
//!   up frame     the upstream gets it          down frame   the client gets it
//!   told text    the judge was told            verbatim     both get what was sent
//!   tight        small limits                  raw          both prefaces are part of the talk
//! ```
//!
//! `...` in place of a frame is any number of lines, and `*` at the end of one is any end. Each row is played line by line, byte by byte, and with as much at once
//! as one side says; it must come to the same, but for how WINDOW_UPDATE and DATA are divided.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use weir_filters::http2::{Limits, PREFACE, Rate};

use crate::{
    driver::Wire,
    frames::{Reader, Writer},
};

mod answers;
mod blocks;
mod denials;
mod floods;
mod leaving;
mod malformed;
mod passing;
mod rewriting;
mod streams;
mod windows;

/// Name and talk.
pub(crate) type Row = (&'static str, &'static str);

pub(crate) fn subjects() -> Vec<(&'static str, Vec<(String, String)>)> {
    let owned = |rows: &[Row]| rows.iter().map(|(name, talk)| (name.to_string(), talk.to_string())).collect();
    vec![
        ("passing", owned(passing::ROWS)),
        ("blocks", owned(blocks::ROWS)),
        ("denials", owned(denials::ROWS)),
        ("rewriting", owned(rewriting::ROWS)),
        ("windows", owned(windows::ROWS)),
        ("malformed", malformed::rows()),
        ("streams", owned(streams::ROWS)),
        ("answers", owned(answers::ROWS)),
        ("floods", owned(floods::ROWS)),
        ("leaving", owned(leaving::ROWS)),
    ]
}

fn tight() -> Limits {
    let rate = Rate { burst: 3, per_second: 10 };
    Limits {
        block_bytes: 600,
        block_frames: 4,
        list_bytes: 400,
        fields: 8,
        streams: 3,
        dropped_bytes: 20,
        table_bytes: 4_096,
        settings: rate,
        pings: rate,
        resets: rate,
        updates: rate,
        idle_frames: rate,
    }
}

/// What came of a talk.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    up: Vec<String>,
    down: Vec<String>,
    told: Vec<String>,
    /// Both sides got the bytes that were sent.
    verbatim: bool,
}

impl Outcome {
    /// Without what a cut may change.
    fn essence(&self) -> (Vec<String>, Vec<String>, u64, &[String]) {
        let connection = |line: &String| line.strip_prefix("WINDOW 0 ").and_then(|n| n.parse::<u64>().ok());
        let given_back = self.down.iter().filter_map(connection).sum();
        let mut down: Vec<String> = Vec::new();
        for line in self.down.iter().filter(|line| connection(line).is_none()) {
            match down.last_mut().and_then(|last| Some((joined(last, line)?, last))) {
                Some((joined, last)) => *last = joined,
                None => down.push(line.clone()),
            }
        }
        (self.up.clone(), down, given_back, &self.told)
    }
}

/// Two DATA frames that may be one, cut in two.
fn joined(first: &str, second: &str) -> Option<String> {
    let (stream, length) = first.strip_prefix("DATA ")?.split_once(' ')?;
    let rest = second.strip_prefix("DATA ")?.strip_prefix(stream)?.strip_prefix(' ')?;
    let (ends, rest) = rest.strip_prefix("es ").map_or(("", rest), |rest| ("es ", rest));
    let sum = length.parse::<usize>().ok()? + rest.parse::<usize>().ok()?;
    Some(format!("DATA {stream} {ends}{sum}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Lines,
    Bytes,
    Joined,
}

pub(crate) fn lines(talk: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = talk.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(' ').unwrap_or((line, "")))
}

fn play(talk: &str, cut: Cut) -> Outcome {
    let has = |wanted: &str| lines(talk).any(|(word, _)| word == wanted);
    let mut wire = Wire::new(if has("tight") { tight() } else { Limits::default() });
    let (mut upstream, mut client) = (Reader::default(), Reader::default());
    let mut writer = Writer::default();
    let mut sent = (Vec::new(), Vec::new());
    if !has("raw") {
        let settings = Writer::default().line("SETTINGS");
        let acknowledged = Writer::default().line("SETTINGS ack");
        wire.client(&[&PREFACE[..], &settings].concat());
        wire.server(&settings).server(&acknowledged).client(&acknowledged);
        wire.upstream.clear();
        wire.downstream.clear();
    }
    let mut said: Vec<(bool, Vec<u8>)> = Vec::new();
    let mut say = |wire: &mut Wire, said: &mut Vec<(bool, Vec<u8>)>| {
        for (of_client, bytes) in said.drain(..) {
            let mut feed = |piece: &[u8]| {
                if of_client {
                    wire.client(piece)
                } else {
                    wire.server(piece)
                };
            };
            match cut {
                Cut::Bytes => bytes.chunks(1).for_each(&mut feed),
                Cut::Lines | Cut::Joined => feed(&bytes),
            }
            if of_client { sent.0.extend(bytes) } else { sent.1.extend(bytes) }
        }
    };
    for (word, rest) in lines(talk) {
        match word {
            ">" | "<" => {
                let bytes = match rest {
                    "PREFACE" => PREFACE.to_vec(),
                    line => writer.line(line),
                };
                match said.last_mut() {
                    Some((of_client, before)) if *of_client == (word == ">") && cut == Cut::Joined => {
                        before.extend(bytes);
                    }
                    _ => {
                        say(&mut wire, &mut said);
                        said.push((word == ">", bytes));
                    }
                }
            }
            "leave" | "tick" => {
                say(&mut wire, &mut said);
                if word == "leave" {
                    wire.inspector.leave();
                    wire.take_replies();
                } else {
                    wire.pass_time(Duration::from_millis(rest.parse().expect("milliseconds")));
                }
            }
            "up" | "down" | "told" | "verbatim" | "tight" | "raw" => {}
            _ => panic!("no line: {word} {rest}"),
        }
    }
    say(&mut wire, &mut said);
    let verbatim = wire.upstream == sent.0 && wire.downstream == sent.1;
    let up = match wire.upstream.strip_prefix(&PREFACE[..]) {
        Some(frames) => [vec!["PREFACE".into()], upstream.lines(frames)].concat(),
        None => upstream.lines(&wire.upstream),
    };
    Outcome { up, down: client.lines(&wire.downstream), told: wire.judge.told, verbatim }
}

/// The lines of the talk that begin with `word`.
fn expected(talk: &str, word: &str) -> Vec<String> {
    let wanted = lines(talk).filter(|line| line.0 == word).flat_map(|(_, rest)| {
        let (times, rest) = match rest.split_once("* ") {
            Some((times, rest)) if times.parse::<usize>().is_ok() => (times.parse().unwrap_or(1), rest),
            _ => (1, rest),
        };
        std::iter::repeat_n(rest.to_string(), times)
    });
    wanted.collect()
}

/// Whether the lines are those that are expected, where `...` is any number of them, and `*` at an end is any end.
fn fits(seen: &[String], wanted: &[String]) -> bool {
    match wanted.split_first() {
        None => seen.is_empty(),
        Some((any, rest)) if any == "..." => (0..=seen.len()).any(|at| fits(&seen[at..], rest)),
        Some((line, rest)) => {
            let same = |seen: &String| line.strip_suffix('*').map_or(seen == line, |start| seen.starts_with(start));
            seen.first().is_some_and(same) && fits(&seen[1..], rest)
        }
    }
}

fn check(talk: &str) -> Result<(), String> {
    let outcome = play(talk, Cut::Lines);
    let is_verbatim = lines(talk).any(|(word, _)| word == "verbatim");
    for (word, seen) in [("up", &outcome.up), ("down", &outcome.down), ("told", &outcome.told)] {
        let wanted = expected(talk, word);
        if !(fits(seen, &wanted) || (is_verbatim && word != "told")) {
            return Err(format!("{word}:\n  wanted {wanted:#?}\n  seen   {seen:#?}"));
        }
    }
    if is_verbatim && !outcome.verbatim {
        return Err(format!("not verbatim: {outcome:#?}"));
    }
    for cut in [Cut::Bytes, Cut::Joined] {
        let other = play(talk, cut);
        if other.essence() != outcome.essence() {
            return Err(format!("{cut:?}:\n  lines {outcome:#?}\n  cut   {other:#?}"));
        }
    }
    Ok(())
}

#[test]
fn every_row_goes_as_it_says() {
    let (mut failed, mut bad) = (String::new(), 0);
    for (subject, rows) in subjects() {
        for (name, talk) in rows {
            // What the language cannot write or read is found here, too.
            let checked = std::panic::catch_unwind(|| check(&talk));
            let reason = match checked {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) => reason,
                Err(_) => "panicked".into(),
            };
            bad += 1;
            let _ = writeln!(failed, "{subject}: {name}: {reason}\n{talk}");
        }
    }
    assert!(failed.is_empty(), "\n{failed}\n{bad} rows");
}

#[test]
fn rows_are_many_and_each_is_named_once() {
    let mut count = 0;
    for (subject, rows) in subjects() {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        assert_eq!(names.len(), rows.len(), "{subject}: a name twice");
        count += rows.len();
    }
    assert!(count >= 200, "{count} rows");
}
