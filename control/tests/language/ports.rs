//! `toPorts` and `icmps`, as they are read.

use weir_model::policy::{Port, PortRange, PortSpec, Protocol};

use crate::{egress, ingress, parsed, support::policy};

fn shown(port: &PortSpec) -> String {
    match &port.port {
        Port::Numbers(range) => format!("{range}/{}", port.protocol),
        Port::Named(name) => format!("{name}/{}", port.protocol),
    }
}

/// Rows: a port, and how it is read.
#[test]
fn ports_are_read_as_cilium_reads_them() {
    let rows = [
        ("{port: '80'}", "80/ANY"),
        ("{port: 80}", "80/ANY"),
        ("{port: '80', protocol: ''}", "80/ANY"),
        ("{port: '80', protocol: ANY}", "80/ANY"),
        ("{port: '80', protocol: TCP}", "80/TCP"),
        ("{port: '53', protocol: UDP}", "53/UDP"),
        ("{port: '53', protocol: SCTP}", "53/SCTP"),
        ("{port: '0'}", "*/ANY"),
        ("{port: 0, protocol: TCP}", "*/TCP"),
        ("{port: '0120'}", "80/ANY"),
        ("{port: '8_0'}", "80/ANY"),
        ("{port: '80', endPort: 90}", "80-90/ANY"),
        ("{port: '80', endPort: 80}", "80/ANY"),
        ("{port: '80', endPort: 0}", "80/ANY"),
        ("{port: '80', endPort: 79}", "80/ANY"),
        ("{port: '1', endPort: 65535, protocol: TCP}", "1-65535/TCP"),
        ("{port: '0', endPort: 9}", "0-9/ANY"),
        ("{port: http}", "http/ANY"),
        ("{port: HTTP-Alt, protocol: TCP}", "http-alt/TCP"),
        ("{port: '0x50'}", "0x50/ANY"),
        ("{port: http, endPort: 90}", "http/ANY"),
        ("{port: '0', protocol: VRRP}", "*/protocol 112"),
        ("{port: '0', protocol: IGMP}", "*/protocol 2"),
        ("{port: '0', protocol: GRE}", "*/protocol 47"),
        ("{port: '0', protocol: IPIP}", "*/protocol 4"),
        ("{port: '0', protocol: IPV6}", "*/protocol 41"),
        ("{port: '0', protocol: ESP}", "*/protocol 50"),
        ("{port: '0', protocol: AH}", "*/protocol 51"),
    ];
    for (port, expected) in rows {
        let entry = format!("{{toPorts: [{{ports: [{port}]}}]}}");
        for read in [ingress(&entry), egress(&entry)] {
            let ports: Vec<_> = read.ports.expect("toPorts")[0].ports.iter().map(shown).collect();
            assert_eq!(ports, [expected], "{port}");
        }
    }
    for ignored in ["{port: http, endPort: 90}", "{port: '80', endPort: 79}"] {
        let spec = format!("{{endpointSelector: {{}}, ingress: [{{toPorts: [{{ports: [{ignored}]}}]}}]}}");
        assert!(parsed(&policy("x", &spec)).notes[0].reason.contains("ignored"), "{ignored}");
    }
    assert_eq!(PortRange::ALL.to_string(), "*");
}

/// Nil, empty, and an element without ports are three things.
#[test]
fn lists_of_ports_that_are_empty() {
    assert_eq!(ingress("{}").ports, None);
    assert_eq!(ingress("{toPorts: null}").ports, None);
    assert_eq!(ingress("{toPorts: []}").ports, Some(vec![]));
    for nothing in ["{toPorts: [{}]}", "{toPorts: [{ports: []}]}", "{toPorts: [{ports: null, rules: {}}]}"] {
        let ports = ingress(nothing).ports.expect("toPorts");
        assert_eq!((ports.len(), ports[0].ports.len(), ports[0].http.is_none()), (1, 0, true), "{nothing}");
    }
    for plain in ["{http: []}", "{http: null}", "{kafka: []}", "{dns: []}", "{l7proto: ''}", "{}"] {
        let read = egress(&format!("{{toPorts: [{{ports: [{{port: '80'}}], rules: {plain}}}]}}"));
        let ports = read.ports.expect("toPorts");
        assert_eq!((ports[0].ports.len(), ports[0].http.is_none()), (1, true), "{plain} is plain L4");
    }
    let visible = egress("{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}");
    assert_eq!(visible.ports.expect("toPorts")[0].http.as_ref().map(|rules| rules.len()), Some(1));
}

/// Rows: a field, and the type that it names.
#[test]
fn types_of_icmp_have_numbers_and_names() {
    let rows = [
        ("{type: 8}", (Protocol::Icmp, 8)),
        ("{type: '8'}", (Protocol::Icmp, 8)),
        ("{type: 0}", (Protocol::Icmp, 0)),
        ("{type: 255, family: IPv6}", (Protocol::Icmpv6, 255)),
        ("{type: 8, family: ''}", (Protocol::Icmp, 8)),
    ];
    let v4 = "EchoReply 0, DestinationUnreachable 3, Redirect 5, Echo 8, EchoRequest 8, RouterAdvertisement 9, \
              RouterSelection 10, TimeExceeded 11, ParameterProblem 12, Timestamp 13, TimestampReply 14, Photuris 40, \
              ExtendedEchoRequest 42, ExtendedEchoReply 43";
    let v6 = "DestinationUnreachable 1, PacketTooBig 2, TimeExceeded 3, ParameterProblem 4, EchoRequest 128, EchoReply 129, \
              MulticastListenerQuery 130, MulticastListenerReport 131, MulticastListenerDone 132, RouterSolicitation 133, \
              RouterAdvertisement 134, NeighborSolicitation 135, NeighborAdvertisement 136, RedirectMessage 137, \
              RouterRenumbering 138, ICMPNodeInformationQuery 139, ICMPNodeInformationResponse 140, \
              InverseNeighborDiscoverySolicitation 141, InverseNeighborDiscoveryAdvertisement 142, \
              HomeAgentAddressDiscoveryRequest 144, HomeAgentAddressDiscoveryReply 145, MobilePrefixSolicitation 146, \
              MobilePrefixAdvertisement 147, DuplicateAddressRequestCodeSuffix 157, \
              DuplicateAddressConfirmationCodeSuffix 158, ExtendedEchoRequest 160, ExtendedEchoReply 161";
    let named = [(Protocol::Icmp, "IPv4", v4), (Protocol::Icmpv6, "IPv6", v6)].into_iter().flat_map(
        |(protocol, family, list)| {
            list.split(", ").map(move |item| {
                let (name, number) = item.trim().split_once(' ').expect(item);
                (format!("{{family: {family}, type: {name}}}"), (protocol, number.parse().expect(item)))
            })
        },
    );
    for (field, expected) in rows.into_iter().map(|(field, expected)| (field.to_owned(), expected)).chain(named) {
        let icmps = ingress(&format!("{{icmps: [{{fields: [{field}]}}]}}")).icmps.expect("icmps");
        let found: Vec<_> = icmps.iter().map(|icmp| (icmp.protocol, icmp.number)).collect();
        assert_eq!(found, [expected], "{field}");
    }
}

#[test]
fn elements_of_icmps_that_name_nothing_name_nothing() {
    let read = ingress("{fromEntities: [all], icmps: [{fields: [{type: 8}, {type: 0}]}, {fields: [{type: 3}]}]}");
    assert_eq!(read.icmps.expect("icmps").len(), 3, "flattened");
    for nothing in ["{icmps: [{}]}", "{icmps: [{fields: []}]}", "{fromEntities: [all], icmps: [{fields: []}]}"] {
        assert_eq!(ingress(nothing).peers, Some(vec![]), "{nothing}");
    }
    let read = ingress("{fromEntities: [all], icmps: []}");
    assert_eq!((read.peers.expect("peers").len(), read.icmps), (1, Some(vec![])), "an empty list restricts nothing");
    let read = ingress("{icmps: [], toPorts: [{ports: [{port: '1'}]}]}");
    assert_eq!((read.peers, read.icmps), (None, Some(vec![])));
}
