//! The nouns: labels, identities, endpoints, services, policies, snapshots, flow records; pure data, no I/O, no async.
//!
//! Everything that two crates talk about is defined here once. From the user's YAML to the wire, in order:
//! [`labels`] → [`selector`] → [`identity`] → [`policy`] (what an object says) → [`resolved`] (what that means for
//! one endpoint) → [`snapshot`] (what the proxy needs) and [`wanted`] (what the kernel shall have) → [`flow`] (what
//! happened).
#![forbid(unsafe_code)]

pub mod endpoint;
pub mod flow;
pub mod identity;
pub mod labels;
pub mod link;
pub mod people;
pub mod policy;
pub mod resolved;
pub mod selector;
pub mod snapshot;
pub mod wanted;
