//! What a request costs in the inspector, by number and shape of the rules of its port: no sockets, one thread.
//!
//! The figure is the time from a request's bytes to its verdict: head, framing, path, automaton. That of one rule is the
//! baseline of each shape.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use weir_filters::http::{
    ClientStep, Decision, Inspector, Judge, Judgement, Limits, PeerRules, PortRules, Refusal, RequestHead, ResponseHead,
};
use weir_model::policy::{HttpRule, Mode, PolicyKind, PolicyName, PortRange, Protocol};
use weir_model::resolved::{Direction, DirectionPolicy, L4Rule, Peers, RuleId, RuleOrigin, SelectorId};

use crate::report;

/// A thousand path rules, as a multiple of one.
const BAR: f64 = 2.0;
const COUNTS: [usize; 4] = [1, 100, 1_000, 5_000];
const PORT: u16 = 80;
const PEER: SelectorId = SelectorId(1);
/// Requests per timing, and timings, of which the best counts: what disturbs only adds.
const REQUESTS: usize = 64;
const TIMINGS: usize = 2_000;

/// `weir-bench rules`
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder for the figures as JSON.
    #[arg(long, default_value = "target/bench")]
    out: std::path::PathBuf,
}

#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    rules: usize,
    compile_ms: f64,
    memory_bytes: usize,
    lazy: bool,
    allowed_ns: f64,
    denied_ns: f64,
}

/// What rules look like, and paths that the last of them allows, and that none allows.
struct Shape {
    name: &'static str,
    rule: fn(usize) -> String,
    denied: &'static str,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "/service-N/items", rule: |n| format!("/service-{n}/items"), denied: "/service-0/prices" },
    Shape { name: "/api/vN/.*", rule: |n| format!("/api/v{n}/.*"), denied: "/api/w0/abcdefgh" },
    Shape { name: "/users/[0-9]+/N", rule: |n| format!("/users/[0-9]+/part-{n}"), denied: "/users/12345/none" },
];

/// Runs the bench.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for shape in &SHAPES {
        let first = rows.len();
        for count in COUNTS {
            rows.push(measure(shape, count)?);
        }
        let [one, .., thousand, _] = &rows[first..] else { continue };
        let times = (thousand.allowed_ns / one.allowed_ns).max(thousand.denied_ns / one.denied_ns);
        report::bar(&format!("1,000 rules {} / one", shape.name), times, BAR, "x");
    }
    let cells = rows.iter().map(|row| {
        [
            row.work.to_owned(),
            row.rules.to_string(),
            format!("{:.1}", row.compile_ms),
            format!("{}", row.memory_bytes >> 10),
            if row.lazy { "as needed" } else { "in advance" }.to_owned(),
            format!("{:.0} / {:.0}", row.allowed_ns, row.denied_ns),
        ]
    });
    let head = ["rules of the form", "count", "compiled in ms", "KiB", "states", "ns allowed / denied"];
    report::table(head, &cells.collect::<Vec<_>>());
    println!("written to {}", report::write(&options.out, "rules", &rows)?.display());
    Ok(())
}

fn measure(shape: &Shape, count: usize) -> Result<Row> {
    let http: Vec<HttpRule> =
        (0..count).map(|n| HttpRule { path: Some((shape.rule)(n)), ..HttpRule::default() }).collect();
    let name = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "bench".into(), name: "rules".into() };
    let rule = L4Rule {
        peers: Peers::Any,
        protocol: Some(Protocol::Tcp),
        ports: PortRange::one(PORT),
        deny: false,
        mode: Mode::Enforce,
        http: Some(Arc::new(http)),
        id: RuleId(1),
        log: None,
        origin: RuleOrigin {
            policy: Arc::new(name),
            rule: 0,
            direction: Direction::Ingress,
            deny: false,
            entry: 0,
            port: Some(0),
        },
    };
    let policy = DirectionPolicy { default_deny: true, audit_default_deny: true, rules: vec![rule] };
    let begun = Instant::now();
    let rules = PortRules::compile(&policy, PORT).context("compile the rules")?;
    let compile_ms = begun.elapsed().as_secs_f64() * 1e3;
    // A path of the last rule, so that nothing is gained by looking at the first.
    let allowed = (shape.rule)(count - 1).replace("[0-9]+", "12345").replace(".*", "abcdefgh");
    let (memory_bytes, lazy) = (rules.memory_usage(), rules.is_lazy());
    let rules = PeerRules::new(&Arc::new(rules), [PEER].into());
    let allowed_ns = time(&rules, &allowed, true)?;
    let denied_ns = time(&rules, shape.denied, false)?;
    Ok(Row { work: shape.name, rules: count, compile_ms, memory_bytes, lazy, allowed_ns, denied_ns })
}

/// Nanoseconds per request.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn time(rules: &PeerRules, path: &str, allowed: bool) -> Result<f64> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: server.bench\r\nuser-agent: curl/8.5.0\r\naccept: */*\r\n\
         x-request-id: 7f3b1c52-0001\r\n\r\n"
    );
    let input = request.repeat(REQUESTS);
    let mut best = f64::INFINITY;
    for _ in 0..TIMINGS {
        let mut judge = Rules { rules, allowed: 0, denied: 0 };
        let mut inspector = Inspector::new(Limits::default());
        let begun = Instant::now();
        let mut rest = input.as_bytes();
        while !rest.is_empty() {
            match inspector.client(black_box(rest), &mut judge) {
                ClientStep::Forward(n) | ClientStep::Discard(n) => rest = &rest[n..],
                step => anyhow::bail!("the inspector says {step:?}"),
            }
            while inspector.take_reply().is_some() {}
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / REQUESTS as f64);
        let right = if allowed { judge.allowed } else { judge.denied };
        anyhow::ensure!(right == REQUESTS, "{path}: {} allowed, {} denied", judge.allowed, judge.denied);
    }
    Ok(best)
}

struct Rules<'a> {
    rules: &'a PeerRules,
    allowed: usize,
    denied: usize,
}

impl Judge for Rules<'_> {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        match self.rules.judge(head) {
            Judgement::Deny(_) | Judgement::Audit(_) => {
                self.denied += 1;
                Decision::Deny
            }
            Judgement::Allow(..) => {
                self.allowed += 1;
                Decision::Allow
            }
        }
    }

    fn responded(&mut self, _: &ResponseHead<'_>) {}

    fn refused(&mut self, _: Refusal, _: Option<&RequestHead<'_>>) {}
}
