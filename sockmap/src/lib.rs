//! The user side of the kernel: probe, load, attach, pin, reconcile maps, hand sockets over.
//!
//! The agent's way through this crate:
//! [`probe`] (can this kernel do it) → [`pins`] (where things stay) → [`kernel`] (load the programs, open the maps) →
//! [`netlink`] (what devices there are) → [`topology`] (which device is whose) → [`plan`] (what differs from what is
//! wanted) → [`reconcile`] (do it) → [`events`] and [`counters`] (what happened). [`routing`] keeps the one routing rule.
//! The proxy uses [`listeners`] and [`leftover`] only. [`cleanup`] removes every trace.
//!
//! What we want ([`weir_model::wanted::Wanted`]) and what the kernel has ([`plan::State`]) are two types; the difference
//! is a list of [`plan::Action`]s, in an order that never opens a hole.

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
