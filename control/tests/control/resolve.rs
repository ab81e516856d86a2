//! Snapshots and wanted states.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use proptest::prelude::*;
use weir_control::{
    identities::{Floor, IdentityTable},
    resolve::{Endpoint, Options, resolve},
    store::Store,
};
use weir_model::{
    endpoint::PodName,
    identity::Identity,
    labels::{LabelKey, LabelSet},
    policy::{HttpRule, Policy, PolicyKind, PolicyName, PortProtocol, PortRule, Protocol, Rule, RuleEntry},
    resolved::{Direction, DirectionPolicy},
    selector::{Operator, Requirement, Selector, SelectorKey},
};

use crate::support::{Judged, check, judge, pod, policy, resolver, store};

#[test]
fn a_revision_grows_only_when_something_changed() {
    let mut store = store(&[("a.yaml", &pod("a", "p", "app: w", "10.0.0.1"))]);
    let mut resolver = resolver(None);
    assert_eq!(resolver.world().snapshot.revision, 0);
    assert!(resolver.update(&store));
    assert!(!resolver.update(&store));
    assert_eq!((resolver.world().snapshot.revision, resolver.world().wanted.revision), (1, 1));
    // A policy that selects nobody changes nothing.
    store.apply_file("b.yaml", policy("x", "{endpointSelector: {matchLabels: {app: z}}, ingress: [{}]}").as_bytes());
    assert!(!resolver.update(&store));
    store.apply_file("b.yaml", policy("x", "{endpointSelector: {}, ingress: [{}]}").as_bytes());
    assert!(resolver.update(&store));
    assert_eq!((resolver.world().snapshot.revision, resolver.world().wanted.revision), (2, 2));
}

#[test]
fn an_empty_world_has_a_revision_too() {
    let mut resolver = resolver(None);
    assert!(resolver.update(&Store::new(check())));
    assert!(!resolver.update(&Store::new(check())));
    assert_eq!(resolver.world().snapshot.revision, 1);
}

#[test]
fn pods_of_other_nodes_have_identities_but_no_endpoint() {
    let on = |node: &str, text: String| text.replace("status:", &format!("spec: {{nodeName: {node}}}\nstatus:"));
    let text = on("node-1", pod("a", "here", "app: w", "10.0.0.1"))
        + &on("node-2", pod("a", "there", "app: w", "10.0.0.2"))
        + &pod("a", "unset", "app: w", "10.0.0.3");
    let store = store(&[("a.yaml", &text)]);
    for (node, expected) in [(None, [true, true, true]), (Some("node-1"), [true, false, true])] {
        let mut resolver = resolver(node);
        resolver.update(&store);
        let world = resolver.world();
        let local: Vec<bool> = world.snapshot.pods.iter().map(|pod| pod.local).collect();
        assert_eq!(local, expected, "{node:?}");
        assert_eq!(world.wanted.endpoints.len(), expected.iter().filter(|local| **local).count());
        assert_eq!(world.wanted.addresses.len(), 3);
        let owners: Vec<bool> = world.wanted.addresses.values().map(|owner| owner.endpoint.is_some()).collect();
        assert_eq!(owners, expected, "{node:?}");
        assert_eq!((world.snapshot.identities.len(), world.snapshot.node.as_str()), (1, "node-1"));
    }
}

#[test]
fn an_address_belongs_to_the_first_pod_by_name() {
    let text = pod("a", "q", "app: q", "10.0.0.1")
        + &pod("a", "p", "app: p", "10.0.0.1")
        + &pod("b", "a", "app: a", "10.0.0.2");
    let mut resolver = resolver(None);
    resolver.update(&store(&[("f.yaml", &text)]));
    let world = resolver.world();
    let names: Vec<_> = world.snapshot.pods.iter().map(|pod| pod.name.to_string()).collect();
    assert_eq!(names, ["a/p", "b/a"]);
    let [problem] = world.problems.as_slice() else { panic!("{:?}", world.problems) };
    assert_eq!(
        problem.to_string(),
        "f.yaml document 1: Pod/a/q: status.podIPs: 10.0.0.1 is already the address of pod a/p; remove the pod that is stale"
    );
}

#[test]
fn pods_that_the_same_rules_select_share_one_policy() {
    let text = pod("a", "p", "app: p", "10.0.0.1")
        + &pod("a", "q", "app: q", "10.0.0.2")
        + &pod("a", "r", "app: r", "10.0.0.3")
        + &policy(
            "x",
            "{endpointSelector: {matchExpressions: [{key: app, operator: In, values: [p, q]}]}, ingress: [{}]}",
        );
    let mut resolver = resolver(None);
    resolver.update(&store(&[("f.yaml", &text)]));
    let world = resolver.world();
    let policies: Vec<usize> = world.snapshot.pods.iter().map(|pod| pod.policy).collect();
    assert_eq!((policies, world.snapshot.policies.len()), (vec![0, 0, 1], 2));
    let kernel: Vec<_> = world.wanted.endpoints.values().map(|endpoint| endpoint.policy.clone()).collect();
    assert!(Arc::ptr_eq(&kernel[0], &kernel[1]));
    assert!(kernel[0].enforce_ingress && !kernel[0].enforce_egress && !kernel[2].enforce_ingress);
}

#[test]
fn the_example_says_who_may_land() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/star-wars");
    let mut store = Store::new(check());
    for name in ["pods.yaml", "policy.yaml"] {
        store.apply_file(name, &std::fs::read(directory.join(name)).expect("the example"));
    }
    assert_eq!((store.problems(), store.notes()), (vec![], vec![]));
    let mut resolver = resolver(None);
    resolver.update(&store);
    let world = resolver.world();
    let find = |name: &str| world.wanted.endpoints.values().find(|pod| pod.name.name == name).expect("the pod");
    let station = find("deathstar");
    assert_eq!(station.addresses.len(), 2);
    for (caller, expected) in [("tiefighter", Judged::Redirect), ("xwing", Judged::Deny)] {
        let verdict = judge(&station.policy, Direction::Ingress, find(caller).identity, 6, 80);
        assert_eq!(verdict, expected, "{caller}");
    }
    let pod = world.snapshot.pods.iter().find(|pod| pod.name.name == "deathstar").expect("the pod");
    let rules = &world.snapshot.policies[pod.policy].ingress.as_ref().expect("enforced").rules;
    let http = rules[0].http.as_ref().expect("http");
    assert_eq!((http[0].method.as_deref(), http[0].path.as_deref()), (Some("POST"), Some("/v1/request-landing")));
    let origin = "CiliumNetworkPolicy/default/landing-permit rule[0].ingress[0].toPorts[0]";
    assert_eq!(rules[0].origin.to_string(), origin);
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = || prop::collection::vec(prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned), 1..3);
    let operator = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist)
    ];
    let requirement = (prop::sample::select(vec!["app", "k8s:app", "tier"]), operator)
        .prop_map(|(key, operator)| Requirement { key: SelectorKey::parse(key), operator });
    prop::collection::vec(requirement, 0..3).prop_map(|requirements| Selector { requirements })
}

fn port_rule() -> impl Strategy<Value = PortRule> {
    let ports = [
        (80, Protocol::Tcp),
        (81, Protocol::Tcp),
        (80, Protocol::Any),
        (0, Protocol::Tcp),
        (0, Protocol::Any),
        (53, Protocol::Udp),
    ];
    let ports = ports.map(|(port, protocol)| PortProtocol { port, protocol }).to_vec();
    let http = |method: &str| Some(Arc::new(vec![HttpRule { method: Some(method.into()), ..HttpRule::default() }]));
    let l7 = (
        prop::collection::vec(prop::sample::select(ports[..2].to_vec()), 0..3),
        prop::sample::select(vec!["GET", "PUT"]),
    )
        .prop_map(move |(ports, method)| PortRule { ports, http: http(method) });
    let l4 = prop::collection::vec(prop::sample::select(ports), 0..3).prop_map(|ports| PortRule { ports, http: None });
    prop_oneof![l4, l7]
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let entry = || {
        let peers = prop::option::of(prop::collection::vec(selector(), 0..3));
        let ports = prop::option::of(prop::collection::vec(port_rule(), 0..3));
        (peers, ports).prop_map(|(peers, ports)| RuleEntry { peers, ports })
    };
    let entries = || prop::collection::vec(entry(), 0..3);
    let rule =
        (selector(), entries(), entries()).prop_map(|(subject, ingress, egress)| Rule { subject, ingress, egress });
    prop::collection::vec(prop::collection::vec(rule, 1..3), 0..4).prop_map(|policies| {
        let name = |index| PolicyName {
            kind: PolicyKind::CiliumNetworkPolicy,
            namespace: "a".into(),
            name: format!("p{index}"),
        };
        policies.into_iter().enumerate().map(|(index, rules)| Policy { name: Arc::new(name(index)), rules }).collect()
    })
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let value = || prop::sample::select(vec!["", "a", "b"]);
    prop::collection::vec((value(), value()), 1..6).prop_map(|rows| {
        let endpoint = |(index, (app, tier)): (u8, (&str, &str))| {
            let pairs = [("app", app), ("tier", tier)].into_iter().filter(|(_, value)| !value.is_empty());
            Endpoint {
                name: PodName { namespace: "a".into(), name: format!("q{index}") },
                labels: pairs.map(|(key, value)| (LabelKey::k8s(key), value.to_owned())).collect(),
                addresses: vec![[10, 0, 0, index].into()],
                local: true,
            }
        };
        (0..).zip(rows).map(endpoint).collect()
    })
}

/// The L7 side of an allowed connection: everything, or what one of these matches.
#[derive(Debug, Default, PartialEq, Eq)]
struct Requests {
    everything: bool,
    rules: BTreeSet<HttpRule>,
}

/// Reads the policies as the documentation does: `None` is not enforced, otherwise what the allowances say.
fn read(
    policies: &[Policy],
    subject: &LabelSet,
    peer: Option<&LabelSet>,
    direction: Direction,
    protocol: u8,
    port: u16,
) -> Option<Requests> {
    let rules = policies.iter().flat_map(|policy| &policy.rules).filter(|rule| rule.subject.matches(subject));
    let entries: Vec<&RuleEntry> = rules
        .flat_map(|rule| match direction {
            Direction::Ingress => &rule.ingress,
            Direction::Egress => &rule.egress,
        })
        .collect();
    if entries.is_empty() {
        return None;
    }
    let mut requests = Requests::default();
    for entry in entries {
        let peer_allowed = match &entry.peers {
            None => true,
            Some(selectors) => peer.is_some_and(|peer| selectors.iter().any(|selector| selector.matches(peer))),
        };
        if !peer_allowed {
            continue;
        }
        match entry.ports.as_deref().unwrap_or_default() {
            [] => requests.everything |= entry.peers.is_some(),
            ports => {
                let covers = |p: &PortProtocol| p.protocol.numbers().contains(&protocol) && [0, port].contains(&p.port);
                for rule in ports.iter().filter(|rule| rule.ports.iter().any(covers)) {
                    match &rule.http {
                        None => requests.everything = true,
                        Some(http) => requests.rules.extend(http.iter().cloned()),
                    }
                }
            }
        }
    }
    Some(requests)
}

/// What the proxy has to go by.
fn resolved(policy: &DirectionPolicy, peer: Identity, port: u16) -> Requests {
    let mut requests = Requests::default();
    for rule in policy.rules.iter().filter(|rule| rule.peers.contains(peer) && rule.covers_tcp(port)) {
        match &rule.http {
            None => requests.everything = true,
            Some(http) => requests.rules.extend(http.iter().cloned()),
        }
    }
    requests
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What the kernel's entries and the proxy's rules say is what a direct reading of the policies says.
    #[test]
    fn entries_mean_what_the_policies_say(policies in policies(), endpoints in endpoints()) {
        let mut table = IdentityTable::new(Floor::default());
        let labels: BTreeMap<_, _> = endpoints.iter().map(|pod| (pod.name.clone(), pod.labels.clone())).collect();
        prop_assert!(table.assign(&labels).is_empty());
        let (snapshot, wanted) = resolve(policies.iter(), &endpoints, &table, &Options::default(), 1);
        let peers: Vec<(Identity, Option<&LabelSet>)> = table
            .identities()
            .map(|(identity, labels)| (identity, Some(labels)))
            .chain([(Identity::WORLD_IPV4, None), (Identity::HOST, None)])
            .collect();
        for (pod, endpoint) in snapshot.pods.iter().zip(&endpoints) {
            let kernel = &wanted.endpoints[&pod.endpoint].policy;
            for direction in [Direction::Ingress, Direction::Egress] {
                for (identity, peer) in &peers {
                    for (protocol, port) in [(6, 80), (6, 81), (6, 82), (17, 80), (17, 53), (17, 54), (132, 80), (1, 0)] {
                        let said = read(&policies, &endpoint.labels, *peer, direction, protocol, port);
                        let expected = match &said {
                            None => Judged::Allow,
                            Some(requests) if !requests.rules.is_empty() => Judged::Redirect,
                            Some(requests) if requests.everything => Judged::Allow,
                            Some(_) => Judged::Deny,
                        };
                        prop_assert_eq!(judge(kernel, direction, *identity, protocol, port), expected);
                        if protocol == 6 {
                            let policy = snapshot.policies[pod.policy].direction(direction);
                            prop_assert_eq!(policy.map(|policy| resolved(policy, *identity, port)), said);
                        }
                    }
                }
            }
        }
    }
}
