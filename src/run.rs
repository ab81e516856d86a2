//! `weir run`: agent and proxy in one process, the embedded default. They speak over the same socket as two would.

use std::sync::{Arc, atomic::Ordering};

use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use weir_proxy::{link, worker::Proxy};
use weir_sockmap::pins::Pins;

use crate::{
    admin,
    agent::Agent,
    cleanup::cleanup,
    cli::{AgentOptions, ProxyOptions},
    signals,
};

/// Runs until it is told to end; then it drains, and removes all that it put into the kernel. If it fails, the kernel state
/// stays in force: a weir that cannot go on must not open what policy closes. The next start takes it over.
pub async fn run(options: &AgentOptions, proxy_options: &ProxyOptions) -> anyhow::Result<()> {
    let ended = signals::terminated()?;
    let mut registry = Registry::default();
    let admin = admin::bind(options.admin()).await?;
    let mut proxy = Proxy::start(&proxy_options.config(), &mut registry)?;
    let (agent, log) = Agent::start(options).await?;
    let (view, listening) = (Arc::clone(&agent.view), proxy.listening());
    let ready = move || view.picture().kernel_revision > 0 && listening.load(Ordering::Relaxed);
    let admin = admin::serve(admin, registry, Some(Arc::clone(&agent.view)), ready);
    let (socket, pins) = (options.node.link_socket(), Pins::new(&options.node.bpf_dir));
    let link = Arc::clone(&agent.link);
    // The agent is there until the proxy has drained: policy stays in force, and the last records are taken in.
    let proxy_and_end = async {
        link::run(&mut proxy, &socket, &pins, ended).await;
        link.gone().await;
    };
    let result = tokio::select! {
        result = agent.run() => result,
        result = admin => result,
        () = proxy_and_end => Ok(()),
    };
    // Already done, but for a failure.
    spawn_blocking(proxy.drain()).await?;
    log.finish();
    result?;
    cleanup(&options.node).await
}
