//! Turns Kubernetes (or files, or istiod) into one immutable Snapshot and the wanted kernel state; serves the API.
//!
//! An edit's way, in walking order:
//!
//! ```text
//! watch ──▶ manifests ──▶ store ──▶ engine ──▶ SnapshotChange (proxy) + WantedChange (kernel)
//! files     objects       last      identities, selectors,
//! settled   or Problems   good      policies of endpoints
//! ```
//!
//! [`reference`](mod@reference) reads the same policies slowly and plainly, for explanations and for the tests.
//! [`hubble`] is the way back: it renders the [`weir_model::flow::Flow`] records of what happened.
//!
//! Only [`watch`] waits and only [`watch`] and [`identities`] touch the disk; everything else is a function of its
//! arguments.
#![forbid(unsafe_code)]

pub mod api;
pub mod engine;
pub mod error;
pub mod flows;
pub mod hubble;
pub mod identities;
mod label_filter;
pub mod link;
pub mod manifests;
pub mod problem;
pub mod reference;
pub mod store;
pub mod watch;
