//! Random objects out of a small world, so that they meet.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use proptest::{option, prelude::*, sample::select};
use weir_control::{
    engine::Event,
    manifests::{CidrGroup, ContainerPort, EndpointSlice, Kind, Namespace, Object, ObjectKey, Pod, Service},
};
use weir_model::{
    endpoint::PodName,
    labels::{LabelKey, LabelSet, POD_NAMESPACE},
    policy::{
        CidrGroupPeer, CidrGroups, CidrPeer, DefaultDeny, Entity, FqdnPeer, HttpRule, IcmpType, Mode, PeerSelector,
        Policy, PolicyKind, PolicyName, Port, PortRange, PortRule, PortSpec, Protocol, Rule, RuleEntry, ServicePeer,
        Services, Subject,
    },
    selector::{Operator, Requirement, Selector, SelectorKey},
};

/// All objects there are, as after some events.
pub(crate) type Objects = BTreeMap<ObjectKey, Arc<Object>>;

pub(crate) const CIDRS: [&str; 10] = [
    "0.0.0.0/0",
    "::/0",
    "192.0.2.0/24",
    "192.0.2.128/25",
    "192.0.2.129/32",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "198.51.100.0/24",
    "fd99::/16",
    "fd99::1/128",
];

/// Addresses outside the cluster.
pub(crate) const OUTSIDE: [&str; 8] =
    ["192.0.2.1", "192.0.2.129", "192.0.2.130", "10.0.0.77", "198.51.100.5", "203.0.113.1", "fd99::1", "fd99::2"];

pub(crate) fn key(kind: Kind, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind, namespace: namespace.into(), name: name.into() }
}

fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b"])
}

fn value() -> impl Strategy<Value = &'static str> {
    select(vec!["", "x", "y"])
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let present = pairs.iter().filter(|(_, value)| !value.is_empty());
    present.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn pod() -> impl Strategy<Value = Event> {
    let port = |name: &str, number, protocol| ContainerPort { name: name.into(), number, protocol };
    let ports = vec![
        vec![],
        vec![port("http", 80, Protocol::Tcp)],
        vec![port("http", 8080, Protocol::Tcp), port("dns", 53, Protocol::Udp)],
        vec![port("http", 80, Protocol::Udp), port("http", 81, Protocol::Tcp)],
    ];
    let addresses = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "fd00::1", "fd00::2"]);
    let body = (
        (value(), value()),
        prop::collection::vec(addresses, 0..3),
        select(ports),
        select(vec![None, Some("n1"), Some("n1"), Some("n2")]),
        prop::bool::weighted(0.05),
    );
    (namespace(), 0..4_u8, option::weighted(0.8, body)).prop_map(|(namespace, number, body)| {
        let name = format!("p{number}");
        let object = body.map(|((app, tier), addresses, ports, node, finished)| {
            let mut addresses: Vec<IpAddr> = addresses.into_iter().map(|ip| ip.parse().expect("an address")).collect();
            addresses.sort_unstable();
            addresses.dedup();
            Arc::new(Object::Pod(Pod {
                name: PodName { namespace: namespace.into(), name: name.clone() },
                labels: labels(&[("app", app), ("tier", tier)]),
                node: node.map(str::to_owned),
                service_account: None,
                host_network: false,
                finished,
                addresses,
                ports,
            }))
        });
        (key(Kind::Pod, namespace, &name), object)
    })
}

pub(crate) fn other() -> impl Strategy<Value = Event> {
    let cidrs = || prop::collection::vec(select(CIDRS.to_vec()), 0..3);
    let spaces = (namespace(), option::weighted(0.8, value())).prop_map(|(name, env)| {
        let object = env.map(|env| Namespace { name: name.into(), labels: labels(&[("env", env)]) });
        (key(Kind::Namespace, "", name), object.map(|object| Arc::new(Object::Namespace(object))))
    });
    let groups = (select(vec!["g", "h"]), option::weighted(0.8, (value(), cidrs()))).prop_map(|(name, body)| {
        let object = body.map(|(label, cidrs)| CidrGroup {
            name: name.into(),
            labels: LabelSet::from_iter([(LabelKey { source: "cidrgroup".into(), key: "kind".into() }, label.into())]),
            cidrs: cidrs.into_iter().map(net).collect(),
        });
        (key(Kind::CiliumCIDRGroup, "", name), object.map(|object| Arc::new(Object::CidrGroup(object))))
    });
    let services = (namespace(), option::weighted(0.8, (value(), value()))).prop_map(|(namespace, body)| {
        let object = body.map(|(label, app)| Service {
            namespace: namespace.into(),
            name: "s".into(),
            labels: LabelSet::from_iter([(LabelKey::k8s("svc"), label.into())]),
            selector: (!app.is_empty()).then(|| Selector {
                requirements: vec![is("k8s:app", app), is(&format!("k8s:{POD_NAMESPACE}"), namespace)],
            }),
        });
        (key(Kind::Service, namespace, "s"), object.map(|object| Arc::new(Object::Service(object))))
    });
    let backends = prop::collection::vec(select(vec!["192.0.2.129", "203.0.113.1", "10.0.0.1"]), 0..3);
    let slices = (namespace(), 0..2_u8, option::weighted(0.8, backends)).prop_map(|(namespace, number, body)| {
        let name = format!("s-{number}");
        let object = body.map(|addresses| EndpointSlice {
            namespace: namespace.into(),
            name: name.clone(),
            service: Some("s".into()),
            addresses: addresses.into_iter().map(|ip| ip.parse().expect("an address")).collect(),
        });
        (key(Kind::EndpointSlice, namespace, &name), object.map(|object| Arc::new(Object::EndpointSlice(object))))
    });
    prop_oneof![spaces, groups, services, slices]
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: SelectorKey::parse(key), operator: Operator::In(vec![value.into()]) }
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = || prop::collection::vec(select(vec!["x", "y"]).prop_map(str::to_owned), 1..3);
    let operator = prop_oneof![
        4 => values().prop_map(Operator::In),
        1 => values().prop_map(Operator::NotIn),
        1 => Just(Operator::Exists),
        1 => Just(Operator::DoesNotExist)
    ];
    let own = (select(vec!["app", "k8s:app", "tier", "io.cilium.k8s.namespace.labels.env"]), operator)
        .prop_map(|(key, operator)| Requirement { key: SelectorKey::parse(key), operator });
    let requirement =
        prop_oneof![6 => own, 1 => namespace().prop_map(|name| is(&format!("k8s:{POD_NAMESPACE}"), name))];
    prop::collection::vec(requirement, 0..3).prop_map(|mut requirements| {
        requirements.sort();
        requirements.dedup();
        Selector { requirements }
    })
}

fn peer() -> impl Strategy<Value = PeerSelector> {
    let except = || prop::collection::vec(select(CIDRS.to_vec()).prop_map(net), 0..2);
    let reserved = select(vec!["reserved:host", "reserved:world-ipv4", "reserved:init"]).prop_map(|key| Selector {
        requirements: vec![Requirement { key: SelectorKey::parse(key), operator: Operator::Exists }],
    });
    let kind = Selector { requirements: vec![is("cidrgroup:kind", "x")] };
    let groups = prop_oneof![
        select(vec!["g", "h", "none"]).prop_map(|name| CidrGroups::Named(name.into())),
        Just(CidrGroups::Selected(kind))
    ];
    let svc = Selector { requirements: vec![is("svc", "x")] };
    let services = prop_oneof![Just(Services::Named("s".into())), Just(Services::Selected(svc))];
    prop_oneof![
        8 => selector().prop_map(PeerSelector::Endpoints),
        1 => reserved.prop_map(PeerSelector::Endpoints),
        3 => (select(CIDRS.to_vec()).prop_map(net), except()).prop_map(|(cidr, except)| PeerSelector::Cidr(CidrPeer { cidr, except })),
        1 => (groups, except()).prop_map(|(groups, except)| PeerSelector::CidrGroup(CidrGroupPeer { groups, except })),
        2 => select(Entity::ALL.to_vec()).prop_map(PeerSelector::Entity),
        1 => (services, option::of(namespace().prop_map(str::to_owned)))
            .prop_map(|(services, namespace)| PeerSelector::Service(ServicePeer { services, namespace })),
        1 => Just(PeerSelector::Fqdn(FqdnPeer::Name("example.com".into()))),
    ]
}

fn port_rule(deny: bool) -> impl Strategy<Value = PortRule> {
    let range = |first, last| Port::Numbers(PortRange { first, last });
    let named = |name: &str| Port::Named(name.into());
    let l7 = vec![range(80, 80), range(80, 90), range(81, 81), range(8080, 8080), named("http")];
    let l4 =
        [l7.clone(), vec![range(0, u16::MAX), range(1, 1023), range(53, 53), range(82, 8081), named("dns")]].concat();
    let protocols = vec![Protocol::Any, Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let spec = (select(l4), select(protocols)).prop_map(|(port, protocol)| PortSpec { port, protocol });
    let plain = prop::collection::vec(spec, 0..3).prop_map(|ports| PortRule { ports, http: None });
    let method = |method: &str| HttpRule { method: Some(method.into()), ..HttpRule::default() };
    let methods = vec![vec![method("GET")], vec![method("PUT")], vec![HttpRule::default()]];
    let http = (prop::collection::vec(select(l7), 1..3), select(methods)).prop_map(|(ports, http)| PortRule {
        ports: ports.into_iter().map(|port| PortSpec { port, protocol: Protocol::Tcp }).collect(),
        http: Some(Arc::new(http)),
    });
    if deny { plain.boxed() } else { prop_oneof![2 => plain, 1 => http].boxed() }
}

fn entries(deny: bool) -> impl Strategy<Value = Vec<RuleEntry>> {
    let icmp = |number: u8| IcmpType { protocol: if number < 128 { Protocol::Icmp } else { Protocol::Icmpv6 }, number };
    let icmps = prop::collection::vec(select(vec![0, 8, 128]).prop_map(icmp), 1..3);
    let what = prop_oneof![
        6 => option::weighted(0.6, prop::collection::vec(port_rule(deny), 0..3)).prop_map(|ports| (ports, None)),
        1 => icmps.prop_map(|icmps| (None, Some(icmps))),
    ];
    let peers = option::weighted(0.8, prop::collection::vec(peer(), 0..3));
    let requires = prop_oneof![20 => Just(Vec::new()), 1 => prop::collection::vec(selector(), 1..2)];
    let entry = (peers, what, requires).prop_map(|(peers, (ports, icmps), requires)| RuleEntry {
        peers,
        requires,
        ports,
        icmps,
    });
    prop::collection::vec(entry, 0..3)
}

fn rule() -> impl Strategy<Value = Rule> {
    let deny = || prop_oneof![2 => Just(Vec::new()), 1 => entries(true)];
    let init = Selector {
        requirements: vec![Requirement { key: SelectorKey::parse("reserved:init"), operator: Operator::Exists }],
    };
    let subject = prop_oneof![
        12 => selector().prop_map(Subject::Pods),
        1 => Just(Subject::Pods(init)),
        1 => selector().prop_map(Subject::Nodes)
    ];
    (subject, entries(false), deny(), entries(false), deny(), option::weighted(0.3, any::<(bool, bool)>())).prop_map(
        |(subject, ingress, ingress_deny, egress, egress_deny, default_deny)| {
            let usual =
                (!ingress.is_empty() || !ingress_deny.is_empty(), !egress.is_empty() || !egress_deny.is_empty());
            let (to, from) = default_deny.unwrap_or(usual);
            let default_deny = DefaultDeny { ingress: to, egress: from };
            Rule { subject, ingress, ingress_deny, egress, egress_deny, default_deny, log: None }
        },
    )
}

pub(crate) fn policy() -> impl Strategy<Value = Event> {
    let mode = select(vec![Mode::Enforce, Mode::Enforce, Mode::Enforce, Mode::Audit, Mode::Observe]);
    let body = option::weighted(0.8, (mode, prop::collection::vec(rule(), 1..3)));
    (0..3_u8, body).prop_map(|(number, body)| {
        let name = format!("r{number}");
        let object = body.map(|(mode, rules)| {
            let name = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "a".into(), name: name.clone() };
            Arc::new(Object::Policy(Policy { name: Arc::new(name), mode, rules, gaps: Vec::new() }))
        });
        (key(Kind::CiliumNetworkPolicy, "a", &name), object)
    })
}

/// One event.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![4 => pod(), 2 => policy(), 2 => other()]
}

/// A whole world.
pub(crate) fn objects() -> impl Strategy<Value = Objects> {
    (prop::collection::vec(pod(), 4..7), prop::collection::vec(policy(), 1..4), prop::collection::vec(other(), 0..6))
        .prop_map(|(pods, policies, others)| {
            let mut objects = Objects::new();
            note(&mut objects, &[pods, policies, others].concat());
            objects
        })
}

/// Makes `objects` what they are after `events`.
pub(crate) fn note(objects: &mut Objects, events: &[Event]) {
    for (key, object) in events {
        match object {
            Some(object) => drop(objects.insert(key.clone(), Arc::clone(object))),
            None => drop(objects.remove(key)),
        }
    }
}

/// All of them, as events.
pub(crate) fn events(objects: &Objects) -> Vec<Event> {
    objects.iter().map(|(key, object)| (key.clone(), Some(Arc::clone(object)))).collect()
}
