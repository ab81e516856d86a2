//! The rule compiler: any text as an expression, and requests that the result judges.
//!
//! The input is a list of texts, parted by zero bytes: method, path and host of a request, then method, path and host
//! of each rule. An empty expression is one that is not there.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::{Corpus, fuzz_target};
use regex_automata::{Anchored, Input, MatchKind, hybrid::dfa::DFA, nfa::thompson, util::syntax};
use weir_filters::http::{
    Decision, Inspector, Judge, Judgement, Limits, PeerRules, PortRules, Refusal, RequestHead, ResponseHead, check_rule,
};
use weir_model::{
    policy::{HttpRule, Mode, PolicyKind, PolicyName, PortRange, Protocol},
    resolved::{Direction, DirectionPolicy, L4Rule, Peers, RuleId, RuleOrigin},
};

/// Rules in one list.
const RULES: usize = 4;

/// What the automaton of one port can take: 16 MiB before determinisation, and the 2 MiB of a table.
const MEMORY: usize = 18 << 20;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let texts: Vec<&str> = text.split('\0').collect();
    let [method, path, host, rules @ ..] = &texts[..] else { return Corpus::Reject };
    let rules: Vec<HttpRule> = rules.chunks(3).take(RULES).map(rule).collect();
    check([method, path, host], &rules);
    if rules.len() > 1 {
        rules.chunks(1).for_each(|one| check([method, path, host], one));
    }
    Corpus::Keep
});

fn rule(fields: &[&str]) -> HttpRule {
    let field = |index: usize| fields.get(index).filter(|text| !text.is_empty()).map(ToString::to_string);
    HttpRule { method: field(0), path: field(1), host: field(2), ..HttpRule::default() }
}

fn check(request: [&str; 3], rules: &[HttpRule]) {
    let checked = rules.iter().try_for_each(check_rule);
    let name = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "a".into(), name: "b".into() };
    let direction = Direction::Ingress;
    let list = L4Rule {
        peers: Peers::Any,
        protocol: Some(Protocol::Tcp),
        ports: PortRange::one(80),
        deny: false,
        mode: Mode::Enforce,
        http: Some(Arc::new(rules.to_vec())),
        id: RuleId(1),
        log: None,
        origin: RuleOrigin { policy: Arc::new(name), rule: 0, direction, deny: false, entry: 0, port: Some(0) },
    };
    let policy = DirectionPolicy { default_deny: true, audit_default_deny: true, rules: vec![list] };
    let compiled = match PortRules::compile(&policy, 80) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(checked.is_err() || error.field == "rules", "{rules:?} pass alone, but not together: {error}");
            return;
        }
    };
    assert_eq!(checked, Ok(()), "{rules:?} pass together, but not alone");
    assert!(compiled.memory_usage() <= MEMORY, "{rules:?} take {}", compiled.memory_usage());
    let compiled = PeerRules::new(&Arc::new(compiled), [].into());
    let [method, path, host] = request;
    let mut input = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    // Behind it nothing of this request is left to be judged.
    input.truncate(Limits::default().head_bytes);
    Inspector::new(Limits::default()).client(&input, &mut Reference { rules, compiled: &compiled });
}

/// Asks every rule by itself, each field by itself.
struct Reference<'a> {
    rules: &'a [HttpRule],
    compiled: &'a PeerRules,
}

impl Judge for Reference<'_> {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        let judgement = self.compiled.judge(head);
        let allows = |path: &str| {
            let mut found = self.rules.iter().map(|rule| {
                Some(
                    is_full_match(&rule.method, head.method())?
                        && is_full_match(&rule.path, path)?
                        && is_full_match(&rule.host, head.host())?,
                )
            });
            found.try_fold(false, |any, one| Some(any | one?))
        };
        if let (Some(raw), Some(normal)) = (allows(head.path()), allows(head.normal_path())) {
            let allowed = matches!(judgement, Judgement::Allow(..));
            assert_eq!(allowed, raw && normal, "{:?}: {head:?}", self.rules);
        }
        Decision::Deny
    }

    fn responded(&mut self, _: &ResponseHead<'_>) {}

    fn refused(&mut self, _: Refusal, _: Option<&RequestHead<'_>>) {}
}

/// Whether all of `text` matches; `None` if the reference cannot tell.
fn is_full_match(pattern: &Option<String>, text: &str) -> Option<bool> {
    let Some(pattern) = pattern else { return Some(true) };
    let dfa = DFA::builder()
        .configure(DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(1 << 20)))
        .build(pattern)
        .ok()?;
    // Of all matches the longest is found.
    let input = Input::new(text).anchored(Anchored::Yes);
    let found = dfa.try_search_fwd(&mut dfa.create_cache(), &input).ok()?;
    Some(found.is_some_and(|end| end.offset() == text.len()))
}
