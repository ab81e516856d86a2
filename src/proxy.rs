//! `weir proxy`: the sockets, as a process of their own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use prometheus_client::registry::Registry;
use weir_proxy::{link, worker::Proxy};
use weir_sockmap::pins::Pins;

use crate::{
    admin,
    cli::{NodeOptions, ProxyOptions},
    signals,
};

/// Serves until it is told to end; then it accepts no more, and lets open exchanges finish.
pub async fn main(node: &NodeOptions, options: &ProxyOptions) -> anyhow::Result<()> {
    let mut registry = Registry::default();
    let mut proxy = Proxy::start(&options.config(), &mut registry)?;
    let listening: Arc<AtomicBool> = proxy.listening();
    let address = node.admin.unwrap_or(([127, 0, 0, 1], 9964).into());
    let admin = admin::serve(address, registry, None, move || listening.load(Ordering::Relaxed));
    let (socket, pins) = (node.link_socket(), Pins::new(&node.bpf_dir));
    let result = tokio::select! {
        () = link::run(&mut proxy, &socket, &pins) => Ok(()),
        result = admin => result,
        result = signals::terminated() => result,
    };
    tracing::info!("draining");
    tokio::task::spawn_blocking(move || proxy.stop()).await?;
    result
}
