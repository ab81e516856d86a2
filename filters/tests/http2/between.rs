//! Where weir's own frames may stand: between two frames of the server's, wherever the server's bytes are cut.

use weir_filters::http2::{Limits, PREFACE};

use crate::{
    driver::Wire,
    frames::{Reader, Writer},
};

const REQUESTS: [&str; 3] = ["HEADERS 1 POST /a", "HEADERS 3 es GET /b", "HEADERS 5 es GET /c"];
const SERVER: [&str; 11] = [
    "SETTINGS streams=9",
    "SETTINGS ack",
    "HEADERS 1 open ~100 :status=200 +x-a=1",
    "CONTINUATION 1 open #62",
    "CONTINUATION 1 +x-b=2",
    "DATA 1 pad=9 7",
    "PING",
    "WINDOW 0 70",
    "GOAWAY 2147483647 NO_ERROR",
    "HEADERS 3 es :status=204 #62 #63",
    "RST 5 CANCEL",
];

fn bytes(lines: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    lines.iter().flat_map(|line| writer.line(line)).collect()
}

#[test]
fn answers_stand_between_two_frames() {
    let server = bytes(&SERVER);
    let denied = ["HEADERS 7 POST /no", "HEADERS 9 es GET /no", "HEADERS 11 es x-a=1"];
    for cut in 0..=server.len() {
        let mut wire = Wire::new(Limits::default());
        wire.client(&[&PREFACE[..], &bytes(&["SETTINGS table=100"]), &bytes(&REQUESTS)].concat());
        wire.server(&server[..cut]).client(&bytes(&denied)).server(&server[cut..]);
        let lines = Reader::default().lines(&wire.downstream);
        let (answers, rest): (Vec<String>, _) = lines
            .into_iter()
            .partition(|line| line.split(' ').nth(1).is_some_and(|stream| ["7", "9", "11"].contains(&stream)));
        let wanted = [
            "HEADERS 7 :status=403 content-type=text/plain content-length=15",
            "DATA 7 es denied",
            "HEADERS 9 :status=403 content-type=text/plain content-length=15",
            "DATA 9 es denied",
            "RST 11 PROTOCOL_ERROR",
        ];
        // Where the client's lower limit is in force and the server has not said so yet, the first answer does.
        let first = answers[0].replace(" ~", "");
        assert_eq!([&[first], &answers[1..]].concat(), wanted, "cut at {cut}");
        assert_eq!(rest.len(), SERVER.len() - 2, "cut at {cut}: {rest:?}");
        assert!(wire.server_input.is_empty() && !wire.closed, "cut at {cut}");
    }
}

/// A server that never pauses between two frames does not keep an answer from the client.
#[test]
fn an_answer_does_not_wait_for_a_pause() {
    let mut wire = Wire::new(Limits::default());
    wire.client(&[&PREFACE[..], &bytes(&["SETTINGS", "HEADERS 1 es GET /a"])].concat());
    wire.server(&bytes(&["SETTINGS", "HEADERS 1 :status=200"]));
    let frames = bytes(&["DATA 1 100", "DATA 1 100"]);
    wire.server(&frames[..50]).client(&bytes(&["HEADERS 3 es HEAD /no"]));
    wire.server(&[&frames[50..], &frames[..50]].concat());
    let lines = Reader::default().lines(&wire.downstream);
    let place = lines.iter().position(|line| line.starts_with("HEADERS 3 es :status=403"));
    assert_eq!(place, Some(3), "{lines:?}");
}

/// What a client is owed while the server is within a frame is bounded.
#[test]
fn a_client_waits_when_too_much_waits_for_it() {
    let mut wire = Wire::new(Limits::default());
    wire.client(&[&PREFACE[..], &bytes(&["SETTINGS", "HEADERS 1 es GET /a"])].concat());
    wire.server(&bytes(&["SETTINGS", "HEADERS 1 :status=200"]));
    let frame = bytes(&["DATA 1 100"]);
    wire.server(&frame[..50]);
    let requests: Vec<u8> = {
        let mut writer = Writer::default();
        writer.line("HEADERS 1 es");
        writer.line("5000* HEADERS + es GET /no")
    };
    wire.client(&requests);
    assert_eq!(wire.client_step, weir_filters::connection::ClientStep::Wait);
    assert!(wire.client_input.len() > requests.len() / 2, "most is not read");
    wire.server(&frame[50..]);
    assert!(wire.client_input.is_empty());
    assert_eq!(wire.judge.told.iter().filter(|told| told.starts_with("deny")).count(), 5_000);
    Reader::default().lines(&wire.downstream);
}

/// What is written anew may be much more than was read; it is handed over piece by piece.
#[test]
fn what_is_written_anew_is_handed_over_in_pieces() {
    let mut wire = Wire::new(Limits::default());
    let long = format!("+x-a={}", "0123456789".repeat(12));
    let fill = format!("HEADERS 1 es GET /no {long}");
    wire.client(&[&PREFACE[..], &bytes(&["SETTINGS", &fill])].concat()).server(&bytes(&["SETTINGS"]));
    wire.upstream.clear();
    let mut writer = Writer::default();
    writer.line("HEADERS 1 es");
    let references = "be".repeat(100);
    let requests = writer.line(&format!("200* HEADERS + es GET /a raw={references}"));
    let step = wire.inspector.client(&requests, &mut wire.judge);
    let weir_filters::connection::ClientStep::Replace(taken) = step else { panic!("{step:?}") };
    let written = wire.inspector.take_replacement().len();
    assert!(written < 96 << 10 && taken < requests.len() / 4, "{written} for {taken} of {}", requests.len());
}

/// An end within a header block, or before the upstream has spoken.
#[test]
fn the_state_is_told_to_the_caller() {
    let mut wire = Wire::new(Limits::default());
    assert!(wire.inspector.is_idle());
    wire.client(&[&PREFACE[..], &bytes(&["SETTINGS", "HEADERS 1 es GET /no"])].concat());
    assert_eq!(wire.upstream, PREFACE, "what a client chooses waits for the server's SETTINGS");
    assert!(wire.inspector.in_head(), "not for ever");
    wire.server(&bytes(&["SETTINGS"]));
    assert!(!wire.inspector.in_head() && wire.inspector.is_idle() && wire.inspector.server_eof().is_ok());
    let request = bytes(&["HEADERS 3 es GET /no"]);
    wire.client(&request[..12]);
    assert!(wire.inspector.in_head(), "a part of a block is there");
    wire.client(&request[12..]);
    assert!(!wire.inspector.in_head() && wire.inspector.is_idle());
    wire.client(&bytes(&["HEADERS 5 es GET /a"]));
    assert!(!wire.inspector.is_idle());
    wire.server(&bytes(&["HEADERS 5 :status=200"]));
    let data = bytes(&["DATA 5 es 10"]);
    wire.server(&data[..12]);
    assert!(!wire.inspector.is_idle() && wire.inspector.server_eof().is_err(), "within a frame");
    wire.server(&data[12..]);
    assert!(wire.inspector.is_idle() && wire.inspector.server_eof().is_ok());
}
