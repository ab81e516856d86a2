//! The objects of the worlds.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use weir_control::{
    engine::Event,
    manifests::{Kind, Namespace, Object, ObjectKey, Pod},
};
use weir_model::{
    endpoint::PodName,
    labels::POD_NAMESPACE,
    policy::{
        CidrPeer, DefaultDeny, Mode, PeerSelector, Policy, PolicyKind, PolicyName, Port, PortRange, PortRule, PortSpec,
        Protocol, Rule, RuleEntry, Subject,
    },
    selector::{Operator, Requirement, Selector, SelectorKey},
};

/// The node whose pods are endpoints.
pub(super) const NODE: &str = "here";
const NAMESPACES: usize = 100;
const APPS: usize = 200;

/// `count` rules for one subject, and `identities` callers that they name.
pub(super) fn rules(count: usize, identities: usize, shares: bool) -> Vec<Event> {
    let selector =
        |rule: usize| if shares { is("k8s:all", "yes") } else { is("k8s:group", &(rule % count).to_string()) };
    let entry = |rule: usize| RuleEntry { peers: Some(vec![pods([selector(rule)])]), ..RuleEntry::default() };
    let subject = Selector { requirements: vec![is("k8s:app", "subject")] };
    let rule = |at: usize| rule_of(subject.clone(), vec![entry(at)], Vec::new());
    let mut events: Vec<Event> = (0..identities).map(caller).collect();
    events.push(policy_of("default", "rules", (0..count).map(rule).collect()));
    events
}

/// A pod with labels of its own.
pub(super) fn caller(number: usize) -> Event {
    let labels = [("all", "yes".to_owned()), ("name", number.to_string()), ("group", (number % 1_000).to_string())];
    pod_of("default", &format!("caller-{number}"), &labels, address(number), "elsewhere")
}

/// The pod whom the rules of [`rules`] are about.
pub(super) fn endpoint() -> Event {
    pod_of("default", "subject", &[("app", "subject".to_owned())], [10, 255, 255, 1].into(), NODE)
}

/// 100 namespaces of 200 applications of 5 pods; 10 policies in each namespace; 100 pods are of this node.
pub(super) fn cluster() -> Vec<Event> {
    let mut events = Vec::new();
    for namespace in 0..NAMESPACES {
        let name = format!("ns-{namespace}");
        let env = if namespace % 10 == 0 { "prod" } else { "test" };
        let labels = BTreeMap::from([("env".to_owned(), env.to_owned())]);
        let object = Object::Namespace(Namespace { name: name.clone(), labels });
        events.push((key(Kind::Namespace, "", &name), Some(Arc::new(object))));
        for app in 0..APPS {
            for replica in 0..5 {
                let here = replica == 0 && app == namespace % APPS;
                let name = format!("app-{app}-{replica}");
                events.push(pod(&name, namespace, app, 0, if here { NODE } else { "elsewhere" }));
            }
        }
        events.extend((0..10).map(|number| policy(namespace, number, &format!("policy-{number}"))));
    }
    events
}

/// A pod of an application; `version` 0 is what the cluster runs.
pub(super) fn pod(name: &str, namespace: usize, app: usize, version: usize, node: &str) -> Event {
    let labels = [
        ("app", format!("app-{app}")),
        ("app.kubernetes.io/part-of", format!("system-{}", app / 10)),
        ("team", format!("team-{}", app % 7)),
        ("version", format!("v{version}")),
    ];
    let number = name.bytes().fold(namespace * APPS + app, |n, byte| n * 31 + usize::from(byte));
    pod_of(&format!("ns-{namespace}"), &format!("{name}-v{version}"), &labels, address(number), node)
}

/// One of a namespace's policies.
pub(super) fn policy(namespace: usize, number: usize, name: &str) -> Event {
    let space = format!("ns-{namespace}");
    let inside = || is(&format!("k8s:{POD_NAMESPACE}"), &space);
    let app = |app: usize| is("any:app", &format!("app-{app}"));
    let from = |peers: Vec<PeerSelector>, ports: &[u16]| RuleEntry {
        peers: Some(peers),
        ports: Some(vec![PortRule { ports: ports.iter().copied().map(tcp).collect(), http: None }]),
        ..RuleEntry::default()
    };
    let first = namespace % APPS;
    let subject = Selector { requirements: vec![app((first + number) % APPS), inside()] };
    let everyone = Selector { requirements: vec![inside()] };
    let rule = match number {
        0 => rule_of(everyone, vec![from(vec![pods([inside()])], &[80, 443])], Vec::new()),
        1 => rule_of(
            everyone,
            Vec::new(),
            vec![from(vec![pods([is("any:app", "app-0"), is(&format!("k8s:{POD_NAMESPACE}"), "ns-0")])], &[53])],
        ),
        2 => rule_of(
            everyone,
            vec![from(vec![pods([is("any:io.cilium.k8s.namespace.labels.env", "prod")])], &[9090])],
            Vec::new(),
        ),
        3 => {
            let cidr = |third: usize| {
                let text = format!("198.{}.{}.0/24", 18 + namespace % 2, third % 256);
                text.parse().ok().map(|cidr| PeerSelector::Cidr(CidrPeer { cidr, except: Vec::new() }))
            };
            rule_of(everyone, Vec::new(), vec![from(cidr(namespace).into_iter().collect(), &[443])])
        }
        _ => {
            let callers = (1..5).map(|step| pods([app((first + number + step) % APPS), inside()])).collect();
            rule_of(subject, vec![from(callers, &[8080, 8081])], Vec::new())
        }
    };
    policy_of(&space, name, vec![rule])
}

fn rule_of(subject: Selector, ingress: Vec<RuleEntry>, egress: Vec<RuleEntry>) -> Rule {
    Rule {
        subject: Subject::Pods(subject),
        default_deny: DefaultDeny { ingress: !ingress.is_empty(), egress: !egress.is_empty() },
        ingress,
        ingress_deny: Vec::new(),
        egress,
        egress_deny: Vec::new(),
        log: None,
    }
}

fn policy_of(namespace: &str, name: &str, rules: Vec<Rule>) -> Event {
    let kind = PolicyKind::CiliumNetworkPolicy;
    let policy_name = PolicyName { kind, namespace: namespace.into(), name: name.into() };
    let policy = Policy { name: Arc::new(policy_name), mode: Mode::Enforce, rules, gaps: Vec::new() };
    (key(Kind::CiliumNetworkPolicy, namespace, name), Some(Arc::new(Object::Policy(policy))))
}

fn pod_of(namespace: &str, name: &str, labels: &[(&str, String)], address: IpAddr, node: &str) -> Event {
    let object = Object::Pod(Pod {
        name: PodName { namespace: namespace.into(), name: name.into() },
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        node: Some(node.into()),
        service_account: None,
        host_network: false,
        finished: false,
        addresses: vec![address],
        ports: Vec::new(),
    });
    (key(Kind::Pod, namespace, name), Some(Arc::new(object)))
}

fn key(kind: Kind, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind, namespace: namespace.into(), name: name.into() }
}

/// An address of fd00::/16 for each number.
fn address(number: usize) -> IpAddr {
    let low = u128::try_from(number).unwrap_or_default();
    std::net::Ipv6Addr::from((0xfd00_u128 << 112) | low).into()
}

fn tcp(port: u16) -> PortSpec {
    PortSpec { port: Port::Numbers(PortRange::one(port)), protocol: Protocol::Tcp }
}

fn pods(requirements: impl IntoIterator<Item = Requirement>) -> PeerSelector {
    PeerSelector::Endpoints(Selector { requirements: requirements.into_iter().collect() })
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: SelectorKey::parse(key), operator: Operator::In(vec![value.into()]) }
}
