//! What the rules in force ask of a connection that is open. It is asked with every turn of its task; where the snapshot is
//! the same, the answer costs a look.

use std::borrow::Cow;

use weir_filters::http::{Effect, Judgement, KeptHead, PeerRules, RequestHead, Standing};
use weir_model::{flow::Verdict, resolved::Direction};

use super::{Editable, Session, exchange};

/// Why a connection is cut.
const CUT: &str = "cut: the policy in force does not allow the connection";
/// The same, of one whose bytes nobody can judge any more.
const UNSEEN: &str = "cut: the policy in force is about requests, and the connection goes on unseen";

/// What the rules in force ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Nothing new.
    GoOn,
    /// To pass no other request on as it came: they edit headers.
    Leave,
    /// To judge what was watched.
    Judge,
    /// To close both sides at once.
    Cut,
}

impl Session {
    /// What is asked of this connection, whose bytes pass unseen if it is `opaque`. If that is to be cut, there is a record.
    pub fn course(&mut self, opaque: bool) -> Course {
        let known = self.renew();
        let allowed = known && self.origin.standing != Standing::Denied;
        if !allowed || (self.sound != Some(opaque) && !self.may_tunnel(opaque)) {
            self.cut(if allowed && self.tunnels.is_empty() { UNSEEN } else { CUT });
            return Course::Cut;
        }
        self.sound = Some(opaque);
        match self.origin.effect {
            _ if opaque => Course::GoOn,
            Effect::Edits => Course::Leave,
            _ if self.watched && (self.origin.inspects || self.origin.standing != Standing::Allowed) => Course::Judge,
            _ => Course::GoOn,
        }
    }

    /// Whether what passes unseen would be allowed to begin now: the connection as a whole, or streams of it.
    fn may_tunnel(&self, opaque: bool) -> bool {
        let denies =
            |head: &RequestHead<'_>| self.origin.sides().any(|side| matches!(side.judge(head), Judgement::Deny(_)));
        let mut tunnels = self.tunnels.iter().filter(|(stream, _)| opaque == (*stream == 0));
        match self.origin.standing {
            Standing::Allowed => true,
            Standing::Denied => false,
            Standing::ByRequest if opaque => tunnels.next().is_some_and(|(_, head)| !head.with(denies)),
            Standing::ByRequest => !tunnels.any(|(_, head)| head.with(denies)),
        }
    }

    /// An allowed request asks for a tunnel; with HTTP/1 there is one, on stream 0.
    pub(super) fn opens_tunnel(&mut self, stream: u32, head: &RequestHead<'_>) {
        self.tunnels.retain(|(open, _)| *open != stream);
        self.tunnels.push((stream, KeptHead::of(head)));
    }

    /// Forgets the tunnels whose stream is over.
    pub fn forget_tunnels(&mut self, is_open: impl Fn(u32) -> bool) {
        self.tunnels.retain(|(stream, _)| is_open(*stream));
    }

    /// As [`weir_filters::http::Judge::leaves`], of a request that is written anew.
    pub fn remember<R: Editable>(&mut self, request: &R) {
        // What cannot be read any more was not allowed either.
        let _ = request.with_head(|head, _| self.opens_tunnel(0, head));
    }

    /// Whether this connection is only watched.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// From now on it is judged.
    pub fn judge_from_now_on(&mut self) {
        self.watched = false;
    }

    /// Records that a watched connection cannot be judged from now on, as the rules ask.
    pub fn cut_unseen(&self) {
        self.cut(UNSEEN);
    }

    fn cut(&self, why: &'static str) {
        let by = self.origin.sides().find(|side| side.enforced() == Standing::Denied);
        let rule = by.and_then(|side| side.rules.as_ref()).and_then(PeerRules::denial).cloned();
        let direction = by.map_or(Direction::Ingress, |side| side.direction);
        self.recorder.write(self.record(Verdict::Dropped, direction, rule, exchange(None, 0, Cow::Borrowed(why))));
    }

    /// Records, once, why a watched connection goes on unseen.
    pub fn goes_on_unseen(&mut self, why: &str, head: Option<&RequestHead<'_>>) {
        // What it then carries is no tunnel that a request has asked for.
        self.tunnels.clear();
        if std::mem::replace(&mut self.unseen, true) {
            return;
        }
        // Were they enforced, rules about requests would not let it.
        let audits = |rules: &PeerRules| rules.audited() != Standing::Allowed;
        let by = self.origin.sides().find(|side| side.rules.as_ref().is_some_and(audits));
        let verdict = if by.is_some() { Verdict::Audited } else { Verdict::Forwarded };
        let direction = by.map_or(Direction::Ingress, |side| side.direction);
        let http = exchange(head, 0, Cow::Owned(format!("not inspected any more: {why}")));
        self.recorder.write(self.record(verdict, direction, None, http));
    }
}
