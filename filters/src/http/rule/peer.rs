//! The rules of one port about one peer: what needs no request is decided once, when a connection is opened.

use std::sync::Arc;

use weir_model::resolved::SelectorId;

use super::{Effect, Entry, Found, NamedRule, PortRules, RuleRef};
use crate::http::{RequestHead, edit::Findings};

/// The rules of one port about one peer.
#[derive(Clone, Debug)]
pub struct PeerRules {
    rules: Arc<PortRules>,
    peer: Arc<[SelectorId]>,
    enforced: Stand,
    /// `None` if it is the same.
    audited: Option<Stand>,
    effect: Effect,
    inspects: bool,
}

/// What is known of a verdict before there is a request. The number is that of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Allowed(Option<u32>),
    Denied(Option<u32>),
    ByRequest,
}

/// What is known of a verdict before there is a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every request is allowed, and every byte.
    Allowed,
    /// Nothing is.
    Denied,
    /// Each request is judged by itself.
    ByRequest,
}

/// What the rules say of a request.
///
/// Of several rules that allow it, one without HTTP rules is named first, then the first in order. No rule is named where
/// none decides, but the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// Allowed by this rule; the number is the index of its HTTP rule, `None` if it has none.
    Allow(Option<&'a NamedRule>, Option<u16>),
    /// Allowed, but it would be denied by this rule, or by default, if the rules of mode audit were enforced, too.
    Audit(Option<&'a NamedRule>),
    /// Denied.
    Deny(Option<&'a NamedRule>),
}

impl PeerRules {
    /// The rules about whom these selectors match, in ascending order.
    pub fn new(rules: &Arc<PortRules>, peer: Arc<[SelectorId]>) -> Self {
        let about = |entry: &&Entry| entry.peers.contains(&peer);
        let enforced = || rules.entries.iter().filter(|entry| entry.enforced).filter(about);
        Self {
            enforced: rules.stand(&peer, true, rules.default_deny),
            audited: rules.audits.then(|| rules.stand(&peer, false, rules.audit_default_deny)),
            effect: enforced().map(|entry| entry.effect).max().unwrap_or_default(),
            inspects: enforced().any(|entry| entry.http.is_some()),
            rules: Arc::clone(rules),
            peer,
        }
    }

    /// Whether it was made of these very rules and selectors.
    pub fn is_of(&self, rules: &Arc<PortRules>, peer: &Arc<[SelectorId]>) -> bool {
        Arc::ptr_eq(&self.rules, rules) && Arc::ptr_eq(&self.peer, peer)
    }

    /// What is enforced, before there is a request.
    pub fn enforced(&self) -> Standing {
        self.enforced.into()
    }

    /// The rule by which [`Self::enforced`] is a denial, if one is.
    pub fn denial(&self) -> Option<&NamedRule> {
        match self.enforced {
            Stand::Denied(entry) => self.named(entry?),
            _ => None,
        }
    }

    /// What is audited, before there is a request.
    pub fn audited(&self) -> Standing {
        self.audited.unwrap_or(self.enforced).into()
    }

    /// Whether an enforced rule about the peer has HTTP rules. If not, nothing may be refused for not being HTTP.
    pub fn inspects(&self) -> bool {
        self.inspects
    }

    /// What the enforced rules may do to the peer's requests. A connection whose rules edit must be terminated, so this is
    /// asked when it is opened.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Judges a request. Both its raw and its normalised path must be allowed, each by some rule; the rule named is the
    /// one for the raw path. Does not allocate.
    pub fn judge(&self, request: &RequestHead<'_>) -> Judgement<'_> {
        let by_request = self.enforced == Stand::ByRequest || self.audited == Some(Stand::ByRequest);
        let found = if by_request { self.find(request) } else { Found::default() };
        let enforced = self.verdict(self.enforced, found.enforced, self.rules.default_deny);
        match (self.audited, enforced) {
            (Some(audited), Judgement::Allow(..)) => {
                match self.verdict(audited, found.audited, self.rules.audit_default_deny) {
                    Judgement::Deny(rule) => Judgement::Audit(rule),
                    _ => enforced,
                }
            }
            _ => enforced,
        }
    }

    fn named(&self, entry: u32) -> Option<&NamedRule> {
        self.rules.entries.get(entry as usize).map(|entry| &entry.rule)
    }

    fn find(&self, request: &RequestHead<'_>) -> Found {
        let raw = self.rules.first_matches(&self.peer, request, request.path());
        if request.normal_path() == request.path() || (raw.enforced.is_none() && raw.audited.is_none()) {
            return raw;
        }
        let normal = self.rules.first_matches(&self.peer, request, request.normal_path());
        Found { enforced: normal.enforced.and(raw.enforced), audited: normal.audited.and(raw.audited) }
    }

    fn verdict(&self, stand: Stand, found: Option<RuleRef>, default_deny: bool) -> Judgement<'_> {
        let named = |entry: Option<u32>| entry.and_then(|entry| self.named(entry));
        let of = |found: RuleRef| Some(&self.rules.entries[found.entry].rule);
        match (stand, found) {
            (Stand::Allowed(entry), _) => Judgement::Allow(named(entry), None),
            (Stand::Denied(entry), _) => Judgement::Deny(named(entry)),
            (Stand::ByRequest, Some(found)) => Judgement::Allow(of(found), Some(found.rule)),
            (Stand::ByRequest, None) if default_deny => Judgement::Deny(None),
            (Stand::ByRequest, None) => Judgement::Allow(None, None),
        }
    }

    /// Adds to `findings` what the rules find and do about the headers of a request that [`Self::judge`] allows. All rules
    /// that match act, in order, each upon what the one before has left; and they match if they match the raw or the
    /// normalised path, lest a request evade them by the spelling of its path.
    pub fn act(&self, request: &RequestHead<'_>, findings: &mut Findings) {
        let rules = &self.rules;
        let Some(engine) = &rules.engine else { return };
        let mut acting = Vec::new();
        let acts = |found: &&RuleRef| {
            rules.entries[found.entry].effect > Effect::None && rules.matches(&self.peer, request, found)
        };
        let mut find = |path| {
            engine.matches([request.method(), path, request.host()], |number| {
                acting.extend(rules.users[number].iter().filter(acts));
            });
        };
        find(request.path());
        if request.normal_path() != request.path() {
            find(request.normal_path());
        }
        acting.sort_unstable();
        acting.dedup();
        for action in acting.iter().filter_map(|found| rules.rule(found)).flat_map(|rule| &rule.header_matches) {
            findings.act(action, request);
        }
    }
}

impl PortRules {
    /// What is known of a peer's requests before they come: by the rules that are enforced, or by all.
    fn stand(&self, peer: &[SelectorId], only_enforced: bool, default_deny: bool) -> Stand {
        let mut stand = if default_deny { Stand::Denied(None) } else { Stand::Allowed(None) };
        let asked = |entry: &Entry| (entry.enforced || !only_enforced) && entry.peers.contains(peer);
        for (number, entry) in (0..).zip(&self.entries).filter(|(_, entry)| asked(entry)) {
            match (entry.deny, stand) {
                (true, _) => return Stand::Denied(Some(number)),
                (false, Stand::Allowed(Some(_))) => {}
                (false, _) if entry.http.is_none() => stand = Stand::Allowed(Some(number)),
                (false, _) => stand = Stand::ByRequest,
            }
        }
        stand
    }
}

impl From<Stand> for Standing {
    fn from(stand: Stand) -> Self {
        match stand {
            Stand::Allowed(_) => Self::Allowed,
            Stand::Denied(_) => Self::Denied,
            Stand::ByRequest => Self::ByRequest,
        }
    }
}
