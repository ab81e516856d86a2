//! Properties of any talk, and of any way to cut it.

use proptest::{collection::vec, prelude::*, sample::Index};
use weir_filters::http2::{Limits, PREFACE};

use crate::{
    account::{Seen, split},
    driver::Wire,
    frames::{Reader, Writer},
};

const CLIENT: &[&str] = &[
    "HEADERS + es GET /a",
    "HEADERS + es GET /no",
    "HEADERS + es GET /b +x-a=1 !x-b=2",
    "HEADERS + es GET /no +x-c=3",
    "HEADERS + es GET /c #62",
    "HEADERS + es GET /no #62",
    "HEADERS + POST /up content-length=10",
    "HEADERS + POST /no",
    "HEADERS + open POST /up",
    "CONTINUATION 1 x-a=1",
    "CONTINUATION 3 +x-a=1",
    "HEADERS + POST /no/S content-type=application/grpc",
    "HEADERS + es x-a=1 +x-d=4",
    "HEADERS + es GET /a,b host=a,b",
    "HEADERS 1 es x-t=1",
    "HEADERS 3 es +x-t=2",
    "HEADERS 5 es :path=/",
    "DATA 1 10",
    "DATA 1 es 5",
    "DATA 3 pad=3 7",
    "DATA 3 es 10",
    "DATA 5 es 0",
    "DATA 7 pad=0 0",
    "RST 1 CANCEL",
    "RST 3 CANCEL",
    "WINDOW 0 100",
    "WINDOW 1 100",
    "WINDOW 3 10",
    "PRIORITY 5",
    "PING",
    "SETTINGS",
    "SETTINGS table=0",
    "SETTINGS table=100 window=10",
    "SETTINGS ack",
    "FRAME 99 0 3 10",
    "GOAWAY 0 NO_ERROR",
];

const SERVER: &[&str] = &[
    "HEADERS 1 :status=200",
    "HEADERS 1 es :status=404 +x-a=1",
    "HEADERS 3 :status=200 content-type=application/grpc +server=a",
    "HEADERS 3 es grpc-status=0",
    "HEADERS 5 :status=103",
    "HEADERS 5 open :status=200",
    "CONTINUATION 5 x-a=1",
    "DATA 1 es 10",
    "DATA 1 pad=2 10",
    "DATA 3 16384",
    "DATA 5 16384",
    "DATA 7 es 0",
    "RST 5 CANCEL",
    "RST 7 NO_ERROR",
    "PING",
    "SETTINGS ack",
    "SETTINGS table=0",
    "SETTINGS table=5000",
    "WINDOW 0 10",
    "GOAWAY 9 NO_ERROR",
];

/// A side's bytes, in turn: true for the client.
pub(crate) type Talk = Vec<(bool, Vec<u8>)>;

pub(crate) fn talk() -> impl Strategy<Value = Talk> {
    let client = prop::sample::select(CLIENT).prop_map(|line| (true, line));
    let server = prop::sample::select(SERVER).prop_map(|line| (false, line));
    vec(prop_oneof![3 => client, 2 => server], 1..40).prop_map(|lines| {
        let mut writer = Writer::default();
        let begin = [&PREFACE[..], &writer.line("SETTINGS")].concat();
        let mut talk: Talk = vec![(true, begin), (false, writer.line("SETTINGS"))];
        for (of_client, line) in lines {
            let bytes = writer.line(line);
            match talk.last_mut() {
                Some((side, before)) if *side == of_client => before.extend(bytes),
                _ => talk.push((of_client, bytes)),
            }
        }
        talk
    })
}

/// Cuts `bytes` at the given places.
pub(crate) fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn play(talk: &Talk, cuts: &[Index]) -> Wire {
    let mut wire = Wire::new(Limits { streams: 5, ..Limits::default() });
    for (of_client, bytes) in talk {
        for piece in pieces(bytes, cuts) {
            if *of_client {
                wire.client(piece)
            } else {
                wire.server(piece)
            };
        }
    }
    wire
}

/// Frames without what is given back of the connection's window, and how much that is.
fn frames(bytes: &[u8]) -> (Vec<Seen>, u64, Vec<u8>) {
    let (frames, rest) = split(bytes);
    let is_window = |frame: &Seen| frame.kind == 8 && frame.stream == 0;
    let given = frames
        .iter()
        .filter(|frame| is_window(frame))
        .map(|frame| frame.payload.first_chunk().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes))));
    let given = given.sum();
    (frames.into_iter().filter(|frame| !is_window(frame)).collect(), given, rest.to_vec())
}

/// What the upstream got is what the judge allowed, as a decoder of another make reads it.
fn account(wire: &Wire) {
    let mut reader = Reader::default();
    crate::account::account(wire, |block| reader.fields(block));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn cuts_do_not_matter(talk in talk(), cuts in vec(any::<Index>(), 0..20)) {
        let whole = play(&talk, &[]);
        let cut = play(&talk, &cuts);
        prop_assert_eq!(&whole.judge.told, &cut.judge.told);
        prop_assert_eq!(whole.closed, cut.closed);
        prop_assert_eq!(&whole.upstream, &cut.upstream);
        if !whole.judge.told.last().is_some_and(|told| told.starts_with("abort")) {
            prop_assert_eq!(frames(&whole.downstream), frames(&cut.downstream));
            Reader::default().lines(&whole.downstream);
        }
        account(&whole);
    }

    #[test]
    fn broken_frames_do_no_harm(
        talk in talk(),
        cuts in vec(any::<Index>(), 0..4),
        flips in vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut talk = talk;
        for (turn, place, byte) in flips {
            let turn = turn.index(talk.len());
            let (_, bytes) = &mut talk[turn];
            let place = place.index(bytes.len());
            // The preface is of no interest.
            if turn > 0 || place >= PREFACE.len() {
                bytes[place] = byte;
            }
        }
        let whole = play(&talk, &[]);
        account(&whole);
        let cut = play(&talk, &cuts);
        prop_assert_eq!(&whole.judge.told, &cut.judge.told);
        prop_assert_eq!(&whole.upstream, &cut.upstream);
    }

    #[test]
    fn random_bytes_do_no_harm(client in vec(any::<u8>(), 0..300), server in vec(any::<u8>(), 0..300)) {
        let settings = Writer::default().line("SETTINGS");
        let mut wire = Wire::new(Limits::default());
        wire.client(&[&PREFACE[..], &settings].concat()).server(&settings).client(&client).server(&server);
        account(&wire);
    }
}
