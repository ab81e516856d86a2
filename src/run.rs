//! `weir run`: agent and proxy in one process, the embedded default. They speak over the same socket as two would.

use std::sync::{Arc, atomic::Ordering};

use prometheus_client::registry::Registry;
use weir_proxy::{link, worker::Proxy};
use weir_sockmap::pins::Pins;

use crate::{
    admin,
    agent::Agent,
    cleanup::cleanup,
    cli::{AgentOptions, ProxyOptions},
    signals,
};

/// Runs until it is told to end; then it drains, and removes all that it put into the kernel.
pub async fn run(options: &AgentOptions, proxy_options: &ProxyOptions) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let agent = Agent::start(options, &mut registry).await?;
    let mut proxy = Proxy::start(&proxy_options.config(), &mut registry)?;
    let view = Arc::clone(&agent.view);
    let (listening, picture) = (proxy.listening(), Arc::clone(&view));
    let ready = move || picture.picture().kernel_revision > 0 && listening.load(Ordering::Relaxed);
    let address = options.node.admin.unwrap_or(([127, 0, 0, 1], 9962).into());
    let admin = admin::serve(address, registry, Some(view), ready);
    let (socket, pins) = (options.node.link_socket(), Pins::new(&options.node.bpf_dir));
    let result = tokio::select! {
        result = agent.run(None) => result,
        () = link::run(&mut proxy, &socket, &pins) => Ok(()),
        result = admin => result,
        result = signals::terminated() => result,
    };
    tracing::info!("draining");
    tokio::task::spawn_blocking(move || proxy.stop()).await?;
    cleanup(&options.node).await?;
    result
}
