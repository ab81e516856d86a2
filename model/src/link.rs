//! What the agent and the proxy say to each other over their unix socket.
//!
//! Each message is one frame: its length in bytes as a `u32` in network byte order, then the message as JSON. The agent
//! listens, the proxy connects; after a reconnect the agent sends the snapshot again.

use serde::{Deserialize, Serialize};

use crate::{
    flow::Flow,
    snapshot::{Snapshot, SnapshotChange},
};

/// The greatest frame that either side accepts, in bytes.
pub const FRAME_LIMIT: u32 = 256 << 20;

/// Agent to proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToProxy {
    /// Judge by this from now on.
    Snapshot(Box<Snapshot>),
    /// Judge by what this makes of the last one.
    Change(Box<SnapshotChange>),
    /// Send the flow records that came after these positions (one per worker; missing ones are 0).
    ReadFlows {
        /// As returned by the last [`ToAgent::Flows`].
        after: Vec<u64>,
    },
}

/// Proxy to agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToAgent {
    /// Requests are judged by this revision.
    InForce {
        /// The snapshot's revision.
        revision: u64,
        /// What could not be compiled; such a port denies everything.
        problems: Vec<String>,
    },
    /// The answer to [`ToProxy::ReadFlows`], in order of time; also sent unasked, by a proxy that ends.
    Flows {
        /// The position after the last record, per worker.
        next: Vec<u64>,
        /// The records.
        flows: Vec<Flow>,
        /// Records that were overwritten before they could be read.
        lost: u64,
    },
}
