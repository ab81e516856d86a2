//! Refused ports, ICMP types and rules of layer 7.

use super::{Row, refused, refused_entries};
use crate::{clusterwide, support::policy};

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
        (tcp("rules: {kafka: [{topics: a}]}"), ".toPorts[0].rules.kafka[0].topics", "did you mean topic?"),
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
