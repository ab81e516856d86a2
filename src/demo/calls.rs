//! The calls of the demo, what the policies say about them, and what weir recorded.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::{process::Command, time::timeout};
use weir_control::api::Answers;
use weir_model::{
    flow::{Flow, FlowKind, Party},
    resolved::RuleOrigin,
};

use super::stage::{SERVER, Stage};

/// How long a client waits for a connection that is never answered.
const PATIENCE: &str = "1";
/// How long a record may take to come.
const RECORD: Duration = Duration::from_secs(3);

/// A call.
pub struct Call {
    /// The calling pod.
    pub who: &'static str,
    /// IPv6 or IPv4.
    pub v6: bool,
    /// HTTP method.
    pub method: &'static str,
    /// Path as it is sent.
    pub path: &'static str,
    /// The status, or `dropped`.
    pub expected: &'static str,
}

const fn call(who: &'static str, v6: bool, method: &'static str, path: &'static str, expected: &'static str) -> Call {
    Call { who, v6, method, path, expected }
}

/// What the demo does, in order.
pub const CALLS: &[Call] = &[
    call("tiefighter", false, "POST", "/v1/request-landing", "200"),
    call("tiefighter", true, "POST", "/v1/request-landing", "200"),
    call("tiefighter", false, "PUT", "/v1/exhaust-port", "403"),
    call("tiefighter", true, "PUT", "/v1/exhaust-port", "403"),
    call("tiefighter", false, "POST", "/v1/request-landing/../exhaust-port", "403"),
    call("tiefighter", false, "GET", "/", "403"),
    call("xwing", false, "POST", "/v1/request-landing", "dropped"),
    call("xwing", true, "POST", "/v1/request-landing", "dropped"),
];

/// What became of a call.
pub struct Outcome {
    /// The status, or `dropped`.
    pub seen: String,
    /// The record, for the reader.
    pub line: String,
}

/// Makes a call with curl, and waits for its record.
pub async fn make(stage: &Stage, call: &Call) -> anyhow::Result<Outcome> {
    let mut records = stage.follow().await?;
    let address = stage.address(SERVER, call.v6)?;
    let host = if call.v6 { format!("[{address}]") } else { address.to_string() };
    let output = Command::from(stage.netns(call.who)?.command("curl"))
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "--connect-timeout", PATIENCE, "-X"])
        .arg(call.method)
        .arg(format!("http://{host}{}", call.path))
        .output()
        .await
        .context("run curl; scripts/setup installs it")?;
    let status = String::from_utf8_lossy(&output.stdout).into_owned();
    // curl prints 000 when there was no answer; 28 is its time-out.
    let seen = match (status.as_str(), output.status.code()) {
        ("000", Some(28)) => "dropped".to_string(),
        ("000", code) => format!("curl error {}", code.unwrap_or(-1)),
        _ => status,
    };
    let record = timeout(RECORD, record_of(&mut records, call));
    let flow = record.await.with_context(|| format!("no record of {} {}", call.method, call.path))??;
    Ok(Outcome { seen, line: line(call, &flow) })
}

/// The call's record: that of its request, or, if it never got as far, of its dropped packet.
async fn record_of(records: &mut Answers, call: &Call) -> anyhow::Result<Flow> {
    while let Some(flow) = records.flow().await? {
        let from_caller = flow.source.who.pod.as_ref().is_some_and(|pod| pod.name == call.who);
        let is_it = match &flow.kind {
            FlowKind::Http(http) => *http.method == *call.method && *http.path == *call.path,
            FlowKind::Drop(_) => true,
            FlowKind::Connection(_) => false,
        };
        if from_caller && is_it {
            return Ok(flow);
        }
    }
    bail!("the agent hung up")
}

fn line(call: &Call, flow: &Flow) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(flow.time_ns)).unwrap_or_default();
    let time = time.strftime("%H:%M:%S%.3f");
    let (status, latency, http_rule) = match &flow.kind {
        FlowKind::Http(http) => {
            (http.status.to_string(), format!("{:.2} ms", http.latency_ns as f64 / 1e6), http.http_rule)
        }
        _ => ("-".into(), "-".into(), None),
    };
    format!(
        "{time} {} -> {} {} {} {} by {} {status} {latency}",
        party(&flow.source),
        party(&flow.destination),
        call.method,
        call.path,
        format!("{:?}", flow.verdict).to_uppercase(),
        decided_by(flow.rule.as_ref(), http_rule),
    )
}

fn party(party: &Party) -> String {
    let labels = party.who.labels.to_strings();
    // The labels that people wrote; those about the namespace are the same for all.
    let own: Vec<&str> =
        labels.iter().filter_map(|l| l.strip_prefix("k8s:")).filter(|l| !l.starts_with("io.")).collect();
    let name = party.who.pod.as_ref().map_or_else(|| party.address.to_string(), ToString::to_string);
    format!("{name} ({})", own.join(","))
}

fn decided_by(rule: Option<&RuleOrigin>, http: Option<u16>) -> String {
    match (rule, http) {
        (Some(rule), Some(http)) => format!("{rule}.http[{http}]"),
        (Some(rule), None) => rule.to_string(),
        (None, _) => "default deny: no rule allows it".into(),
    }
}
