//! What policy says about HTTP requests to one port, compiled.
//!
//! ```text
//!  L4Rule ─┬─ peers, verdict, mode, origin ─────────────▶ entries ──┐            ┌─▶ enforced
//!          └─ http rules ── method, path, host ─▶ patterns ─▶ engine ├─▶ PeerRules ┤
//!                        └─ headers ────────────▶ conditions ───────┘            └─▶ audited
//! ```
//!
//! A denial that names the peer outranks every allowance; then a request is allowed if one rule allows it; then
//! `default_deny` decides. The method, path and host of all rules are one automaton (see `pattern` and `engine`), so a
//! request costs one walk over its bytes, however many rules there are. The few rules that the automaton names are then
//! checked for peer and headers. What needs no request is decided once per peer ([`PeerRules`]).
//!
//! Rules of mode audit have a say in the *audited* verdict only, those of mode observe in none.
//!
//! What a rule does to the headers of a request that it matches ([`super::edit`]) says nothing about its verdict. So a
//! request is judged first, and only what is allowed by rules with such actions is asked a second time, for all that match.

use std::{collections::BTreeMap, fmt, sync::Arc};

use thiserror::Error;
use weir_model::{
    flow::HttpVersion,
    policy::{HeaderAction, HeaderMatch, HttpRule, Mismatch, Mode},
    resolved::{DirectionPolicy, L4Rule, Peers, RuleId, RuleOrigin, SelectorId},
};

use self::engine::Engine;
use super::{RequestHead, edit};

mod engine;
mod pattern;
mod peer;
#[cfg(test)]
mod tests;

pub use peer::{Judgement, PeerRules, Standing};

/// Why a rule cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct RuleError {
    /// The member of the rule: `method`, `path`, `host`, `headers[i]`, `headerMatches[i]`; `rules` if all rules of a port
    /// together are too large.
    pub field: String,
    /// What is wrong with it, for the policy's author.
    pub reason: String,
}

/// Checks one rule, as [`PortRules::compile`] will see it.
///
/// # Errors
/// A regular expression that RE2 would not take, that would mean something else there, or that is too large; a header
/// name or value that no request can have.
pub fn check_rule(rule: &HttpRule) -> Result<(), RuleError> {
    pattern::compile(rule)?;
    check_headers(rule)
}

fn check_headers(rule: &HttpRule) -> Result<(), RuleError> {
    let error = |list: &str, index: usize, reason| RuleError { field: format!("{list}[{index}]"), reason };
    for (index, header) in rule.headers.iter().enumerate() {
        check_header(header).map_err(|reason| error("headers", index, reason))?;
    }
    for (index, action) in rule.header_matches.iter().enumerate() {
        let checked = check_header(&action.header).and_then(|()| edit::check(action));
        checked.map_err(|reason| error("headerMatches", index, reason))?;
    }
    Ok(())
}

fn check_header(header: &HeaderMatch) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if header.name.is_empty() || !header.name.bytes().all(is_token) {
        return Err(format!("{:?} is no field name (RFC 9110 section 5.1)", header.name));
    }
    if let Some(value) = &header.value
        && value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(format!("{value:?} has a control character, which no field value can have"));
    }
    Ok(())
}

/// Everything that one endpoint's policy says, in one direction, about TCP connections to one port.
pub struct PortRules {
    entries: Box<[Entry]>,
    /// `None` if no entry has HTTP rules.
    engine: Option<Engine>,
    /// By pattern of the engine: the rules that have it, ordered.
    users: Box<[Vec<RuleRef>]>,
    /// Whether what no rule allows is denied.
    default_deny: bool,
    /// The same of what is audited.
    audit_default_deny: bool,
    /// Whether what is audited can differ from what is enforced.
    audits: bool,
}

struct Entry {
    peers: Peers,
    deny: bool,
    /// Not only audited.
    enforced: bool,
    /// `None` allows every request, or denies it.
    http: Option<Arc<Vec<HttpRule>>>,
    /// Of its rules, the most.
    effect: Effect,
    rule: NamedRule,
}

impl Entry {
    fn new(rule: &L4Rule) -> Self {
        let http = rule.http.clone().filter(|_| !rule.deny);
        let effect = http.iter().flat_map(|rules| rules.iter()).map(Effect::of).max().unwrap_or_default();
        Self {
            peers: rule.peers.clone(),
            deny: rule.deny,
            enforced: rule.mode == Mode::Enforce,
            effect: if rule.mode == Mode::Enforce { effect } else { Effect::None },
            http,
            rule: NamedRule { origin: rule.origin.clone(), id: rule.id, log: rule.log.clone() },
        }
    }
}

/// A rule as a record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRule {
    /// Where it was written.
    pub origin: RuleOrigin,
    /// Its number.
    pub id: RuleId,
    /// Its `log.value`.
    pub log: Option<Arc<str>>,
}

/// What rules do to the requests that they match, beside allowing them; the later includes the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Something is to be written into the record.
    Logs,
    /// Headers are changed.
    Edits,
}

impl Effect {
    fn of(rule: &HttpRule) -> Self {
        let effects = rule.header_matches.iter().map(|action| match action.mismatch {
            Mismatch::Fail => Self::None,
            Mismatch::Log => Self::Logs,
            Mismatch::Add | Mismatch::Delete | Mismatch::Replace => Self::Edits,
        });
        effects.max().unwrap_or_default()
    }
}

/// An HTTP rule: index of its entry, and index in the entry's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RuleRef {
    entry: usize,
    rule: u16,
}

impl PortRules {
    /// Compiles the rules of `policy` that cover TCP connections to `port`.
    ///
    /// # Errors
    /// The first rule that [`check_rule`] does not take, or all rules together being too large.
    pub fn compile(policy: &DirectionPolicy, port: u16) -> Result<Self, RuleError> {
        let speaks = |rule: &&L4Rule| rule.covers_tcp(port) && rule.mode != Mode::Observe;
        let entries: Box<[Entry]> = policy.rules.iter().filter(speaks).map(Entry::new).collect();
        // Rules that differ in peers or headers only share a pattern.
        let mut numbers = BTreeMap::new();
        let (mut patterns, mut users) = (Vec::new(), Vec::<Vec<RuleRef>>::new());
        for (entry, http) in entries.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.http.as_ref()?)))
        {
            for (index, rule) in http.iter().enumerate() {
                check_headers(rule)?;
                let number = match numbers.entry((&rule.method, &rule.path, &rule.host)) {
                    std::collections::btree_map::Entry::Occupied(known) => *known.get(),
                    std::collections::btree_map::Entry::Vacant(new) => {
                        patterns.push(pattern::compile(rule)?);
                        users.push(Vec::new());
                        *new.insert(patterns.len() - 1)
                    }
                };
                let rule = u16::try_from(index).map_err(|_| too_many("HTTP rules in one list"))?;
                users[number].push(RuleRef { entry, rule });
            }
        }
        let engine = if patterns.is_empty() { None } else { Some(Engine::build(&patterns)?) };
        let (default_deny, audit_default_deny) = (policy.default_deny, policy.audit_default_deny);
        let audits = audit_default_deny != default_deny || entries.iter().any(|entry| !entry.enforced);
        Ok(Self { entries, engine, users: users.into(), default_deny, audit_default_deny, audits })
    }

    /// Bytes of memory that the automaton holds, without the caches of a lazy one.
    pub fn memory_usage(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::memory_usage)
    }

    /// Whether the rules were too many for an automaton that is built in advance, so that it is built as requests come.
    /// Verdicts are the same; requests cost more.
    pub fn is_lazy(&self) -> bool {
        matches!(self.engine, Some(Engine::Lazy { .. }))
    }

    /// The first rules that match a request, with `path` for its path.
    fn first_matches(&self, peer: &[SelectorId], request: &RequestHead<'_>, path: &str) -> Found {
        let mut first = Found::default();
        let Some(engine) = &self.engine else { return first };
        engine.matches([request.method(), path, request.host()], |number| {
            for found in &self.users[number] {
                let is_earlier = |first: Option<RuleRef>| first.is_none_or(|first| *found < first);
                let (enforces, audits) = (is_earlier(first.enforced), self.audits && is_earlier(first.audited));
                if !enforces && !audits {
                    break;
                }
                let enforces = enforces && self.entries[found.entry].enforced;
                if (enforces || audits) && self.matches(peer, request, found) {
                    first.enforced = if enforces { Some(*found) } else { first.enforced };
                    first.audited = if audits { Some(*found) } else { first.audited };
                }
            }
        });
        first
    }

    fn rule(&self, found: &RuleRef) -> Option<&HttpRule> {
        self.entries[found.entry].http.as_ref()?.get(usize::from(found.rule))
    }

    /// Whether a rule whose method, path and host match does so for this peer and these headers.
    fn matches(&self, peer: &[SelectorId], request: &RequestHead<'_>, found: &RuleRef) -> bool {
        let must = |action: &&HeaderAction| action.mismatch == Mismatch::Fail;
        self.entries[found.entry].peers.contains(peer)
            && self.rule(found).is_some_and(|rule| {
                let wanted =
                    rule.headers.iter().chain(rule.header_matches.iter().filter(must).map(|must| &must.header));
                wanted.into_iter().all(|wanted| has(request, wanted))
            })
    }
}

/// Of the rules that match a request, the first: of those that are enforced, and, if anything is audited, of all.
#[derive(Clone, Copy, Default)]
struct Found {
    enforced: Option<RuleRef>,
    audited: Option<RuleRef>,
}

impl fmt::Debug for PortRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortRules")
            .field("entries", &self.entries.len())
            .field("patterns", &self.users.len())
            .field("lazy", &self.is_lazy())
            .finish()
    }
}

/// Whether the request's lines of that name, joined by `,`, are the wanted value; HTTP/2 cuts a cookie at its `; ` (RFC
/// 9113 section 8.2.3), and the upstream puts it together again. Compares piece by piece instead of joining.
fn has(request: &RequestHead<'_>, wanted: &HeaderMatch) -> bool {
    let mut lines = request.header(&wanted.name);
    let (Some(first), Some(value)) = (lines.next(), &wanted.value) else {
        return wanted.value.is_none() && request.header(&wanted.name).next().is_some();
    };
    let Some(rest) = value.as_bytes().strip_prefix(first) else { return false };
    let is_cut = request.version == HttpVersion::Http2 && wanted.name.eq_ignore_ascii_case("cookie");
    let joint: &[u8] = if is_cut { b"; " } else { b"," };
    let rest = lines.try_fold(rest, |rest, line| rest.strip_prefix(joint)?.strip_prefix(line));
    rest.is_some_and(<[u8]>::is_empty)
}

fn too_many(what: &str) -> RuleError {
    RuleError { field: "rules".into(), reason: format!("too many {what}") }
}
