//! `weir observe`: asks the agent for flow records and prints them.

use std::io::{self, Write as _};

use anyhow::Context as _;
use weir_control::{
    api::{Request, ask},
    hubble,
};

use crate::cli::{Format, ObserveOptions};

/// Prints until the agent has no more, or the reader of the output goes away.
pub async fn observe(options: &ObserveOptions) -> anyhow::Result<()> {
    let socket = options.node.api_socket();
    let failed = || format!("ask the agent at {}; is it running, with this --run-dir?", socket.display());
    let node = async { ask(&socket, &Request::Status).await?.status().await }.await.with_context(failed)?.node;
    let request = Request::Observe(Box::new(options.filter()?));
    let mut answers = ask(&socket, &request).await.with_context(failed)?;
    let mut out = io::stdout().lock();
    while let Some(flow) = answers.flow().await? {
        let written = match options.output {
            Format::Compact => writeln!(out, "{}", hubble::compact(&flow)),
            Format::Wide => writeln!(out, "{}", hubble::wide(&flow)),
            Format::Json => writeln!(out, "{}", hubble::to_json(&flow, &node)),
        };
        match written.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}
