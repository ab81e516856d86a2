//! The user side of the kernel: probe, load, attach, pin, reconcile maps, hand sockets over.
//!
//! The agent's way through this crate:
//! [`probe`] (can this kernel do it) → [`pins`] (where things stay) → [`kernel`] (load the programs, open the maps) →
//! [`book`] (what is wanted) → [`plan`] (what to write where that differs from what the kernel has, [`state`]) →
//! [`enforce`] (write it) → [`netlink`] (what devices there are) → [`topology`] (which device is whose) → [`reconcile`]
//! (all of this, change by change) → [`cut`] and [`cutter`] (end what is denied now) → [`events`], [`counters`] and [`dump`]
//! (what happened, what is there). [`routing`] keeps the one routing rule. The proxy uses [`listeners`] and [`leftover`]
//! only. [`sockets`] ends sockets in any namespace, which [`namespaces`] finds. [`cleanup`] removes every trace.
//!
//! [`plan`] and [`judge`] are pure: what a plan does to packets between any two writes is tested without a kernel
//! (`tests/plan.rs`), and that the kernel says the same with one (`tests/kernel`).

pub mod book;
pub mod cleanup;
pub mod counters;
pub mod cut;
pub mod cutter;
pub mod dump;
pub mod enforce;
mod error;
pub mod events;
pub mod flows;
pub mod judge;
pub mod kernel;
pub mod leftover;
pub mod listeners;
pub mod lpm;
pub mod namespaces;
pub mod netlink;
pub mod pins;
pub mod plan;
pub mod probe;
mod raw;
pub mod reconcile;
pub mod routing;
pub mod sockets;
pub mod state;
mod tables;
pub mod topology;

pub use error::Error;
