//! Judges each request of one connection by the rules of both sides, and turns it into a flow record.
//!
//! Here bytes pass as they came. Rules that edit headers need [`crate::terminate`]: a connection that is opened under such
//! rules goes there, and one that finds itself under them later [must leave](Session::must_leave).
//!
//! A connection for which no enforced rule is about HTTP is only *watched* ([`weir_filters::tap`]): nothing of it may be
//! denied, held up or broken, whatever its bytes are.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Cache};
use smol_str::SmolStr;
use tokio::time::Instant;
use weir_filters::{
    connection,
    http::{
        self, Decision, Edit, Effect, Findings, Judgement, KeptHead, NamedRule, Reason, RequestHead, ResponseHead,
        Standing,
    },
    http2::{self, GRPC_DENIED},
};
use weir_model::{
    flow::{HttpFlow, HttpVersion, Verdict},
    resolved::{Direction, RuleId},
};

use crate::{
    origin::{Ends, Origin, Side},
    record::{Record, Recorder, now_ns},
    world::World,
};

mod course;

pub use course::Course;

/// Bytes of a method, host or path that a record keeps: a worker holds thousands of records, and a head may be of 64 KiB.
const RECORDED: usize = 4 << 10;

/// The judge of one connection.
pub struct Session {
    world: Cache<Arc<ArcSwap<World>>, Arc<World>>,
    ends: Ends,
    origin: Origin,
    recorder: Recorder,
    /// The last look at the clock, for who comes next and needs no other.
    looked: Option<Instant>,
    /// Forwarded requests whose response has not come, oldest first.
    unanswered: VecDeque<Unanswered>,
    /// Whether clients are told why they are denied.
    explains: bool,
    /// Why the last one was.
    reason: Option<Reason>,
    /// Whether it is only watched.
    watched: bool,
    /// It was said why it goes on unseen.
    unseen: bool,
    /// What has asked for tunnels, by stream.
    tunnels: Vec<(u32, KeptHead)>,
    /// The tunnels were found to be allowed under the origin's snapshot; the connection being opaque or not.
    sound: Option<bool>,
}

struct Unanswered {
    /// Its stream of HTTP/2; 0 with HTTP/1, where answers come in order.
    stream: u32,
    since: Instant,
    record: Record,
}

/// What decided a request.
struct Decided {
    verdict: Verdict,
    direction: Direction,
    rule: Option<NamedRule>,
    http_rule: Option<u16>,
    findings: Findings,
}

/// Why a request is not passed on although a rule allows it.
const UNEDITED: &str = "the policy edits its headers, which it did not when the connection was opened";

impl Session {
    /// Resolves the connection; `None` if no policy of this node has anything to do with it.
    pub fn open(world: &Arc<ArcSwap<World>>, ends: Ends, recorder: Recorder) -> Option<Self> {
        let mut world = Cache::new(Arc::clone(world));
        let origin = Origin::resolve(world.load(), ends, None)?;
        let watched = origin.standing == Standing::Allowed && !origin.inspects;
        Some(Self {
            world,
            ends,
            origin,
            recorder,
            looked: None,
            // One at a time is what HTTP/1 asks for, mostly; a queue that grows from nothing has room for four at once.
            unanswered: VecDeque::with_capacity(1),
            explains: false,
            reason: None,
            watched,
            unseen: false,
            tunnels: Vec::new(),
            sound: None,
        })
    }

    /// Has clients told why they are denied: `x-weir-policy`.
    pub fn explain_denials(&mut self) {
        self.explains = true;
    }

    /// Why the request that was judged last is denied, if the client is to be told.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.filter(|_| self.explains)
    }

    /// The connection's two ends.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The worker's recorder.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn look(&mut self) -> Instant {
        *self.looked.insert(Instant::now())
    }

    /// When the clock was last looked at, if it was since this was last asked.
    pub fn take_looked(&mut self) -> Option<Instant> {
        self.looked.take()
    }

    /// Takes a changed snapshot into account. False if the connection is nobody's business any more: deny then.
    fn renew(&mut self) -> bool {
        let world = self.world.load();
        if self.origin.is_of(world) {
            return true;
        }
        match Origin::resolve(world, self.ends, Some(&self.origin)) {
            Some(origin) => {
                (self.origin, self.sound) = (origin, None);
                true
            }
            None => false,
        }
    }

    /// Whether this connection must not pass another request on as it came: the rules in force edit headers.
    pub fn must_leave(&mut self) -> bool {
        self.renew() && self.origin.effect == Effect::Edits
    }

    fn decide(&mut self, head: &RequestHead<'_>) -> Decided {
        // What is watched has passed already, as the rules were then.
        let mut decided = Decided::new(self.watched || self.renew());
        for side in self.origin.sides() {
            if decided.allowed() {
                decided.ask(side, self.origin.effect, head);
            }
        }
        decided
    }

    fn record(&self, verdict: Verdict, direction: Direction, rule: Option<NamedRule>, http: HttpFlow) -> Record {
        Record { time_ns: now_ns(), verdict, direction, parties: Arc::clone(&self.origin.parties), rule, http }
    }

    /// Records a connection that the proxy could not serve.
    pub fn failed(&self, why: &'static str) {
        let http = exchange(None, 0, Cow::Borrowed(why));
        self.recorder.write(self.record(Verdict::Error, Direction::Ingress, None, http));
    }
}

impl Decided {
    fn new(allowed: bool) -> Self {
        let verdict = if allowed { Verdict::Forwarded } else { Verdict::Dropped };
        Self { verdict, direction: Direction::Ingress, rule: None, http_rule: None, findings: Findings::default() }
    }

    fn allowed(&self) -> bool {
        self.verdict != Verdict::Dropped
    }

    /// What one side says of a request that the other has allowed, or not been asked about. The record is about the side
    /// that was asked last, unless one before would have denied the request if what is audited were enforced.
    fn ask(&mut self, side: &Side, effect: Effect, head: &RequestHead<'_>) {
        let judgement = side.judge(head);
        let (verdict, rule, http_rule) = match judgement {
            Judgement::Allow(rule, http_rule) => (Verdict::Forwarded, rule, http_rule),
            Judgement::Audit(rule) => (Verdict::Audited, rule, None),
            Judgement::Deny(rule) => (Verdict::Dropped, rule, None),
        };
        if verdict != Verdict::Forwarded || self.verdict == Verdict::Forwarded {
            (self.verdict, self.direction) = (verdict, side.direction);
            (self.rule, self.http_rule) = (rule.cloned(), http_rule);
        }
        if let Some(rules) = &side.rules
            && self.allowed()
            && effect > Effect::None
        {
            rules.act(head, &mut self.findings);
        }
    }
}

/// A request that can still be changed.
pub trait Editable {
    /// Why it cannot be judged.
    type Refusal;

    /// Has its head, as it would be written now, looked at; and whether it is a call of gRPC.
    ///
    /// # Errors
    /// If it is not one that all servers read alike.
    fn with_head<T>(&self, look: impl FnOnce(&RequestHead<'_>, bool) -> T) -> Result<T, Self::Refusal>;

    /// Changes it.
    fn edit(&mut self, edits: &[Edit]);
}

impl Session {
    /// Judges a request that is written anew, and edits it as the rules say. Each side sees what the one before has left.
    ///
    /// # Errors
    /// If it cannot be judged. Nothing is recorded then.
    pub fn judge_and_edit<R: Editable>(&mut self, stream: u32, request: &mut R) -> Result<Decision, R::Refusal> {
        let mut decided = Decided::new(self.renew());
        let sides = [self.origin.egress.clone(), self.origin.ingress.clone()];
        for side in sides.iter().flatten() {
            if decided.allowed() {
                request.with_head(|head, _| decided.ask(side, self.origin.effect, head))?;
                request.edit(&std::mem::take(&mut decided.findings.edits));
            }
        }
        request.with_head(|head, is_grpc| self.conclude(stream, head, is_grpc, decided, false))
    }

    fn judge(&mut self, stream: u32, head: &RequestHead<'_>, is_grpc: bool) -> Decision {
        let decided = self.decide(head);
        // A last resort: the relay has asked before it read the request.
        let unedited = decided.allowed() && self.origin.effect == Effect::Edits;
        self.conclude(stream, head, is_grpc, decided, unedited)
    }

    fn conclude(
        &mut self,
        stream: u32,
        head: &RequestHead<'_>,
        is_grpc: bool,
        mut decided: Decided,
        unedited: bool,
    ) -> Decision {
        let mut http = exchange(Some(head), 0, Cow::Borrowed(""));
        http.http_rule = decided.http_rule;
        http.headers = decided.findings.take_log();
        if decided.allowed() && !unedited {
            let record = self.record(decided.verdict, decided.direction, decided.rule, http);
            let since = self.look();
            self.unanswered.push_back(Unanswered { stream, since, record });
            return Decision::Allow;
        }
        (http.status, http.grpc_status) = if is_grpc { (200, Some(GRPC_DENIED)) } else { (403, None) };
        let (mut verdict, mut rule) = (Verdict::Dropped, decided.rule);
        if unedited {
            (verdict, rule, http.refusal) = (Verdict::Error, None, Cow::Borrowed(UNEDITED));
        }
        let id = rule.as_ref().map_or(RuleId::default(), |rule| rule.id);
        self.reason = Some(Reason { rule: id, direction: decided.direction }).filter(|_| !unedited);
        self.recorder.write(self.record(verdict, decided.direction, rule, http));
        Decision::Deny
    }

    /// Records a request that was answered with `status` since it could not be judged, and of which no more is known.
    pub fn unreadable(&self, version: HttpVersion, status: u16, why: String) {
        let http = HttpFlow { version, ..exchange(None, status, Cow::Owned(why)) };
        self.recorder.write(self.record(Verdict::Error, Direction::Ingress, None, http));
    }

    /// Takes the oldest unanswered request of a stream.
    fn take(&mut self, stream: u32) -> Option<Unanswered> {
        let at = self.unanswered.iter().position(|unanswered| unanswered.stream == stream)?;
        self.unanswered.remove(at)
    }

    fn answered(&mut self, stream: u32, status: u16, grpc_status: Option<u16>) {
        let Some(Unanswered { since, mut record, .. }) = self.take(stream) else { return };
        record.http.status = status;
        record.http.grpc_status = grpc_status;
        // That of a gRPC call is known already.
        if record.http.latency_ns == 0 {
            record.http.latency_ns = nanos(self.look() - since);
        }
        self.recorder.write(record);
    }

    fn refuse(&mut self, why: String, head: Option<&RequestHead<'_>>) {
        if self.watched {
            return self.goes_on_unseen(&why, head);
        }
        let http = exchange(head, 400, Cow::Owned(why));
        self.recorder.write(self.record(Verdict::Error, Direction::Ingress, None, http));
    }
}

impl http::Judge for Session {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        Self::judge(self, 0, head, false)
    }

    fn reason(&self) -> Option<Reason> {
        Self::reason(self)
    }

    fn leaves(&mut self, head: &RequestHead<'_>) {
        self.opens_tunnel(0, head);
    }

    fn responded(&mut self, head: &ResponseHead<'_>) {
        self.answered(0, head.status(), None);
    }

    fn refused(&mut self, refusal: http::Refusal, head: Option<&RequestHead<'_>>) {
        self.refuse(refusal.to_string(), head);
    }
}

impl http2::Judge for Session {
    fn judge_stream(&mut self, stream: u32, head: &RequestHead<'_>, is_grpc: bool) -> Decision {
        let decision = Self::judge(self, stream, head, is_grpc);
        if decision == Decision::Allow && head.method() == "CONNECT" {
            self.opens_tunnel(stream, head);
        }
        decision
    }

    fn stream_reason(&self) -> Option<Reason> {
        Self::reason(self)
    }

    fn stream_answering(&mut self, stream: u32) {
        let now = self.look();
        let unanswered = self.unanswered.iter_mut().find(|unanswered| unanswered.stream == stream);
        if let Some(Unanswered { since, record, .. }) = unanswered {
            record.http.latency_ns = nanos(now - *since);
        }
    }

    fn stream_answered(&mut self, stream: u32, status: u16, grpc_status: Option<u16>) {
        self.answered(stream, status, grpc_status);
    }

    fn stream_reset(&mut self, stream: u32) {
        if let Some(Unanswered { record, .. }) = self.take(stream) {
            self.recorder.write(record);
        }
    }

    fn stream_refused(&mut self, refusal: http2::Refusal, head: Option<&RequestHead<'_>>) {
        self.refuse(refusal.to_string(), head);
    }

    fn now(&mut self) -> std::time::Instant {
        self.look().into_std()
    }
}

impl connection::Judge for Session {
    fn upgraded(&mut self) {
        if let Some(unanswered) = self.unanswered.back_mut() {
            unanswered.stream = 1;
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Drop for Session {
    fn drop(&mut self) {
        // Forwarded, and never answered: status 0.
        for Unanswered { record, .. } in self.unanswered.drain(..) {
            self.recorder.write(record);
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
        grpc_status: None,
        latency_ns: 0,
        http_rule: None,
        refusal,
        headers: None,
    }
}
