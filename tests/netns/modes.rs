//! `weir.io/mode`: audit records what it would deny, observe shows what passes; neither denies anything.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use weir_lab::{Netns, Wiring, in_netns, runs_as_root};

use crate::{
    redirect::{HTTP_A, endpoints, get, one_way, port},
    site::{Member, Site},
    traffic::{connect, server},
};

/// The policy with `metadata.annotations["weir.io/mode"]`.
fn in_mode(mode: &str, policy: &str) -> String {
    policy
        .replace("  namespace: default\n", &format!("  namespace: default\n  annotations: {{weir.io/mode: {mode}}}\n"))
}

/// A server that speaks first, and then sends back what it hears, byte by byte as it comes: no HTTP.
fn echo(netns: &Netns, at: std::net::SocketAddr) {
    let listener = in_netns(netns, || TcpListener::bind(at)).expect("listen in the pod");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = [0; 512];
                let mut next = Ok(());
                while next.is_ok() {
                    next = stream.read(&mut buffer).and_then(|length| match length {
                        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                        length => stream.write_all(&buffer[..length]),
                    });
                }
            });
        }
    });
}

/// Sends bytes that are no HTTP, and reads them back.
fn talks(stream: &mut TcpStream) -> bool {
    let said = b"\x00\x01\xff no request \r\n\r\n\x16\x03\x01";
    let mut heard = vec![0; said.len()];
    stream.write_all(said).and_then(|()| stream.read_exact(&mut heard)).is_ok() && heard == said
}

fn verdicts(site: &Site, number: usize, args: &[&str]) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let flows = site.recorded(number, args);
    flows.iter().map(|flow| (text(&flow["flow"]["verdict"]), text(&flow["flow"]["l7"]["http"]["url"]))).collect()
}

#[test]
fn an_audited_policy_denies_nothing_and_records_what_it_would_deny() {
    if !runs_as_root() {
        return;
    }
    let requests = one_way("p", "web", "ingress", &format!("{{{}, {HTTP_A}}}", endpoints("fromEndpoints", "client")));
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let other = site.pod("other", 12, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &in_mode("audit", &requests));
    site.run();
    let _servers: Vec<_> = [80, 81].map(|number| server(web.netns(), web.at(false, number))).into();
    let call =
        |from: &Member, number, path| get(&mut connect(from.netns(), web.at(false, number)).expect("open"), path);
    // L7 on the port of the rule, L4 on another port, L3 from another pod.
    assert_eq!([call(&client, 80, "/a"), call(&client, 80, "/b"), call(&client, 81, "/b")], [200; 3]);
    assert_eq!(call(&other, 80, "/a"), 200);
    let http = verdicts(&site, 2, &["--protocol", "http", "--from-pod", "client"]);
    let of = |path: &str| {
        let found = http.iter().find(|(_, url)| url.ends_with(path));
        found.unwrap_or_else(|| panic!("no record of {path}: {http:?}")).0.clone()
    };
    assert_eq!([of("/a"), of("/b")], ["FORWARDED", "AUDIT"]);
    assert!(!verdicts(&site, 1, &["--verdict", "audit", "--port", "81"]).is_empty(), "L4 is audited");
    assert!(!verdicts(&site, 1, &["--verdict", "audit", "--from-pod", "other"]).is_empty(), "L3 is audited");
    assert_eq!(site.flows(&["--verdict", "dropped"]), [0; 0].map(serde_json::Value::from), "something was dropped");
}

#[test]
fn an_audited_policy_beside_an_enforced_one_adds_its_denials_to_the_record_only() {
    if !runs_as_root() {
        return;
    }
    let plain = one_way("plain", "web", "ingress", &format!("{{{}}}", port(80, "TCP")));
    let (site, client, web) = Site::pair(&plain);
    let _servers: Vec<_> = [80, 81].map(|number| server(web.netns(), web.at(false, number))).into();
    let deny = one_way("denial", "web", "ingressDeny", &format!("{{{}}}", endpoints("fromEndpoints", "client")));
    site.apply("deny.yaml", &in_mode("audit", &deny));
    assert_eq!(get(&mut connect(client.netns(), web.at(false, 80)).expect("allowed"), "/x"), 200);
    assert!(connect(client.netns(), web.at(false, 81)).is_err(), "what is enforced is enforced");
    let audited = site.recorded(1, &["--verdict", "audit", "--port", "80"]);
    assert_eq!(audited[0]["flow"]["ingress_denied_by"][0]["name"], "denial", "{}", audited[0]);
    // The same policy, enforced.
    site.apply("deny.yaml", &deny);
    assert!(connect(client.netns(), web.at(false, 80)).is_err(), "a denial outranks an allowance");
}

#[test]
fn an_observed_port_shows_requests_and_passes_what_is_none() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair("");
    let _server = server(web.netns(), web.at(false, 80));
    echo(web.netns(), web.at(false, 90));
    let mut before = connect(client.netns(), web.at(false, 80)).expect("open");
    assert_eq!(get(&mut before, "/before"), 200);
    let ports = "toPorts: [{ports: [{port: \"80\", protocol: TCP}, {port: \"90\", protocol: TCP}]}]";
    site.apply("policy.yaml", &in_mode("observe", &one_way("see", "web", "ingress", &format!("{{{ports}}}"))));
    assert_eq!(get(&mut before, "/still"), 200, "what was open stays open");
    for v6 in [false, true] {
        let _also = v6.then(|| server(web.netns(), web.at(true, 80)));
        let mut stream = connect(client.netns(), web.at(v6, 80)).expect("open");
        assert_eq!(get(&mut stream, &format!("/seen{}", u8::from(v6))), 200);
    }
    let seen = verdicts(&site, 2, &["--protocol", "http"]);
    let urls: Vec<&str> = seen.iter().map(|(_, url)| url.as_str()).collect();
    assert!(
        urls.iter().any(|url| url.ends_with("/seen0")) && urls.iter().any(|url| url.ends_with("/seen1")),
        "{seen:?}"
    );
    assert!(talks(&mut connect(client.netns(), web.at(false, 90)).expect("open")), "bytes that are no HTTP");
    // A port that it does not name, by default.
    let _plain = server(web.netns(), web.at(false, 81));
    assert_eq!(get(&mut connect(client.netns(), web.at(false, 81)).expect("open"), "/x"), 200);
    assert_eq!(site.flows(&["--verdict", "dropped"]), [0; 0].map(serde_json::Value::from), "something was dropped");
}

#[test]
fn an_observed_port_is_open_without_a_proxy() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    let see = one_way("see", "web", "ingress", &format!("{{{}}}", port(80, "TCP")));
    site.write("policy.yaml", &in_mode("observe", &see));
    site.start_agent();
    site.start_proxy();
    site.in_force();
    let _server = server(web.netns(), web.at(false, 80));
    assert_eq!(get(&mut connect(client.netns(), web.at(false, 80)).expect("open"), "/a"), 200);
    assert_eq!(verdicts(&site, 1, &["--protocol", "http"]).len(), 1);
    site.proxy.take().expect("a proxy runs").kill();
    assert_eq!(get(&mut connect(client.netns(), web.at(false, 80)).expect("open without a proxy"), "/b"), 200);
}
