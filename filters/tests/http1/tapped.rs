//! The tap on what the tables and properties say: it follows what would have passed as it came, says when it cannot, and how
//! the bytes are cut makes no difference.

use std::time::Instant;

use proptest::{collection::vec, prelude::*};
use weir_filters::{
    connection::{self, Inspector},
    http::{self, Decision, Limits, RequestHead, ResponseHead},
    http2,
    tap::{Lost, Seen, Tap},
};

use crate::{
    properties::{Exchange, exchange, noise, pieces},
    table::{Said, Step, subjects},
};

/// Allows everything, and writes down what it is told.
#[derive(Debug, Default)]
struct Told(Vec<String>);

impl http::Judge for Told {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        self.0.push(format!("{} {}", head.method(), head.target()));
        Decision::Allow
    }

    fn responded(&mut self, head: &ResponseHead<'_>) {
        self.0.push(head.status().to_string());
    }

    fn refused(&mut self, refusal: http::Refusal, _: Option<&RequestHead<'_>>) {
        self.0.push(format!("refused {refusal}"));
    }
}

impl http2::Judge for Told {
    fn judge_stream(&mut self, stream: u32, head: &RequestHead<'_>, _: bool) -> Decision {
        self.0.push(format!("{stream} {} {}", head.method(), head.target()));
        Decision::Allow
    }

    fn stream_answered(&mut self, stream: u32, status: u16, _: Option<u16>) {
        self.0.push(format!("{stream} {status}"));
    }

    fn stream_answering(&mut self, _: u32) {}

    fn stream_reset(&mut self, _: u32) {}

    fn stream_refused(&mut self, refusal: http2::Refusal, _: Option<&RequestHead<'_>>) {
        self.0.push(format!("refused {refusal}"));
    }

    fn now(&mut self) -> Instant {
        Instant::now()
    }
}

impl connection::Judge for Told {
    fn upgraded(&mut self) {
        self.0.push("upgraded".into());
    }
}

/// A connection that is watched.
#[derive(Default)]
struct Watched {
    inspector: Inspector,
    tap: Tap,
    told: Told,
    /// How it came that nobody looks any more.
    over: Option<Result<Seen, Lost>>,
}

impl Watched {
    fn say(&mut self, of_client: bool, bytes: &[u8]) {
        if self.over.is_some() {
            return;
        }
        let seen = if of_client {
            self.tap.client(&mut self.inspector, bytes, &mut self.told)
        } else {
            self.tap.server(&mut self.inspector, bytes, &mut self.told)
        };
        self.over = Some(seen).filter(|seen| *seen != Ok(Seen::Yes));
    }

    fn is_lost(&self) -> bool {
        matches!(self.over, Some(Err(_)))
    }
}

fn play(talk: &[Said], cut: impl Fn(&[u8]) -> Vec<&[u8]>) -> Watched {
    let mut watched = Watched::default();
    for said in talk {
        match said {
            Said::Client(bytes) => cut(bytes).into_iter().for_each(|piece| watched.say(true, piece)),
            Said::Server(bytes) => cut(bytes).into_iter().for_each(|piece| watched.say(false, piece)),
            Said::Release | Said::ClientEnd | Said::ServerEnd => {}
        }
    }
    watched
}

#[test]
fn what_a_row_refuses_goes_on_unseen() {
    let mut lost = 0;
    for (subject, rows) in subjects() {
        for row in rows.iter().filter(|row| row.limits == Limits::default()) {
            let refuses = |step: &Step| match step {
                // It is welcome here.
                Step::Refused(http::Refusal::Http2) => false,
                Step::Refused(_) | Step::Cut(_) | Step::Abort(_) => true,
                _ => false,
            };
            let whole = play(&row.talk, |bytes| vec![bytes]);
            let name = format!("{subject}: {} {:?} {:?}", row.name, whole.told, whole.over);
            // A row that denies goes another way when all is allowed.
            if !row.steps.contains(&Step::Deny) {
                let refused = row.steps.iter().any(refuses);
                assert!(whole.is_lost() || !refused, "{name}");
                lost += usize::from(refused);
            }
            let drops = play(&row.talk, |bytes| bytes.chunks(1).collect());
            assert_eq!((&drops.told.0, drops.is_lost()), (&whole.told.0, whole.is_lost()), "{name}");
        }
    }
    assert!(lost > 100, "{lost} rows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn cuts_do_not_matter(
        client in noise(),
        server in noise(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let talk = [Said::Client(client), Said::Server(server)];
        let whole = play(&talk, |bytes| vec![bytes]);
        let cut = play(&talk, |bytes| pieces(bytes, &cuts));
        prop_assert_eq!(&whole.told.0, &cut.told.0);
        prop_assert_eq!(whole.is_lost(), cut.is_lost());
        prop_assert_eq!(whole.tap.has_seen_all(), cut.tap.has_seen_all());
    }

    /// What has passed while it was watched is judged as it would have been from the first byte on.
    #[test]
    fn a_tap_follows_what_an_inspector_passes(exchanges in vec(exchange(), 1..8), cuts in vec(any::<prop::sample::Index>(), 0..20)) {
        let mut watched = Watched::default();
        let mut strict = (Inspector::new(), Told::default());
        for Exchange { request, response, .. } in &exchanges {
            pieces(request, &cuts).into_iter().for_each(|piece| watched.say(true, piece));
            let mut at = 0;
            while at < request.len() {
                let connection::ClientStep::Forward(n) = strict.0.client(&request[at..], &mut strict.1) else {
                    panic!("it is sound");
                };
                at += n;
            }
            pieces(response, &cuts).into_iter().for_each(|piece| watched.say(false, piece));
            let mut at = 0;
            while at < response.len() {
                let connection::ServerStep::Forward(n) = strict.0.server(&response[at..], &mut strict.1) else {
                    panic!("it is sound");
                };
                at += n;
            }
        }
        prop_assert!(watched.over.is_none() && watched.tap.has_seen_all() && watched.inspector.is_idle());
        prop_assert_eq!(&watched.told.0, &strict.1.0);
    }

    #[test]
    fn random_bytes_do_no_harm(client in vec(any::<u8>(), 0..200), server in vec(any::<u8>(), 0..200)) {
        play(&[Said::Client(client), Said::Server(server)], |bytes| bytes.chunks(7).collect());
    }
}
