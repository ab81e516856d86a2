//! /metrics, /healthz and /readyz.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use tokio::net::TcpListener;

use crate::view::View;

/// Takes the port, before anything else is done that a refusal would have to undo.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("listen on {address} for metrics; --admin chooses another address"))
}

/// Serves for ever. `view` adds what the agent and the kernel count.
pub async fn serve(
    listener: TcpListener,
    mut registry: Registry,
    view: Option<Arc<View>>,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    if let Some(view) = view {
        registry.register_collector(Box::new(Kernel(view)));
    }
    let registry = Arc::new(registry);
    let metrics = move || async move {
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    let readyz = move || async move {
        if ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz));
    axum::serve(listener, router).await.context("serve metrics")
}

/// What the kernel counts, read when somebody asks.
struct Kernel(Arc<View>);

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kernel")
    }
}

impl Collector for Kernel {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let packets = self.0.packets();
        let counter = ConstCounter::new(0_u64);
        let mut drops =
            encoder.encode_descriptor("weir_packets", "Packets by what became of them", None, counter.metric_type())?;
        for (reason, direction, count, _) in &packets {
            let labels = [("reason", reason.as_str()), ("direction", direction)];
            ConstCounter::new(*count).encode(drops.encode_family(&labels)?)?;
        }
        let mut bytes = encoder.encode_descriptor(
            "weir_packet",
            "Bytes of the packets by what became of them",
            Some(&Unit::Bytes),
            counter.metric_type(),
        )?;
        for (reason, direction, _, count) in &packets {
            let labels = [("reason", reason.as_str()), ("direction", direction)];
            ConstCounter::new(*count).encode(bytes.encode_family(&labels)?)?;
        }
        let picture = self.0.picture().clone();
        let gauge = ConstGauge::new(0_i64);
        let mut entries =
            encoder.encode_descriptor("weir_bpf_map_entries", "Entries of a BPF map", None, gauge.metric_type())?;
        for fill in &picture.maps {
            ConstGauge::new(i64::from(fill.entries)).encode(entries.encode_family(&[("map", fill.map.as_str())])?)?;
        }
        let mut capacity =
            encoder.encode_descriptor("weir_bpf_map_capacity", "Entries that fit", None, gauge.metric_type())?;
        for fill in &picture.maps {
            ConstGauge::new(i64::from(fill.capacity)).encode(capacity.encode_family(&[("map", fill.map.as_str())])?)?;
        }
        for (name, help, value) in [
            ("weir_endpoints", "Pods of this node", picture.endpoints.len()),
            ("weir_policy_rejected_objects", "Objects that were rejected", picture.rejected.len()),
            ("weir_policy_gaps", "Fields of policies that are not enforced as written", picture.gaps.len()),
            ("weir_problems", "What the last reconcile could not do", picture.problems.len()),
        ] {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, value.metric_type())?;
            value.encode(metric)?;
        }
        for (name, help, count) in [
            ("weir_cut_sockets", "Sockets that were ended since policy denies them now", picture.cuts.sockets),
            ("weir_uncut_sockets", "Sockets that were to be ended and were not found", picture.cuts.lost),
            ("weir_refused_map_writes", "Writes to BPF maps that the kernel refused", picture.refused_writes),
        ] {
            let count = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(name, help, None, count.metric_type())?;
            count.encode(metric)?;
        }
        for (name, help, revision) in [
            ("weir_policy_revision", "Policy revision that the agent resolved", picture.revision),
            ("weir_policy_kernel_revision", "Policy revision that the kernel enforces", picture.kernel_revision),
        ] {
            let value = ConstGauge::new(i64::try_from(revision).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, value.metric_type())?;
            value.encode(metric)?;
        }
        Ok(())
    }
}
