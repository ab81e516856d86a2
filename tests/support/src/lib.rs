//! Builds nodes and pods from network namespaces, for tests, benches and the demo.
//!
//! A [`Lab`] is one machine room: a *node* namespace, *pods* wired to it as a CNI would wire them, at most a few
//! *outside* machines behind the node's own devices, and the processes that run in all of these. Dropping it removes
//! everything. What a killed owner left behind is removed by the next lab ([`sweep`]).
//!
//! ```text
//!  <prefix>-client    <prefix>-node                            <prefix>-outside
//!  ┌────────────┐    ┌────────────────────────────────────┐    ┌────────────┐
//!  │       eth0 ├────┤ lxc-client   lo: NODE_V4,     eth0 ├────┤ eth0       │
//!  └────────────┘    │                  NODE_V6           │    └────────────┘
//!   Wiring::Routed   │                                    │
//!  ┌────────────┐    │                                    │
//!  │       eth0 ├────┤ lxc-web ── br0 (has the gateway)   │
//!  └────────────┘    └────────────────────────────────────┘
//!   Wiring::Bridge("br0")
//! ```
//!
//! Namespaces are named, so `ip netns exec <prefix>-client curl …` works by hand while a test is paused. Pods have
//! addresses of the ranges for documentation and benchmarks only ([`PodSpec`]); nothing here can reach a real network,
//! since no link leads out of the namespaces.
//!
//! Needs root, iproute2 and util-linux; see [`runs_as_root`].
#![forbid(unsafe_code)]

mod cache;
mod ip;
mod lab;
mod netns;
mod pod;
mod process;
mod sweep;
mod wait;

pub use cache::cache;
pub use lab::{Lab, runs_as_root};
pub use netns::{Netns, in_netns};
pub use pod::{NODE_V4, NODE_V6, Pod, PodSpec, Wiring};
pub use process::Process;
pub use sweep::sweep;
pub use wait::{Probe, wait_until};
