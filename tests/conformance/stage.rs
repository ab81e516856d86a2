//! A client's pod and servers' pods, first without weir and then with it.

use std::{path::Path, process::Command, process::ExitStatus, time::Duration};

use serde_json::Value;
use weir_lab::{Process, Wiring, wait_until};

use crate::{
    peers::Server,
    site::{Member, SOON, Site, policy},
};

/// How long one run of a client may take.
const CLIENT: Duration = Duration::from_secs(60);

/// The last byte of the client's address; those of the servers follow.
const FIRST: u8 = 11;

/// Pods on a node. What the client sends to port 80 of a server goes through weir's HTTP inspection once weir runs.
pub struct Stage {
    pub site: Site,
    pub client: Member,
    pods: u8,
}

/// How a client ended, and what it printed.
pub struct Ran {
    pub status: ExitStatus,
    pub printed: String,
}

impl Stage {
    /// No weir yet.
    pub fn new() -> Self {
        let site = Site::new();
        let client = site.pod("client", FIRST, Wiring::Routed);
        Self { site, client, pods: 0 }
    }

    /// A pod with this server, to which the client may say what `rules` allow (YAML, one rule per element).
    pub fn server(&mut self, server: Server, rules: &[&str]) -> (Process, String) {
        let pod = self.pod(&format!("{server:?}").to_lowercase(), rules);
        (server.start(self, &pod), pod.v4.to_string())
    }

    /// A pod without a server, with these rules.
    pub fn pod(&mut self, name: &str, rules: &[&str]) -> Member {
        self.pods += 1;
        self.site.write(&format!("policy-{name}.yaml"), &ingress(name, rules));
        self.site.pod(name, FIRST + self.pods, Wiring::Routed)
    }

    /// Starts weir: from now on the policies are in force.
    pub fn run_weir(&mut self) {
        self.site.run();
    }

    /// A folder for files, removed at the end.
    pub fn dir(&self) -> &Path {
        self.site.lab.dir()
    }

    /// Runs a client to its end. `label` names it in messages.
    pub fn run(&self, label: &str, command: Command) -> Ran {
        let process = self.site.lab.spawn(label, command).expect("start a client");
        let status = process.wait(CLIENT).expect("the client ends");
        Ran { status, printed: process.log() }
    }

    /// The records of HTTP requests with these filters, once there are at least `count` of them.
    pub fn records(&self, count: usize, filters: &[&str]) -> Vec<Request> {
        let mut found = Vec::new();
        let enough = || {
            let filters: Vec<&str> = ["--protocol", "http"].iter().chain(filters).copied().collect();
            found = self.site.flows(&filters).iter().map(Request::of).collect();
            if found.len() >= count { Ok(()) } else { Err(format!("{} of {count}", found.len())) }
        };
        let waited = wait_until("the records", SOON, enough);
        waited.unwrap_or_else(|error| panic!("{error}: {found:#?}"));
        found
    }
}

/// A request, as weir has recorded it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The server's address.
    pub server: String,
    pub verdict: String,
    pub method: String,
    pub path: String,
    pub protocol: String,
    pub code: u64,
    pub client_port: u64,
}

impl Request {
    pub fn of(record: &Value) -> Self {
        let flow = &record["flow"];
        let http = &flow["l7"]["http"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let url = text(&http["url"]);
        // A URL with an authority, or a path alone.
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
        Self {
            server: text(&flow["IP"]["destination"]),
            verdict: text(&flow["verdict"]),
            method: text(&http["method"]),
            path: path.unwrap_or(url),
            protocol: text(&http["protocol"]),
            code: http["code"].as_u64().unwrap_or(0),
            client_port: flow["l4"]["TCP"]["source_port"].as_u64().unwrap_or(0),
        }
    }
}

/// Ingress of `app: <subject>` on TCP port 80 from `app: client`, with these HTTP rules.
pub fn ingress(subject: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("              - {rule}\n")).collect();
    let spec = format!(
        "  endpointSelector:\n    matchLabels:\n      app: {subject}\n  ingress:\n    - fromEndpoints:\n        \
         - matchLabels:\n            app: client\n      toPorts:\n        - ports:\n            - port: \"80\"\n              \
         protocol: TCP\n          rules:\n            http:\n{rules}"
    );
    policy(subject, &spec)
}
