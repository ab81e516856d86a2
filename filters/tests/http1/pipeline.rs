//! Several requests at once, beyond the rows of the table: a hundred, in one step, and what timeouts ask.

use weir_filters::http::{ClientStep, Decision, Limits, ServerStep};

use crate::{
    driver::{DENIED, Wire, show},
    table::{GET, NO, OK},
};

const YES: &[u8] = GET.0;

#[test]
fn allowed_requests_are_one_step() {
    let mut wire = Wire::new();
    let input = [YES, YES, YES].concat();
    assert_eq!(wire.inspector.client(&input, &mut wire.judge), ClientStep::Forward(input.len()));
    let input = [OK, OK, OK].concat();
    assert_eq!(wire.inspector.server(&input, &mut wire.judge), ServerStep::Forward(input.len()));
    assert!(wire.inspector.is_idle());
}

/// A hundred requests with and without bodies, every third denied, answered in drops while they still come.
#[test]
fn a_hundred_requests_with_mixed_verdicts() {
    let put = |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok").into_bytes();
    let requests: Vec<(Vec<u8>, bool)> = (0..100)
        .map(|n| match (n % 3 == 0, n % 2 == 0) {
            (true, true) => (NO.to_vec(), false),
            (true, false) => (put("/no"), false),
            (false, true) => (YES.to_vec(), true),
            (false, false) => (put("/yes"), true),
        })
        .collect();
    let allowed = || requests.iter().filter(|(_, allowed)| *allowed);
    let sent: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let passed: Vec<u8> = allowed().flat_map(|(bytes, _)| bytes.clone()).collect();
    let answers: Vec<u8> =
        requests.iter().flat_map(|(_, allowed)| if *allowed { OK.to_vec() } else { DENIED.to_vec() }).collect();
    for size in [1, 7, 50, 1 << 16] {
        let mut wire = Wire::new();
        let mut owed = OK.repeat(allowed().count()).into_iter();
        for piece in sent.chunks(size) {
            wire.client(piece);
            if wire.inspector.outstanding() > 2 {
                wire.server(&owed.by_ref().take(40).collect::<Vec<u8>>());
            }
        }
        wire.server(&owed.collect::<Vec<u8>>());
        assert_eq!(show(&wire.upstream), show(&passed), "by {size}");
        assert_eq!(show(&wire.downstream), show(&answers), "by {size}");
        assert_eq!((wire.decisions().len(), wire.statuses().len()), (100, allowed().count()), "by {size}");
        assert!(wire.inspector.is_idle() && !wire.closed, "by {size}");
    }
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
