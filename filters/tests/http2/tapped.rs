//! The tap on the tables and properties of HTTP/2.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::Index};
use weir_filters::{
    connection::Inspector,
    http2::PREFACE,
    tap::{Lost, Seen, Tap},
};

use crate::{
    driver::Witness,
    frames::Writer,
    properties::{Talk, pieces, talk},
    table::{lines, subjects},
};

/// A connection that is watched.
struct Watched {
    inspector: Inspector,
    tap: Tap,
    judge: Witness,
    over: Option<Result<Seen, Lost>>,
}

impl Watched {
    fn new() -> Self {
        let judge =
            Witness { told: Vec::new(), allowed: Vec::new(), now: Instant::now(), allows_all: true, reason: None };
        Self { inspector: Inspector::new(), tap: Tap::default(), judge, over: None }
    }

    fn say(&mut self, of_client: bool, bytes: &[u8]) {
        if self.over.is_some() {
            return;
        }
        let seen = if of_client {
            self.tap.client(&mut self.inspector, bytes, &mut self.judge)
        } else {
            self.tap.server(&mut self.inspector, bytes, &mut self.judge)
        };
        self.over = Some(seen).filter(|seen| *seen != Ok(Seen::Yes));
    }

    fn is_lost(&self) -> bool {
        matches!(self.over, Some(Err(_)))
    }
}

/// Plays a row of the table in pieces of so many bytes.
fn play(row: &str, size: usize) -> Watched {
    let mut watched = Watched::new();
    let mut writer = Writer::default();
    if lines(row).all(|(word, _)| word != "raw") {
        let [settings, acknowledged] = ["SETTINGS", "SETTINGS ack"].map(|line| Writer::default().line(line));
        watched.say(true, &[&PREFACE[..], &settings].concat());
        watched.say(false, &[&settings[..], &acknowledged].concat());
        watched.say(true, &acknowledged);
    }
    for (word, rest) in lines(row) {
        match word {
            ">" | "<" => {
                let bytes = if rest == "PREFACE" { PREFACE.to_vec() } else { writer.line(rest) };
                bytes.chunks(size).for_each(|piece| watched.say(word == ">", piece));
            }
            "tick" => watched.judge.now += Duration::from_millis(rest.parse().expect("milliseconds")),
            _ => {}
        }
    }
    watched
}

#[test]
fn what_a_row_refuses_goes_on_unseen() {
    let mut lost = 0;
    for (subject, rows) in subjects() {
        for (name, row) in &rows {
            let whole = play(row, usize::MAX);
            let drops = play(row, 1);
            assert_eq!((&drops.judge.told, drops.is_lost()), (&whole.judge.told, whole.is_lost()), "{subject}: {name}");
            let is = |wanted: &str| {
                lines(row).any(|(word, rest)| word == wanted || format!("{word} {rest}").starts_with(wanted))
            };
            if is("told refused") && !is("tight") && !is("leave") && !is("told deny") {
                assert!(whole.is_lost(), "{subject}: {name} {:?}", whole.judge.told);
                lost += 1;
            } else if is("verbatim") && !is("told abort") {
                assert!(!whole.is_lost(), "{subject}: {name} {:?}", whole.over);
            }
        }
    }
    assert!(lost > 50, "{lost} rows");
}

fn watch(talk: &Talk, cuts: &[Index]) -> Watched {
    let mut watched = Watched::new();
    for (of_client, bytes) in talk {
        pieces(bytes, cuts).into_iter().for_each(|piece| watched.say(*of_client, piece));
    }
    watched
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn cuts_do_not_matter(talk in talk(), cuts in vec(any::<Index>(), 0..20)) {
        let (whole, cut) = (watch(&talk, &[]), watch(&talk, &cuts));
        let (one, other) = (&whole.judge.told, &cut.judge.told);
        // Behind what it is lost with, more may be seen or not.
        let known = one.iter().zip(other).take_while(|(one, other)| one == other).count();
        let most = if whole.is_lost() { one.len().min(other.len()) } else { one.len().max(other.len()) };
        prop_assert!(known == most, "{one:?} {other:?}");
        prop_assert_eq!(whole.is_lost(), cut.is_lost());
    }

    #[test]
    fn broken_frames_do_no_harm(talk in talk(), flips in vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..6)) {
        let mut talk = talk;
        for (turn, place, byte) in flips {
            let turn = turn.index(talk.len());
            let (_, bytes) = &mut talk[turn];
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        watch(&talk, &[]);
    }
}
