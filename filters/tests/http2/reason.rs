//! Denials that say why.

use weir_filters::{
    http::Reason,
    http2::{Limits, PREFACE},
};
use weir_model::resolved::{Direction, RuleId};

use crate::{
    driver::Wire,
    frames::{Reader, Writer},
};

#[test]
fn a_denial_says_why_where_that_is_wanted() {
    let rows = [
        (
            "HEADERS + es GET /no",
            ":status=403 x-weir-policy=0000002a;\\segress content-type=text/plain content-length=15",
        ),
        (
            "HEADERS + es HEAD /no",
            ":status=403 x-weir-policy=0000002a;\\segress content-type=text/plain content-length=15",
        ),
        (
            "HEADERS + POST /no/S content-type=application/grpc",
            ":status=200 x-weir-policy=0000002a;\\segress content-type=application/grpc grpc-status=7",
        ),
    ];
    for (request, fields) in rows {
        let mut writer = Writer::default();
        let settings = writer.line("SETTINGS");
        let mut wire = Wire::new(Limits::default());
        wire.judge.reason = Some(Reason { rule: RuleId(0x2a), direction: Direction::Egress });
        wire.client(&[&PREFACE[..], &settings].concat()).server(&settings).client(&writer.line(request));
        let lines = Reader::default().lines(&wire.downstream);
        let answered = lines.iter().find(|line| line.starts_with("HEADERS 1 ")).expect("an answer");
        let of = |text: &str| {
            let mut fields: Vec<String> = text.split(' ').map(String::from).collect();
            fields.sort();
            fields
        };
        let answered = of(answered);
        assert!(of(fields).iter().all(|field| answered.contains(field)), "{request}: {lines:?}");
    }
}
