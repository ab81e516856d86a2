//! What is enforced and what is audited: denials, modes, defaults.

use super::*;

fn deny(number: u16, peers: Peers) -> L4Rule {
    L4Rule { deny: true, ..entry(number, peers, None) }
}

fn audit(rule: L4Rule) -> L4Rule {
    L4Rule { mode: Mode::Audit, ..rule }
}

fn observe(rule: L4Rule) -> L4Rule {
    L4Rule { mode: Mode::Observe, ..rule }
}

fn rules(default_deny: [bool; 2], rules: Vec<L4Rule>) -> Arc<PortRules> {
    let [default_deny, audit_default_deny] = default_deny;
    let policy = DirectionPolicy { default_deny, audit_default_deny, rules };
    Arc::new(PortRules::compile(&policy, 80).expect("rules compile"))
}

/// `allow N`, `audit N` or `deny N` with the entry's number, or `-` where the default decides.
fn says(rules: &Arc<PortRules>, peer: SelectorId, target: &str) -> String {
    let named = |rule: Option<&NamedRule>| rule.map_or("-".into(), |rule| rule.origin.entry.to_string());
    let about = about(rules, peer);
    let said = parsed(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| match about.judge(head) {
        Judgement::Allow(rule, _) => format!("allow {}", named(rule)),
        Judgement::Audit(rule) => format!("audit {}", named(rule)),
        Judgement::Deny(rule) => format!("deny {}", named(rule)),
    });
    said.expect("well-formed")
}

const ON: [bool; 2] = [true, true];
const OFF: [bool; 2] = [false, false];
const AUDITED: [bool; 2] = [false, true];

#[test]
fn a_denial_outranks_every_allowance() {
    let http = || entry(0, Peers::Any, Some(vec![path("/a")]));
    let plain = || entry(0, only(&[ALICE]), None);
    for allowance in [http(), plain()] {
        let denied = compile(vec![allowance.clone(), deny(1, only(&[ALICE]))]);
        assert_eq!(says(&denied, ALICE, "/a"), "deny 1");
        assert_eq!(about(&denied, ALICE).enforced(), Standing::Denied);
        let everybody = compile(vec![allowance, deny(1, Peers::Any)]);
        assert_eq!(says(&everybody, ALICE, "/a"), "deny 1", "the more specific allowance does not help");
    }
    let other = compile(vec![http(), deny(1, only(&[BOB]))]);
    assert_eq!([says(&other, ALICE, "/a"), says(&other, BOB, "/a")], ["allow 0", "deny 1"]);
    let elsewhere = L4Rule { ports: PortRange { first: 81, last: 90 }, ..deny(1, Peers::Any) };
    assert_eq!(says(&compile(vec![http(), elsewhere]), ALICE, "/a"), "allow 0");
    let range = L4Rule { ports: PortRange { first: 70, last: 80 }, ..deny(1, Peers::Any) };
    assert_eq!(says(&compile(vec![http(), range]), ALICE, "/a"), "deny 1");
}

#[test]
fn without_default_deny_what_no_rule_denies_passes() {
    let list = || vec![entry(0, only(&[ALICE]), Some(vec![path("/a")])), deny(1, only(&[BOB]))];
    let open = rules(OFF, list());
    let rows = [(ALICE, "/a", "allow 0"), (ALICE, "/b", "allow -"), (BOB, "/a", "deny 1"), (EVE, "/a", "allow -")];
    for (peer, target, expected) in rows {
        assert_eq!(says(&open, peer, target), expected, "{peer:?} {target}");
    }
    let closed = rules(ON, list());
    let rows = [(ALICE, "/a", "allow 0"), (ALICE, "/b", "deny -"), (BOB, "/a", "deny 1"), (EVE, "/a", "deny -")];
    for (peer, target, expected) in rows {
        assert_eq!(says(&closed, peer, target), expected, "{peer:?} {target}");
    }
    assert_eq!(says(&rules(OFF, vec![]), ALICE, "/"), "allow -");
}

#[test]
fn audited_rules_deny_nothing_and_say_what_they_would() {
    let http = |number, target: &str| entry(number, only(&[ALICE]), Some(vec![path(target)]));
    let rows = [
        // An audited policy alone.
        (AUDITED, vec![audit(http(0, "/a"))], "/a", "allow -"),
        (AUDITED, vec![audit(http(0, "/a"))], "/b", "audit -"),
        (AUDITED, vec![], "/a", "audit -"),
        (OFF, vec![audit(deny(0, Peers::Any))], "/a", "audit 0"),
        // It adds nothing to what is allowed.
        (ON, vec![http(0, "/a"), audit(http(1, "/b"))], "/a", "allow 0"),
        (ON, vec![http(0, "/a"), audit(http(1, "/b"))], "/b", "deny -"),
        (ON, vec![audit(entry(0, Peers::Any, None))], "/a", "deny -"),
        // What is enforced counts for what is audited.
        (AUDITED, vec![http(0, "/a"), audit(http(1, "/b"))], "/a", "allow 0"),
        (AUDITED, vec![http(0, "/a"), audit(http(1, "/b"))], "/b", "allow -"),
        (AUDITED, vec![http(0, "/a"), audit(http(1, "/b"))], "/c", "audit -"),
        (ON, vec![entry(0, Peers::Any, None), audit(deny(1, only(&[ALICE])))], "/a", "audit 1"),
        (ON, vec![http(0, "/a"), audit(deny(1, only(&[BOB])))], "/a", "allow 0"),
        // A denial is no audit.
        (ON, vec![deny(0, Peers::Any), audit(deny(1, Peers::Any))], "/a", "deny 0"),
        // The rule that is named first is one that is enforced.
        (AUDITED, vec![audit(http(0, "/a")), http(1, "/a")], "/a", "allow 1"),
        // Both paths count.
        (AUDITED, vec![audit(http(0, "/a")), audit(http(1, "/x/.*"))], "/x/../a", "allow -"),
        (AUDITED, vec![audit(http(0, "/a"))], "/x/../a", "audit -"),
    ];
    for (defaults, list, target, expected) in rows {
        let text = format!("{list:?}");
        assert_eq!(says(&rules(defaults, list), ALICE, target), expected, "{target} {text}");
    }
}

#[test]
fn observing_rules_decide_nothing() {
    let watch = || observe(entry(0, Peers::Any, Some(vec![path("/a")])));
    assert_eq!(says(&rules(OFF, vec![watch()]), ALICE, "/b"), "allow -");
    assert_eq!(says(&rules(ON, vec![watch()]), ALICE, "/a"), "deny -");
    assert_eq!(says(&rules(OFF, vec![observe(deny(0, Peers::Any))]), ALICE, "/a"), "allow -");
    let both = rules(ON, vec![watch(), entry(1, Peers::Any, Some(vec![path("/b")]))]);
    assert_eq!([says(&both, ALICE, "/a"), says(&both, ALICE, "/b")], ["deny -", "allow 1"]);
}

#[test]
fn only_enforced_rules_make_a_connection_strict_or_edit_it() {
    let editing = || actions::on("-", "/a", "-", &[("x", "1", Mismatch::Add)]);
    let list = || entry(0, only(&[ALICE]), Some(vec![editing()]));
    for (rule, inspects, effect) in
        [(list(), true, Effect::Edits), (audit(list()), false, Effect::None), (observe(list()), false, Effect::None)]
    {
        let rules = rules(AUDITED, vec![rule]);
        let alice = about(&rules, ALICE);
        assert_eq!((alice.inspects(), alice.effect()), (inspects, effect));
        assert!(!about(&rules, BOB).inspects());
        let mut findings = Findings::default();
        parsed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", |head| alice.act(head, &mut findings)).expect("well-formed");
        assert_eq!(findings.edits.len(), usize::from(inspects));
    }
}

#[test]
fn a_standing_is_what_needs_no_request() {
    let http = || entry(0, only(&[ALICE]), Some(vec![path("/a")]));
    let list = rules(AUDITED, vec![http(), audit(deny(1, only(&[BOB]))), entry(2, only(&[BOB]), None)]);
    let standing = |peer| {
        let about = about(&list, peer);
        (about.enforced(), about.audited())
    };
    assert_eq!(standing(ALICE), (Standing::ByRequest, Standing::ByRequest));
    assert_eq!(standing(BOB), (Standing::Allowed, Standing::Denied));
    assert_eq!(standing(EVE), (Standing::Allowed, Standing::Denied));
}

fn any_rule() -> impl Strategy<Value = L4Rule> {
    let peers = prop_oneof![
        Just(Peers::Any),
        prop::sample::subsequence(vec![ALICE, BOB, EVE], 0..3).prop_map(|peers| only(&peers)),
    ];
    let http = prop::option::of(vec(prop::sample::select(vec!["/a", "/b", "/a|/c"]).prop_map(path), 0..3));
    let mode = prop::sample::select(vec![Mode::Enforce, Mode::Enforce, Mode::Audit, Mode::Observe]);
    let ports = prop::sample::select(vec![PortRange::one(80), PortRange::ALL, PortRange::one(81)]);
    (peers, http, mode, ports, 0..4_u8).prop_map(|(peers, http, mode, ports, denies)| {
        let deny = denies == 0;
        let http = http.filter(|_| !deny);
        L4Rule { mode, ports, deny, ..entry(0, peers, http) }
    })
}

/// What the definition in `weir_model::resolved` says, rule by rule.
fn naive(rules: &[L4Rule], modes: &[Mode], default_deny: bool, peer: &[SelectorId], target: &str) -> bool {
    let about: Vec<&L4Rule> = rules
        .iter()
        .filter(|rule| modes.contains(&rule.mode) && rule.covers_tcp(80) && rule.peers.contains(peer))
        .collect();
    let matches = |rule: &HttpRule| rule.path.as_ref().is_some_and(|path| path.split('|').any(|path| path == target));
    let allows = |rule: &&L4Rule| rule.http.as_ref().is_none_or(|http| http.iter().any(matches));
    !about.iter().any(|rule| rule.deny) && (about.iter().any(allows) || !default_deny)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn verdicts_are_those_of_the_definition(
        list in vec(any_rule(), 0..6),
        enforced in any::<bool>(),
        audited in any::<bool>(),
        peer in prop::sample::subsequence(vec![ALICE, BOB, EVE], 0..3),
        target in prop::sample::select(vec!["/a", "/b", "/c", "/d"]),
    ) {
        let defaults = [enforced, enforced || audited];
        let rules = PeerRules::new(&rules(defaults, list.clone()), peer.clone().into());
        let judged = parsed(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), |head| match rules.judge(head) {
            Judgement::Allow(..) => (true, true),
            Judgement::Audit(_) => (true, false),
            Judgement::Deny(_) => (false, false),
        });
        let passes = naive(&list, &[Mode::Enforce], defaults[0], &peer, target);
        let would = naive(&list, &[Mode::Enforce, Mode::Audit], defaults[1], &peer, target);
        prop_assert_eq!(judged, Some((passes, passes && would)), "{:?}", list);
        match rules.enforced() {
            Standing::Allowed => prop_assert!(passes),
            Standing::Denied => prop_assert!(!passes),
            Standing::ByRequest => prop_assert!(rules.inspects()),
        }
    }
}
