//! `weir proxy`: the sockets, as a process of their own.

use std::sync::atomic::Ordering;

use prometheus_client::registry::Registry;
use weir_proxy::{link, worker::Proxy};
use weir_sockmap::pins::Pins;

use crate::{
    admin,
    check::check,
    cli::{NodeOptions, ProxyOptions},
    signals,
};

/// Serves until it is told to end; then it accepts no more, and lets open exchanges finish.
pub async fn main(node: &NodeOptions, options: &ProxyOptions) -> anyhow::Result<()> {
    check(&["CAP_NET_ADMIN", "CAP_BPF"])?;
    let ended = signals::terminated()?;
    let mut registry = Registry::default();
    let admin = admin::bind(node.admin.unwrap_or(([127, 0, 0, 1], 9964).into())).await?;
    let mut proxy = Proxy::start(&options.config(), &mut registry)?;
    let listening = proxy.listening();
    let admin = admin::serve(admin, registry, None, move || listening.load(Ordering::Relaxed));
    let (socket, pins) = (node.link_socket(), Pins::new(&node.bpf_dir));
    tokio::select! {
        () = link::run(&mut proxy, &socket, &pins, ended) => Ok(()),
        result = admin => result,
    }
}
