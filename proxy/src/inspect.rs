//! Judges each request of one connection by the rules of both sides, and turns it into a flow record.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use smol_str::SmolStr;
use weir_filters::http::{Decision, Judge, Judgement, Refusal, RequestHead, ResponseHead};
use weir_model::{
    flow::{Flow, FlowKind, HttpFlow, HttpVersion, Verdict},
    resolved::{Direction, RuleOrigin},
};

use crate::{
    origin::{Ends, Origin, Side},
    record::{Recorder, now_ns},
    world::World,
};

/// Bytes of a method, host or path that a record keeps: a worker holds thousands of records, and a head may be of 64 KiB.
const RECORDED: usize = 4 << 10;

/// The judge of one connection.
pub struct Session {
    world: Arc<ArcSwap<World>>,
    ends: Ends,
    origin: Origin,
    recorder: Recorder,
    /// Forwarded requests whose response has not come, oldest first.
    unanswered: VecDeque<Unanswered>,
}

struct Unanswered {
    since: Instant,
    flow: Flow,
}

/// What decided a request.
struct Decided {
    allowed: bool,
    direction: Direction,
    rule: Option<RuleOrigin>,
    http_rule: Option<u16>,
}

impl Session {
    /// Resolves the connection; `None` if no policy of this node has anything to do with it.
    pub fn open(world: &Arc<ArcSwap<World>>, ends: Ends, recorder: Recorder) -> Option<Self> {
        let origin = Origin::resolve(&world.load_full(), ends)?;
        Some(Self { world: Arc::clone(world), ends, origin, recorder, unanswered: VecDeque::new() })
    }

    /// The connection's two ends.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The worker's recorder.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Takes a changed snapshot into account. False if the connection is nobody's business any more: deny then.
    fn renew(&mut self) -> bool {
        let world = self.world.load();
        if self.origin.is_of(&world) {
            return true;
        }
        match Origin::resolve(&world, self.ends) {
            Some(origin) => {
                self.origin = origin;
                true
            }
            None => false,
        }
    }

    fn decide(&mut self, head: &RequestHead<'_>) -> Decided {
        let nobody = Decided { allowed: false, direction: Direction::Ingress, rule: None, http_rule: None };
        if !self.renew() {
            return nobody;
        }
        let mut decided = Decided { allowed: true, ..nobody };
        for Side { direction, rules, peer } in [&self.origin.egress, &self.origin.ingress].into_iter().flatten() {
            decided.direction = *direction;
            match rules.as_ref().map_or(Judgement::Deny, |rules| rules.judge(*peer, head)) {
                Judgement::Allow(rule, http_rule) => {
                    decided.rule = Some(rule.clone());
                    decided.http_rule = http_rule;
                }
                Judgement::Deny => {
                    return Decided { allowed: false, direction: *direction, rule: None, http_rule: None };
                }
            }
        }
        decided
    }

    fn flow(&self, verdict: Verdict, direction: Direction, rule: Option<RuleOrigin>, http: HttpFlow) -> Flow {
        Flow {
            time_ns: now_ns(),
            verdict,
            drop_reason: None,
            direction,
            source: self.origin.source.clone(),
            destination: self.origin.destination.clone(),
            kind: FlowKind::Http(Box::new(http)),
            rule,
        }
    }

    /// Records a connection that the proxy could not serve.
    pub fn failed(&self, why: &'static str) {
        let http = exchange(None, 0, Cow::Borrowed(why));
        self.recorder.write(self.flow(Verdict::Error, Direction::Ingress, None, http));
    }
}

impl Judge for Session {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        let decided = self.decide(head);
        let mut http = exchange(Some(head), 0, Cow::Borrowed(""));
        http.http_rule = decided.http_rule;
        if decided.allowed {
            let flow = self.flow(Verdict::Forwarded, decided.direction, decided.rule, http);
            self.unanswered.push_back(Unanswered { since: Instant::now(), flow });
            Decision::Allow
        } else {
            http.status = 403;
            self.recorder.write(self.flow(Verdict::Dropped, decided.direction, None, http));
            Decision::Deny
        }
    }

    fn responded(&mut self, head: &ResponseHead<'_>) {
        let Some(Unanswered { since, mut flow }) = self.unanswered.pop_front() else { return };
        if let FlowKind::Http(http) = &mut flow.kind {
            http.status = head.status();
            http.latency_ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        }
        self.recorder.write(flow);
    }

    fn refused(&mut self, refusal: Refusal, head: Option<&RequestHead<'_>>) {
        let http = exchange(head, 400, Cow::Owned(refusal.to_string()));
        self.recorder.write(self.flow(Verdict::Error, Direction::Ingress, None, http));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Forwarded, and never answered: status 0.
        for Unanswered { flow, .. } in self.unanswered.drain(..) {
            self.recorder.write(flow);
        }
    }
}

fn exchange(head: Option<&RequestHead<'_>>, status: u16, refusal: Cow<'static, str>) -> HttpFlow {
    let text = |part: for<'a> fn(&RequestHead<'a>) -> &'a str| -> SmolStr {
        let text = head.map(part).unwrap_or_default();
        text[..text.floor_char_boundary(RECORDED)].into()
    };
    HttpFlow {
        version: head.map_or(HttpVersion::Http11, RequestHead::version),
        method: text(|head| head.method()),
        host: text(|head| head.host()),
        path: text(|head| head.path()),
        status,
        latency_ns: 0,
        http_rule: None,
        refusal,
    }
}
