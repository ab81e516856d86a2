//! Refused peers.

use super::{Row, refused_entries};
use crate::{parsed, support::policy};

#[test]
fn peers() {
    let both: [Row<'_>; 13] = [
        ("{fromEndpoints: [null]}", ".fromEndpoints[0]", "must be a mapping"),
        ("{fromEndpoints: {}}", ".fromEndpoints", "must be a list"),
        (
            "{fromEndpoints: [{}], fromCIDR: [10.0.0.0/8]}",
            ".fromCIDR",
            "stands beside fromEndpoints; an entry has one kind",
        ),
        ("{fromEntities: [all], fromCIDRSet: [{cidr: 10.0.0.0/8}]}", ".fromEntities", "stands beside fromCIDRSet"),
        ("{fromEntities: [World]}", ".fromEntities[0]", "\"World\" is no entity; use one of all, world"),
        ("{fromEntities: ['']}", ".fromEntities[0]", "is no entity"),
        ("{fromRequires: [{}]}", ".fromRequires", "add its labels to each selector"),
        ("{fromCIDR: [10.0.0.0/33]}", ".fromCIDR[0]", "write an address and a length"),
        ("{fromCIDR: [10.0.0]}", ".fromCIDR[0]", "is no prefix"),
        ("{fromCIDR: ['::ffff:10.0.0.0/104']}", ".fromCIDR[0]", "write the IPv4 prefix"),
        ("{fromendpoints: [{}]}", ".fromendpoints", "did you mean fromEndpoints?"),
        ("{fromEndpoints: [{labels: {}}]}", ".fromEndpoints[0].labels", "a selector takes matchLabels"),
        ("{toEndpoints: [{}]}", ".toEndpoints", "says from…"),
    ];
    refused_entries("ingress", &both);
    refused_entries("ingressDeny", &both);
    refused_entries(
        "ingress",
        &[
            ("{fromGroups: [{}]}", ".fromGroups[0].aws", "is missing"),
            ("{fromGroups: [{aws: {region: a, Labels: {}}}]}", ".fromGroups[0].aws.Labels", "did you mean labels?"),
        ],
    );
    let egress: [Row<'_>; 8] = [
        ("{fromEndpoints: [{}]}", ".fromEndpoints", "says to…"),
        ("{toServices: [{}]}", ".toServices[0]", "one of k8sService and k8sServiceSelector"),
        (
            "{toServices: [{k8sService: {serviceName: a}, k8sServiceSelector: {selector: {}}}]}",
            ".toServices[0]",
            "write one element each",
        ),
        ("{toServices: [{k8sService: {namespace: a}}]}", ".toServices[0].k8sService.serviceName", "is missing"),
        ("{toServices: [{k8sService: {serviceName: A/b}}]}", ".toServices[0].k8sService.serviceName", "no name"),
        ("{toServices: [{k8sService: {name: a}}]}", ".toServices[0].k8sService.name", "takes serviceName, namespace"),
        ("{toServices: [{k8sServiceSelector: {}}]}", ".toServices[0].k8sServiceSelector.selector", "is missing"),
        (
            "{toServices: [{k8sService: {serviceName: a}}], toEntities: [all]}",
            ".toServices",
            "stands beside toEntities",
        ),
    ];
    for (entry, field, reason) in egress {
        if field.ends_with("k8sService.name") {
            // Besides, the service's name is missing.
            let text = policy("x", &format!("{{endpointSelector: {{}}, egress: [{entry}]}}"));
            assert_eq!(parsed(&text).problems[0].field, format!("spec.egress[0]{field}"));
            continue;
        }
        refused_entries("egress", &[(entry, field, reason)]);
        refused_entries("egressDeny", &[(entry, field, reason)]);
    }
}

#[test]
fn cidr_sets() {
    let long = format!("{{fromCIDRSet: [{{cidrGroupRef: {}}}]}}", "x".repeat(254));
    let rows: [Row<'_>; 11] = [
        ("{fromCIDRSet: [{}]}", ".fromCIDRSet[0]", "one of cidr, cidrGroupRef and cidrGroupSelector"),
        ("{fromCIDRSet: [{except: [10.0.0.0/8]}]}", ".fromCIDRSet[0]", "one of cidr"),
        ("{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}", ".fromCIDRSet[0]", "write one element each"),
        ("{fromCIDRSet: [{cidrGroupRef: a, cidrGroupSelector: {}}]}", ".fromCIDRSet[0]", "write one element each"),
        ("{fromCIDRSet: [{cidr: 10.0.0.1}]}", ".fromCIDRSet[0].cidr", "write 10.0.0.1/32"),
        ("{fromCIDRSet: [{cidr: 'fd00::1'}]}", ".fromCIDRSet[0].cidr", "write fd00::1/128"),
        (
            "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/9]}]}",
            ".fromCIDRSet[0].except[0]",
            "not inside of 10.0.0.0/8",
        ),
        ("{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [0.0.0.0/0]}]}", ".fromCIDRSet[0].except[0]", "not inside"),
        ("{fromCIDRSet: [{cidr: 10.0.0.0/8, except: ['fd00::/64']}]}", ".fromCIDRSet[0].except[0]", "not inside"),
        ("{fromCIDRSet: [{cidrGroupRef: a, except: [x]}]}", ".fromCIDRSet[0].except[0]", "is no prefix"),
        (&long, ".fromCIDRSet[0].cidrGroupRef", "no name of a CiliumCIDRGroup"),
    ];
    refused_entries("ingress", &rows);
    refused_entries("ingressDeny", &rows);
}

#[test]
fn names_of_dns() {
    let long = format!("{{toFQDNs: [{{matchName: {}}}]}}", "x".repeat(256));
    let rows: [Row<'_>; 7] = [
        ("{toFQDNs: [{}]}", ".toFQDNs[0]", "one of matchName and matchPattern"),
        ("{toFQDNs: [{matchName: a, matchPattern: b}]}", ".toFQDNs[0]", "write one element each"),
        ("{toFQDNs: [{matchName: '*.a'}]}", ".toFQDNs[0].matchName", "is no name"),
        ("{toFQDNs: [{matchName: 'a..b'}]}", ".toFQDNs[0].matchName", "single '.'"),
        ("{toFQDNs: [{matchPattern: 'a/b'}]}", ".toFQDNs[0].matchPattern", "'*'"),
        ("{toFQDNs: [{matchPattern: 'bücher.de'}]}", ".toFQDNs[0].matchPattern", "is no name"),
        (&long, ".toFQDNs[0].matchName", "and so on is no name; use at most 255"),
    ];
    refused_entries("egress", &rows);
    refused_entries("egressDeny", &[("{toFQDNs: [{matchName: a}]}", ".toFQDNs", "names cannot be denied")]);
}

/// What weir cannot deny yet must not be opened by being ignored.
#[test]
fn denials_that_would_do_nothing() {
    let rows: [Row<'_>; 8] = [
        ("{toEntities: [remote-node]}", ".toEntities[0]", "cannot be denied: weir does not know"),
        ("{toEntities: [kube-apiserver]}", ".toEntities[0]", "name them as CIDRs"),
        ("{toEntities: [cluster]}", ".toEntities[0]", "name the others as CIDRs"),
        ("{toGroups: [{aws: {region: a}}]}", ".toGroups[0]", "CiliumCIDRGroup"),
        ("{toNodes: [{}]}", ".toNodes[0]", "labels of nodes"),
        ("{toEndpoints: [{matchLabels: {'reserved:remote-node': ''}}]}", ".toEndpoints[0]", "name their addresses"),
        ("{toEndpoints: [{matchLabels: {'reserved:world': ''}}]}", ".toEndpoints[0]", "use the entity world"),
        (
            "{toEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [a]}]}]}",
            ".toEndpoints[0]",
            "means pods alone",
        ),
    ];
    refused_entries("egressDeny", &rows);
}
