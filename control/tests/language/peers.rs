//! Every kind of peer, and groups, services and slices that peers refer to.

use weir_control::manifests::{Accepted, Object};
use weir_model::policy::{Entity, PeerSelector};

use crate::{egress, ingress, parsed};

fn shown(peers: Option<&[PeerSelector]>) -> Option<Vec<String>> {
    Some(peers?.iter().map(ToString::to_string).collect())
}

/// Rows: an `egress` entry, and the peers of it. With `from` for `to` the same is said of `ingress`.
#[test]
fn peers_are_read() {
    let own = "k8s:io.kubernetes.pod.namespace=a";
    let rows: [(&str, &[&str]); 22] = [
        ("toEndpoints: [{}]", &["pods {own}"]),
        (
            "toEndpoints: [{matchLabels: {app: w}}, {matchLabels: {b: c}}]",
            &["pods any:app=w,{own}", "pods any:b=c,{own}"],
        ),
        (
            "toEndpoints: [{matchExpressions: [{key: a, operator: NotIn, values: [v, u]}]}]",
            &["pods any:a notin (v,u),{own}"],
        ),
        ("toEndpoints: [{matchLabels: {'reserved:host': ''}}]", &["pods reserved:host="]),
        ("toEndpoints: []", &[]),
        ("toCIDR: []", &[]),
        ("toEndpoints: [], toCIDR: [10.0.0.0/8]", &["cidr 10.0.0.0/8"]),
        ("toCIDR: [10.0.0.0/8, 'fd00::/8', 0.0.0.0/0]", &["cidr 10.0.0.0/8", "cidr fd00::/8", "cidr 0.0.0.0/0"]),
        ("toCIDR: [10.0.0.1, 'fd00::1']", &["cidr 10.0.0.1/32", "cidr fd00::1/128"]),
        ("toCIDR: [10.1.2.3/8]", &["cidr 10.0.0.0/8"]),
        ("toCIDRSet: [{cidr: 10.0.0.0/8}]", &["cidr 10.0.0.0/8"]),
        (
            "toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.1/32]}]",
            &["cidr 10.0.0.0/8 except 10.1.0.0/16,10.2.0.1/32"],
        ),
        ("toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}]", &["cidr 10.0.0.0/8 except 10.0.0.0/8"]),
        ("toCIDRSet: [{cidrGroupRef: g}]", &["group g"]),
        ("toCIDRSet: [{cidrGroupRef: g, except: ['fd00::/8']}]", &["group g except fd00::/8"]),
        ("toCIDRSet: [{cidrGroupSelector: {matchLabels: {a: b}}}]", &["groups any:a=b"]),
        ("toEntities: [world, host]", &["entity world", "entity host"]),
        ("toServices: [{k8sService: {serviceName: s, namespace: ns}}]", &["service ns/s"]),
        ("toServices: [{k8sService: {serviceName: s}}]", &["service */s"]),
        (
            "toServices: [{k8sServiceSelector: {selector: {matchLabels: {a: b}}, namespace: ns}}]",
            &["services ns/(any:a=b)"],
        ),
        (
            "toFQDNs: [{matchName: Example.COM}, {matchPattern: '*.Example.com'}]",
            &["name example.com", "name *.example.com"],
        ),
        ("toNodes: [{matchLabels: {pool: p}}]", &["nodes any:pool=p,reserved:remote-node"]),
    ];
    for (entry, expected) in rows {
        let expected: Vec<String> = expected.iter().map(|text| text.replace("{own}", own)).collect();
        let read = egress(&format!("{{{entry}}}"));
        assert_eq!(shown(read.peers.as_deref()).as_ref(), Some(&expected), "{entry}");
        if !entry.starts_with("toServices") && !entry.starts_with("toFQDNs") {
            let lists = ["toEndpoints", "toCIDR", "toEntities", "toNodes"];
            let entry =
                lists.iter().fold(entry.to_owned(), |entry, to| entry.replace(to, &to.replacen("to", "from", 1)));
            let read = ingress(&format!("{{{entry}}}"));
            assert_eq!(shown(read.peers.as_deref()), Some(expected), "{entry}");
        }
    }
    assert_eq!(egress("{}").peers, None);
    assert_eq!(egress("{toEndpoints: null, toPorts: [{ports: [{port: '1'}]}]}").peers, None, "null is absent");
}

#[test]
fn every_entity_has_its_name() {
    for entity in Entity::ALL {
        let read = ingress(&format!("{{fromEntities: [{}]}}", entity.name()));
        assert_eq!(read.peers, Some(vec![PeerSelector::Entity(entity)]));
    }
}

fn object(text: &str) -> Object {
    let parsed = parsed(text);
    let [Accepted { object, .. }] = parsed.objects.as_slice() else { panic!("{text}: {:?}", parsed.problems) };
    object.clone()
}

#[test]
fn groups_are_read() {
    let text = "{apiVersion: cilium.io/v2alpha1, kind: CiliumCIDRGroup, metadata: {name: g, labels: {a: b}}, spec: \
                {externalCIDRs: [10.1.0.0/8, 'fd00::/8']}}";
    for text in [text.to_owned(), text.replace("v2alpha1", "v2")] {
        let Object::CidrGroup(group) = object(&text) else { panic!("{text}") };
        assert_eq!((group.name.as_str(), group.labels.to_string().as_str()), ("g", "cidrgroup:a=b"));
        let cidrs: Vec<_> = group.cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(cidrs, ["10.0.0.0/8", "fd00::/8"]);
    }
    let bad = [
        ("{externalCIDRs: [10.0.0.1]}", "spec.externalCIDRs[0]", "write 10.0.0.1/32"),
        ("{externalCidrs: []}", "spec.externalCidrs", "did you mean externalCIDRs?"),
        ("null", "spec", "is missing"),
    ];
    for (spec, field, reason) in bad {
        let text = format!("{{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {{name: g}}, spec: {spec}}}");
        let parsed = parsed(&text);
        assert_eq!(parsed.problems[0].field, field);
        assert!(parsed.problems[0].reason.contains(reason), "{}", parsed.problems[0].reason);
    }
}

#[test]
fn services_and_their_slices_are_read() {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: ns, labels: {a: b}}, spec: {selector: {app: w}, \
                ports: [{port: 80}]}}";
    let Object::Service(service) = object(text) else { panic!("{text}") };
    assert_eq!((service.namespace.as_str(), service.name.as_str()), ("ns", "s"));
    assert_eq!(service.labels.to_string(), "k8s:a=b");
    let selector = service.selector.expect("a selector").to_string();
    assert_eq!(selector, "k8s:app=w,k8s:io.kubernetes.pod.namespace=ns");
    for spec in ["{}", "{selector: {}}", "{selector: null}"] {
        let text = format!("{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {spec}}}");
        let Object::Service(service) = object(&text) else { panic!("{text}") };
        assert_eq!(service.selector, None, "{spec}");
    }
    let text = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, namespace: ns, labels: \
                {kubernetes.io/service-name: s}}, addressType: IPv4, endpoints: [{addresses: [192.0.2.2, 192.0.2.1]}, \
                {addresses: [192.0.2.3], conditions: {ready: false}}, {addresses: [192.0.2.4], conditions: {ready: false, \
                serving: true}}, {addresses: [192.0.2.1], conditions: {ready: true}}]}";
    let Object::EndpointSlice(slice) = object(text) else { panic!("{text}") };
    assert_eq!((slice.namespace.as_str(), slice.name.as_str(), slice.service.as_deref()), ("ns", "s-1", Some("s")));
    let addresses: Vec<_> = slice.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2", "192.0.2.4"]);
    let names = text.replace("addressType: IPv4", "addressType: FQDN");
    assert_eq!((parsed(&names).notes.len(), parsed(&names).objects.len()), (1, 1));
    let bad = text.replace("192.0.2.3", "x");
    assert_eq!(parsed(&bad.replace("ready: false}", "ready: true}")).problems[0].field, "endpoints[1].addresses[0]");
}
