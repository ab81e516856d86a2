//! What a policy means, on real traffic: absent, empty and `{}` lists; unions; both directions; what is rejected.

use std::net::UdpSocket;

use weir_lab::{Wiring, in_netns, runs_as_root, wait_until};

use crate::{
    redirect::{HTTP_A, endpoints, get, one_way, port},
    site::{Member, NEVER, SOON, Site, policy},
    traffic::{connect, server},
};

/// What became of a GET of `/b` on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Nobody answered the SYN.
    Dropped,
    /// The proxy denied the request.
    Denied,
    /// The server answered.
    Served,
}
use Call::{Denied, Dropped, Served};

/// Two clients and a server that listens on 80 and 81.
struct Trio {
    site: Site,
    client: Member,
    other: Member,
    web: Member,
}

impl Trio {
    fn new(first: &str) -> Self {
        let mut site = Site::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let other = site.pod("other", 12, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        site.write("policy.yaml", first);
        site.run();
        Self { site, client, other, web }
    }

    fn call(&self, from: &Member, v6: bool, number: u16) -> Call {
        let Ok(mut stream) = connect(from.netns(), self.web.at(v6, number)) else { return Dropped };
        match get(&mut stream, "/b") {
            403 => Denied,
            200 => Served,
            other => panic!("status {other}"),
        }
    }
}

/// Ingress entries of `web`, and what becomes of: the client on 80, the client on 81, the other pod on 80, the node on 80.
type Row = (&'static str, String, [Call; 4]);

fn rows() -> Vec<Row> {
    let client = endpoints("fromEndpoints", "client");
    let other = endpoints("fromEndpoints", "other");
    let plain = port(80, "TCP");
    let all_http = "toPorts: [{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{}]}}]";
    let no_http = "toPorts: [{ports: [{port: \"80\", protocol: TCP}], rules: {http: []}}]";
    vec![
        ("an empty entry allows nothing", "{}".into(), [Dropped, Dropped, Dropped, Served]),
        ("ports without peers: everybody", format!("{{{plain}}}"), [Served, Dropped, Served, Served]),
        (
            "an empty list of peers: nobody",
            format!("{{fromEndpoints: [], {plain}}}"),
            [Dropped, Dropped, Dropped, Served],
        ),
        (
            "the empty selector: every pod",
            format!("{{fromEndpoints: [{{}}], {plain}}}"),
            [Served, Dropped, Served, Served],
        ),
        ("a peer without ports: every port", format!("{{{client}}}"), [Served, Served, Dropped, Served]),
        ("a peer and no ports in the list", format!("{{{client}, toPorts: []}}"), [Served, Served, Dropped, Served]),
        (
            "a peer and an element without ports",
            format!("{{{client}, toPorts: [{{}}]}}"),
            [Dropped, Dropped, Dropped, Served],
        ),
        (
            "a peer and an empty list of ports",
            format!("{{{client}, toPorts: [{{ports: []}}]}}"),
            [Dropped, Dropped, Dropped, Served],
        ),
        ("no rules for requests", format!("{{{client}, {no_http}}}"), [Served, Dropped, Dropped, Served]),
        ("the empty rule: every request", format!("{{{client}, {all_http}}}"), [Served, Dropped, Dropped, Served]),
        ("another request", format!("{{{client}, {HTTP_A}}}"), [Denied, Dropped, Dropped, Served]),
        (
            "port 0: every port of the protocol",
            format!("{{{client}, {}}}", port(0, "TCP")),
            [Served, Served, Dropped, Served],
        ),
        ("another protocol", format!("{{{client}, {}}}", port(80, "UDP")), [Dropped, Dropped, Dropped, Served]),
        ("any protocol", format!("{{{client}, {}}}", port(80, "ANY")), [Served, Dropped, Dropped, Served]),
        (
            "two entries: their union",
            format!("{{{client}, {HTTP_A}}}, {{{other}, {plain}}}"),
            [Denied, Dropped, Served, Served],
        ),
        (
            "requests and plain, one peer: all",
            format!("{{{client}, {HTTP_A}}}, {{{client}, {plain}}}"),
            [Served, Dropped, Dropped, Served],
        ),
        ("requests of anybody, and a peer", format!("{{{HTTP_A}}}, {{{client}}}"), [Served, Served, Denied, Served]),
        (
            "plain for anybody, requests of a peer",
            format!("{{{plain}}}, {{{client}, {HTTP_A}}}"),
            [Served, Dropped, Served, Served],
        ),
        (
            "every port of a peer, requests on one",
            format!("{{{client}, {}}}, {{{client}, {HTTP_A}}}", port(0, "TCP")),
            [Served, Served, Dropped, Served],
        ),
    ]
}

#[test]
fn lists_that_are_absent_empty_or_full_mean_what_the_table_says() {
    if !runs_as_root() {
        return;
    }
    let rows = rows();
    let trio = Trio::new(&one_way("p", "web", "ingress", "{toPorts: [{ports: [{port: \"9\", protocol: TCP}]}]}"));
    let _servers: Vec<_> =
        [(false, 80), (false, 81), (true, 80)].map(|(v6, n)| server(trio.web.netns(), trio.web.at(v6, n))).into();
    for (number, (what, entries, expected)) in (9000..).zip(rows) {
        // A port that nobody uses, so that every row is an edit.
        let entries = format!("{entries}, {{{}}}", port(number, "TCP"));
        trio.site.apply("policy.yaml", &one_way("p", "web", "ingress", &entries));
        let node = connect(trio.site.lab.node(), trio.web.at(false, 80)).map(|mut stream| get(&mut stream, "/b"));
        let node = if node.is_ok_and(|status| status == 200) { Served } else { Dropped };
        let [client, other] = [&trio.client, &trio.other];
        let seen = [trio.call(client, false, 80), trio.call(client, false, 81), trio.call(other, false, 80), node];
        assert_eq!(seen, expected, "{what}: {entries}");
        assert_eq!(trio.call(client, true, 80), expected[0], "IPv6: {what}: {entries}");
    }
}

#[test]
fn policies_of_one_port_are_a_union_and_are_proxied() {
    if !runs_as_root() {
        return;
    }
    let client = endpoints("fromEndpoints", "client");
    let trio = Trio::new(&one_way("requests", "web", "ingress", &format!("{{{client}, {HTTP_A}}}")));
    let _server = server(trio.web.netns(), trio.web.at(false, 80));
    assert_eq!(trio.call(&trio.client, false, 80), Denied);
    let plain = format!("{{{client}, {}}}", port(80, "TCP"));
    trio.site.apply("plain.yaml", &one_way("plain", "web", "ingress", &plain));
    assert_eq!(trio.call(&trio.client, false, 80), Served, "a plain rule of the same peer allows every request");
    let redirected = trio.site.recorded(2, &["--verdict", "redirected", "--from-pod", "client"]);
    assert_eq!(redirected.len(), 2, "and the connection is proxied nevertheless");
    let requests = trio.site.recorded(1, &["--verdict", "forwarded", "--protocol", "http", "--from-pod", "client"]);
    let allowed_by = &requests[0]["flow"]["ingress_allowed_by"];
    assert_eq!(allowed_by[0]["name"], "plain", "the policy that allowed it is named: {}", requests[0]);
}

#[test]
fn a_direction_without_a_policy_is_open_and_two_directions_must_both_agree() {
    if !runs_as_root() {
        return;
    }
    let trio =
        Trio::new(&one_way("out", "client", "egress", &format!("{{{}, {HTTP_A}}}", endpoints("toEndpoints", "web"))));
    let _servers = [80, 81].map(|n| server(trio.web.netns(), trio.web.at(false, n)));
    let calls = |trio: &Trio| [&trio.client, &trio.other].map(|pod| [80, 81].map(|n| trio.call(pod, false, n)));
    assert_eq!(calls(&trio), [[Denied, Dropped], [Served, Served]], "egress of one pod only");
    // The client's ingress is not enforced: it can be called, and its answers come back.
    let _own = server(trio.client.netns(), trio.client.at(false, 80));
    let mut back = connect(trio.web.netns(), trio.client.at(false, 80)).expect("call the client");
    assert_eq!(get(&mut back, "/b"), 200);
    // The server allows every request, the client only some: both are asked.
    let ingress = format!("{{{}}}", port(80, "TCP"));
    trio.site.apply("in.yaml", &one_way("in", "web", "ingress", &ingress));
    assert_eq!(calls(&trio), [[Denied, Dropped], [Served, Dropped]], "egress of the client, ingress of the server");
    let paths = ["/a", "/b"].map(|path| {
        let mut stream = connect(trio.client.netns(), trio.web.at(false, 80)).expect("connect");
        get(&mut stream, path)
    });
    assert_eq!(paths, [200, 403]);
}

#[test]
fn a_rejected_policy_leaves_its_last_good_version_and_all_others_in_force() {
    if !runs_as_root() {
        return;
    }
    let requests = one_way("p", "web", "ingress", &format!("{{{}, {HTTP_A}}}", endpoints("fromEndpoints", "client")));
    let trio = Trio::new(&requests);
    let _server = server(trio.web.netns(), trio.web.at(false, 80));
    let calls = || [&trio.client, &trio.other].map(|pod| trio.call(pod, false, 80));
    assert_eq!(calls(), [Denied, Dropped]);
    let rejected = |n: usize| {
        let counted = || trio.site.status().is_some_and(|status| status.rejected.len() == n);
        wait_until("the rejection", SOON, counted).expect("status names what is rejected");
    };
    let broken = [
        // A field that does not exist, an expression that does not compile, a file that is cut off.
        one_way("p", "web", "ingress", "{fromEverybody: true}"),
        requests.replace("/a.*", "/a(["),
        requests[..requests.len() - 12].to_owned(),
    ];
    for text in broken {
        trio.site.write("policy.yaml", &text);
        rejected(1);
        assert_eq!(calls(), [Denied, Dropped], "after {text}");
        // Another policy in another file takes effect all the same.
        let more = format!("{{{}, {}}}", endpoints("fromEndpoints", "other"), port(80, "TCP"));
        trio.site.apply("more.yaml", &one_way("more", "web", "ingress", &more));
        assert_eq!(calls(), [Denied, Served], "another policy, after {text}");
        trio.site.remove("more.yaml");
        let gone = || connect(trio.other.netns(), trio.web.at(false, 80)).is_err();
        wait_until("the other policy to be gone", SOON, gone).expect("it is gone");
        trio.site.write("policy.yaml", &requests);
        rejected(0);
    }
}

#[test]
fn rules_for_datagrams_count_for_datagrams() {
    if !runs_as_root() {
        return;
    }
    let entry = format!("{{{}, {}}}", endpoints("fromEndpoints", "client"), port(53, "UDP"));
    let trio = Trio::new(&policy_with_two_rules(&entry));
    for v6 in [false, true] {
        let at = trio.web.at(v6, 53);
        let socket = in_netns(trio.web.netns(), || UdpSocket::bind(at)).expect("bind in the pod");
        socket.set_read_timeout(Some(NEVER)).expect("timeout");
        let send = |from: &Member| {
            let asking = in_netns(from.netns(), || UdpSocket::bind(from.at(v6, 0))).expect("bind in the pod");
            in_netns(from.netns(), || asking.send_to(b"x", at)).expect("send");
            socket.recv(&mut [0; 4]).is_ok()
        };
        assert_eq!([&trio.client, &trio.other].map(send), [true, false]);
        assert_eq!(trio.call(&trio.client, v6, 53), Dropped, "TCP on the port of a rule for UDP");
    }
    let forwarded = trio.site.recorded(1, &["--verdict", "forwarded", "--protocol", "udp", "--from-pod", "client"]);
    assert_eq!(forwarded[0]["flow"]["ingress_allowed_by"][0]["name"], "udp", "{}", forwarded[0]);
}

/// A policy with `specs` instead of `spec`: an entry of its own, and one that allows nothing.
fn policy_with_two_rules(entry: &str) -> String {
    let selector = "endpointSelector: {matchLabels: {app: web}}";
    let text = policy("udp", "");
    text.replace(
        "spec:\n",
        &format!("specs:\n  - {{{selector}, ingress: [{entry}]}}\n  - {{{selector}, ingress: [{{}}]}}\n"),
    )
}
