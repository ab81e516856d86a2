//! What the programs decide, as tables: (packet, entries, verdict) for each rule of `ebpf/src/policy.rs`.

use std::net::IpAddr;

use weir_abi::{EVENT_AUDITED, EVENT_DROPPED, EVENT_FORWARDED, EVENT_REDIRECTED, drop};
use weir_model::{
    endpoint::EndpointId,
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict},
};

use crate::{
    harness::{Decision, Harness, Seen, addresses},
    packet::{ACK, Packet, SYN, TCP, UDP},
};

const WEB: u32 = 1;
const CLIENT: u32 = 2;
/// Identities: of the two pods, of a pod elsewhere, of a prefix.
const WEB_ID: u32 = 300;
const CLIENT_ID: u32 = 400;
const REMOTE_ID: u32 = 500;
const OFFICE_ID: u32 = 1 << 24;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// web, client, a pod elsewhere, somebody in the prefix, somebody in the world, the node; of one family.
#[derive(Clone, Copy)]
struct Cast {
    web: IpAddr,
    client: IpAddr,
    remote: IpAddr,
    office: IpAddr,
    world: IpAddr,
    node: IpAddr,
}

fn casts() -> [Cast; 2] {
    let cast = |net: &str, office: &str, world: &str| Cast {
        web: ip(&format!("{net}1")),
        client: ip(&format!("{net}2")),
        remote: ip(&format!("{net}3")),
        office: ip(office),
        world: ip(world),
        node: ip(&format!("{net}9")),
    };
    [cast("198.18.0.", "203.0.113.77", "192.0.2.1"), cast("2001:db8::", "2001:db8:5::77", "2001:db8:9::1")]
}

type Rule = (EntryKey, EntryVerdict);

fn decided(verdict: KernelVerdict, rule: u32) -> Decided {
    Decided { verdict, rule: RuleId(rule) }
}

/// An entry of ingress for `peer`, a protocol, and the first `bits` bits of a port.
fn on(peer: u32, protocol: u8, port: u16, bits: u8, verdict: KernelVerdict, rule: u32) -> Rule {
    let key = EntryKey { direction: Direction::Ingress, peer: Identity(peer), protocol, port, port_bits: bits };
    (key, EntryVerdict { enforced: decided(verdict, rule), audited: decided(verdict, rule), observe: false })
}

fn egress(mut rule: Rule) -> Rule {
    rule.0.direction = Direction::Egress;
    rule
}

/// A policy that denies by default what its entries do not allow, in the directions that it has entries for.
fn deny_by_default(rules: &[Rule]) -> KernelPolicy {
    let mut policy = open(rules);
    policy.ingress.default_deny = policy.ingress.has_entries;
    policy.egress.default_deny = policy.egress.has_entries;
    policy.ingress.audit_default_deny = policy.ingress.default_deny;
    policy.egress.audit_default_deny = policy.egress.default_deny;
    policy
}

fn open(rules: &[Rule]) -> KernelPolicy {
    let flags = |direction| DirectionFlags {
        has_entries: rules.iter().any(|(key, _)| key.direction == direction),
        ..DirectionFlags::default()
    };
    KernelPolicy {
        ingress: flags(Direction::Ingress),
        egress: flags(Direction::Egress),
        entries: rules.iter().copied().collect(),
    }
}

/// Policies of web and client; nothing is open.
fn install(harness: &mut Harness, web: &KernelPolicy, client: &KernelPolicy) {
    harness.forget();
    reinstall(harness, web, client);
}

/// As [`install`], and what is open stays open.
fn reinstall(harness: &mut Harness, web: &KernelPolicy, client: &KernelPolicy) {
    let mut people = Vec::new();
    for cast in casts() {
        for (address, identity, endpoint) in [
            (cast.web, WEB_ID, WEB),
            (cast.client, CLIENT_ID, CLIENT),
            (cast.remote, REMOTE_ID, 0),
            (cast.node, Identity::HOST.0, 0),
        ] {
            people.extend(addresses(&[(&ipnet::IpNet::from(address).to_string(), identity, endpoint)]));
        }
    }
    people.extend(addresses(&[("203.0.113.0/24", OFFICE_ID, 0), ("2001:db8:5::/48", OFFICE_ID, 0)]));
    harness.install(&[(EndpointId(WEB), web.clone()), (EndpointId(CLIENT), client.clone())], &people);
}

use Decision::{Drop, Pass, Redirect};
use KernelVerdict::{Allow, Deny, None as Nothing};

const DENIED: Decision = Drop(drop::POLICY_DENIED);
const BY_RULE: Decision = Drop(drop::POLICY_DENY);

/// A row: what it shows, the entries of the web pod, the packet, what becomes of it.
type Row<'a> = (&'a str, &'a [Rule], fn(&Cast) -> Packet, Decision);

fn check(rows: &[Row<'_>], policy: fn(&[Rule]) -> KernelPolicy) {
    let Some(mut harness) = Harness::start() else { return };
    for (what, rules, packet, expected) in rows {
        install(&mut harness, &policy(rules), &KernelPolicy::default());
        for cast in casts() {
            let packet = packet(&cast);
            assert_eq!(harness.verdict(&packet), *expected, "{what}: {} to {}", packet.from, packet.to);
        }
    }
}

#[test]
fn entries_are_for_peers_protocols_and_ports() {
    let any = |verdict| on(0, 0, 0, 0, verdict, 1);
    let client = |verdict| on(CLIENT_ID, 0, 0, 0, verdict, 1);
    let port = |number| on(0, TCP, number, 16, Allow, 1);
    let range = |port, bits| on(0, TCP, port, bits, Allow, 1);
    let udp = on(0, UDP, 0, 0, Allow, 1);
    let rows: &[Row<'_>] = &[
        ("everybody", &[any(Allow)], |c| Packet::tcp(c.client, c.web, 80), Pass),
        ("a peer", &[client(Allow)], |c| Packet::tcp(c.client, c.web, 80), Pass),
        ("another peer", &[client(Allow)], |c| Packet::tcp(c.remote, c.web, 80), DENIED),
        ("a pod elsewhere", &[on(REMOTE_ID, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.remote, c.web, 80), Pass),
        ("a prefix", &[on(OFFICE_ID, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.office, c.web, 80), Pass),
        ("outside of it", &[on(OFFICE_ID, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.world, c.web, 80), DENIED),
        ("world, v4", &[on(9, 0, 0, 0, Allow, 1), on(10, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.world, c.web, 1), Pass),
        ("no pod is the world", &[on(9, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.client, c.web, 80), DENIED),
        ("no prefix is the world", &[on(9, 0, 0, 0, Allow, 1)], |c| Packet::tcp(c.office, c.web, 80), DENIED),
        ("the node always", &[client(Allow)], |c| Packet::tcp(c.client, c.web, 80), Pass),
        ("a port", &[port(80)], |c| Packet::tcp(c.client, c.web, 80), Pass),
        ("the next port", &[port(80)], |c| Packet::tcp(c.client, c.web, 81), DENIED),
        ("the port, of another protocol", &[port(80)], |c| Packet::udp(c.client, c.web, 80), DENIED),
        ("all ports of UDP", &[udp], |c| Packet::udp(c.client, c.web, 9), Pass),
        ("and none of TCP", &[udp], |c| Packet::tcp(c.client, c.web, 9), DENIED),
        ("8000-8015, first", &[range(8000, 12)], |c| Packet::tcp(c.client, c.web, 8000), Pass),
        ("8000-8015, last", &[range(8000, 12)], |c| Packet::tcp(c.client, c.web, 8015), Pass),
        ("8000-8015, beyond", &[range(8000, 12)], |c| Packet::tcp(c.client, c.web, 8016), DENIED),
        ("8000-8015, before", &[range(8000, 12)], |c| Packet::tcp(c.client, c.web, 7999), DENIED),
        ("the upper half", &[range(32768, 1)], |c| Packet::tcp(c.client, c.web, 65535), Pass),
        ("not the lower", &[range(32768, 1)], |c| Packet::tcp(c.client, c.web, 32767), DENIED),
        ("SCTP", &[on(0, 132, 80, 16, Allow, 1)], |c| Packet::datagram(c.client, c.web, 132, 1, 80), Pass),
        (
            "SCTP, wrong port",
            &[on(0, 132, 80, 16, Allow, 1)],
            |c| Packet::datagram(c.client, c.web, 132, 1, 81),
            DENIED,
        ),
        ("a protocol without ports", &[on(0, 47, 0, 0, Allow, 1)], |c| Packet::other(c.client, c.web, 47), Pass),
        ("another", &[on(0, 47, 0, 0, Allow, 1)], |c| Packet::other(c.client, c.web, 50), DENIED),
    ];
    check(rows, deny_by_default);
}

#[test]
fn types_of_icmp_are_its_ports() {
    let echo: &[Rule] = &[on(0, 1, 8, 16, Allow, 1), on(0, 58, 128, 16, Allow, 1)];
    let rows: &[Row<'_>] = &[
        ("the type", echo, |c| Packet::icmp(c.client, c.web, if c.web.is_ipv4() { 8 } else { 128 }), Pass),
        ("another", echo, |c| Packet::icmp(c.client, c.web, if c.web.is_ipv4() { 13 } else { 160 }), DENIED),
        (
            "an answer to nothing",
            echo,
            |c| Packet::icmp(c.client, c.web, if c.web.is_ipv4() { 0 } else { 129 }),
            DENIED,
        ),
        ("an error about nothing", echo, |c| Packet::tcp(c.web, c.client, 9).refused(), DENIED),
        (
            "an error about nothing, where errors are allowed",
            &[on(0, 1, 3, 16, Allow, 1), on(0, 58, 1, 16, Allow, 1)],
            |c| Packet::tcp(c.web, c.client, 9).refused(),
            Pass,
        ),
        (
            "every type",
            &[on(0, 1, 0, 0, Allow, 1), on(0, 58, 0, 0, Allow, 1)],
            |c| Packet::icmp(c.client, c.web, if c.web.is_ipv4() { 13 } else { 160 }),
            Pass,
        ),
    ];
    check(rows, deny_by_default);
}

#[test]
fn denial_outranks_redirect_and_that_allowance() {
    const REDIRECT: KernelVerdict = KernelVerdict::Redirect;
    let peer = |verdict, rule| on(CLIENT_ID, TCP, 80, 16, verdict, rule);
    let all = |verdict, rule| on(0, TCP, 80, 16, verdict, rule);
    let wide = |peer, verdict, rule| on(peer, 0, 0, 0, verdict, rule);
    let call: fn(&Cast) -> Packet = |c| Packet::tcp(c.client, c.web, 80);
    let rows: &[Row<'_>] = &[
        ("deny of the peer, allow of everybody", &[peer(Deny, 1), all(Allow, 2)], call, BY_RULE),
        ("allow of the peer, deny of everybody", &[peer(Allow, 1), all(Deny, 2)], call, BY_RULE),
        ("deny of the peer, redirect of everybody", &[peer(Deny, 1), all(REDIRECT, 2)], call, BY_RULE),
        ("redirect of the peer, deny of everybody", &[peer(REDIRECT, 1), all(Deny, 2)], call, BY_RULE),
        ("redirect of the peer, allow of everybody", &[peer(REDIRECT, 1), all(Allow, 2)], call, Redirect),
        ("allow of the peer, redirect of everybody", &[peer(Allow, 1), all(REDIRECT, 2)], call, Redirect),
        (
            "deny wide, allow narrow: the narrow entry holds the denial",
            &[wide(CLIENT_ID, Deny, 1), peer(Deny, 1)],
            call,
            BY_RULE,
        ),
        ("deny wide of everybody, allow narrow of the peer", &[wide(0, Deny, 1), peer(Allow, 2)], call, BY_RULE),
        ("deny narrow of everybody, allow wide of the peer", &[all(Deny, 1), wide(CLIENT_ID, Allow, 2)], call, BY_RULE),
        (
            "that denial is for its port only",
            &[all(Deny, 1), wide(CLIENT_ID, Allow, 2)],
            |c| Packet::tcp(c.client, c.web, 81),
            Pass,
        ),
        ("redirect for TCP drops the rest", &[wide(0, REDIRECT, 1)], |c| Packet::udp(c.client, c.web, 80), DENIED),
        ("an entry that says nothing", &[peer(Nothing, 0), all(Allow, 1)], call, Pass),
    ];
    check(rows, deny_by_default);
    let rows: &[Row<'_>] = &[
        ("default allow", &[peer(Allow, 1)], |c| Packet::tcp(c.remote, c.web, 80), Pass),
        ("default allow, and a denial", &[peer(Deny, 1)], call, BY_RULE),
        ("default allow, and a redirect", &[peer(REDIRECT, 1)], call, Redirect),
    ];
    check(rows, open);
}

#[test]
fn what_hides_its_protocol_passes_no_denial() {
    let hidden: fn(&Cast) -> Packet = |c| match c.web {
        IpAddr::V6(_) => Packet::tcp(c.client, c.web, 22).behind(43),
        IpAddr::V4(_) => Packet::tcp(c.client, c.web, 22),
    };
    let Some(mut harness) = Harness::start() else { return };
    let v6 = casts()[1];
    for (what, policy, expected) in [
        ("no policy", KernelPolicy::default(), Pass),
        ("only a rule for every protocol allows it", deny_by_default(&[on(0, 0, 0, 0, Allow, 1)]), Pass),
        ("a rule for TCP does not", deny_by_default(&[on(0, TCP, 0, 0, Allow, 1)]), DENIED),
        ("a denial might be about it", open(&[on(0, TCP, 22, 16, Deny, 1)]), Drop(drop::UNKNOWN_PROTOCOL)),
        (
            "even if every protocol is allowed",
            deny_by_default(&[on(0, 0, 0, 0, Allow, 1), on(0, TCP, 22, 16, Deny, 1)]),
            Drop(drop::UNKNOWN_PROTOCOL),
        ),
    ] {
        install(&mut harness, &policy, &KernelPolicy::default());
        assert_eq!(harness.verdict(&hidden(&v6)), expected, "{what}");
    }
}

#[test]
fn a_connection_wants_both_sides() {
    let Some(mut harness) = Harness::start() else { return };
    let allow = deny_by_default(&[on(0, TCP, 80, 16, Allow, 7)]);
    let nothing_out = deny_by_default(&[egress(on(0, UDP, 53, 16, Allow, 8))]);
    for cast in casts() {
        let call = Packet::tcp(cast.client, cast.web, 80);
        install(&mut harness, &allow, &nothing_out);
        let dropped = Seen { kind: EVENT_DROPPED, reason: drop::POLICY_DENIED, direction: weir_abi::EGRESS, cookie: 0 };
        assert_eq!(harness.look(&call), (DENIED, Some(dropped)));
        assert_eq!(harness.verdict(&Packet::udp(cast.client, cast.world, 53)), Pass);
        install(&mut harness, &allow, &KernelPolicy::default());
        let forwarded = Seen { kind: EVENT_FORWARDED, reason: 0, direction: weir_abi::INGRESS, cookie: 7 };
        assert_eq!(harness.look(&call), (Pass, Some(forwarded)));
        let denial = open(&[egress(on(WEB_ID, TCP, 80, 16, Deny, 9))]);
        install(&mut harness, &allow, &denial);
        let dropped = Seen { kind: EVENT_DROPPED, reason: drop::POLICY_DENY, direction: weir_abi::EGRESS, cookie: 9 };
        assert_eq!(harness.look(&call), (BY_RULE, Some(dropped)));
    }
}

#[test]
fn replies_pass_and_questions_do_not() {
    let Some(mut harness) = Harness::start() else { return };
    // Web takes everything, client takes nothing.
    let closed = deny_by_default(&[on(1, 0, 0, 0, Allow, 1)]);
    install(&mut harness, &KernelPolicy::default(), &closed);
    for cast in casts() {
        let ping = Packet::icmp(cast.client, cast.web, if cast.web.is_ipv4() { 8 } else { 128 });
        for call in [Packet::tcp(cast.client, cast.web, 80), Packet::udp(cast.client, cast.web, 53), ping.clone()] {
            harness.forget();
            assert_eq!(harness.send(&call.answer()).0, DENIED, "an answer to nothing");
            assert_eq!(harness.send(&call.refused()).0, DENIED, "an error about nothing");
            assert_eq!(harness.send(&call).0, Pass);
            assert_eq!(harness.send(&call.answer()).0, Pass, "an answer");
            assert_eq!(harness.send(&call.refused()).0, Pass, "an error about it");
        }
        let back = Packet { from: cast.web, to: cast.client, ..ping };
        assert_eq!(harness.send(&back).0, DENIED, "a question with the same identifier");
        let syn = Packet::segment(cast.web, cast.client, 80, 40_000, SYN);
        assert_eq!(harness.send(&syn).0, DENIED, "a SYN with the same ports");
        // The policy of the pod that opened it is asked about a reply, too.
        assert_eq!(harness.send(&Packet::segment(cast.client, cast.web, 40_000, 80, ACK)).0, Pass);
        let no_web = deny_by_default(&[egress(on(REMOTE_ID, 0, 0, 0, Allow, 1))]);
        install(&mut harness, &KernelPolicy::default(), &closed);
        assert_eq!(harness.send(&Packet::tcp(cast.client, cast.web, 80)).0, Pass);
        let answer = Packet::tcp(cast.client, cast.web, 80).answer();
        assert_eq!(harness.send(&answer).0, Pass);
        reinstall(&mut harness, &KernelPolicy::default(), &no_web);
        assert_eq!(harness.send(&answer).0, DENIED, "a reply to what is denied now");
        let next = Packet::segment(cast.client, cast.web, 40_000, 80, ACK);
        assert_eq!(harness.send(&next).0, DENIED, "the next packet of what is denied now");
        reinstall(&mut harness, &KernelPolicy::default(), &closed);
        for packet in [&next, &answer, &next, &answer] {
            assert_eq!(harness.send(packet), (Pass, None), "it is allowed again, and nothing new");
        }
        install(&mut harness, &KernelPolicy::default(), &closed);
    }
}

#[test]
fn fragments_are_judged_like_the_first() {
    let Some(mut harness) = Harness::start() else { return };
    let unknown = Drop(drop::FRAGMENT);
    install(&mut harness, &deny_by_default(&[on(0, UDP, 53, 16, Allow, 1)]), &KernelPolicy::default());
    for cast in casts() {
        let piece = |port: u16, id: u16, offset: u16, more: bool| {
            let mut packet = Packet::udp(cast.client, cast.web, port).fragment(id, offset, more);
            if offset > 0 {
                packet.payload = vec![0xff; 16];
            }
            packet
        };
        assert_eq!(harness.send(&piece(53, 1, 2, false)).0, unknown, "without a first");
        assert_eq!(harness.send(&piece(53, 1, 0, true)).0, Pass, "the first");
        assert_eq!(harness.send(&piece(53, 1, 2, true)).0, Pass, "the second");
        assert_eq!(harness.send(&piece(53, 1, 4, false)).0, Pass, "the last");
        assert_eq!(harness.send(&piece(53, 2, 2, false)).0, unknown, "of another datagram");
        assert_eq!(harness.send(&piece(54, 3, 0, true)).0, DENIED, "the first, to another port");
        assert_eq!(harness.send(&piece(54, 3, 2, false)).0, DENIED, "the last, to another port");
        // The answer comes in pieces, too.
        let answer = Packet::udp(cast.client, cast.web, 53).answer().fragment(9, 0, true);
        assert_eq!(harness.send(&answer).0, Pass);
        let rest = Packet { payload: vec![0; 16], ..answer }.fragment(9, 2, false);
        assert_eq!(harness.send(&rest).0, Pass);
        // A header that is cut.
        let mut cut = Packet::tcp(cast.client, cast.web, 53).fragment(4, 0, true);
        cut.payload.truncate(8);
        assert_eq!(harness.send(&cut).0, Drop(drop::INVALID_PACKET));
    }
    // An entry without ports needs no port.
    install(&mut harness, &deny_by_default(&[on(0, UDP, 0, 0, Allow, 1)]), &KernelPolicy::default());
    for cast in casts() {
        let last = Packet::udp(cast.client, cast.web, 53).fragment(77, 2, false);
        assert_eq!(harness.send(&last).0, Pass);
    }
    // What the proxy shall have comes in one piece.
    let redirect = on(0, TCP, 80, 16, KernelVerdict::Redirect, 1);
    install(&mut harness, &deny_by_default(&[redirect]), &KernelPolicy::default());
    for cast in casts() {
        let syn = Packet::tcp(cast.client, cast.web, 80);
        assert_eq!(harness.send(&syn.clone().fragment(5, 0, true)).0, unknown);
        assert_eq!(harness.send(&syn).0, Redirect);
    }
}

#[test]
fn nobody_speaks_in_anothers_name() {
    let Some(mut harness) = Harness::start() else { return };
    install(&mut harness, &KernelPolicy::default(), &KernelPolicy::default());
    let spoofed = Drop(drop::INVALID_SOURCE);
    for cast in casts() {
        let call = |from| Packet::tcp(from, cast.web, 80);
        assert_eq!(harness.send_from(&call(cast.client), CLIENT).0, Pass);
        for from in [cast.web, cast.remote, cast.office, cast.world, cast.node] {
            assert_eq!(harness.send_from(&call(from), CLIENT).0, spoofed, "a pod as {from}");
        }
        for from in [cast.client, cast.node] {
            assert_eq!(harness.send_from(&call(from), 0).0, spoofed, "outside as {from}");
        }
        for from in [cast.remote, cast.office, cast.world] {
            assert_eq!(harness.send_from(&call(from), 0).0, Pass, "{from} from outside");
        }
    }
}

#[test]
fn a_pod_without_labels_is_enforced_without_a_policy() {
    let Some(mut harness) = Harness::start() else { return };
    let people = addresses(&[("198.18.0.1/32", 5, WEB), ("2001:db8::1/128", 5, WEB)]);
    harness.install(&[(EndpointId(WEB), KernelPolicy::default())], &people);
    for cast in casts() {
        assert_eq!(harness.verdict(&Packet::tcp(cast.web, cast.world, 80)), DENIED);
        assert_eq!(harness.verdict(&Packet::tcp(cast.world, cast.web, 80)), DENIED);
    }
}

#[test]
fn audited_verdicts_are_recorded_and_change_nothing() {
    let Some(mut harness) = Harness::start() else { return };
    let entry = |peer, enforced, audited| {
        let (key, mut verdict) = on(peer, TCP, 80, 16, Nothing, 0);
        verdict.enforced = decided(enforced, if enforced == Nothing { 0 } else { 1 });
        verdict.audited = decided(audited, if audited == Nothing { 0 } else { 2 });
        (key, verdict)
    };
    let audit_default = |rules: &[Rule]| {
        let mut policy = open(rules);
        policy.ingress.audit_default_deny = true;
        policy
    };
    let seen = |kind, cookie| Some(Seen { kind, reason: 0, direction: weir_abi::INGRESS, cookie });
    let denied = Some(Seen { kind: EVENT_DROPPED, reason: drop::POLICY_DENY, direction: weir_abi::INGRESS, cookie: 1 });
    for (what, policy, expected) in [
        ("audited denial", open(&[entry(0, Nothing, Deny)]), (Pass, seen(EVENT_AUDITED, 2))),
        ("audited denial, allowed", deny_by_default(&[entry(0, Allow, Deny)]), (Pass, seen(EVENT_AUDITED, 2))),
        (
            "audited denial of the peer",
            open(&[entry(CLIENT_ID, Nothing, Deny), entry(0, Allow, Allow)]),
            (Pass, seen(EVENT_AUDITED, 2)),
        ),
        ("audited default", audit_default(&[]), (Pass, seen(EVENT_AUDITED, 0))),
        (
            "audited default, of another port",
            audit_default(&[on(0, TCP, 81, 16, Nothing, 0)]),
            (Pass, seen(EVENT_AUDITED, 0)),
        ),
        (
            "audited default, audited allowance",
            audit_default(&[entry(0, Nothing, Allow)]),
            (Pass, seen(EVENT_FORWARDED, 0)),
        ),
        ("denied", open(&[entry(0, Deny, Deny)]), (BY_RULE, denied)),
    ] {
        install(&mut harness, &policy, &KernelPolicy::default());
        for cast in casts() {
            assert_eq!(harness.look(&Packet::tcp(cast.client, cast.web, 80)), expected, "{what}");
        }
    }
}

#[test]
fn what_is_shown_to_the_proxy_needs_no_proxy() {
    let Some(mut harness) = Harness::start() else { return };
    let observed = |enforced, audited, observe| {
        let (key, mut verdict) = on(0, 0, 0, 0, Nothing, 0);
        (verdict.enforced, verdict.audited, verdict.observe) = (decided(enforced, 3), decided(audited, 4), observe);
        (key, verdict)
    };
    for (what, rules) in [
        ("observed, no rule", open(&[observed(Nothing, Nothing, true)])),
        ("observed, allowed", deny_by_default(&[observed(Allow, Allow, true)])),
        ("audited L7", open(&[observed(Nothing, KernelVerdict::Redirect, false)])),
    ] {
        install(&mut harness, &rules, &KernelPolicy::default());
        for cast in casts() {
            let syn = Packet::tcp(cast.client, cast.web, 80);
            let ack = Packet::segment(cast.client, cast.web, 40_000, 80, ACK);
            let piece = syn.clone().fragment(5, 0, true);
            harness.listen(false);
            for packet in [&syn, &ack, &piece, &Packet::udp(cast.client, cast.web, 80)] {
                assert_eq!(harness.verdict(packet), Pass, "{what}: no proxy");
            }
            harness.listen(true);
            let (decision, seen) = harness.look(&syn);
            assert_eq!((decision, seen.map(|s| s.kind)), (Redirect, Some(EVENT_REDIRECTED)), "{what}");
            for packet in [&ack, &piece, &Packet::udp(cast.client, cast.web, 80)] {
                assert_eq!(harness.verdict(packet), Pass, "{what}: not the first of a connection");
            }
            // What was open goes on, in both directions.
            harness.listen(false);
            assert_eq!(harness.send(&syn).0, Pass);
            harness.listen(true);
            assert_eq!(harness.send(&syn.answer()).0, Pass, "{what}");
            assert_eq!(harness.send(&ack).0, Pass, "{what}");
            harness.forget();
        }
    }
    // It never allows: default deny and denials hold.
    install(&mut harness, &deny_by_default(&[observed(Nothing, Nothing, true)]), &KernelPolicy::default());
    assert_eq!(harness.verdict(&Packet::tcp(casts()[0].client, casts()[0].web, 80)), DENIED);
    install(&mut harness, &open(&[observed(Deny, Deny, true)]), &KernelPolicy::default());
    assert_eq!(harness.verdict(&Packet::tcp(casts()[0].client, casts()[0].web, 80)), BY_RULE);
}
