//! Why a connection is denied, and what would have to differ.

use weir_control::reference::{self, Party, Question, Verdict};
use weir_model::{endpoint::PodName, policy::HttpRule, resolved::Direction};

use crate::support::{pod, policy, store};

const RULES: &str = "{endpointSelector: {matchLabels: {role: s}}, ingress: [\
    {fromEndpoints: [{matchLabels: {role: p}}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET, path: /a}]}}]}, \
    {fromCIDR: [192.0.2.0/24], toPorts: [{ports: [{port: '53', protocol: UDP}]}]}], \
    ingressDeny: [{fromEndpoints: [{matchLabels: {role: q}}]}]}";

/// Rows: who asks, over what, for which method and path; the verdict and why.
#[test]
fn a_denial_names_the_nearest_rule_and_what_differs() {
    let pods = ["s", "p", "q", "r"]
        .map(|role| pod("a", role, &format!("role: {role}"), &format!("fd00::{:x}", role.as_bytes()[0])));
    let store = store(&[("pods.yaml", &pods.concat()), ("policy.yaml", &policy("x", RULES))]);
    let world = reference::World::of(store.objects().map(|(_, stored)| &*stored.object));
    let named = |name: &str| Party::Pod(PodName { namespace: "a".into(), name: name.into() });
    let rule = "CiliumNetworkPolicy/a/x rule[0].ingress";
    let http = format!("no rule allows it; nearest is {rule}[0].toPorts[0], which wants");
    let dns = format!("no rule allows it; nearest is {rule}[1].toPorts[0], which wants");
    let peer = "peer pods any:role=p,k8s:io.kubernetes.pod.namespace=a";
    let rows = [
        (named("p"), (6, 80), ("GET", "/a"), Verdict::Redirect, format!("by {rule}[0].toPorts[0]")),
        (named("p"), (6, 80), ("PUT", "/a"), Verdict::DenyRequest, format!("{http} method GET")),
        (named("p"), (6, 80), ("PUT", "/b"), Verdict::DenyRequest, format!("{http} method GET and path /a")),
        (named("p"), (6, 81), ("GET", "/a"), Verdict::Deny, format!("{http} port 80")),
        (named("p"), (17, 80), ("GET", "/a"), Verdict::Deny, format!("{http} protocol TCP")),
        (named("r"), (6, 80), ("GET", "/a"), Verdict::Deny, format!("{http} {peer}")),
        (named("q"), (6, 80), ("GET", "/a"), Verdict::Deny, format!("by {rule}Deny[0]")),
        (Party::Address([192, 0, 2, 9].into()), (17, 54), ("", ""), Verdict::Deny, format!("{dns} port 53")),
        (Party::Host, (6, 99), ("", ""), Verdict::Allow, "the node may always call its own pods".into()),
    ];
    for (from, (protocol, port), (method, path), verdict, because) in rows {
        let request = |rule: &HttpRule| {
            let fields = [("method", &rule.method, method), ("path", &rule.path, path)];
            let differs =
                |(_, wanted, asked): &(&str, &Option<String>, &str)| wanted.as_deref().is_some_and(|w| w != *asked);
            fields.into_iter().filter(differs).map(|(field, ..)| field).collect()
        };
        let question = Question { from: &from, to: &named("s"), protocol, port, request: Some(&request) };
        let answer = reference::evaluate(&world, question);
        let side =
            answer.sides.iter().find(|side| side.direction == Direction::Ingress).expect("the called pod's side");
        assert_eq!((side.enforced.verdict, side.enforced.because.to_string()), (verdict, because), "{from:?}");
        assert_eq!(answer.enforced(), verdict);
    }
}
