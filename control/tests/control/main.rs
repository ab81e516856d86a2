//! The control plane from files to snapshots, without privileges.

mod hubble;
mod identities;
mod manifests;
mod policy_table;
mod resolve;
mod store;
mod support;
mod watch;
