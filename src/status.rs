//! `weir status`: what is in force, and what is wrong.

use std::process::ExitCode;

use anyhow::Context as _;
use weir_control::api::{Request, Status, ask};

use crate::cli::{StatusFormat, StatusOptions};

/// Prints the agent's status. Fails with 1 if there are problems.
pub async fn status(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    let socket = options.node.api_socket();
    let status: Status = async { ask(&socket, &Request::Status).await?.value().await }
        .await
        .with_context(|| format!("ask the agent at {}; is it running, with this --run-dir?", socket.display()))?;
    match options.output {
        StatusFormat::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        StatusFormat::Text => print(&status),
    }
    let healthy = status.problems.is_empty() && status.rejected.is_empty();
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(status: &Status) {
    println!("weir {} on node {}", status.version, status.node);
    let proxy = status.proxy_revision.map_or_else(|| "no proxy".into(), |revision| format!("proxy {revision}"));
    println!("policy revision: agent {}, kernel {}, {proxy}", status.revision, status.kernel_revision);
    println!("\nENDPOINT  POD  IDENTITY  DEVICE  ENFORCED  ADDRESSES  LABELS");
    for endpoint in &status.endpoints {
        let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
        let enforced = if endpoint.enforced.is_empty() { "none".into() } else { endpoint.enforced.join("+") };
        println!(
            "{:<9} {}  {}  {}  {enforced}  {}  {}",
            endpoint.endpoint.to_string(),
            endpoint.pod,
            endpoint.identity,
            endpoint.device.as_deref().unwrap_or("-"),
            addresses.join(","),
            endpoint.labels.join(",")
        );
    }
    println!("\nDEVICE  IFINDEX  PROGRAMS");
    for device in &status.programs {
        println!("{}  {}  {}", device.device, device.ifindex, device.programs.join(","));
    }
    println!("\nMAP  ENTRIES  CAPACITY");
    for (map, entries, capacity) in &status.maps {
        println!("{map}  {entries}  {capacity}");
    }
    println!("\nPACKETS  DIRECTION  COUNT");
    for (reason, direction, packets) in &status.packets {
        println!("{reason}  {direction}  {packets}");
    }
    for (title, problems) in
        [("REJECTED", &status.rejected), ("NOT ENFORCED", &status.gaps), ("IGNORED", &status.ignored)]
    {
        for problem in problems {
            println!("\n{title}: {problem}");
        }
    }
    for problem in &status.problems {
        println!("\nPROBLEM: {problem}");
    }
}
