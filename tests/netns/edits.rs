//! `headerMatches` through a running weir: servers see what the policy makes of a request, and the records say so.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use serde_json::{Value, json};
use weir_lab::{Process, in_netns, runs_as_root};

use crate::{
    site::{Member, SOON, Site, http_ingress},
    traffic::{connect, exchange, response, server},
};

/// `/ok…` is allowed, and its headers are seen to.
const EDITS: &str = "{path: \"/ok.*\", headerMatches: [{name: X-Log, value: \"1\", mismatch: LOG}, \
                     {name: X-Add, value: \"1\", mismatch: ADD}, {name: X-Delete, value: \"1\", mismatch: DELETE}, \
                     {name: X-Replace, value: \"1\", mismatch: REPLACE}]}";
/// The same requests as they are.
const LOGS: &str = "{path: \"/ok.*\", headerMatches: [{name: X-Log, value: \"1\", mismatch: LOG}]}";

const NGINX: &str = "worker_processes 1; daemon off; pid @dir@/nginx.pid; error_log stderr; user root;
events {}
http {
  access_log off; client_body_temp_path @dir@/body;
  server {
    listen @at@ http2; root @dir@;
    location / { return 200 \"$http_x_log|$http_x_add|$http_x_delete|$http_x_replace\"; }
  }
}
";

/// Starts nginx in the pod; it speaks HTTP/2 with prior knowledge only, and answers with the headers that it has got.
fn nginx(site: &Site, web: &Member) -> Process {
    let dir = site.lab.dir();
    let at = web.at(true, 80);
    let text = NGINX.replace("@dir@", &dir.display().to_string()).replace("@at@", &at.to_string());
    let file = dir.join("nginx.conf");
    fs::write(&file, text).expect("write the configuration");
    let mut command = web.netns().command("nginx");
    command.arg("-c").arg(&file).arg("-e").arg("stderr");
    let process = site.lab.spawn("nginx", command).expect("start nginx");
    let listens = || in_netns(web.netns(), || TcpStream::connect(at).is_ok());
    process.wait_until("nginx to listen", SOON, listens).expect("nginx starts");
    process
}

/// What curl prints in the client's pod: body, status and number of connections.
fn curl(client: &Member, arguments: &[&str]) -> String {
    let mut command: Command = client.netns().command("curl");
    command.args(["-sS", "--max-time", "10", "-w", "|%{http_code} "]).args(arguments);
    let output = command.output().expect("run curl");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The header lines of a request other than these programs' own, sorted, without case.
fn lines(head: &str) -> String {
    let mut lines: Vec<String> =
        head.lines().filter(|line| line.starts_with(['x', 'X'])).map(str::to_lowercase).collect();
    lines.sort();
    lines.join("|")
}

/// The `headers` of a record.
fn found(record: &Value) -> Vec<String> {
    let headers = record["flow"]["l7"]["http"]["headers"].as_array().cloned().unwrap_or_default();
    let pair = |header: &Value| {
        format!("{}={}", header["key"].as_str().unwrap_or_default(), header["value"].as_str().unwrap_or_default())
    };
    headers.iter().map(pair).collect()
}

#[test]
fn headers_are_edited_for_servers_of_both_versions() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &[EDITS, "{path: /plain}"]));
    let seen = server(web.netns(), web.at(false, 80));
    let _nginx = nginx(&site, &web);
    let base = format!("http://{}", web.at(false, 80));
    let wrong = ["-H", "X-Log: 2", "-H", "X-Add: 2", "-H", "X-Delete: 2", "-H", "X-Replace: 2"];
    let right = ["-H", "X-Log: 1", "-H", "X-Add: 1", "-H", "X-Delete: 1", "-H", "X-Replace: 1"];
    let rows: [(&str, &[&str], &str); 4] = [
        ("/ok", &wrong, "x-add: 1|x-add: 2|x-log: 2|x-replace: 1"),
        ("/ok", &right, "x-add: 1|x-delete: 1|x-log: 1|x-replace: 1"),
        ("/ok", &[], "x-add: 1|x-replace: 1"),
        ("/plain", &wrong, "x-add: 2|x-delete: 2|x-log: 2|x-replace: 2"),
    ];
    for (path, headers, expected) in rows {
        assert_eq!(curl(&client, &[headers, &[&format!("{base}{path}")]].concat()), format!("{path}|200 "));
        let (from, head) = seen.recv_timeout(SOON).expect("the server got it");
        assert_eq!((from.ip(), lines(&head)), (client.v4, expected.into()), "{path} {headers:?}");
    }
    assert_eq!(curl(&client, &[&format!("{base}/no")]), "Access denied\r\n|403 ");
    assert!(seen.try_recv().is_err(), "a denied request reached the server");

    let base = format!("http://{}", web.at(true, 80));
    let http2 = |headers: &[&str], path: &str| {
        curl(&client, &[&["-g", "--http2-prior-knowledge"], headers, &[&format!("{base}{path}")]].concat())
    };
    assert_eq!(http2(&wrong, "/ok"), "2|2||1|200 ");
    assert_eq!(http2(&right, "/ok"), "1|1|1|1|200 ");
    assert_eq!(http2(&[], "/ok"), "|1||1|200 ");
    assert_eq!(http2(&wrong, "/no"), "Access denied\r\n|403 ");
    let grpc = ["-H", "content-type: application/grpc", "-o", "/dev/null", "-w", "%{http_code} %header{grpc-status}"];
    assert_eq!(http2(&grpc, "/no"), "200 7");

    let mut records = site.recorded(10, &["--protocol", "http"]);
    records.sort_by_key(|record| record["flow"]["time"].to_string());
    let first = &records[0];
    assert_eq!(first["flow"]["verdict"], "FORWARDED", "{first}");
    assert_eq!(first["flow"]["l7"]["http"]["code"], 200, "{first}");
    let expected =
        ["missing X-Log=1", "missing X-Add=1", "missing X-Replace=1", "rejected X-Delete=2", "rejected X-Replace=2"];
    assert_eq!(found(first), expected, "{first}");
    assert_eq!(found(&records[1]), [""; 0], "{}", records[1]);
    let versions: Vec<&Value> = records.iter().map(|record| &record["flow"]["l7"]["http"]["protocol"]).collect();
    assert_eq!(versions.iter().filter(|version| **version == &json!("HTTP/2")).count(), 5, "{versions:?}");
    let denied = site.recorded(3, &["--verdict", "dropped", "--protocol", "http"]);
    assert_eq!(denied.len(), 3, "{denied:?}");
}

/// Rules that only log need no other mode: bytes pass as they came.
#[test]
fn a_rule_that_logs_changes_nothing() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &[LOGS]));
    let seen = server(web.netns(), web.at(false, 80));
    let mut stream = connect(client.netns(), web.at(false, 80)).expect("connect");
    let request = "GET /ok HTTP/1.1\r\nhOsT:   web\r\nx-LOG: 2\r\n\r\n";
    assert_eq!(exchange(&mut stream, request), (200, "/ok".into()));
    assert_eq!(seen.recv_timeout(SOON).expect("the server got it").1, request);
    assert_eq!(found(&site.recorded(1, &["--protocol", "http"])[0]), ["missing X-Log=1"]);
}

/// A connection that is open when its rules begin to edit: it is ended, and the next is edited. When they cease to, it goes on.
#[test]
fn an_open_connection_does_not_evade_an_edit() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) = Site::pair(&http_ingress("web", "client", &[LOGS]));
    let seen = server(web.netns(), web.at(false, 80));
    let request = "GET /ok HTTP/1.1\r\nHost: web\r\nX-Replace: 2\r\n\r\n";
    let mut open = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut open, request).0, 200);
    assert_eq!(lines(&seen.recv_timeout(SOON).expect("the server got it").1), "x-replace: 2");
    site.apply("policy.yaml", &http_ingress("web", "client", &[EDITS]));
    // Weir ends it; whether the request can still be sent is a matter of time.
    let _ = open.write_all(request.as_bytes());
    let mut rest = Vec::new();
    let ended = open.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{ended:?}: {}", String::from_utf8_lossy(&rest));
    assert!(seen.try_recv().is_err(), "a request passed unedited");

    let mut next = connect(client.netns(), web.at(false, 80)).expect("connect");
    assert_eq!(exchange(&mut next, request).0, 200);
    assert_eq!(lines(&seen.recv_timeout(SOON).expect("the server got it").1), "x-add: 1|x-replace: 1");
    site.apply("policy.yaml", &http_ingress("web", "client", &[LOGS]));
    next.write_all(request.as_bytes()).expect("send");
    assert_eq!(response(&mut next).0, 200);
    assert_eq!(lines(&seen.recv_timeout(SOON).expect("the server got it").1), "x-replace: 2");
    site.apply("policy.yaml", &http_ingress("web", "client", &["{path: /other}"]));
    assert_eq!(exchange(&mut next, request), (403, "Access denied\r\n".into()));
}
