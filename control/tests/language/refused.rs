//! What Cilium refuses, and what weir refuses besides: field and reason.

use weir_control::manifests::{ReadOptions, Reading, parse};

use crate::{
    clusterwide, parsed,
    support::{check, policy},
};

/// A spec, the field that is wrong, and a part of the reason.
type Row<'a> = (&'a str, &'a str, &'a str);

fn refused(text: &str, field: &str, reason: &str) {
    let parsed = parsed(text);
    let [problem] = parsed.problems.as_slice() else { panic!("{text}: {:?}", parsed.problems) };
    assert_eq!(problem.field, field, "{text}: {}", problem.reason);
    assert!(problem.object.ends_with("/x"), "{text}: {}", problem.object);
    assert!(problem.reason.contains(reason), "{text}: {}", problem.reason);
    assert!(parsed.objects.is_empty() && parsed.rejected.len() == 1, "{text}");
    assert_eq!(parsed.reading, Reading::Whole, "{text}");
}

/// Each row is refused as an entry of this list, at this field of the entry.
fn refused_entries(list: &str, rows: &[Row<'_>]) {
    for (entry, field, reason) in rows {
        let text = policy("x", &format!("{{endpointSelector: {{}}, {list}: [{entry}]}}"));
        refused(&text, &format!("spec.{list}[0]{field}"), reason);
    }
}

#[test]
fn rules() {
    let rows: [Row<'_>; 26] = [
        ("{ingress: [{}]}", "spec.endpointSelector", "for all pods of the namespace"),
        ("{endpointSelector: null, ingress: [{}]}", "spec.endpointSelector", "is missing"),
        ("{endpointSelector: [], ingress: [{}]}", "spec.endpointSelector", "must be a mapping"),
        ("{endpointSelector: {}, nodeSelector: {}, ingress: [{}]}", "spec.nodeSelector", "one of the two"),
        ("{nodeSelector: {}, ingress: [{}]}", "spec.nodeSelector", "CiliumClusterwideNetworkPolicy only"),
        ("{endpointSelector: {}}", "spec", "has no entry in ingress, ingressDeny, egress or egressDeny"),
        ("{endpointSelector: {}, ingress: []}", "spec", "to deny all of a direction write `ingress: [{}]`"),
        ("{endpointSelector: {}, enableDefaultDeny: {ingress: true}}", "spec", "has no entry"),
        ("{endpointSelector: {}, ingress: {}}", "spec", "has no entry"),
        ("[]", "spec", "must be a mapping"),
        ("{endpointSelector: {}, ingress: [null]}", "spec.ingress[0]", "must be a mapping, not empty"),
        ("{endpointSelector: {}, ingress: [{}], enableDefaultDeny: true}", "spec.enableDefaultDeny", "a mapping"),
        (
            "{endpointSelector: {}, ingress: [{}], enableDefaultDeny: {ingress: 'false'}}",
            "spec.enableDefaultDeny.ingress",
            "must be true or false, not the text \"false\"",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], enableDefaultDeny: {Egress: true}}",
            "spec.enableDefaultDeny.Egress",
            "egress?",
        ),
        ("{endpointSelector: {}, ingress: [{}], log: x}", "spec.log", "must be a mapping"),
        (
            "{endpointSelector: {}, ingress: [{}], log: {value: 123456789012345678901234567890123}}",
            "spec.log.value",
            "must be a string",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], log: {value: '123456789.123456789.123456789.123'}}",
            "spec.log.value",
            "at most 32 printable",
        ),
        ("{endpointSelector: {}, ingress: [{}], log: {value: \"a\\tb\"}}", "spec.log.value", "printable"),
        ("{endpointSelector: {}, ingress: [{}], labels: {a: b}}", "spec.labels", "must be a list"),
        ("{endpointSelector: {}, ingress: [{}], labels: [{value: b}]}", "spec.labels[0].key", "is missing"),
        ("{endpointSelector: {}, ingress: [{}], description: 1}", "spec.description", "put it in quotes"),
        ("{endpointSelectors: {}, endpointSelector: {}, ingress: [{}]}", "spec.endpointSelectors", "unknown"),
        ("{podSelector: {}, endpointSelector: {}, ingress: [{}]}", "spec.podSelector", "use endpointSelector"),
        ("{endpointSelector: {}, Ingress: [], egress: [{}]}", "spec.Ingress", "did you mean ingress?"),
        (
            "{endpointSelector: {}, ingress: [{}], authentication: {mode: required}}",
            "spec.authentication",
            "write it into the entries",
        ),
        (
            "{endpointSelector: {}, ingress: [{}], policyTypes: [Ingress]}",
            "spec.policyTypes",
            "a rule takes endpointSelector",
        ),
    ];
    for (spec, field, reason) in rows {
        if spec.contains("ingress: {}") {
            // Two mistakes: it is no list, and so there is no entry.
            assert_eq!(parsed(&policy("x", spec)).problems[0].field, "spec.ingress");
            continue;
        }
        refused(&policy("x", spec), field, reason);
    }
    let rows: [Row<'_>; 3] = [
        ("{ingress: [{}]}", "spec.endpointSelector", "for all pods"),
        ("{nodeSelector: {}, endpointSelector: {}, ingress: [{}]}", "spec.nodeSelector", "one of the two"),
        ("{nodeSelector: {}, ingressDeny: [{}]}", "spec.nodeSelector", "nothing would be denied"),
    ];
    for (spec, field, reason) in rows {
        refused(&clusterwide(&policy("x", spec)), field, reason);
    }
}

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
        ("{fromRequires: [{}]}", ".fromRequires", "add its labels to each selector of fromEndpoints"),
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

#[test]
fn ports() {
    let many = format!("{{toPorts: [{{ports: [{}]}}]}}", vec!["{port: '1'}"; 41].join(","));
    let rows: [Row<'_>; 21] = [
        ("{toPorts: {}}", ".toPorts", "must be a list"),
        ("{toPorts: [null]}", ".toPorts[0]", "must be a mapping"),
        (&many, ".toPorts[0].ports", "has 41 ports"),
        ("{toPorts: [{ports: [{}]}]}", ".toPorts[0].ports[0].port", "is missing; \"0\" stands for all"),
        ("{toPorts: [{ports: [{port: ''}]}]}", ".toPorts[0].ports[0].port", "\"\" is not a port"),
        ("{toPorts: [{ports: [{port: 65536}]}]}", ".toPorts[0].ports[0].port", "65536 is not a port"),
        ("{toPorts: [{ports: [{port: '65536'}]}]}", ".toPorts[0].ports[0].port", "number from 0 to 65535"),
        ("{toPorts: [{ports: [{port: -1}]}]}", ".toPorts[0].ports[0].port", "-1 is not a port"),
        ("{toPorts: [{ports: [{port: 80.5}]}]}", ".toPorts[0].ports[0].port", "not a port"),
        ("{toPorts: [{ports: [{port: true}]}]}", ".toPorts[0].ports[0].port", "must be a string"),
        ("{toPorts: [{ports: [{port: a--b}]}]}", ".toPorts[0].ports[0].port", "name of a container port"),
        ("{toPorts: [{ports: [{port: abcdefghijklmnop}]}]}", ".toPorts[0].ports[0].port", "not a port"),
        ("{toPorts: [{ports: [{port: '1', protocol: tcp}]}]}", ".toPorts[0].ports[0].protocol", "did you mean TCP?"),
        ("{toPorts: [{ports: [{port: '1', protocol: ICMP}]}]}", ".toPorts[0].ports[0].protocol", "write icmps instead"),
        (
            "{toPorts: [{ports: [{port: '1', protocol: icmpv6}]}]}",
            ".toPorts[0].ports[0].protocol",
            "write icmps instead",
        ),
        ("{toPorts: [{ports: [{port: '1', protocol: QUIC}]}]}", ".toPorts[0].ports[0].protocol", "use one of TCP, UDP"),
        ("{toPorts: [{ports: [{port: '1', protocol: ESP}]}]}", ".toPorts[0].ports[0].port", "protocol 50 has no ports"),
        ("{toPorts: [{ports: [{port: '1', endPort: '9'}]}]}", ".toPorts[0].ports[0].endPort", "without quotes"),
        ("{toPorts: [{ports: [{port: '1', endPort: 65536}]}]}", ".toPorts[0].ports[0].endPort", "is not a port"),
        ("{toPorts: [{ports: [{port: '1', endport: 9}]}]}", ".toPorts[0].ports[0].endport", "did you mean endPort?"),
        ("{toPorts: [{Ports: []}]}", ".toPorts[0].Ports", "did you mean ports?"),
    ];
    refused_entries("ingress", &rows);
    refused_entries("egressDeny", &rows);
    let denied: [Row<'_>; 5] = [
        ("{toPorts: [{rules: {http: [{}]}}]}", ".toPorts[0].rules", "a denial goes by ports alone"),
        ("{toPorts: [{listener: {}}]}", ".toPorts[0].listener", "a denial goes by ports alone"),
        ("{toPorts: [{serverNames: [a]}]}", ".toPorts[0].serverNames", "a denial goes by ports alone"),
        ("{toPorts: [{terminatingTLS: {}}]}", ".toPorts[0].terminatingTLS", "a denial goes by ports alone"),
        ("{authentication: {mode: disabled}}", ".authentication", "needs no authentication"),
    ];
    refused_entries("egressDeny", &denied);
    refused_entries("ingressDeny", &denied);
}

#[test]
fn icmp_types() {
    let many = format!("{{icmps: [{{fields: [{}]}}]}}", vec!["{type: 8}"; 41].join(","));
    let rows: [Row<'_>; 14] = [
        ("{icmps: [{fields: [{type: 8}]}], toPorts: [{}]}", ".icmps", "stands beside toPorts"),
        (&many, ".icmps[0].fields", "has 41 fields"),
        ("{icmps: [{fields: [{}]}]}", ".icmps[0].fields[0].type", "is missing"),
        ("{icmps: [{fields: [{type: 256}]}]}", ".icmps[0].fields[0].type", "256 is no type of ICMP; use a number"),
        ("{icmps: [{fields: [{type: '08'}]}]}", ".icmps[0].fields[0].type", "is no type of ICMP"),
        ("{icmps: [{fields: [{type: ''}]}]}", ".icmps[0].fields[0].type", "is no type of ICMP"),
        ("{icmps: [{fields: [{type: true}]}]}", ".icmps[0].fields[0].type", "must be a string"),
        ("{icmps: [{fields: [{type: echo-request}]}]}", ".icmps[0].fields[0].type", "did you mean EchoRequest?"),
        ("{icmps: [{fields: [{type: Ping}]}]}", ".icmps[0].fields[0].type", "as in EchoRequest"),
        (
            "{icmps: [{fields: [{type: PacketTooBig}]}]}",
            ".icmps[0].fields[0].type",
            "PacketTooBig is a type of ICMPv6; write `family: IPv6`",
        ),
        (
            "{icmps: [{fields: [{family: IPv6, type: Photuris}]}]}",
            ".icmps[0].fields[0].type",
            "Photuris is a type of ICMP; write `family: IPv4`",
        ),
        ("{icmps: [{fields: [{family: ipv6, type: 1}]}]}", ".icmps[0].fields[0].family", "use IPv4 or IPv6"),
        ("{icmps: [{types: []}]}", ".icmps[0].types", "an icmps element takes fields"),
        ("{icmps: [{fields: [{type: 8, code: 0}]}]}", ".icmps[0].fields[0].code", "takes family, type"),
    ];
    refused_entries("ingress", &rows);
    refused_entries("egressDeny", &rows);
}

#[test]
fn layer_7() {
    let port = |protocol: &str, rest: &str| format!("{{toPorts: [{{ports: [{{port: '80'{protocol}}}], {rest}}}]}}");
    let tcp = |rest: &str| port(", protocol: TCP", rest);
    let rows: Vec<(String, &str, &str)> = vec![
        (
            port("", "rules: {http: [{}]}"),
            ".toPorts[0].ports[0].protocol",
            "HTTP rules need `protocol: TCP`, written out",
        ),
        (port(", protocol: ANY", "rules: {kafka: [{}]}"), ".toPorts[0].ports[0].protocol", "Kafka rules need"),
        (port(", protocol: UDP", "rules: {l7proto: x}"), ".toPorts[0].ports[0].protocol", "L7 rules need"),
        (
            tcp("rules: {http: [{}], kafka: [{}]}"),
            ".toPorts[0].rules.kafka",
            "stands beside http; ports speak one protocol",
        ),
        (tcp("rules: {http: [{}], l7proto: x}"), ".toPorts[0].rules.l7proto", "stands beside http"),
        (tcp("rules: {http: [{}], l7: [{}]}"), ".toPorts[0].rules.l7", "stands beside http"),
        (tcp("rules: {kafka: [{}], l7proto: x}"), ".toPorts[0].rules.l7proto", "stands beside kafka"),
        (tcp("rules: {l7: [{a: b}]}"), ".toPorts[0].rules.l7proto", "is missing"),
        (tcp("rules: {l7proto: x, l7: [{a: 1}]}"), ".toPorts[0].rules.l7[0].a", "must be a string"),
        (tcp("rules: {HTTP: [{}]}"), ".toPorts[0].rules.HTTP", "did you mean http?"),
        (tcp("rules: {kafka: [{role: admin}]}"), ".toPorts[0].rules.kafka[0].role", "use one of produce, consume"),
        (
            tcp("rules: {kafka: [{role: produce, apiKey: fetch}]}"),
            ".toPorts[0].rules.kafka[0].apiKey",
            "stands beside role",
        ),
        (tcp("rules: {kafka: [{apiKey: get}]}"), ".toPorts[0].rules.kafka[0].apiKey", "use one of produce, fetch"),
        (tcp("rules: {kafka: [{apiVersion: '32768'}]}"), ".toPorts[0].rules.kafka[0].apiVersion", "0 to 32767"),
        (tcp("rules: {kafka: [{apiVersion: '-1'}]}"), ".toPorts[0].rules.kafka[0].apiVersion", "0 to 32767"),
        (tcp("rules: {kafka: [{apiVersion: 1}]}"), ".toPorts[0].rules.kafka[0].apiVersion", "put it in quotes"),
        (tcp("rules: {kafka: [{topic: a/b}]}"), ".toPorts[0].rules.kafka[0].topic", "is no topic"),
        (tcp("rules: {kafka: [{topics: a}]}"), ".toPorts[0].rules.kafka[0].topics", "a Kafka rule takes role"),
        (tcp("serverNames: ['']"), ".toPorts[0].serverNames[0]", "is no server name"),
        (tcp("serverNames: [a.]"), ".toPorts[0].serverNames[0]", "is no server name"),
        (tcp("serverNames: ['***.a']"), ".toPorts[0].serverNames[0]", "is no server name"),
        (tcp("serverNames: [a], rules: {http: [{}]}"), ".toPorts[0].serverNames", "need terminatingTLS"),
        (tcp("terminatingTLS: {}"), ".toPorts[0].terminatingTLS.secret", "is missing"),
        (tcp("originatingTLS: {secret: {namespace: a}}"), ".toPorts[0].originatingTLS.secret.name", "is missing"),
        (tcp("originatingTLS: {secret: {name: a}, ca: b}"), ".toPorts[0].originatingTLS.ca", "takes secret, trustedCA"),
        (tcp("listener: {envoyConfig: {name: a}}"), ".toPorts[0].listener.name", "is missing"),
        (tcp("listener: {name: a}"), ".toPorts[0].listener.envoyConfig", "is missing"),
        (
            tcp("listener: {envoyConfig: {kind: Foo, name: a}, name: b}"),
            ".toPorts[0].listener.envoyConfig.kind",
            "no kind",
        ),
        (
            tcp("listener: {envoyConfig: {name: a}, name: b, priority: 101}"),
            ".toPorts[0].listener.priority",
            "1 to 100",
        ),
        (tcp("listener: {envoyConfig: {name: a}, name: b, priority: 0}"), ".toPorts[0].listener.priority", "1 to 100"),
        (
            tcp("listener: {envoyConfig: {name: a}, name: b}, rules: {http: [{}]}"),
            ".toPorts[0].listener",
            "beside rules",
        ),
        (tcp("rules: {dns: [{}]}"), ".toPorts[0].rules.dns[0]", "one of matchName and matchPattern"),
        (
            tcp("rules: {dns: [{matchPattern: '*'}, {matchName: '*'}]}"),
            ".toPorts[0].rules.dns[1].matchName",
            "is no name",
        ),
        (
            "{toPorts: [{ports: [{port: '53', endPort: 54}], rules: {dns: [{matchPattern: '*'}]}}]}".into(),
            ".toPorts[0].ports[0].endPort",
            "name the port alone",
        ),
        (
            "{toPorts: [{ports: [{port: '53', protocol: SCTP}], rules: {dns: [{matchPattern: '*'}]}}]}".into(),
            ".toPorts[0].ports[0].protocol",
            "DNS rules need TCP, UDP or ANY",
        ),
        ("{toPorts: [{rules: {dns: [{matchPattern: '*'}]}}]}".into(), ".toPorts[0].ports", "DNS rules need a port"),
        (
            "{toPorts: [{ports: [{port: '0', protocol: TCP}], rules: {http: [{}]}}]}".into(),
            ".toPorts[0].ports[0].port",
            "is 0 (all ports)",
        ),
        ("{authentication: {}}".into(), ".authentication.mode", "use disabled, required or test-always-fail"),
        ("{authentication: {mode: Required}}".into(), ".authentication.mode", "use disabled"),
        ("{auth: {type: spire}}".into(), ".auth", "use authentication"),
    ];
    for (entry, field, reason) in &rows {
        if field.ends_with("auth") {
            refused_entries("ingress", &[(entry, field, reason)]);
        } else {
            refused_entries("egress", &[(entry, field, reason)]);
        }
    }
    let listener = tcp("listener: {envoyConfig: {name: a}, name: b}");
    refused_entries(
        "ingress",
        &[
            (
                "{toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchPattern: '*'}]}}]}",
                ".toPorts[0].rules.dns",
                "egress only",
            ),
            (&listener, ".toPorts[0].listener", "egress only"),
        ],
    );
    let nodes = |list: &str, rules: &str| {
        let spec = format!(
            "{{nodeSelector: {{}}, {list}: [{{toPorts: [{{ports: [{{port: '53', protocol: TCP}}], rules: {rules}}}]}}]}}"
        );
        clusterwide(&policy("x", &spec))
    };
    refused(&nodes("ingress", "{http: [{}]}"), "spec.ingress[0].toPorts[0].rules.http", "only dns");
    refused(&nodes("egress", "{http: [{}]}"), "spec.egress[0].toPorts[0].rules.http", "is not for nodes");
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

#[test]
fn annotations() {
    let rows = [
        ("{weir.io/mode: warn}", "metadata.annotations.weir.io/mode", "\"warn\"; use enforce, audit or observe"),
        ("{weir.io/mode: ''}", "metadata.annotations.weir.io/mode", "use enforce, audit or observe"),
        ("{weir.io/mode: true}", "metadata.annotations.weir.io/mode", "must be a string"),
        ("{weir.io/Mode: audit}", "metadata.annotations.weir.io/Mode", "only annotation of a policy is weir.io/mode"),
    ];
    for (annotations, field, reason) in rows {
        let text = policy("x", "{endpointSelector: {}, ingress: [{}]}")
            .replace("name: x,", &format!("name: x, annotations: {annotations},"));
        refused(&text, field, reason);
        refused(&clusterwide(&text), field, reason);
    }
}

#[test]
fn selectors() {
    let long = format!("{{matchLabels: {{a: {}}}}}", "x".repeat(64));
    let rows: [Row<'_>; 15] = [
        ("{matchLabels: {a: 1}}", ".matchLabels.a", "must be a string"),
        ("{matchLabels: {a: 'x y'}}", ".matchLabels.a", "cannot be a label's value"),
        (&long, ".matchLabels.a", "at most 63"),
        ("{matchLabels: []}", ".matchLabels", "must be a mapping"),
        ("{matchLabels: {'': a}}", ".matchLabels.", "empty label key"),
        ("{matchLabels: {'a b': a}}", ".matchLabels.a b", "is no label key"),
        ("{matchLabels: {'k8s:a/b/c': a}}", ".matchLabels.k8s:a/b/c", "is no label key"),
        ("{matchLabels: {'foo:bar': ''}}", ".matchLabels.foo:bar", "label source \"foo\" is unknown"),
        ("{matchLabels: {'reserved:all': ''}}", ".matchLabels.reserved:all", "is no reserved label"),
        ("{matchExpressions: [{key: a, operator: in, values: [b]}]}", ".matchExpressions[0].operator", "use In, NotIn"),
        ("{matchExpressions: [{key: a, operator: NotIn}]}", ".matchExpressions[0].values", "at least one"),
        ("{matchExpressions: [{key: a, operator: In, values: []}]}", ".matchExpressions[0].values", "at least one"),
        ("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}", ".matchExpressions[0].values", "left out"),
        ("{matchExpressions: [{operator: Exists}]}", ".matchExpressions[0].key", "is missing"),
        (
            "{matchExpressions: [{key: a, operator: Exists, value: b}]}",
            ".matchExpressions[0].value",
            "takes key, operator",
        ),
    ];
    for (selector, field, reason) in rows {
        let text = policy("x", &format!("{{endpointSelector: {selector}, ingress: [{{}}]}}"));
        refused(&text, &format!("spec.endpointSelector{field}"), reason);
        refused_entries(
            "egress",
            &[(&format!("{{toEndpoints: [{selector}]}}"), &format!(".toEndpoints[0]{field}"), reason)],
        );
    }
}

/// The message as a whole, once.
#[test]
fn a_message_names_file_document_object_field_and_remedy() {
    let text = policy(
        "x",
        "{endpointSelector: {}, egress: [{toFQDNs: [{matchName: a}], toPorts: [{ports: [{port: 80, protocol: \
        tcp}]}]}]}",
    );
    assert_eq!(
        parsed(&text).problems[0].to_string(),
        "f.yaml document 1: CiliumNetworkPolicy/a/x: spec.egress[0].toPorts[0].ports[0].protocol: \"tcp\" is no protocol; did \
         you mean TCP?"
    );
}

#[test]
fn requires_is_read_when_it_is_asked_for() {
    let text =
        policy("x", "{endpointSelector: {}, ingress: [{fromRequires: [{matchLabels: {a: b}}], fromEndpoints: [{}]}]}");
    let with = ReadOptions { requires: true };
    assert!(!parsed(&text).problems.is_empty());
    assert_eq!(parse("f.yaml", text.as_bytes(), with, &*check()).problems, []);
    let beside = text.replace("fromEndpoints: [{}]", "fromEntities: [all]");
    let problems = parse("f.yaml", beside.as_bytes(), with, &*check()).problems;
    assert!(problems[0].reason.contains("stands beside requires"), "{problems:?}");
    let empty = text.replace("[{matchLabels: {a: b}}]", "[]");
    assert_eq!(parsed(&empty).problems, []);
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let entries = vec!["{x: 1}"; 1000].join(",");
    let parsed = parsed(&policy("x", &format!("{{endpointSelector: {{}}, ingress: [{entries}]}}")));
    assert_eq!(parsed.problems.len(), 50);
    assert!(parsed.problems[49].reason.contains("not listed"));
    let entries = vec!["{}"; 70_000].join(",");
    let parsed = crate::parsed(&policy("x", &format!("{{endpointSelector: {{}}, ingress: [{entries}]}}")));
    assert!(parsed.problems[0].reason.contains("at most 65535"), "{}", parsed.problems[0].reason);
}
