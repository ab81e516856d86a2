//! Several requests at once: order, limits, endings.

use weir_filters::http::{ClientStep, Decision, Limits, Refusal, ServerStep};

use crate::driver::{BAD, DENIED, DENIED_CLOSE, Event, Wire, show};

const YES: &[u8] = b"GET /yes HTTP/1.1\r\nHost: a\r\n\r\n";
const NO: &[u8] = b"GET /no HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn allowed_requests_are_one_step() {
    let mut wire = Wire::new();
    let input = [YES, YES, YES].concat();
    assert_eq!(wire.inspector.client(&input, &mut wire.judge), ClientStep::Forward(input.len()));
    let input = [OK, OK, OK].concat();
    assert_eq!(wire.inspector.server(&input, &mut wire.judge), ServerStep::Forward(input.len()));
    assert!(wire.inspector.is_idle());
}

#[test]
fn denials_are_answered_in_turn() {
    let mut wire = Wire::new();
    wire.client(&[YES, NO, YES, NO, NO].concat());
    assert_eq!(show(&wire.upstream), show(&[YES, YES].concat()));
    assert_eq!(show(&wire.downstream), "", "an earlier answer is owed");
    wire.server(&OK[..OK.len() - 1]);
    assert_eq!(show(&wire.downstream), show(&OK[..OK.len() - 1]));
    wire.server(&OK[OK.len() - 1..]);
    assert_eq!(show(&wire.downstream), show(&[OK, DENIED].concat()));
    wire.server(OK);
    assert_eq!(show(&wire.downstream), show(&[OK, DENIED, OK, DENIED, DENIED].concat()));
    assert_eq!(wire.statuses(), [200, 200]);

    let mut wire = Wire::new();
    wire.client(&[YES, NO, YES].concat()).server(&[OK, OK].concat());
    assert_eq!(show(&wire.downstream), show(&[OK, DENIED, OK].concat()), "two answers at once are parted");
}

#[test]
fn a_refusal_waits_for_its_turn_and_ends_everything() {
    let mut wire = Wire::new();
    wire.client(&[YES, NO, b"GET /a b HTTP/1.1\r\n\r\n", YES].concat());
    assert_eq!(wire.client_step, ClientStep::Stop);
    assert_eq!((show(&wire.upstream), show(&wire.downstream)), (show(YES), String::new()));
    assert!(!wire.closed);
    wire.server(OK);
    assert_eq!(show(&wire.downstream), show(&[OK, DENIED, BAD].concat()));
    assert!(wire.closed);
    wire.client(YES);
    assert_eq!(show(&wire.upstream), show(YES), "nothing after it is read");
    assert!(wire.judge.events.contains(&Event::Refused(Refusal::StartLine)));
}

#[test]
fn nothing_is_read_after_close() {
    let close: &[u8] = b"GET /yes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for last in [close, b"GET /yes HTTP/1.0\r\n\r\n"] {
        let mut wire = Wire::new();
        wire.client(&[last, YES].concat());
        assert_eq!((show(&wire.upstream), wire.client_step), (show(last), ClientStep::Stop));
    }
    let mut wire = Wire::new();
    wire.client(b"PUT /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nab");
    assert_eq!((show(&wire.downstream), wire.closed), (show(DENIED_CLOSE), true));
    let mut wire = Wire::new();
    wire.client(&[YES, NO, YES].concat()).server(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert!(!show(&wire.downstream).contains("403"), "the server's close comes before the denial");
    assert_eq!((wire.inspector.outstanding(), wire.inspector.is_idle()), (0, true));
}

#[test]
fn the_pipeline_is_bounded() {
    let mut wire = Wire::with(Limits { pipelined: 2, ..Limits::default() });
    wire.client(&[YES, NO, NO, YES].concat());
    assert_eq!((wire.client_step, wire.decisions().len()), (ClientStep::Wait, 2));
    wire.server(OK);
    assert_eq!(show(&wire.downstream), show(&[OK, DENIED, DENIED].concat()));
    assert_eq!(wire.decisions(), [Decision::Allow, Decision::Deny, Decision::Deny, Decision::Allow]);
    assert_eq!(wire.left(), 0);
}

#[test]
fn a_body_that_breaks() {
    let put: &[u8] = b"PUT /yes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = Wire::new();
    wire.client(YES).client(put).client(b"zz");
    assert_eq!((wire.client_step, wire.closed), (ClientStep::Stop, false));
    wire.server(OK);
    assert_eq!((show(&wire.downstream), wire.closed), (show(&[OK, BAD].concat()), true));

    for answered in [OK, &OK[..OK.len() - 1]] {
        let mut wire = Wire::new();
        wire.client(put).server(answered).client(b"zz");
        assert_eq!(wire.client_step, ClientStep::Abort(Refusal::Chunk), "the answer has begun");
        assert_eq!(show(&wire.downstream), show(answered));
    }

    let mut wire = Wire::new();
    wire.client(b"PUT /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz");
    assert_eq!((show(&wire.downstream), wire.closed), (show(&[DENIED, BAD].concat()), true));
}

#[test]
fn an_early_answer_does_not_stop_the_body() {
    let mut wire = Wire::new();
    wire.client(b"PUT /yes HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234").server(OK);
    assert!(!wire.inspector.is_idle());
    wire.client(b"56789").client(YES).server(OK);
    assert!(wire.upstream.ends_with(&[b"56789", YES].concat()));
    assert!(wire.inspector.is_idle());
}

#[test]
fn timeouts_know_where_it_stands() {
    let mut wire = Wire::new();
    assert!(wire.inspector.is_idle() && !wire.inspector.in_head());
    wire.client(&YES[..5]);
    assert!(!wire.inspector.is_idle() && wire.inspector.in_head());
    wire.client(&YES[5..]);
    assert!(!wire.inspector.is_idle() && !wire.inspector.in_head());
    wire.server(OK);
    assert!(wire.inspector.is_idle());
}
